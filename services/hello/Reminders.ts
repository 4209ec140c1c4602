/** Greetings of later: asks the scheduler, through the gateway and as this workload, for a job that calls back; must keep nothing itself. */
import { Context, DateTime, Effect, Layer, Redacted } from "effect"
import { Job } from "#shared/api/scheduler.ts"
import { fetchJson, type PeerFailed } from "#shared/client.ts"
import { Unavailable } from "#shared/domain/errors.ts"
import { WorkloadIdentity } from "#shared/workload.ts"
import type { Reminder } from "./wire.ts"

export class Reminders extends Context.Service<
  Reminders,
  {
    /** Has `text` written into the guest book at `at`, once however often it is asked with the same `key`. */
    readonly ask: (text: string, at: DateTime.Utc, key: string) => Effect.Effect<Reminder, Unavailable>
  }
>()("gatehouse/hello/Reminders") {
  static readonly layer = Layer.effect(
    Reminders,
    Effect.suspend(() => makeReminders)
  )
  /** For a process that has no identity at the gateway. */
  static readonly off = Layer.succeed(Reminders, { ask: () => Effect.fail(away) })
}

const away = new Unavailable({ dependency: "the scheduler", retryAfterSeconds: 5 })

const makeReminders = Effect.gen(function* () {
  const identity = yield* WorkloadIdentity
  const refused = (error: PeerFailed) =>
    Effect.logWarning("the scheduler took no job").pipe(
      Effect.annotateLogs({ reason: error.message }),
      Effect.andThen(away)
    )
  return Reminders.of({
    ask: Effect.fn("Reminders.ask")(
      function* (text, at, key) {
        const token = yield* identity.accessToken
        const job = {
          kind: "http.call",
          payload: { method: "POST", path: "/hello/greetings", body: { text } },
          runAt: DateTime.formatIso(at)
        }
        const { id, runAt } = yield* fetchJson(new URL("/jobs", identity.gatewayUrl), Job, {
          timeout: "10 seconds",
          init: {
            method: "POST",
            headers: {
              authorization: `Bearer ${Redacted.value(token)}`,
              "content-type": "application/json",
              "idempotency-key": key
            },
            body: JSON.stringify(job)
          }
        })
        return { jobId: id, runAt }
      },
      Effect.catchTag("PeerFailed", refused)
    )
  })
})
