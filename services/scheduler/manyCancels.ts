/** Cancelling all jobs that fit a filter, once somebody has said how many that are; must hit none that they were not told of. */
import { Effect, Schema } from "effect"
import type { CancelFilter, CancelledMany, Job } from "#shared/api/scheduler.ts"
import { Database } from "#shared/sql.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import { type Actor, Audit } from "./Audit.ts"
import { BadInput } from "./BadInput.ts"
import { JobHandlers } from "./JobHandler.ts"
import { JobSignals } from "./JobSignals.ts"
import { type CancelledJob, isTerminal, JobStore } from "./JobStore.ts"

/** Other jobs fit the filter than the caller was told of; nothing was changed. */
export class CountChanged extends Schema.TaggedError<CountChanged>()(
  "CountChanged",
  { count: Schema.Int },
  { httpApiStatus: 409 }
) {
  override get message() {
    return `${this.count} jobs fit the filter now`
  }
}

/** Jobs of one transaction: workers that want to write an end wait for no more. */
const atOnce = 500

/** Jobs that a preview shows. */
const shown = 20

/** Clean-ups of cancelled jobs at a time. */
const cleanUps = 4

export interface ManyCancels {
  /** How many jobs that have not ended fit, and the newest of them. 400 for a filter that names nothing, or an ended state. */
  readonly previewCancel: (
    filter: CancelFilter
  ) => Effect.Effect<{ readonly count: number; readonly sample: ReadonlyArray<Job> }, BadInput | Unavailable>
  /**
   * Cancels what waits and asks what runs to end, part by part: one that fails in between has cancelled a part, and its record
   * says what was asked for. 400 without `count`, 409 if it is not the present one.
   */
  readonly cancelMany: (
    filter: CancelFilter,
    reason: string,
    count: number | undefined,
    actor: Actor
  ) => Effect.Effect<CancelledMany, BadInput | CountChanged | Unavailable>
}

const refuse = (pointer: string, detail: string) => new BadInput({ errors: [{ pointer, detail }] })

const check = Effect.fnUntraced(function* (filter: CancelFilter) {
  if (Object.keys(filter).length === 0) {
    return yield* refuse("/filter", "names nothing: all jobs are not cancelled together")
  }
  if (filter.state !== undefined && isTerminal(filter.state)) {
    return yield* refuse("/filter/state", "jobs in this state have ended")
  }
})

export const makeManyCancels = Effect.gen(function* () {
  const audit = yield* Audit
  const database = yield* Database
  const handlers = yield* JobHandlers
  const signals = yield* JobSignals
  const store = yield* JobStore

  /** Ends what waiting jobs had begun elsewhere; running ones are their workers' to clean up after. */
  const cleanUp = (jobs: ReadonlyArray<CancelledJob>) =>
    Effect.forEach(
      jobs.filter(({ outcome }) => outcome === "cancelled"),
      ({ id, kind }) =>
        (handlers.find(kind)?.cancelled(id) ?? Effect.void).pipe(
          Effect.catchCause((cause) => Effect.logWarning("a cancelled job left something behind", cause)),
          Effect.annotateLogs({ job: id, kind })
        ),
      { concurrency: cleanUps, discard: true }
    ).pipe(Effect.forkDetach)

  const part = Effect.fnUntraced(function* (ids: ReadonlyArray<string>, filter: CancelFilter, reason: string) {
    const hit = yield* store.cancelMany(ids, filter.state, reason)
    const cancel = hit.some(({ outcome }) => outcome === "asked")
    if (hit.length > 0) yield* signals.tell({ cancel, jobs: hit.map(({ id }) => id) })
    return hit
  })

  const previewCancel: ManyCancels["previewCancel"] = Effect.fn("Jobs.previewCancel")(function* (filter) {
    yield* check(filter)
    const count = yield* store.countOpen(filter)
    const ids = yield* store.openIds(filter, shown)
    const jobs = new Map((yield* store.some(ids)).map((job) => [job.id, job]))
    return { count, sample: ids.flatMap((id) => jobs.get(id) ?? []) }
  })

  const cancelMany: ManyCancels["cancelMany"] = Effect.fn("Jobs.cancelMany")(function* (filter, reason, count, actor) {
    yield* check(filter)
    if (count === undefined) {
      const now = yield* store.countOpen(filter)
      return yield* refuse("/confirmCount", `missing; ${now} jobs fit the filter now`)
    }
    // Those that were counted, and no later ones that fit as well.
    const ids = yield* store.openIds(filter, count + 1)
    if (ids.length !== count) return yield* new CountChanged({ count: yield* store.countOpen(filter) })
    const done = { count, cancelled: 0, asked: 0 }
    for (let from = 0; from < count; from += atOnce) {
      const hit = yield* database.transaction(
        Effect.gen(function* () {
          // Recorded with the first part: nothing is cancelled that nobody answers for.
          if (from === 0) yield* audit.record(actor, "jobs.cancelled", "jobs", undefined, { filter, reason, count })
          return yield* part(ids.slice(from, from + atOnce), filter, reason)
        })
      )
      yield* cleanUp(hit)
      const cancelled = hit.filter(({ outcome }) => outcome === "cancelled").length
      done.cancelled += cancelled
      done.asked += hit.length - cancelled
    }
    return done
  })

  return { previewCancel, cancelMany } satisfies ManyCancels
})
