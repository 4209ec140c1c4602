/** The job store in Postgres: one statement per step, SKIP LOCKED claims, fenced writes; must decide nothing that a handler or a policy decides. */
import { Effect, Layer } from "effect"
import { Database, SqlClient, type SqlError } from "#shared/sql.ts"
import { jsonText } from "./jsonText.ts"
import { jobListing } from "./jobListing.ts"
import { type AttemptRow, jobColumns, type JobRow, toAttempt, toJob } from "./jobRow.ts"
import {
  type Claimed,
  type Ended,
  type Enqueued,
  IdempotencyConflict,
  JobStore,
  type NewJob,
  type QueueDepth,
  type Runnable
} from "./JobStore.ts"

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/u

/** Runs whose lease has ended that one statement takes back. */
const recoverChunk = 200

/**
 * Seconds until the next try: 2, 4, 8 … at most 15 minutes, a tenth more or less so that what failed together does not come
 * back together.
 */
const backoff = `least(900, power(2, least(j.attempt, 10))) * (0.9 + random() * 0.2) * interval '1 second'`

/** What an end makes of a running job: a wish to cancel beats all but success, and a failed run is tried again while attempts are left. */
const endings = `CASE
  WHEN i.tag = 'Succeeded' THEN 'succeeded'
  WHEN i.tag = 'Cancelled' OR j.cancel_reason IS NOT NULL THEN 'cancelled'
  WHEN i.tag IN ('Again', 'Released') THEN 'available'
  WHEN i.retryable AND j.attempt < j.max_attempts THEN 'retryable'
  ELSE 'failed' END`

/** As `kind@version`, each with the version before. */
const keysOf = (runnable: ReadonlyArray<Runnable>) =>
  runnable.flatMap(({ kind, version }) => [`${kind}@${version}`, `${kind}@${version - 1}`])

interface StoredRow extends JobRow {
  readonly version: number
  readonly payload: Readonly<Record<string, unknown>>
  readonly result: Readonly<Record<string, unknown>> | null
  readonly worker: string | null
  readonly attemptAt: Date | null
  readonly running: boolean
}

const wire = ({ end, fence, id }: Ended) => ({
  id,
  fence,
  tag: end._tag,
  result: end._tag === "Succeeded" ? end.result : null,
  run_at: end._tag === "Again" ? end.runAt : null,
  note: end._tag === "Again" ? end.note : end._tag === "Failed" ? end.error : "",
  retryable: end._tag === "Failed" && end.retryable,
  retry_after: end._tag === "Failed" ? (end.retryAfterSeconds ?? null) : null
})

