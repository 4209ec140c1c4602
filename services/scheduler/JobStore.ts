/** The port to where jobs are kept: what the queue needs of an engine, proved by one contract suite; must name no engine. */
import { Context, type Effect, Schema } from "effect"
import type { Attempt, Job, JobSort, JobState } from "#shared/api/scheduler.ts"
import type { Page } from "#shared/api/paging.ts"
import type { MalformedRequest, Unavailable } from "#shared/domain/errors.ts"

/** The key was used for another body. */
export class IdempotencyConflict extends Schema.TaggedError<IdempotencyConflict>()(
  "IdempotencyConflict",
  {},
  { httpApiStatus: 409 }
) {
  override get message() {
    return "this Idempotency-Key was used for another request"
  }
}

export interface NewJob {
  readonly id: string
  readonly kind: string
  readonly version: number
  readonly payload: Readonly<Record<string, unknown>>
  /** RFC 3339; now by the store's clock if absent. */
  readonly runAt?: string | undefined
  readonly priority: number
  readonly maxAttempts: number
  readonly createdBy: string
  readonly uniqueKey?: string | undefined
  /** Not started before this job has ended. */
  readonly after?: string | undefined
  readonly schedule?: string | undefined
  readonly retryOf?: string | undefined
  /** What it is about. */
  readonly target?: string | undefined
  readonly idempotency?: { readonly key: string; readonly requestHash: string } | undefined
}

/** A job as it stands, and whether this call made it or found it by its unique or idempotency key. */
export interface Enqueued {
  readonly job: Job
  readonly created: boolean
}

/** A kind and the highest version of it that the caller can run; it also runs the version before. */
export interface Runnable {
  readonly kind: string
  readonly version: number
}

/** A job that the caller alone may work on until its lease ends. */
export interface Claimed {
  readonly id: string
  readonly kind: string
  readonly payload: Readonly<Record<string, unknown>>
  readonly attempt: number
  readonly maxAttempts: number
  readonly fence: number
  /** Seconds it has been due. */
  readonly dueFor: number
}

/** One start of one job. */
export interface Held {
  readonly id: string
  readonly fence: number
}

/** How a run ended. `released`: the worker stops and has not finished; that start does not count. */
export type End =
  | { readonly _tag: "Succeeded"; readonly result: Readonly<Record<string, unknown>> | null }
  | { readonly _tag: "Again"; readonly runAt: string; readonly note: string }
  | {
      readonly _tag: "Failed"
      readonly error: string
      readonly retryable: boolean
      readonly retryAfterSeconds?: number | undefined
    }
  | { readonly _tag: "Cancelled" }
  | { readonly _tag: "Released" }

export interface Ended extends Held {
  readonly end: End
}

/** Which jobs; what is absent does not matter. */
export interface JobFilter {
  readonly state?: JobState | undefined
  readonly kind?: string | undefined
  /** The part of the kind before its first dot. */
  readonly queue?: string | undefined
  readonly target?: string | undefined
  readonly schedule?: string | undefined
  /** RFC 3339, of the job's creation. */
  readonly since?: string | undefined
  readonly until?: string | undefined
}

export interface JobsAsked extends JobFilter {
  readonly limit: number
  /** Of the page before, for the same filter and sort. */
  readonly cursor?: string | undefined
  /** Part of the id, kind, schedule, reason or an attempt's error, in either case. */
  readonly q?: string | undefined
  readonly sort?: JobSort | undefined
}

/** The queue that a kind belongs to. */
export const queueOf = (kind: string): string => kind.split(".")[0]!

/** One of many that were cancelled; `outcome` as of a single cancel. */
export interface CancelledJob {
  readonly id: string
  readonly kind: string
  readonly outcome: "cancelled" | "asked"
}

export interface StoredJob {
  readonly job: Job
  readonly version: number
  readonly payload: Readonly<Record<string, unknown>>
  readonly result: Readonly<Record<string, unknown>> | null
  readonly attempts: ReadonlyArray<Attempt>
}

