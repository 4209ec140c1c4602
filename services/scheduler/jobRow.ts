/** A row of the jobs table as SQL gives it and as the contract shows it; must run no query. */
import type { Attempt, Job, JobState } from "#shared/api/scheduler.ts"

/** What `jobColumns` selects. */
export interface JobRow extends Omit<Job, "runAt" | "createdAt" | "startedAt" | "finishedAt"> {
  readonly runAt: Date
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
}

/** Columns of table alias `j`; a job that waits for its time shows as `scheduled`. */
export const jobColumns = `j.id, j.kind,
  CASE WHEN j.state = 'available' AND j.run_at > now() THEN 'scheduled' ELSE j.state END AS state,
  j.priority::int AS priority, j.attempt, j.max_attempts AS "maxAttempts", j.run_at AS "runAt",
  j.created_at AS "createdAt", j.started_at AS "startedAt", j.finished_at AS "finishedAt", j.schedule,
  j.retry_of AS "retryOf", j.target, j.reason`

const iso = (date: Date | null) => date?.toISOString() ?? null

export const toJob = (row: JobRow): Job => ({
  id: row.id,
  kind: row.kind,
  state: row.state satisfies JobState,
  priority: row.priority,
  attempt: row.attempt,
  maxAttempts: row.maxAttempts,
  runAt: row.runAt.toISOString(),
  createdAt: row.createdAt.toISOString(),
  startedAt: iso(row.startedAt),
  finishedAt: iso(row.finishedAt),
  schedule: row.schedule,
  retryOf: row.retryOf,
  target: row.target,
  reason: row.reason
})

export interface AttemptRow extends Omit<Attempt, "startedAt" | "finishedAt"> {
  readonly startedAt: Date
  readonly finishedAt: Date | null
}

export const toAttempt = (row: AttemptRow): Attempt => ({
  attempt: row.attempt,
  state: row.state,
  worker: row.worker,
  startedAt: row.startedAt.toISOString(),
  finishedAt: iso(row.finishedAt),
  error: row.error
})
