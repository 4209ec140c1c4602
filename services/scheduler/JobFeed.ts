/** Turns hints about changed jobs into live events; reads the rows only while somebody follows. */
import { Cause, Context, Effect, Layer, Queue, Stream } from "effect"
import { JobSignals } from "./JobSignals.ts"
import { JobStore } from "./JobStore.ts"
import { SchedulerEvents } from "./SchedulerEvents.ts"

/** Jobs of one read. */
const atOnce = 200

export class JobFeed extends Context.Service<JobFeed, Record<never, never>>()("gatehouse/scheduler/JobFeed") {
  static readonly layer = Layer.effect(
    JobFeed,
    Effect.suspend(() => makeFeed)
  )
}

const makeFeed = Effect.gen(function* () {
  const events = yield* SchedulerEvents
  const signals = yield* JobSignals
  const store = yield* JobStore
  const changed = yield* Queue.sliding<string>(10_000)

  yield* signals.signals.pipe(
    Stream.runForEach(({ all, jobs }) =>
      Effect.gen(function* () {
        if (all) yield* events.skip
        if (jobs.length === 0) return
        if (events.followed()) yield* Queue.offerAll(changed, jobs)
        else yield* events.skip
      })
    ),
    Effect.forkScoped
  )
  yield* Effect.gen(function* () {
    const ids = yield* Queue.takeBetween(changed, 1, atOnce)
    const rows = yield* store.some([...new Set(ids)])
    for (const data of rows) yield* events.publish({ event: "job", data })
  }).pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.andThen(Effect.logDebug("changes are not shown", cause), events.skip)
    ),
    Effect.forever,
    Effect.forkScoped
  )
  return JobFeed.of({})
})