const makeStore = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const { countOpen, list, ofState, openIds } = yield* jobListing
  const columns = sql.unsafe(jobColumns)
  const backoffSql = sql.unsafe(backoff)
  const endingsSql = sql.unsafe(endings)

  const insert = (job: NewJob) => sql<JobRow>`
    INSERT INTO jobs AS j (id, kind, version, payload, state, priority, run_at, max_attempts, unique_key, after_job, schedule,
      retry_of, target, created_by, idempotency_key, request_hash)
    VALUES (${job.id}, ${job.kind}, ${job.version}, ${jsonText(job.payload)}::text::jsonb, 'available', ${job.priority},
      coalesce(${job.runAt ?? null}::text::timestamptz, now()), ${job.maxAttempts}, ${job.uniqueKey ?? null},
      ${job.after ?? null}::text::uuid, ${job.schedule ?? null}, ${job.retryOf ?? null}::text::uuid, ${job.target ?? null}, ${job.createdBy},
      ${job.idempotency?.key ?? null}, ${job.idempotency?.requestHash ?? null})
    ON CONFLICT DO NOTHING RETURNING ${columns}`

  const existing = (job: NewJob) => sql<JobRow & { readonly key: string | null; readonly hash: string | null }>`
    SELECT ${columns}, j.idempotency_key AS key, j.request_hash AS hash FROM jobs j
    WHERE j.idempotency_key = ${job.idempotency?.key ?? null}
      OR (j.unique_key = ${job.uniqueKey ?? null} AND j.state IN ('available', 'retryable', 'running'))`

  const enqueue = Effect.fn("JobStore.enqueue")(function* (job: NewJob) {
    return yield* database.run(
      Effect.gen(function* (): Effect.fn.Return<Enqueued, IdempotencyConflict | SqlError.SqlError> {
        for (;;) {
          const made = (yield* insert(job))[0]
          if (made !== undefined) return { job: toJob(made), created: true }
          const found = yield* existing(job)
          const repeated = found.find(({ key }) => key !== null && key === job.idempotency?.key)
          if (repeated !== undefined && repeated.hash !== job.idempotency?.requestHash) {
            return yield* new IdempotencyConflict()
          }
          const row = repeated ?? found[0]
          // None: the job that held the unique key has ended in between.
          if (row !== undefined) return { job: toJob(row), created: false }
        }
      })
    )
  })

  const claim: JobStore["Service"]["claim"] = Effect.fnUntraced(function* (options) {
    const { leaseSeconds, limit, runnable, worker } = options
    const rows = yield* database.run(sql<
      { [K in keyof Claimed]: Claimed[K] | null } & { readonly next: number | null }
    >`
      WITH due AS MATERIALIZED (
        SELECT id FROM jobs
        WHERE state IN ('available', 'retryable') AND after_job IS NULL AND run_at <= now()
          AND kind || '@' || version = ANY(${keysOf(runnable)}::text[])
        ORDER BY priority DESC, run_at, id LIMIT ${limit}::int FOR UPDATE SKIP LOCKED
      ), claimed AS (
        UPDATE jobs j SET state = 'running', attempt = j.attempt + 1, fence = j.fence + 1, attempt_at = now(),
          started_at = coalesce(j.started_at, now()), lease_owner = ${worker},
          lease_until = now() + ${leaseSeconds}::float8 * interval '1 second', cancel_reason = NULL
        FROM due WHERE j.id = due.id
        RETURNING j.id, j.kind, j.payload, j.attempt, j.max_attempts AS "maxAttempts", j.fence::float8 AS fence,
          extract(epoch FROM now() - j.run_at)::float8 AS "dueFor", j.priority, j.run_at
      ), future AS (
        SELECT extract(epoch FROM run_at - now())::float8 AS next FROM jobs
        WHERE state IN ('available', 'retryable') AND after_job IS NULL AND run_at > now() ORDER BY run_at LIMIT 1
      )
      SELECT c.id, c.kind, c.payload, c.attempt, c."maxAttempts", c.fence, c."dueFor", (SELECT next FROM future) AS next
      FROM (VALUES (1)) AS one LEFT JOIN claimed c ON true ORDER BY c.priority DESC, c.run_at, c.id`)
    const claimed = rows.filter((row): row is Claimed & { readonly next: number | null } => row.id !== null)
    return { claimed, nextSeconds: rows[0]?.next ?? null }
  })

  const heartbeat: JobStore["Service"]["heartbeat"] = Effect.fnUntraced(function* (held, leaseSeconds) {
    const rows = yield* database.run(sql<{ readonly id: string; readonly cancel: string | null }>`
      UPDATE jobs j SET lease_until = now() + ${leaseSeconds}::float8 * interval '1 second'
      FROM jsonb_to_recordset(${jsonText(held)}::text::jsonb) AS i(id uuid, fence bigint)
      WHERE j.id = i.id AND j.fence = i.fence AND j.state = 'running'
      RETURNING j.id, j.cancel_reason AS cancel`)
    return new Map(rows.map(({ cancel, id }) => [id, { cancel }]))
  })

  /** Lets go what waited for a job of a schedule; a job that waits for nothing that runs is found by the sweep. */
  const releaseQueries = sql<{ readonly id: string }>`
    UPDATE jobs j SET after_job = NULL
    WHERE j.after_job IS NOT NULL AND NOT EXISTS (
      SELECT FROM jobs p WHERE p.id = j.after_job AND p.state IN ('available', 'retryable', 'running')
    ) RETURNING j.id`

  const finish: JobStore["Service"]["finish"] = Effect.fnUntraced(function* (ended) {
    const rows = yield* database.run(sql<{ readonly id: string; readonly schedule: string | null }>`
      WITH judged AS MATERIALIZED (
        SELECT j.id, i.tag, i.result, i.run_at, i.note, i.retryable, i.retry_after, ${endingsSql} AS next
        FROM jobs j JOIN jsonb_to_recordset(${jsonText(ended.map(wire))}::text::jsonb) AS i(id uuid, fence bigint,
          tag text, result jsonb, run_at timestamptz, note text, retryable boolean, retry_after float8)
          ON j.id = i.id AND j.fence = i.fence
        WHERE j.state = 'running' ORDER BY j.id FOR UPDATE OF j
      ), ended AS (
        UPDATE jobs j SET state = d.next, lease_until = NULL, result = d.result,
          attempt = j.attempt - (d.next = 'available')::int,
          run_at = CASE
            WHEN d.next = 'retryable' THEN now() + coalesce(d.retry_after * interval '1 second', ${backoffSql})
            WHEN d.next = 'available' THEN coalesce(d.run_at, j.run_at) ELSE j.run_at END,
          reason = CASE
            WHEN d.next = 'cancelled' THEN coalesce(j.cancel_reason, 'cancelled')
            WHEN d.next = 'failed' AND d.retryable THEN 'max_attempts' ELSE d.note END,
          finished_at = CASE WHEN d.next IN ('available', 'retryable') THEN NULL ELSE now() END
        FROM judged d WHERE j.id = d.id
        RETURNING j.id, j.fence, j.attempt_at, j.lease_owner, j.schedule, d.next, d.tag, d.note,
          j.attempt + (d.next = 'available')::int AS attempt
      ), kept AS (
        INSERT INTO job_attempts (job_id, fence, attempt, state, worker, started_at, finished_at, error)
        SELECT id, fence, attempt,
          CASE next WHEN 'succeeded' THEN 'succeeded' WHEN 'cancelled' THEN 'cancelled' WHEN 'available' THEN 'released'
            ELSE 'failed' END,
          lease_owner, attempt_at, now(), CASE tag WHEN 'Failed' THEN note ELSE '' END
        FROM ended WHERE NOT (tag = 'Again' AND next = 'available')
      )
      SELECT id, schedule FROM ended`)
    if (rows.some(({ schedule }) => schedule !== null)) yield* database.run(releaseQueries)
    return new Set(rows.map(({ id }) => id))
  })

  const recover = Effect.gen(function* () {
    const rows = yield* database.run(sql<{ readonly id: string }>`
      WITH lost AS MATERIALIZED (
        SELECT id FROM jobs WHERE state = 'running' AND lease_until < now()
        ORDER BY lease_until LIMIT ${recoverChunk} FOR UPDATE SKIP LOCKED
      ), closed AS (
        UPDATE jobs j SET lease_until = NULL, run_at = now() + ${backoffSql},
          state = CASE WHEN j.cancel_reason IS NOT NULL THEN 'cancelled' WHEN j.attempt < j.max_attempts THEN 'retryable'
            ELSE 'failed' END,
          reason = CASE WHEN j.cancel_reason IS NOT NULL THEN j.cancel_reason
            WHEN j.attempt < j.max_attempts THEN 'the worker stopped answering' ELSE 'max_attempts' END,
          finished_at = CASE WHEN j.cancel_reason IS NULL AND j.attempt < j.max_attempts THEN NULL ELSE now() END
        FROM lost WHERE j.id = lost.id
        RETURNING j.id, j.fence, j.attempt, j.attempt_at, j.lease_owner
      ), kept AS (
        INSERT INTO job_attempts (job_id, fence, attempt, state, worker, started_at, finished_at, error)
        SELECT id, fence, attempt, 'crashed', lease_owner, attempt_at, now(), 'the worker stopped answering' FROM closed
      )
      SELECT id FROM closed`)
    return rows.map(({ id }) => id)
  }).pipe(Effect.withSpan("JobStore.recover"))

  const cancel: JobStore["Service"]["cancel"] = Effect.fn("JobStore.cancel")(function* (id, reason) {
    if (!uuid.test(id)) return "unknown"
    const rows = yield* database.run(sql<{ readonly state: string }>`
      UPDATE jobs j SET cancel_reason = ${reason},
        state = CASE j.state WHEN 'running' THEN 'running' ELSE 'cancelled' END,
        reason = CASE j.state WHEN 'running' THEN j.reason ELSE ${reason} END,
        finished_at = CASE j.state WHEN 'running' THEN NULL ELSE now() END
      WHERE j.id = ${id} AND j.state IN ('available', 'retryable', 'running') RETURNING j.state`)
    if (rows[0] !== undefined) return rows[0].state === "running" ? "asked" : "cancelled"
    const known = yield* database.run(sql`SELECT FROM jobs WHERE id = ${id}`)
    return known.length > 0 ? "ended" : "unknown"
  })

  const cancelMany: JobStore["Service"]["cancelMany"] = Effect.fn("JobStore.cancelMany")(
    function* (ids, state, reason) {
      const still = state === undefined ? [] : [ofState(state)]
      const rows = yield* database.run(sql<{ readonly id: string; readonly kind: string; readonly state: string }>`
      WITH open AS MATERIALIZED (
        SELECT j.id FROM jobs j
        WHERE ${sql.and([sql`j.id = ANY(${[...ids]}::uuid[])`, sql`j.state IN ('available', 'retryable', 'running')`, ...still])}
        ORDER BY j.id FOR UPDATE
      )
      UPDATE jobs j SET cancel_reason = ${reason},
        state = CASE j.state WHEN 'running' THEN 'running' ELSE 'cancelled' END,
        reason = CASE j.state WHEN 'running' THEN j.reason ELSE ${reason} END,
        finished_at = CASE j.state WHEN 'running' THEN NULL ELSE now() END
      FROM open WHERE j.id = open.id RETURNING j.id, j.kind, j.state`)
      return rows.map((row) => ({
        id: row.id,
        kind: row.kind,
        outcome: row.state === "running" ? "asked" : "cancelled"
      }))
    }
  )

  const depth: JobStore["Service"]["depth"] = Effect.fnUntraced(function* (runnable) {
    const rows = yield* database.run(sql<QueueDepth>`
      SELECT count(*)::int AS due, extract(epoch FROM now() - min(run_at))::float8 AS "oldestSeconds" FROM jobs
      WHERE state IN ('available', 'retryable') AND after_job IS NULL AND run_at <= now()
        AND kind || '@' || version = ANY(${keysOf(runnable)}::text[])`)
    return rows[0] ?? { due: 0, oldestSeconds: null }
  })

  const stranded: JobStore["Service"]["stranded"] = Effect.fnUntraced(function* (runnable) {
    return yield* database.run(sql<{ readonly kind: string; readonly jobs: number }>`
      SELECT kind || '@' || version AS kind, count(*)::int AS jobs FROM jobs
      WHERE state IN ('available', 'retryable') AND after_job IS NULL AND run_at <= now()
        AND kind || '@' || version <> ALL(${keysOf(runnable)}::text[]) GROUP BY 1 ORDER BY 2 DESC LIMIT 20`)
  })

  const get: JobStore["Service"]["get"] = Effect.fn("JobStore.get")(function* (id) {
    if (!uuid.test(id)) return undefined
    return yield* database.run(
      Effect.gen(function* () {
        const rows = yield* sql<StoredRow>`
          SELECT ${columns}, j.version, j.payload, j.result, j.lease_owner AS worker, j.attempt_at AS "attemptAt",
            j.state = 'running' AS running FROM jobs j WHERE j.id = ${id}`
        const row = rows[0]
        if (row === undefined) return undefined
        const ended = yield* sql<AttemptRow>`
          SELECT attempt, state, worker, started_at AS "startedAt", finished_at AS "finishedAt", error
          FROM job_attempts WHERE job_id = ${id} ORDER BY fence LIMIT 1000`
        const current =
          row.running && row.worker !== null && row.attemptAt !== null
            ? [{ state: "running" as const, worker: row.worker, startedAt: row.attemptAt, finishedAt: null, error: "" }]
            : []
        return {
          job: toJob(row),
          version: row.version,
          payload: row.payload,
          result: row.result,
          attempts: [...ended, ...current.map((one) => ({ attempt: row.attempt, ...one }))].map(toAttempt)
        }
      })
    )
  })

  const some: JobStore["Service"]["some"] = Effect.fnUntraced(function* (ids) {
    const rows = yield* database.run(sql<JobRow>`SELECT ${columns} FROM jobs j WHERE j.id = ANY(${[...ids]}::uuid[])`)
    return rows.map(toJob)
  })

  return JobStore.of({
    enqueue,
    claim,
    heartbeat,
    finish,
    recover,
    release: Effect.map(database.run(releaseQueries), (rows) => rows.length),
    cancel,
    depth,
    stranded,
    get,
    some,
    list,
    countOpen,
    openIds,
    cancelMany
  })
})

export const postgresJobStore = Layer.effect(
  JobStore,
  Effect.suspend(() => makeStore)
)
