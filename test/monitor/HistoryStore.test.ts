/** The history's tables in a real Postgres: exact roll-ups, retention, and answers that take each time from exactly one tier. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { symlinkSync } from "node:fs"
import { join } from "node:path"
import { Effect, Layer, ManagedRuntime, Redacted, Schema } from "effect"
import { History, type HistoryMetric } from "#shared/api/monitor.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { tiers } from "#monitor/historyPlan.ts"
import { HistoryStore } from "#monitor/HistoryStore.ts"
import { migrations } from "#monitor/migrations/index.ts"
import { startMonitor } from "#test/monitor/callers.ts"
import { makeFolder, makeTree, removeFolders } from "#test/monitor/tree.ts"
import { type FreshDatabase, freshDatabase, migrated } from "#test/shared/postgres.ts"

afterAll(removeFolders)

const layerOf = (url: string) =>
  HistoryStore.layer.pipe(
    Layer.provideMerge(
      Database.layer({
        name: "logging DB",
        url: Redacted.make(url),
        applicationName: "test",
        migrations,
        maxConnections: 3
      })
    )
  )

let database: FreshDatabase
let runtime: ManagedRuntime.ManagedRuntime<HistoryStore | Database | SqlClient.SqlClient, never>
beforeAll(async () => {
  database = await freshDatabase("logging", "monitor")
  runtime = ManagedRuntime.make(layerOf(database.url))
  await runtime.runPromise(migrated)
}, 60_000)
afterAll(async () => {
  await runtime.dispose()
  await database.drop()
}, 60_000)

const run = <A, E>(effect: Effect.Effect<A, E, HistoryStore | Database | SqlClient.SqlClient>) =>
  runtime.runPromise(effect)
const store = <A, E>(use: (one: HistoryStore["Service"]) => Effect.Effect<A, E>) => run(HistoryStore.use(use))
const sql = <A extends object>(text: string) =>
  run(SqlClient.SqlClient.use((client) => client.unsafe<A>(text))) as Promise<ReadonlyArray<A>>

beforeEach(() => sql(`TRUNCATE history_10s, history_1m, history_10m, history_1h, history_progress`))

/** A whole hour that is long over. */
const start = 1_790_000_000 - (1_790_000_000 % 3600)
const metric: HistoryMetric = "load.load1"
const one = (at: number, value: number, label = "") => ({ at, values: [{ metric, label, value }] })
/** Ten-second samples whose values a reader can recompute. */
const series = (from: number, count: number, value = (index: number) => index % 7) =>
  Array.from({ length: count }, (_, index) => one(from + index * 10, value(index)))
const rowsOf = (table: string) =>
  sql<{ at: number; total: number; lowest: number; highest: number; samples: number }>(
    `SELECT at::float8 AS at, total, lowest, highest, samples FROM ${table} ORDER BY at`
  )
