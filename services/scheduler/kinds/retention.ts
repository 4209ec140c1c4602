/** The job kind `retention`: forgets jobs that ended long ago, by state; must delete no more than a small bite in one statement. */
import { Effect, Layer, Schema } from "effect"
import type { Unavailable } from "#shared/domain/errors.ts"
import { done, JobFailed, JobHandlers } from "../JobHandler.ts"
import { terminalStates } from "../JobStore.ts"
import { bite, RetentionStore } from "../RetentionStore.ts"

export interface Ages {
  /** Days that succeeded jobs are kept. */
  readonly succeededDays: number
  /** Days of those that ended otherwise, and of schedules' slots. */
  readonly failedDays: number
}

/** An empty struct would take any object. */
const Empty = Schema.Record(Schema.String, Schema.Never)

const drained = Effect.fnUntraced(function* (some: Effect.Effect<number, Unavailable>) {
  let all = 0
  for (;;) {
    const count = yield* some
    all += count
    if (count < bite) return all
  }
})

const makeHandler = Effect.fnUntraced(function* ({ failedDays, succeededDays }: Ages) {
  const handlers = yield* JobHandlers
  const store = yield* RetentionStore
  yield* handlers.register({
    kind: "retention",
    version: 1,
    description: "Forget jobs that ended long ago",
    payload: Empty,
    run: Effect.fn("retention")(
      function* (_, { log }) {
        const deleted: Record<string, number> = {}
        for (const state of terminalStates) {
          const days = state === "succeeded" ? succeededDays : failedDays
          deleted[state] = yield* drained(store.forgetJobs(state, days))
        }
        deleted["slots"] = yield* drained(store.forgetSlots(failedDays))
        yield* log(
          "info",
          `deleted ${Object.entries(deleted)
            .map(([what, count]) => `${count} ${what}`)
            .join(", ")}`
        )
        return done(deleted)
      },
      Effect.catchTag("Unavailable", (error) => Effect.fail(new JobFailed({ detail: error.message, retryable: true })))
    )
  })
})

export const retention = (ages: Ages): Layer.Layer<never, never, JobHandlers | RetentionStore> =>
  Layer.effectDiscard(makeHandler(ages))