export interface QueueDepth {
  readonly due: number
  readonly oldestSeconds: number | null
}

/** What became of a wish to cancel. */
export type Cancelling = "cancelled" | "asked" | "ended" | "unknown"

/**
 * All times are the store's own clock. Every write about a run is made only where the job still runs under that fence:
 * a worker that was thought dead changes nothing.
 */
export class JobStore extends Context.Service<
  JobStore,
  {
    /** Joins the caller's transaction if there is one. */
    readonly enqueue: (job: NewJob) => Effect.Effect<Enqueued, IdempotencyConflict | Unavailable>
    /**
     * Takes up to `limit` due jobs, highest priority and longest due first; each start counts an attempt and raises the fence.
     * `nextSeconds` is when another will be due that is not yet, null if none waits.
     */
    readonly claim: (options: {
      readonly runnable: ReadonlyArray<Runnable>
      readonly limit: number
      readonly worker: string
      readonly leaseSeconds: number
    }) => Effect.Effect<{ readonly claimed: ReadonlyArray<Claimed>; readonly nextSeconds: number | null }, Unavailable>
    /** Prolongs leases; gives those still held, with the reason where somebody wants them cancelled. */
    readonly heartbeat: (
      held: ReadonlyArray<Held>,
      leaseSeconds: number
    ) => Effect.Effect<ReadonlyMap<string, { readonly cancel: string | null }>, Unavailable>
    /** Ends runs, all at once; gives the ids of those that were still the caller's. */
    readonly finish: (ended: ReadonlyArray<Ended>) => Effect.Effect<ReadonlySet<string>, Unavailable>
    /** Takes jobs from workers whose lease has ended: to be tried again, or `failed` after the last attempt. Gives their ids. */
    readonly recover: Effect.Effect<ReadonlyArray<string>, Unavailable>
    /** Lets jobs go that waited for one that has ended; gives how many. */
    readonly release: Effect.Effect<number, Unavailable>
    /** Cancels at once what does not run; a running job is asked to end. */
    readonly cancel: (id: string, reason: string) => Effect.Effect<Cancelling, Unavailable>
    readonly depth: (runnable: ReadonlyArray<Runnable>) => Effect.Effect<QueueDepth, Unavailable>
    /** Due jobs that nobody here can run, by `kind@version`. */
    readonly stranded: (
      runnable: ReadonlyArray<Runnable>
    ) => Effect.Effect<ReadonlyArray<{ readonly kind: string; readonly jobs: number }>, Unavailable>
    readonly get: (id: string) => Effect.Effect<StoredJob | undefined, Unavailable>
    readonly some: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Job>, Unavailable>
    /** Newest first unless asked otherwise; a cursor of another filter or sort is malformed. */
    readonly list: (asked: JobsAsked) => Effect.Effect<Page<Job>, MalformedRequest | Unavailable>
    /** How many jobs that have not ended fit. */
    readonly countOpen: (filter: JobFilter) => Effect.Effect<number, Unavailable>
    /** Their ids, newest first. */
    readonly openIds: (filter: JobFilter, limit: number) => Effect.Effect<ReadonlyArray<string>, Unavailable>
    /** `cancel` for many; gives those that had not ended and, if told, were still in this state. */
    readonly cancelMany: (
      ids: ReadonlyArray<string>,
      state: JobState | undefined,
      reason: string
    ) => Effect.Effect<ReadonlyArray<CancelledJob>, Unavailable>
  }
>()("gatehouse/scheduler/JobStore") {}

export const terminalStates = ["succeeded", "cancelled", "failed", "expired"] as const satisfies ReadonlyArray<JobState>

const terminal: ReadonlySet<string> = new Set(terminalStates)

/** Whether nothing will change about a job any more. */
export const isTerminal = (state: JobState): boolean => terminal.has(state)
