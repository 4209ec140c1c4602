/** A job's log as a stream without gap or double, until the job has ended; must keep no line. */
import { Effect, Option, Schedule, Stream } from "effect"
import type { JobLogLine } from "#shared/api/scheduler.ts"
import { JobLogStore } from "./JobLogStore.ts"
import { isTerminal, JobStore } from "./JobStore.ts"

/** Lines of one read. */
const chunk = 500

interface TailEvent {
  readonly event: string
  readonly id: string
  readonly data: unknown
}

/**
 * Every line after `after`, then an event `end` with the job's last state. A store that is away for a moment delays the
 * stream and does not end it.
 */
export const logTail = (
  jobId: string,
  after: number,
  levels: ReadonlyArray<JobLogLine["level"]>
): Stream.Stream<TailEvent, never, JobLogStore | JobStore> =>
  Stream.paginate(after, (cursor: number) =>
    Effect.gen(function* () {
      // Asked before the lines: one that has ended by now has written them all.
      const stored = yield* JobStore.use((store) => store.get(jobId))
      const lines = yield* JobLogStore.use((store) => store.read({ jobId, after: cursor, levels, limit: chunk }))
      const last = lines.at(-1)?.id ?? cursor
      const events = lines.map((line): TailEvent => ({ event: "line", id: String(line.id), data: line }))
      if (lines.length === chunk) return [events, Option.some(last)] as const
      if (stored === undefined || isTerminal(stored.job.state)) {
        const end = { event: "end", id: String(last), data: { state: stored?.job.state ?? null } }
        return [[...events, end], Option.none<number>()] as const
      }
      if (lines.length === 0) yield* Effect.sleep("1 second")
      return [events, Option.some(last)] as const
    }).pipe(Effect.retry({ schedule: Schedule.spaced("2 seconds") }), Effect.orDie)
  )
