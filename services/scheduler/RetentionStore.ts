/** Deletes what is older than it has to be kept, in small bites; must never touch what has not ended. */
import { Context, Effect, Layer } from "effect"
import type { Unavailable } from "#shared/domain/errors.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import type { terminalStates } from "./JobStore.ts"

/** Rows that one statement deletes. */
export const bite = 1000

export class RetentionStore extends Context.Service<
  RetentionStore,
  {
    /** Deletes up to `bite` jobs of a state that ended more than `days` ago, with their attempts; gives how many. */
    readonly forgetJobs: (state: (typeof terminalStates)[number], days: number) => Effect.Effect<number, Unavailable>
    /** The same of slots. */
    readonly forgetSlots: (days: number) => Effect.Effect<number, Unavailable>
  }
>()("gatehouse/scheduler/RetentionStore") {
  static readonly layer = Layer.effect(
    RetentionStore,
    Effect.suspend(() => makeStore)
  )
}

const makeStore = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient

  return RetentionStore.of({
    forgetJobs: Effect.fn("RetentionStore.forgetJobs")(function* (state, days) {
      const limits = yield* database.run(sql<{ readonly millis: number }>`
        SELECT (extract(epoch FROM now() - ${days}::int * interval '1 day') * 1000)::float8 AS millis`)
      // Ids grow with time: the oldest part of the primary key holds all that can have ended before.
      const before = uuidv7(Math.max(0, Math.floor(limits[0]!.millis)))
      const rows = yield* database.run(sql<{ readonly count: number }>`
        WITH old AS MATERIALIZED (
          SELECT id FROM jobs WHERE id < ${before} AND state = ${state}
            AND finished_at < now() - ${days}::int * interval '1 day' ORDER BY id LIMIT ${bite} FOR UPDATE SKIP LOCKED
        ), attempts AS (
          DELETE FROM job_attempts WHERE job_id IN (SELECT id FROM old)
        ), gone AS (
          DELETE FROM jobs WHERE id IN (SELECT id FROM old) RETURNING 1
        ) SELECT count(*)::int AS count FROM gone`)
      return rows[0]!.count
    }),
    forgetSlots: Effect.fn("RetentionStore.forgetSlots")(function* (days) {
      const rows = yield* database.run(sql<{ readonly count: number }>`
        WITH gone AS (
          DELETE FROM schedule_slots WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM schedule_slots WHERE slot < now() - ${days}::int * interval '1 day' LIMIT ${bite}
          )) RETURNING 1
        ) SELECT count(*)::int AS count FROM gone`)
      return rows[0]!.count
    })
  })
})
