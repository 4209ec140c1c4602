/** The job kind `health.check`: asks once whether something answers, and how fast; must reach only Services of the own namespace and the gateway. */
import { lookup } from "node:dns/promises"
import { connect } from "node:net"
import { Clock, Effect, Layer, Schema } from "effect"
import { type PeerFailed, send } from "#shared/client.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import type { WorkloadIdentity } from "#shared/workload.ts"
import { done, JobFailed, JobHandlers } from "../JobHandler.ts"
import { isClusterAddress } from "./addresses.ts"
import { callGateway } from "./gatewayCall.ts"
import { GatewayPath } from "./gatewayPath.ts"

/** RFC 1035 label: no dot, so that it can name nothing outside of the namespace. */
const ServiceName = Schema.String.check(
  Schema.isPattern(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/u, { expected: "the name of a Service" })
)
const Port = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))
const timeoutSeconds = Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 })))
const expectStatus = Schema.optionalKey(
  Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 }))).check(Schema.isMaxLength(20))
)

export const HealthCheck = Schema.Union([
  Schema.Struct({
    check: Schema.Literal("http"),
    service: ServiceName,
    port: Port,
    path: Schema.optionalKey(
      Schema.String.check(Schema.isMaxLength(500), Schema.isPattern(/^\/[\x21-\x7e]*$/u, { expected: "a path" }))
    ),
    expectStatus,
    timeoutSeconds
  }),
  Schema.Struct({ check: Schema.Literal("tcp"), service: ServiceName, port: Port, timeoutSeconds }),
  Schema.Struct({ check: Schema.Literal("gateway"), path: GatewayPath, expectStatus, timeoutSeconds })
])
type HealthCheck = typeof HealthCheck.Type

interface Options {
  readonly namespace: string
  /** Undefined where no gateway is configured: then its paths cannot be checked. */
  readonly identity: WorkloadIdentity["Service"] | undefined
  /** Addresses of a host name; the system's resolver unless told. */
  readonly resolve?: (host: string) => Promise<ReadonlyArray<string>>
  /** Whether an address may be reached; a cluster's own networks unless told. */
  readonly permitted?: (address: string) => boolean
}

const systemResolver = async (host: string) => (await lookup(host, { all: true })).map(({ address }) => address)

const unhealthy = (detail: string) => new JobFailed({ detail, retryable: false })

/** Opens a connection and closes it at once. */
const reach = (host: string, port: number) =>
  Effect.callback<void, JobFailed>((resume) => {
    const socket = connect({ host, port })
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (error: NodeJS.ErrnoException) =>
      resume(unhealthy(`no connection: ${error.code ?? "failed"}`))
    )
    return Effect.sync(() => socket.destroy())
  })

const within = (seconds: number, late: string) =>
  Effect.timeoutOrElse({ duration: `${seconds} seconds`, orElse: () => unhealthy(late) })

const judge = (status: number, expected: ReadonlyArray<number> | undefined, latencyMs: number) =>
  (expected?.includes(status) ?? (status >= 200 && status <= 399))
    ? Effect.succeed(done({ status, latencyMs }))
    : Effect.fail(unhealthy(`answered ${status} in ${latencyMs} ms`))

const peerDetail = (error: PeerFailed | Unavailable) => unhealthy(error.message)

const makeRun = ({ identity, namespace, permitted = isClusterAddress, resolve = systemResolver }: Options) => {
  /** The Service's address, checked after it was resolved and used as it was checked: a name may change its mind. */
  const addressOf = Effect.fnUntraced(function* (service: string) {
    const host = `${service}.${namespace}.svc`
    const addresses = yield* Effect.tryPromise({
      try: () => resolve(host),
      catch: () => unhealthy(`${host} has no address`)
    })
    if (addresses.length === 0) return yield* unhealthy(`${host} has no address`)
    if (!addresses.every(permitted)) return yield* unhealthy(`${host} leads outside of the cluster`)
    return { host, address: addresses[0]! }
  })

  return Effect.fn("health.check")(function* (payload: HealthCheck) {
    const seconds = payload.timeoutSeconds ?? 5
    const late = `no answer within ${seconds} s`
    if (payload.check === "gateway") {
      if (identity === undefined) return yield* unhealthy("no gateway is configured")
      const call = { method: "GET", path: payload.path, timeoutSeconds: seconds }
      const { latencyMs, status } = yield* callGateway(identity, call).pipe(Effect.mapError(peerDetail))
      return yield* judge(status, payload.expectStatus, latencyMs)
    }
    const { address, host } = yield* addressOf(payload.service).pipe(within(seconds, late))
    const began = yield* Clock.currentTimeMillis
    if (payload.check === "tcp") {
      yield* reach(address, payload.port).pipe(within(seconds, late))
      return done({ latencyMs: (yield* Clock.currentTimeMillis) - began })
    }
    const shown = address.includes(":") ? `[${address}]` : address
    const { status } = yield* send(new URL(payload.path ?? "/", `http://${shown}:${payload.port}`), {
      timeout: `${seconds} seconds`,
      init: { redirect: "manual", headers: { host: `${host}:${payload.port}`, "user-agent": "gatehouse-health-check" } }
    }).pipe(Effect.mapError(peerDetail))
    return yield* judge(status, payload.expectStatus, (yield* Clock.currentTimeMillis) - began)
  })
}

export const healthCheck = (options: Options): Layer.Layer<never, never, JobHandlers> =>
  Layer.effectDiscard(
    JobHandlers.use((handlers) =>
      handlers.register({
        kind: "health.check",
        version: 1,
        description: "Ask once, by HTTP or TCP, whether a Service of the namespace or a path of the gateway answers",
        payload: HealthCheck,
        target: (asked) => (asked.check === "gateway" ? asked.path.split("?")[0]! : `service/${asked.service}`),
        run: makeRun(options)
      })
    )
  )
