/** The gateway, composed: configuration → layers → data path and own routes; binds no port and names no runtime. */
import { hkdfSync } from "node:crypto"
import { ConfigProvider, Context, Duration, Effect, Layer, Redacted, Schedule } from "effect"
import { ConfigInvalid, type Env, processEnv } from "#shared/config.ts"
import { kubernetesLayer } from "#shared/kubernetes/config.ts"
import { Database } from "#shared/sql.ts"
import { logging } from "#shared/telemetry.ts"
import { makeService, type Service } from "#shared/service.ts"
import { Audit } from "./Audit.ts"
import { ClusterTokens } from "./ClusterTokens.ts"
import { type GatewayConfig, gatewayConfig, readGatewayFile } from "./config.ts"
import { makeDataPath } from "./dataPath.ts"
import { Directory } from "./Directory.ts"
import { makeForwarder } from "./forwarder.ts"
import { Gate } from "./Gate.ts"
import { makeHttp } from "./http.ts"
import { Keys } from "./Keys.ts"
import { Logins } from "./Logins.ts"
import { makeMeasure } from "./measures.ts"
import { migrations } from "./migrations/index.ts"
import { makeOpenApi } from "./openApi.ts"
import { makeOpenStreams, type OpenStream } from "./openStreams.ts"
import { Providers } from "./Providers.ts"
import { Rights } from "./Rights.ts"
import { makeRouteTable } from "./routeTable.ts"
import { Sessions } from "./Sessions.ts"
import { Tokens } from "./Tokens.ts"
import type { Workload } from "./workloadKeys.ts"
import { Workloads } from "./Workloads.ts"

/** How long a request waits for the gateway DB before it is told that it is away. */
const patience = "3 seconds"

/** What the settings file says now: routes, seeds and workloads follow a changed file, a bad one leaves the old in force. */
interface Live {
  routes: ReturnType<typeof makeRouteTable>
  seeds: Pick<GatewayConfig["settings"], "firstOwner" | "grants">
  workloads: ReadonlyArray<Workload>
}

/** Who vouches for service accounts. An API server that is away does not stop the start. */
const clusterTokens = ({ environment, kubernetes }: GatewayConfig): Layer.Layer<ClusterTokens, ConfigInvalid> =>
  kubernetes === undefined
    ? ClusterTokens.off
    : ClusterTokens.layer({ audience: `gateway.${environment}` }).pipe(
        Layer.provide(kubernetesLayer(kubernetes)),
        Layer.catch(({ detail }) =>
          Layer.effect(ClusterTokens, new ConfigInvalid({ key: "GATEWAY_KUBERNETES", detail }))
        )
      )

const layers = (config: GatewayConfig, live: Live, env: Env) => {
  const { environment, limits, providers, publicUrl, secret } = config
  const database = Database.layer({
    name: "the gateway DB",
    url: config.databaseUrl,
    applicationName: "gatehouse-gateway",
    migrations,
    patience
  })
  const stores = Layer.mergeAll(Keys.layer({ secret }), Rights.layer, Sessions.layer(limits)).pipe(
    Layer.provideMerge(Audit.layer)
  )
  const identity = Layer.mergeAll(
    Tokens.layer({ issuer: publicUrl, environment, secret }),
    Directory.layer({ environment }),
    Providers.layer({ providers, publicUrl })
  )
  const workloads = Workloads.layer({ publicUrl, environment, workloads: () => live.workloads })
  return Layer.mergeAll(
    Gate.layer({ issuer: publicUrl }),
    Logins.layer({ publicUrl, seeds: () => live.seeds }),
    Layer.provide(workloads, clusterTokens(config))
  ).pipe(
    Layer.provideMerge(identity),
    Layer.provideMerge(stores),
    Layer.provideMerge(database),
    Layer.provideMerge(Layer.provide(logging("gateway"), ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))))
  )
}

/** Seconds between two looks at the settings file; a mounted ConfigMap changes by replacing a link, which no watch sees reliably. */
const reloadSeconds = 2

