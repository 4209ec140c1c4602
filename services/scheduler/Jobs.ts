/** The jobs as people and other code ask for them: checked on the way in, told on the way on; must run none. */
import { Clock, Context, Effect, Layer } from "effect"
import type { Job } from "#shared/api/scheduler.ts"
import { Conflict, InvalidInput, NotFound, type Unavailable } from "#shared/domain/errors.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import { Database } from "#shared/sql.ts"
import { type Actor, Audit } from "./Audit.ts"
import { JobHandlers } from "./JobHandler.ts"
import { JobSignals } from "./JobSignals.ts"
import { type Enqueued, type IdempotencyConflict, isTerminal, JobStore, type NewJob } from "./JobStore.ts"
import { makeManyCancels, type ManyCancels } from "./manyCancels.ts"

/** Starts a job gets unless its maker says otherwise. */
export const defaultMaxAttempts = 5

export interface JobRequest extends Pick<
  NewJob,
  "kind" | "payload" | "runAt" | "uniqueKey" | "after" | "schedule" | "retryOf" | "idempotency"
> {
  readonly priority?: number | undefined
  readonly maxAttempts?: number | undefined
  /** User id, or the name of the part of the platform that asks. */
  readonly by: string
}

export class Jobs extends Context.Service<
  Jobs,
  {
    /**
     * Keeps a job. Within a transaction of the scheduler's database it is part of it. 422 for an unknown kind or a payload
     * that does not fit; a job found by its unique or idempotency key is given with `created: false`.
     */
    readonly enqueue: (request: JobRequest) => Effect.Effect<Enqueued, InvalidInput | IdempotencyConflict | Unavailable>
    /** Cancels what waits, asks what runs to end; 409 if it has ended. */
    readonly cancel: (id: string, reason: string, actor: Actor) => Effect.Effect<Job, NotFound | Conflict | Unavailable>
    /** A new job like an ended one; 409 if it has not ended. */
    readonly retry: (
      id: string,
      actor: Actor
    ) => Effect.Effect<Job, NotFound | Conflict | InvalidInput | IdempotencyConflict | Unavailable>
  } & ManyCancels
>()("gatehouse/scheduler/Jobs") {
  static readonly layer = Layer.effect(
    Jobs,
    Effect.suspend(() => makeJobs)
  )
}

const makeJobs = Effect.gen(function* () {
  const audit = yield* Audit
  const database = yield* Database
  const handlers = yield* JobHandlers
  const signals = yield* JobSignals
  const store = yield* JobStore

  const found = Effect.fnUntraced(function* (id: string) {
    const stored = yield* store.get(id)
    return stored ?? (yield* new NotFound({ resource: "job" }))
  })

  const enqueue = Effect.fn("Jobs.enqueue")(function* (request: JobRequest) {
    const handler = handlers.find(request.kind)
    if (handler === undefined) {
      return yield* new InvalidInput({
        errors: [{ pointer: "/kind", detail: "not a known kind; see GET /jobs/kinds" }]
      })
    }
    yield* handler.check(request.payload, "/payload")
    const { by, maxAttempts = defaultMaxAttempts, priority = 0, ...rest } = request
    const id = uuidv7(yield* Clock.currentTimeMillis)
    const made = yield* store.enqueue({
      ...rest,
      id,
      version: handler.version,
      priority,
      maxAttempts,
      target: handler.target(request.payload),
      createdBy: by
    })
    if (made.created) yield* signals.tell({ due: true, jobs: [made.job.id] })
    return made
  })

  return Jobs.of({
    ...(yield* makeManyCancels),
    enqueue,
    cancel: Effect.fn("Jobs.cancel")(function* (id, reason, actor) {
      return yield* database
        .transaction(
          Effect.gen(function* () {
            const before = yield* store.get(id)
            const outcome = yield* store.cancel(id, reason)
            if (outcome === "unknown") return yield* new NotFound({ resource: "job" })
            if (outcome === "ended") return yield* new Conflict({ detail: "the job has ended" })
            yield* audit.record(actor, "job.cancelled", id, { state: before?.job.state }, { reason })
            yield* signals.tell({ cancel: outcome === "asked", jobs: [id] })
            // A running one is its worker's to clean up after.
            return { job: (yield* found(id)).job, waited: outcome === "cancelled" }
          })
        )
        .pipe(
          Effect.tap(({ job, waited }) =>
            (waited ? (handlers.find(job.kind)?.cancelled(id) ?? Effect.void) : Effect.void).pipe(
              Effect.catchCause((cause) => Effect.logWarning("a cancelled job left something behind", cause)),
              Effect.annotateLogs({ job: id, kind: job.kind }),
              Effect.forkDetach
            )
          ),
          Effect.map(({ job }) => job)
        )
    }),
    retry: Effect.fn("Jobs.retry")(function* (id, actor) {
      return yield* database.transaction(
        Effect.gen(function* () {
          const { job, payload } = yield* found(id)
          if (!isTerminal(job.state)) return yield* new Conflict({ detail: "the job has not ended" })
          const { kind, maxAttempts, priority } = job
          const made = yield* enqueue({ kind, payload, maxAttempts, priority, by: actor.userId, retryOf: id })
          yield* audit.record(actor, "job.retried", id, undefined, { job: made.job.id })
          return made.job
        })
      )
    })
  })
})
