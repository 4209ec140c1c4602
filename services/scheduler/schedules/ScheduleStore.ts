/** The schedules and their slots in Postgres; which slots run is decided by policy elsewhere. */
import { Context, Effect, Layer } from "effect"
import type { JobState, ScheduleInput } from "#shared/api/scheduler.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { jsonText } from "../jsonText.ts"
import type { Timing } from "./calendar.ts"

/** A schedule's own words, all of them given. */
export interface Plan extends Timing {
  readonly kind: string
  readonly payload: ScheduleInput["payload"]
  readonly overlap: "skip" | "queue" | "allow"
  readonly missed: "skip" | "once" | "all"
  readonly catchUpMax: number
  readonly jitterSeconds: number
  readonly enabled: boolean
}

export interface Schedule extends Plan {
  readonly name: string
  readonly builtIn: boolean
  readonly lastSlot: Date | null
  readonly nextSlot: Date | null
  readonly missedCount: number
  /** The job of the last slot that got one, as long as it is kept. */
  readonly lastJob: { readonly id: string; readonly state: JobState } | null
}

/** What a tick has found out about one schedule. */
export interface Advance {
  readonly name: string
  readonly lastSlot: Date | null
  readonly nextSlot: Date
  /** To be added. */
  readonly missed: number
  readonly lastJob: string | null
}

interface Row extends Omit<Schedule, "lastJob"> {
  readonly lastJob: string | null
  readonly lastState: JobState | null
}

export class ScheduleStore extends Context.Service<
  ScheduleStore,
  {
    /** The database's clock: slots are judged by no other. */
    readonly now: Effect.Effect<Date, Unavailable>
    readonly all: Effect.Effect<ReadonlyArray<Schedule>, Unavailable>
    /** `lock` keeps it as it is until the caller's transaction ends. */
    readonly get: (name: string, lock?: boolean) => Effect.Effect<Schedule | undefined, Unavailable>
    readonly put: (name: string, plan: Plan, nextSlot: Date | null) => Effect.Effect<void, Unavailable>
    /** A schedule that comes with the platform; one that is there stays as it is. */
    readonly putBuiltIn: (name: string, plan: Plan, nextSlot: Date | null) => Effect.Effect<void, Unavailable>
    readonly remove: (name: string) => Effect.Effect<void, Unavailable>
    /** Schedules with a slot that is due, locked until the transaction ends; those another replica has locked are its own. */
    readonly due: (limit: number) => Effect.Effect<ReadonlyArray<Schedule>, Unavailable>
    /** Seconds until the next slot of any, null without one. */
    readonly nextSeconds: Effect.Effect<number | null, Unavailable>
    /** Takes slots for ever; gives those that nobody had taken. */
    readonly take: (name: string, slots: ReadonlyArray<Date>) => Effect.Effect<ReadonlyArray<Date>, Unavailable>
    /** Notes the jobs of slots. */
    readonly note: (
      jobs: ReadonlyArray<{ readonly schedule: string; readonly slot: Date; readonly jobId: string }>
    ) => Effect.Effect<void, Unavailable>
    readonly advance: (advances: ReadonlyArray<Advance>) => Effect.Effect<void, Unavailable>
    readonly setLastJob: (name: string, jobId: string) => Effect.Effect<void, Unavailable>
  }
>()("gatehouse/scheduler/ScheduleStore") {
  static readonly layer = Layer.effect(
    ScheduleStore,
    Effect.suspend(() => makeStore)
  )
}

const columns = `s.name, s.cron, s.every_seconds AS "everySeconds", s.time_zone AS "timeZone", s.kind, s.payload, s.overlap,
  s.missed, s.catch_up_max AS "catchUpMax", s.dst_gap AS "dstGap", s.dst_fold AS "dstFold",
  s.jitter_seconds AS "jitterSeconds", s.enabled, s.built_in AS "builtIn", s.last_slot AS "lastSlot",
  s.next_slot AS "nextSlot", s.missed_count AS "missedCount", j.id AS "lastJob",
  CASE WHEN j.state = 'available' AND j.run_at > now() THEN 'scheduled' ELSE j.state END AS "lastState"`

const toSchedule = ({ lastJob, lastState, ...row }: Row): Schedule => ({
  ...row,
  lastJob: lastJob === null || lastState === null ? null : { id: lastJob, state: lastState }
})

const iso = (date: Date | null) => date?.toISOString() ?? null

