/** The job kind `http.call`: asks a service behind the gateway to do something; must keep no answer's content. */
import { Effect, Layer, Schema } from "effect"
import { WorkloadIdentity } from "#shared/workload.ts"
import { done, JobFailed, JobHandlers } from "../JobHandler.ts"
import { callGateway } from "./gatewayCall.ts"
import { GatewayPath } from "./gatewayPath.ts"

export const HttpCall = Schema.Struct({
  method: Schema.Literals(["GET", "POST", "PUT", "PATCH", "DELETE"]),
  path: GatewayPath,
  /** Sent as JSON. */
  body: Schema.optionalKey(Schema.Unknown),
  /** 200 to 299 unless told. */
  expectStatus: Schema.optionalKey(
    Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 }))).check(Schema.isMaxLength(20))
  ),
  timeoutSeconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 300 })))
}).check(
  Schema.makeFilter(
    ({ body, method }) => method !== "GET" || body === undefined || { path: ["body"], issue: "a GET has none" }
  )
)

/** Characters of a refused answer that are logged. */
const excerpt = 500

const makeHandler = Effect.gen(function* () {
  const handlers = yield* JobHandlers
  const identity = yield* WorkloadIdentity
  yield* handlers.register({
    kind: "http.call",
    version: 1,
    description: "Call a service behind the gateway as the scheduler; the answer's status decides",
    payload: HttpCall,
    // Queries may hold what is nobody's to read.
    target: ({ path }) => path.split("?")[0]!,
    run: Effect.fn("http.call")(function* (payload, { fence, jobId, log }) {
      const { expectStatus, timeoutSeconds = 30, ...call } = payload
      const answer = yield* callGateway(identity, {
        ...call,
        timeoutSeconds,
        // A run may be repeated: the same key lets the service do it once.
        headers: { "idempotency-key": `job-${jobId}`, "x-gatehouse-fence": String(fence) }
      }).pipe(
        Effect.catchTag(["PeerFailed", "Unavailable"], (error) =>
          Effect.fail(new JobFailed({ detail: error.message, retryable: true }))
        )
      )
      const { latencyMs, status, text } = answer
      yield* log("info", `${call.method} ${call.path}: ${status} in ${latencyMs} ms`)
      if (expectStatus?.includes(status) ?? (status >= 200 && status <= 299)) return done({ status, latencyMs })
      yield* log("warn", text.slice(0, excerpt))
      const retryable = status >= 500 || status === 429 || status === 408 || status === 425
      return yield* new JobFailed({ detail: `answered ${status}`, retryable })
    })
  })
})

export const httpCall: Layer.Layer<never, never, JobHandlers | WorkloadIdentity> = Layer.effectDiscard(makeHandler)
