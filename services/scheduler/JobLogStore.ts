/** The jobs' log lines in Postgres, a partition a day; must know no handler and no HTTP. */
import { Context, Effect, Layer } from "effect"
import type { JobLogLine } from "#shared/api/scheduler.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { jsonText } from "./jsonText.ts"

export interface NewLogLine {
  readonly jobId: string
  readonly fence: number
  /** Ascending within the job. */
  readonly id: number
  readonly attempt: number
  readonly level: JobLogLine["level"]
  /** RFC 3339. */
  readonly at: string
  readonly message: string
}

interface Query {
  readonly jobId: string
  /** Lines with a greater id only. */
  readonly after: number
  readonly levels: ReadonlyArray<JobLogLine["level"]>
  readonly limit: number
}

/** Days for which partitions stand ready. */
const daysAhead = 7

export class JobLogStore extends Context.Service<
  JobLogStore,
  {
    /** Keeps the lines of runs that are still their jobs' latest; a line that is there already stays as it is. */
    readonly append: (lines: ReadonlyArray<NewLogLine>) => Effect.Effect<void, Unavailable>
    /** Oldest first. */
    readonly read: (query: Query) => Effect.Effect<ReadonlyArray<JobLogLine>, Unavailable>
    /** Makes the partitions of the coming days and drops, whole, those that ended before `days` ago. */
    readonly rotate: (days: number) => Effect.Effect<void, Unavailable>
  }
>()("gatehouse/scheduler/JobLogStore") {
  static readonly layer = Layer.effect(
    JobLogStore,
    Effect.suspend(() => makeStore)
  )
}

interface LineRow extends Omit<JobLogLine, "at"> {
  readonly at: Date
}

const makeStore = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient

  return JobLogStore.of({
    append: Effect.fnUntraced(function* (lines) {
      const rows = lines.map(({ jobId, ...line }) => ({ ...line, job_id: jobId }))
      yield* database.run(sql`
        WITH input AS MATERIALIZED (
          SELECT * FROM jsonb_to_recordset(${jsonText(rows)}::text::jsonb) AS i(job_id uuid, fence bigint, id bigint,
            attempt int, level text, at timestamptz, message text)
        ), own AS MATERIALIZED (
          SELECT j.id, j.fence FROM jobs j WHERE j.id IN (SELECT job_id FROM input) FOR SHARE
        )
        INSERT INTO job_logs (job_id, id, attempt, level, at, message)
        SELECT i.job_id, i.id, i.attempt, i.level, i.at, i.message FROM input i
        JOIN own ON own.id = i.job_id AND own.fence = i.fence ON CONFLICT DO NOTHING`)
    }),
    read: Effect.fnUntraced(function* ({ after, jobId, levels, limit }) {
      const rows = yield* database.run(sql<LineRow>`
        SELECT id::float8 AS id, at, attempt, level, message FROM job_logs
        WHERE job_id = ${jobId} AND id > ${after}::float8::bigint AND level = ANY(${[...levels]}::text[])
        ORDER BY id LIMIT ${limit}::int`)
      return rows.map((row) => ({ ...row, at: row.at.toISOString() }))
    }),
    rotate: Effect.fn("JobLogStore.rotate")(function* (days) {
      const wanted = yield* database.run(sql<{ readonly name: string; readonly from: string; readonly to: string }>`
        SELECT 'job_logs_' || to_char(day, 'YYYYMMDD') AS name, to_char(day, 'YYYY-MM-DD') AS from,
          to_char(day + interval '1 day', 'YYYY-MM-DD') AS to
        FROM generate_series(0, ${daysAhead}::int) AS n, LATERAL (
          SELECT date_trunc('day', now() AT TIME ZONE 'UTC') + n * interval '1 day' AS day
        ) AS days WHERE to_regclass('job_logs_' || to_char(day, 'YYYYMMDD')) IS NULL`)
      for (const { from, name, to } of wanted) {
        yield* database
          .run(
            sql.unsafe(
              `CREATE TABLE IF NOT EXISTS ${name} PARTITION OF job_logs FOR VALUES FROM ('${from}Z') TO ('${to}Z')`
            )
          )
          .pipe(
            // Another replica was first, or the default partition has lines of that day: both serve as well.
            Effect.catchDefect((defect) => Effect.logDebug("no partition was made", defect))
          )
      }
      const old = yield* database.run(sql<{ readonly name: string }>`
        SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass('job_logs') AND c.relname ~ '^job_logs_[0-9]{8}$'
          AND c.relname < 'job_logs_' || to_char(now() AT TIME ZONE 'UTC' - ${days}::int * interval '1 day', 'YYYYMMDD')`)
      for (const { name } of old) yield* database.run(sql.unsafe(`DROP TABLE IF EXISTS ${name}`))
    })
  })
})