const makeStore = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const chosen = sql.unsafe(columns)
  const from = sql.unsafe("schedules s LEFT JOIN jobs j ON j.id = s.last_job")

  const insert = (name: string, plan: Plan, nextSlot: Date | null, builtIn: boolean) => sql`
    INSERT INTO schedules (name, cron, every_seconds, time_zone, kind, payload, overlap, missed, catch_up_max, dst_gap,
      dst_fold, jitter_seconds, enabled, next_slot, built_in)
    VALUES (${name}, ${plan.cron}, ${plan.everySeconds}::int, ${plan.timeZone}, ${plan.kind},
      ${jsonText(plan.payload)}::text::jsonb, ${plan.overlap}, ${plan.missed}, ${plan.catchUpMax}::int, ${plan.dstGap},
      ${plan.dstFold}, ${plan.jitterSeconds}::int, ${plan.enabled}, ${iso(nextSlot)}::text::timestamptz, ${builtIn})`

  return ScheduleStore.of({
    now: Effect.map(database.run(sql<{ readonly now: Date }>`SELECT now() AS now`), (rows) => rows[0]!.now),
    all: Effect.map(database.run(sql<Row>`SELECT ${chosen} FROM ${from} ORDER BY s.name`), (rows) =>
      rows.map(toSchedule)
    ),
    get: Effect.fnUntraced(function* (name, lock = false) {
      const locking = sql.unsafe(lock ? "FOR UPDATE OF s" : "")
      const rows = yield* database.run(sql<Row>`SELECT ${chosen} FROM ${from} WHERE s.name = ${name} ${locking}`)
      return rows[0] === undefined ? undefined : toSchedule(rows[0])
    }),
    put: Effect.fnUntraced(function* (name, plan, nextSlot) {
      yield* database.run(sql`
        ${insert(name, plan, nextSlot, false)}
        ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, every_seconds = excluded.every_seconds,
          time_zone = excluded.time_zone, kind = excluded.kind, payload = excluded.payload, overlap = excluded.overlap,
          missed = excluded.missed, catch_up_max = excluded.catch_up_max, dst_gap = excluded.dst_gap,
          dst_fold = excluded.dst_fold, jitter_seconds = excluded.jitter_seconds, enabled = excluded.enabled,
          next_slot = excluded.next_slot`)
    }),
    putBuiltIn: Effect.fnUntraced(function* (name, plan, nextSlot) {
      yield* database.run(sql`${insert(name, plan, nextSlot, true)} ON CONFLICT DO NOTHING`)
    }),
    remove: (name) => Effect.asVoid(database.run(sql`DELETE FROM schedules WHERE name = ${name}`)),
    due: Effect.fnUntraced(function* (limit) {
      const rows = yield* database.run(sql<Row>`
        SELECT ${chosen} FROM ${from} WHERE s.enabled AND s.next_slot <= now()
        ORDER BY s.next_slot LIMIT ${limit}::int FOR UPDATE OF s SKIP LOCKED`)
      return rows.map(toSchedule)
    }),
    nextSeconds: Effect.map(
      database.run(sql<{ readonly seconds: number | null }>`
        SELECT extract(epoch FROM min(next_slot) - now())::float8 AS seconds FROM schedules WHERE enabled`),
      (rows) => rows[0]?.seconds ?? null
    ),
    take: Effect.fnUntraced(function* (name, slots) {
      const rows = yield* database.run(sql<{ readonly slot: Date }>`
        INSERT INTO schedule_slots (schedule, slot) SELECT ${name}, slot FROM unnest(${slots.map(iso)}::text[]::timestamptz[]) AS slot
        ON CONFLICT DO NOTHING RETURNING slot`)
      return rows.map(({ slot }) => slot).toSorted((one, other) => one.getTime() - other.getTime())
    }),
    note: Effect.fnUntraced(function* (jobs) {
      if (jobs.length === 0) return
      const rows = jobs.map(({ jobId, schedule, slot }) => ({ schedule, slot, job_id: jobId }))
      yield* database.run(sql`
        UPDATE schedule_slots s SET job_id = i.job_id
        FROM jsonb_to_recordset(${jsonText(rows)}::text::jsonb) AS i(schedule text, slot timestamptz, job_id uuid)
        WHERE s.schedule = i.schedule AND s.slot = i.slot`)
    }),
    advance: Effect.fnUntraced(function* (advances) {
      if (advances.length === 0) return
      const rows = advances.map(({ lastJob, lastSlot, missed, name, nextSlot }) => ({
        name,
        last_slot: lastSlot,
        next_slot: nextSlot,
        missed,
        last_job: lastJob
      }))
      yield* database.run(sql`
        UPDATE schedules s SET last_slot = coalesce(i.last_slot, s.last_slot), next_slot = i.next_slot,
          missed_count = s.missed_count + i.missed, last_job = coalesce(i.last_job, s.last_job)
        FROM jsonb_to_recordset(${jsonText(rows)}::text::jsonb) AS i(name text, last_slot timestamptz, next_slot timestamptz,
          missed int, last_job uuid) WHERE s.name = i.name`)
    }),
    setLastJob: (name, jobId) =>
      Effect.asVoid(database.run(sql`UPDATE schedules SET last_job = ${jobId} WHERE name = ${name}`))
  })
})