const countOf = async (table: string) => (await sql<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`))[0]!.n
const readAll = (tier: number, step: number, from = start, to = start + 7200) =>
  store((history) => history.read({ metric, tier, step, from, to }))

describe("the history's tables", () => {
  test("keep a sample once, however often it is written", async () => {
    await store((history) => history.add([one(start, 1), one(start, 2, "a")]))
    await store((history) => history.add([one(start, 9), one(start + 10, 3)]))
    const rows = await readAll(0, 10)
    expect(rows.map(({ at, label, samples, total }) => [label, at - start, total, samples]).sort()).toEqual([
      ["", 0, 1, 1],
      ["", 10, 3, 1],
      ["a", 0, 2, 1]
    ])
  })

  test("roll up exactly: sum, count, least and greatest of every finer step", async () => {
    const samples = series(start, 720)
    await store((history) => history.add(samples))
    await store((history) => history.rollUp(start + 7200))
    for (const [table, step, count] of [
      ["history_1m", 60, 120],
      ["history_10m", 600, 12],
      ["history_1h", 3600, 2]
    ] as const) {
      const rows = await rowsOf(table)
      expect(rows.length).toBe(count)
      for (const row of rows) {
        const values = samples
          .filter(({ at }) => at >= row.at && at < row.at + step)
          .map((sample) => sample.values[0]!.value)
        expect(row).toEqual({
          at: row.at,
          total: values.reduce((all, value) => all + value, 0),
          lowest: Math.min(...values),
          highest: Math.max(...values),
          samples: values.length
        })
      }
    }
  })

  test("roll up only steps that are over", async () => {
    await store((history) => history.add(series(start, 20)))
    await store((history) => history.rollUp(start + 199))
    expect((await rowsOf("history_1m")).map(({ at }) => at - start)).toEqual([0, 60, 120])
    expect(await countOf("history_10m")).toBe(0)
  })

  test("come to the same when a roll-up is repeated, interrupted between its steps or finds late samples", async () => {
    const samples = series(start, 720)
    await store((history) => history.add(samples))
    await store((history) => history.rollUp(start + 7200))
    const whole = await Promise.all(tiers.map(({ table }) => rowsOf(table)))

    await sql(`TRUNCATE history_10s, history_1m, history_10m, history_1h, history_progress`)
    const late = samples.filter((_, index) => index % 50 === 49)
    for (let part = 0; part < 720; part += 60) {
      const slice = samples.slice(part, part + 60)
      await store((history) => history.add(slice.filter((sample) => !late.includes(sample))))
      await store((history) => history.add(slice.filter((sample) => late.includes(sample))))
      await store((history) => history.rollUp(start + (part + 60) * 10))
      // A crash after the rows and before the note of progress: the note stays where it was.
      if (part % 120 === 0) await sql(`UPDATE history_progress SET done = done - 60 WHERE tier = 'history_1m'`)
      await store((history) => history.rollUp(start + (part + 60) * 10))
    }
    expect(await Promise.all(tiers.map(({ table }) => rowsOf(table)))).toEqual(whole)
  })

  test("forget past each tier's time, and nothing that a roll-up still needs", async () => {
    await store((history) => history.add(series(start, 720)))
    const later = start + 3 * 86_400
    // Not rolled up: the fine rows are all there is.
    await store((history) => history.forget(later, 1e12))
    expect(await countOf("history_10s")).toBe(720)
    await store((history) => history.rollUp(start + 7200))
    await store((history) => history.add([one(later - 10, 1)]))
    await store((history) => history.rollUp(later))
    await store((history) => history.forget(later, 1e12))
    expect([await countOf("history_10s"), (await countOf("history_1m")) >= 120]).toEqual([1, true])
    await store((history) => history.rollUp(later))
    expect((await rowsOf("history_1m")).filter(({ at }) => at < start + 7200).length).toBe(120)
    await store((history) => history.forget(start + 900 * 86_400, 1e12))
    expect((await rowsOf("history_1h")).length).toBe(0)
  })

  test("answer for any time from exactly one tier, the tail from finer ones", async () => {
    await store((history) => history.add(series(start, 720)))
    await store((history) => history.rollUp(start + 7200 - 1230))
    const total = async (tier: number, step: number) =>
      (await readAll(tier, step)).reduce(
        (all, row) => ({ total: all.total + row.total, samples: all.samples + row.samples }),
        {
          total: 0,
          samples: 0
        }
      )
    const exact = await total(0, 10)
    expect(exact.samples).toBe(720)
    expect(await total(1, 60)).toEqual(exact)
    expect(await total(2, 600)).toEqual(exact)
    expect(await total(3, 3600)).toEqual(exact)
  })

  test("pick one label, or give each", async () => {
    await store((history) => history.add([one(start, 1, "a"), one(start, 2, "b")]))
    const labels = async (label?: string) =>
      (await store((history) => history.read({ metric, label, tier: 0, step: 10, from: start, to: start + 10 }))).map(
        (row) => row.label
      )
    expect((await labels()).sort()).toEqual(["a", "b"])
    expect(await labels("b")).toEqual(["b"])
    expect(await labels("'; DROP TABLE history_10s; --")).toEqual([])
  })

  test("shrink to their size from the oldest fine rows, leaving what is coarse and the last hour", async () => {
    // Fifty series for two hours, rolled up.
    const samples = Array.from({ length: 720 }, (_, index) => ({
      at: start + index * 10,
      values: Array.from({ length: 50 }, (_unused, label) => ({ metric, label: String(label), value: index }))
    }))
    for (let part = 0; part < 720; part += 60) await store((history) => history.add(samples.slice(part, part + 60)))
    await store((history) => history.rollUp(start + 7200))
    const coarse = await countOf("history_1m")
    await store((history) => history.forget(start + 7200, 3_500_000))
    const [left] = await sql<{ n: number; oldest: number }>(
      `SELECT count(*)::int AS n, min(at)::float8 AS oldest FROM history_10s`
    )
    expect(left!.n).toBeLessThan(30_000)
    expect(left!.oldest).toBeGreaterThan(start + 1000)
    expect(left!.oldest).toBeLessThanOrEqual(start + 3600)
    expect(await countOf("history_1m")).toBe(coarse)
  }, 30_000)
})

describe("the service on a database", () => {
  test("keeps what it sees and answers with it", async () => {
    const monitor = await startMonitor({
      MONITOR_ROOTFS: makeTree().root,
      MONITOR_DATABASE_URL: database.url,
      MONITOR_HISTORY_INTERVAL: "1 second"
    })
    const ask = async () => {
      const response = await monitor.ask("/monitor/history?metric=memory.used_percent&agg=max")
      return Schema.decodeUnknownSync(History)(await response.json())
    }
    const known = (history: History) => history.series[0]!.points.filter(([, value]) => value !== null)
    let history = await ask()
    while (known(history).length === 0) history = await ask()
    await monitor.stop()
    expect([history.unit, history.step, history.agg]).toEqual(["percent", 10, "max"])
    expect(history.series.map(({ label }) => label)).toEqual([null])
    expect(known(history)[0]![1]).toBeCloseTo((1 - 9018036 / 16042172) * 100, 6)
  }, 20_000)

  test("starts without it, and serves history once it is there", async () => {
    const socketDir = new URL(database.url).searchParams.get("host")!
    const folder = join(makeFolder(), "later")
    const url = database.url.replace(encodeURIComponent(socketDir), encodeURIComponent(folder))
    const monitor = await startMonitor({ MONITOR_DATABASE_URL: url, MONITOR_ROOTFS: makeTree().root })
    const ask = () => monitor.ask("/monitor/history?metric=load.load1")
    expect((await monitor.ask("/monitor/metrics")).status).toBe(200)
    expect((await ask()).status).toBe(503)
    symlinkSync(socketDir, folder)
    let { status } = await ask()
    while (status === 503) ({ status } = await ask())
    await monitor.stop()
    expect(status).toBe(200)
  }, 20_000)
})
