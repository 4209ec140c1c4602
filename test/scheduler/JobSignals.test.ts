/** Hints between schedulers: they arrive, they wait for the commit, a lost connection is said aloud. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Effect, Fiber, Layer, ManagedRuntime, Redacted, Stream } from "effect"
import { Database } from "#shared/sql.ts"
import { JobSignals, type Signal } from "#scheduler/JobSignals.ts"
import { type FreshDatabase, freshDatabase } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

const signalsOf = (url: string) =>
  ManagedRuntime.make(
    JobSignals.layer.pipe(
      Layer.provideMerge(
        Database.layer({
          name: "logging DB",
          url: Redacted.make(url),
          applicationName: "signals",
          migrations: {},
          maxConnections: 3
        })
      )
    )
  )

let database: FreshDatabase
let one: ReturnType<typeof signalsOf>
let other: ReturnType<typeof signalsOf>
let heard: Array<Signal> = []
let hearing: Fiber.Fiber<unknown>
beforeAll(async () => {
  database = await freshDatabase("logging", "scheduler")
  one = signalsOf(database.url)
  other = signalsOf(database.url)
  await one.runPromise(JobSignals.use(() => Effect.void))
  await other.context()
  hearing = other.runFork(
    JobSignals.use(({ signals }) => Stream.runForEach(signals, (signal) => Effect.sync(() => void heard.push(signal))))
  )
  const listening = () =>
    database.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'`)
  await until("both listen", async () => (await listening()).length >= 2)
}, 60_000)
afterAll(async () => {
  await Effect.runPromise(Fiber.interrupt(hearing))
  await Promise.all([one.dispose(), other.dispose()])
  await database.drop()
}, 60_000)

const tell = (signal: Partial<Signal>) => JobSignals.use((signals) => signals.tell(signal))
const heardJob = (id: string) => heard.some(({ jobs }) => jobs.includes(id))

test("a hint reaches another process, with the jobs it is about", async () => {
  await one.runPromise(tell({ due: true, jobs: ["a"] }))
  await until("the hint is heard", () => heardJob("a"))
  expect(heard.find(({ jobs }) => jobs.includes("a"))).toMatchObject({ due: true, all: false })
})

test("many hints at once are few notifications, and none is lost", async () => {
  const ids = Array.from({ length: 1000 }, () => crypto.randomUUID())
  heard = []
  await one.runPromise(Effect.forEach(ids, (id) => tell({ due: true, jobs: [id] }), { discard: true }))
  await until("all are heard", () => new Set(heard.flatMap(({ jobs }) => jobs)).size >= 1000)
  expect(heard.length).toBeLessThan(200)
})

test("a hint of a transaction is told after its commit, and never after a rollback", async () => {
  const within = (fails: boolean, id: string) =>
    Database.use((db) =>
      db.transaction(Effect.andThen(tell({ jobs: [id] }), fails ? Effect.fail("undone") : Effect.void))
    )
  await one.runPromise(Effect.flip(within(true, "rolled back")))
  await one.runPromise(within(false, "committed"))
  await until("the committed one is heard", () => heardJob("committed"))
  expect(heardJob("rolled back")).toBe(false)
})

test("a lost connection means that anything may have happened, and is listened on again", async () => {
  heard = []
  await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query ILIKE 'LISTEN%'`)
  await until("everything is possible", () => heard.some(({ all }) => all))
  await until("hints are heard again", async () => {
    await one.runPromise(tell({ jobs: ["after"] }))
    return heardJob("after")
  })
})
