/** Schedules over HTTP and with several tickers on one database: each slot at most once, the policies as declared. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import type { ScheduleInput, ScheduleView } from "#shared/api/scheduler.ts"
import { Database } from "#shared/sql.ts"
import { Audit } from "#scheduler/Audit.ts"
import { JobHandlers } from "#scheduler/JobHandler.ts"
import { JobSignals } from "#scheduler/JobSignals.ts"
import { Jobs } from "#scheduler/Jobs.ts"
import { migrations } from "#scheduler/migrations/index.ts"
import { postgresJobStore } from "#scheduler/PostgresJobStore.ts"
import { ScheduleStore } from "#scheduler/schedules/ScheduleStore.ts"
import { Schedules } from "#scheduler/schedules/Schedules.ts"
import { Ticker } from "#scheduler/schedules/Ticker.ts"
import { testHandlers } from "#test/scheduler/handlers.ts"
import { type FreshDatabase, freshDatabase, migrated } from "#test/shared/postgres.ts"

/** A scheduler without workers: jobs stay as they were made. Its own round is an hour away: the test ticks. */
const tickerOf = (url: string) =>
  ManagedRuntime.make(
    Layer.mergeAll(Ticker.layer({ sweepSeconds: 3600, builtIn: {} }), testHandlers().layer).pipe(
      Layer.provideMerge(Schedules.layer),
      Layer.provideMerge(Layer.mergeAll(Jobs.layer, ScheduleStore.layer)),
      Layer.provideMerge(Layer.mergeAll(JobSignals.layer, postgresJobStore, Audit.layer)),
      Layer.provideMerge(JobHandlers.layer),
      Layer.provideMerge(
        Database.layer({
          name: "logging DB",
          url: Redacted.make(url),
          applicationName: "test",
          migrations,
          maxConnections: 4
        })
      )
    )
  )

let database: FreshDatabase
let one: ReturnType<typeof tickerOf>
let other: ReturnType<typeof tickerOf>
beforeAll(async () => {
  database = await freshDatabase("logging", "scheduler")
  one = tickerOf(database.url)
  await one.runPromise(migrated)
  other = tickerOf(database.url)
  await other.runPromise(migrated)
}, 60_000)
afterAll(async () => {
  await Promise.all([one.dispose(), other.dispose()])
  await database.drop()
}, 60_000)

const actor = { userId: "user", requestId: "request" }
const minutely: ScheduleInput = { cron: "* * * * *", kind: "test.ok", payload: {} }
const put = (name: string, input: ScheduleInput) =>
  one.runPromise(Schedules.use((schedules) => schedules.put(name, input, actor)))
const view = (name: string): Promise<ScheduleView> => one.runPromise(Schedules.use((schedules) => schedules.get(name)))
const tick = (runtime = one) => runtime.runPromise(Ticker.use((ticker) => ticker.tick))
const sql = (text: string) => database.query(text)
const jobsOf = async (name: string) =>
  (await sql(`SELECT count(*)::int AS n FROM jobs.jobs WHERE schedule = '${name}'`))[0]!["n"]