const reload = (config: GatewayConfig, live: Live) => {
  let seen = config.settingsHash
  let failed: string | undefined
  return readGatewayFile(config).pipe(
    Effect.flatMap(({ hash, settings, workloads }) =>
      Effect.suspend(() => {
        failed = undefined
        if (seen === hash) return Effect.void
        seen = hash
        const same = workloads.filter((one) =>
          live.workloads.some((other) => one.id === other.id && one.proof === other.proof)
        )
        live.workloads = workloads
        live.routes = makeRouteTable(settings.routes, config.environment, config.hosts)
        live.seeds = settings
        const told =
          JSON.stringify(settings.providers) === JSON.stringify(config.settings.providers)
            ? Effect.logInfo("settings file reloaded")
            : Effect.logWarning("settings file reloaded; its providers take effect with the next start")
        // With the DB away nobody gets in, and by the time it is back the sessions of ten minutes have run out or soon will.
        const dismissed = Effect.ignore(
          Workloads.use((service) => service.dismiss(same.map(({ id }) => id))),
          { log: true }
        )
        return Effect.andThen(told, dismissed)
      })
    ),
    Effect.catch((error) => {
      if (failed === error.message) return Effect.void
      failed = error.message
      return Effect.logError(`settings file not taken, the old one stays in force: ${error.message}`)
    }),
    Effect.repeat(Schedule.spaced(Duration.seconds(reloadSeconds)))
  )
}

/** Builds a gateway from `env`; rejects with ConfigInvalid naming the key. A DB or provider that is away does not stop it. */
export const make = async (env: Env = processEnv()): Promise<Service> => {
  const config = await Effect.runPromise(gatewayConfig(env))
  const live: Live = {
    routes: makeRouteTable(config.settings.routes, config.environment, config.hosts),
    seeds: config.settings,
    workloads: config.workloads
  }
  const streams = makeOpenStreams()
  const forwarder = makeForwarder()

  /** Streams outlive the request that was allowed: whether they still may is asked again every two seconds. */
  const recheck = Effect.gen(function* () {
    const gate = yield* Gate
    const rights = yield* Rights
    const sessions = yield* Sessions
    const open = streams.all()
    if (open.length === 0) return
    const snapshot = yield* rights.snapshot
    const alive = new Set<string>()
    for (const id of new Set(
      open.flatMap((stream) => (stream.caller === undefined ? [] : [stream.caller.sessionId]))
    )) {
      if ((yield* sessions.findById(id))._tag === "Some") alive.add(id)
    }
    const allowed = ({ action, caller, route }: OpenStream) =>
      caller === undefined ||
      (alive.has(caller.sessionId) && action !== undefined && gate.allows(snapshot, caller, { ...route, action }))
    streams.recheck(allowed)
  }).pipe(Effect.ignore, Effect.repeat(Schedule.spaced("2 seconds")))

  const background = Layer.effectDiscard(
    Effect.andThen(Effect.forkScoped(reload(config, live)), Effect.forkScoped(recheck))
  )
  const service = await makeService({
    name: "gateway",
    layer: background.pipe(Layer.provideMerge(layers(config, live, env)), Layer.orDie),
    ready: {
      database: Database.use((database) => database.ready),
      keys: Keys.use((keys) => keys.ready)
    },
    internal:
      ({ runtime }) =>
      (path) =>
        path === "/.well-known/jwks.json"
          ? runtime.runPromise(
              Effect.match(
                Keys.use((keys) => keys.published),
                {
                  onSuccess: ({ body }) => new Response(body, { headers: { "content-type": "application/json" } }),
                  onFailure: () => new Response(null, { status: 503 })
                }
              )
            )
          : undefined,
    fetch: (built) => {
      const gate = Context.get(built.context, Gate)
      const rights = Context.get(built.context, Rights)
      const own = makeHttp(built, {
        publicUrl: config.publicUrl,
        environment: config.environment,
        loginCookieSecret: Buffer.from(
          hkdfSync("sha256", Redacted.value(config.secret), "", "gatehouse login cookie", 32)
        ).toString("base64url"),
        sessionSeconds: Math.round(Duration.toSeconds(config.limits.absolute)),
        openapi: makeOpenApi(config.publicUrl, () => live.routes)
      })
      built.stopping.addEventListener("abort", () => {
        streams.endAll()
        forwarder.close()
      })
      return makeDataPath({
        publicUrl: config.publicUrl,
        hosts: config.hosts,
        trustedProxies: config.trustedProxies,
        routes: () => live.routes,
        gate,
        peekRights: rights.peek,
        askRights: () => built.runtime.runPromise(rights.snapshot),
        askGate: (credential) => built.runtime.runPromise(gate.identify(credential)),
        forwarder,
        streams,
        measure: makeMeasure(built.context),
        report: (error, requestId) => {
          built.runtime.runFork(Effect.logError("request failed", error).pipe(Effect.annotateLogs({ requestId })))
        },
        own
      })
    }
  })
  return service
}
