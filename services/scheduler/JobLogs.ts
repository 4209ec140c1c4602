/** Log lines of running jobs on their way to the store: numbered, bounded for each run, written in batches within a second. */
import { Clock, Context, Effect, Layer, Metric, Semaphore } from "effect"
import type { JobLogLine } from "#shared/api/scheduler.ts"
import { redact } from "#shared/telemetry.ts"
import { JobLogStore, type NewLogLine } from "./JobLogStore.ts"

/** What one run may log; then a marker stands for all that follows. */
export const maxLines = 10_000
export const maxBytes = 10 * 1024 * 1024

/** Characters of one line. */
const maxMessage = 16 * 1024

/** Line numbers that one run may use: more than it may log. */
const numbersPerRun = 20_000

/** Lines that wait while the database is away; what comes then is counted and lost. */
const maxWaiting = 50_000

/** Lines of one insert. */
const maxBatch = 2000

const dropped = Metric.counter("gatehouse_scheduler_log_lines_dropped_total", {
  description: "Job log lines lost because the logging DB was away for too long.",
  incremental: true
})

interface Run {
  readonly jobId: string
  readonly fence: number
  readonly attempt: number
}

export class JobLogs extends Context.Service<
  JobLogs,
  {
    /** The log of one run. */
    readonly of: (run: Run) => (level: JobLogLine["level"], message: string) => Effect.Effect<void>
    /** Writes what waits; after it, everything logged before is kept, or the database is away. */
    readonly flush: Effect.Effect<void>
  }
>()("gatehouse/scheduler/JobLogs") {
  static readonly layer = Layer.effect(
    JobLogs,
    Effect.suspend(() => makeLogs)
  )
}

const makeLogs = Effect.gen(function* () {
  const store = yield* JobLogStore
  const one = yield* Semaphore.make(1)
  let waiting: Array<NewLogLine> = []

  // One at a time and in order: a reader that has seen a number has seen all before it.
  const flush = one.withPermit(
    Effect.gen(function* () {
      while (waiting.length > 0) {
        const batch = waiting.slice(0, maxBatch)
        yield* store.append(batch).pipe(
          // Lines the database will never take must not keep the others waiting.
          Effect.catchDefect((defect) => Effect.logError("log lines of jobs were refused", defect))
        )
        waiting = waiting.slice(batch.length)
      }
    }).pipe(Effect.uninterruptible, Effect.ignore)
  )
  yield* Effect.sleep("1 second").pipe(
    Effect.andThen(Effect.suspend(() => (waiting.length > 0 ? flush : Effect.void))),
    Effect.tapCause((cause) => Effect.logError("writing the jobs' logs failed", cause)),
    Effect.catchCause(() => Effect.void),
    Effect.forever,
    Effect.forkScoped
  )
  yield* Effect.addFinalizer(() => flush)

  return JobLogs.of({
    flush: Effect.suspend(() => (waiting.length > 0 ? flush : Effect.void)),
    of: ({ attempt, fence, jobId }) => {
      let lines = 0
      let bytes = 0
      let full = false
      return (level, message) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (full) return Effect.void
          const text = redact(message).replaceAll("\0", "\uFFFD").slice(0, maxMessage)
          bytes += Buffer.byteLength(text)
          full = lines >= maxLines || bytes > maxBytes
          const line = full ? `the log is cut here: a run may write ${maxLines} lines and ${maxBytes} bytes` : text
          lines += 1
          if (waiting.length >= maxWaiting) return Metric.update(dropped, 1)
          waiting.push({
            jobId,
            fence,
            attempt,
            id: fence * numbersPerRun + lines,
            level: full ? "warn" : level,
            at: new Date(now).toISOString(),
            message: line
          })
          return Effect.void
        })
    }
  })
})
