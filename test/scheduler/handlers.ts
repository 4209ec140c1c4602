/** Kinds of job whose runs a test holds in its hands; must know no storage. */
import { Deferred, Effect, Layer, Schema } from "effect"
import { again, done, type JobContext, JobFailed, JobHandlers, type Outcome } from "#scheduler/JobHandler.ts"

/** One run of kind `test.held`, waiting for the test to end it. */
export interface HeldRun {
  readonly context: JobContext
  readonly payload: Readonly<Record<string, unknown>>
  readonly end: (outcome: Effect.Effect<Outcome, JobFailed>) => void
  readonly interrupted: () => boolean
}

/**
 * `test.held` waits for the test, `test.ok` gives back its payload, `test.fails` always fails, `test.final` fails for good,
 * `test.dies` has a defect, `test.again` snoozes once.
 */
export const testHandlers = () => {
  const runs: Array<HeldRun> = []
  const payload = Schema.Record(Schema.String, Schema.Unknown)
  const common = { version: 1, description: "for a test", payload }
  const snoozed = new Set<string>()
  const layer = Layer.effectDiscard(
    Effect.gen(function* () {
      const handlers = yield* JobHandlers
      yield* handlers.register({
        ...common,
        kind: "test.held",
        run: (given, context) =>
          Effect.gen(function* () {
            const deferred = yield* Deferred.make<Outcome, JobFailed>()
            let interrupted = false
            runs.push({
              context,
              payload: given,
              end: (outcome) => void Effect.runSync(Deferred.completeWith(deferred, outcome)),
              interrupted: () => interrupted
            })
            return yield* Deferred.await(deferred).pipe(
              Effect.onInterrupt(() => Effect.sync(() => (interrupted = true)))
            )
          })
      })
      yield* handlers.register({ ...common, kind: "test.ok", run: (given) => Effect.succeed(done(given)) })
      yield* handlers.register({
        ...common,
        kind: "test.fails",
        run: () => new JobFailed({ detail: "it never works", retryable: true, retryAfterSeconds: 0 })
      })
      yield* handlers.register({
        ...common,
        kind: "test.final",
        run: () => new JobFailed({ detail: "it cannot work", retryable: false })
      })
      yield* handlers.register({ ...common, kind: "test.dies", run: () => Effect.die(new Error("secret inside")) })
      yield* handlers.register({
        ...common,
        kind: "test.again",
        run: (_, { jobId }) =>
          Effect.sync(() => {
            if (snoozed.has(jobId)) return done({ runs: 2 })
            snoozed.add(jobId)
            return again(new Date(0), "waiting for the test")
          })
      })
      yield* handlers.register({
        ...common,
        kind: "test.logs",
        payload: Schema.Struct({ lines: Schema.Array(Schema.String) }),
        run: ({ lines }, { log }) =>
          Effect.as(
            Effect.forEach(lines, (line) => log("info", line), { discard: true }),
            done()
          )
      })
    })
  )
  return { layer, runs }
}