describe("two schedulers on one database", () => {
  test("row 24: share 1 000 slots without a double and without a loss", async () => {
    const names = Array.from({ length: 50 }, (_, index) => `shared-${index}`)
    for (const name of names) {
      await put(name, {
        everySeconds: 10,
        kind: "test.ok",
        payload: {},
        overlap: "allow",
        missed: "all",
        catchUpMax: 1000
      })
    }
    await sql(
      `UPDATE jobs.schedules SET next_slot = to_timestamp(floor(extract(epoch FROM now()) / 10) * 10 - 190) WHERE name LIKE 'shared-%'`
    )
    await Promise.all([tick(one), tick(other), tick(one), tick(other)])
    const slots = await sql(`
      SELECT count(*)::int AS slots, count(DISTINCT (schedule, slot))::int AS different, count(job_id)::int AS jobs,
        (SELECT count(*)::int FROM jobs.jobs WHERE schedule LIKE 'shared-%') AS made
      FROM jobs.schedule_slots WHERE schedule LIKE 'shared-%'`)
    const { different, jobs, made, slots: all } = slots[0]!
    expect(Number(all)).toBeGreaterThanOrEqual(1000)
    expect([different, jobs, made]).toEqual([all, all, all])
  })

  test("row 20: give a slot one job, however often both look at it", async () => {
    await put("once", { everySeconds: 10, kind: "test.ok", payload: {}, overlap: "allow" })
    await sql(
      `UPDATE jobs.schedules SET next_slot = to_timestamp(floor(extract(epoch FROM now()) / 10) * 10) WHERE name = 'once'`
    )
    for (let round = 0; round < 3; round++) {
      await Promise.all([tick(one), tick(other)])
      await sql(`UPDATE jobs.schedules s SET next_slot = last_slot WHERE name = 'once'`)
    }
    const doubles = await sql(
      `SELECT slot FROM jobs.schedule_slots WHERE schedule = 'once' GROUP BY slot HAVING count(*) > 1`
    )
    expect(doubles).toEqual([])
    expect(await jobsOf("once")).toBe((await sql(`SELECT FROM jobs.schedule_slots WHERE schedule = 'once'`)).length)
  })
})

describe("slots that nobody was there for", () => {
  const down = async (name: string, ago: string, fields: Partial<ScheduleInput>) => {
    await put(name, { ...minutely, overlap: "allow", ...fields })
    // The newest slot lies more than the tolerated lateness back.
    await sql(`UPDATE jobs.schedules SET cron = NULL, every_seconds = 3600,
      next_slot = to_timestamp(floor(extract(epoch FROM now()) / 3600) * 3600) - interval '${ago}' WHERE name = '${name}'`)
    const recent = await sql(`SELECT extract(epoch FROM now())::int % 3600 <= 30 AS recent`)
    await tick()
    return { jobs: Number(await jobsOf(name)) - (recent[0]!["recent"] === true ? 1 : 0), view: await view(name) }
  }
  test("row 19: `skip` makes up for none", async () => {
    const { jobs, view } = await down("skip", "101 hours", { missed: "skip" })
    expect([jobs, view.missedCount >= 101]).toEqual([0, true])
  })
  test("row 19: `once` makes up for the last", async () => {
    expect((await down("last", "101 hours", { missed: "once" })).jobs).toBeLessThanOrEqual(1)
    expect((await view("last")).lastJob).not.toBeNull()
  })
  test("row 19: `all` makes up for no more than it may, and is never stuck", async () => {
    const { jobs, view } = await down("all", "3000 hours", { missed: "all", catchUpMax: 7 })
    expect(jobs).toBe(7)
    expect(view.missedCount).toBeGreaterThan(2900)
    expect(Date.parse(view.nextSlot!)).toBeGreaterThan(Date.now())
  })
})

describe("overlap", () => {
  const twice = async (name: string, overlap: "skip" | "queue" | "allow") => {
    await put(name, { everySeconds: 3600, kind: "test.held", payload: {}, overlap, missed: "all" })
    await sql(
      `UPDATE jobs.schedules SET next_slot = to_timestamp(floor(extract(epoch FROM now()) / 3600) * 3600 - 7200) WHERE name = '${name}'`
    )
    await tick()
    // Ids of one millisecond are in no order.
    return sql(`SELECT j.after_job IS NOT NULL AS waits FROM jobs.jobs j JOIN jobs.schedule_slots s ON s.job_id = j.id
      WHERE s.schedule = '${name}' ORDER BY s.slot`)
  }
  test("row 22: `skip` leaves slots out while the last job has not ended", async () => {
    expect(await twice("overlap-skip", "skip")).toEqual([{ waits: false }])
    expect((await view("overlap-skip")).missedCount).toBe(2)
  })
  test("row 22: `queue` lets each wait for the one before", async () => {
    expect(await twice("overlap-queue", "queue")).toEqual([{ waits: false }, { waits: true }, { waits: true }])
  })
  test("row 22: `allow` runs them beside each other", async () => {
    expect(await twice("overlap-allow", "allow")).toEqual([{ waits: false }, { waits: false }, { waits: false }])
  })
})

describe("an edited schedule", () => {
  test("row 21: goes on from now and runs no past slot again", async () => {
    await put("edited", { ...minutely, cron: "0 0 * * *", overlap: "allow" })
    await put("edited", { ...minutely, cron: "0 0 1 1 *", overlap: "allow" })
    const { nextSlot } = await view("edited")
    expect(nextSlot!.slice(4)).toBe("-01-01T00:00:00.000Z")
    await put("edited", { ...minutely, cron: "0 0 * * *", overlap: "allow" })
    await tick()
    expect(await jobsOf("edited")).toBe(0)
  })
  test("keeps the slot that is due this moment where its time is left as it is", async () => {
    await put("kept", { everySeconds: 3600, kind: "test.ok", payload: {} })
    await sql(
      `UPDATE jobs.schedules SET next_slot = to_timestamp(floor(extract(epoch FROM now()) / 3600) * 3600) WHERE name = 'kept'`
    )
    await put("kept", { everySeconds: 3600, kind: "test.ok", payload: { changed: true } })
    await tick()
    expect(await jobsOf("kept")).toBe(1)
  })
})

describe("a schedule's payload", () => {
  test("is shown to those who may read it, with its secrets masked", async () => {
    await put("told", { ...minutely, payload: { path: "/svc/x", headers: { token: "canary" } } })
    expect((await view("told")).payload).toEqual({ path: "/svc/x", headers: { token: "***" } })
  })
})

describe("a backfill", () => {
  test("gives each slot of a past time a job, once", async () => {
    await put("past", { ...minutely, cron: "0 * * * *", overlap: "allow" })
    const range = { from: "2026-03-01T00:00:00Z", to: "2026-03-01T09:00:00Z" }
    const again = () => one.runPromise(Schedules.use((schedules) => schedules.backfill("past", range, actor)))
    expect(await again()).toEqual({ enqueued: 10, known: 0 })
    expect(await again()).toEqual({ enqueued: 0, known: 10 })
    expect(await jobsOf("past")).toBe(10)
  })
  test("of more than 1 000 slots or of the future is refused and makes nothing", async () => {
    await put("wide", { ...minutely, overlap: "allow" })
    const refused = (from: string, to: string) =>
      one.runPromise(Effect.flip(Schedules.use((schedules) => schedules.backfill("wide", { from, to }, actor))))
    expect(await refused("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")).toMatchObject({ _tag: "BadInput" })
    expect(await refused("2026-03-01T00:00:00Z", "2999-03-02T00:00:00Z")).toMatchObject({ _tag: "BadInput" })
    expect(await refused("2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z")).toMatchObject({ _tag: "BadInput" })
    expect(await jobsOf("wide")).toBe(0)
  })
})

test("deleting a schedule keeps its jobs and its slots", async () => {
  await put("gone", { ...minutely, cron: "0 * * * *" })
  const range = { from: "2026-03-01T00:00:00Z", to: "2026-03-01T02:00:00Z" }
  await one.runPromise(Schedules.use((schedules) => schedules.backfill("gone", range, actor)))
  await one.runPromise(Schedules.use((schedules) => schedules.remove("gone", actor)))
  expect(await jobsOf("gone")).toBe(3)
  expect(await sql(`SELECT FROM jobs.schedule_slots WHERE schedule = 'gone'`)).toHaveLength(3)
  expect(await one.runPromise(Effect.flip(Schedules.use((schedules) => schedules.get("gone"))))).toMatchObject({
    _tag: "NotFound"
  })
})
