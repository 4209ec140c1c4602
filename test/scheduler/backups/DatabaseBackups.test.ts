/** A backup of a real database, restored by a drill and compared; each way of spoiling one is caught. */
import { afterAll, beforeAll, expect } from "bun:test"
import { DatabaseBackups } from "#scheduler/backups/DatabaseBackups.ts"
import { RestoreDrills } from "#scheduler/backups/RestoreDrills.ts"
import { backupsIn, type Place, place, withTools } from "#test/scheduler/backups/fixture.ts"
import { type FreshDatabase, freshDatabase } from "#test/shared/postgres.ts"

const { describe } = withTools

describe("backups", () => {
  const { test } = withTools
  let at: Place
  let database: FreshDatabase
  beforeAll(async () => {
    at = await place()
    database = await freshDatabase("logging", "scheduler")
    await database.query(`CREATE TABLE jobs.things AS SELECT n AS id, 'thing ' || n AS name, now() AS at, NULL::text AS nothing FROM generate_series(1, 1000) AS n`)
    await database.query("ALTER TABLE jobs.things OWNER TO scheduler")
  }, 60_000)
  afterAll(async () => {
    await database.drop()
    at.dispose()
  })

  test("is restored row by row by the recovery key", async () => {
    const runtime = backupsIn(at, { url: database.superuserUrl })
    const set = await runtime.runPromise(DatabaseBackups.use((all) => all.make("logging", "job-1")))
    expect(set.manifest).toMatchObject({ database: "logging", tables: 1, rows: 1000, jobId: "job-1" })
    const record = await runtime.runPromise(RestoreDrills.use((drills) => drills.play(set)))
    expect(record).toMatchObject({ ok: true, faults: [], tables: 1, rows: 1000 })
    await runtime.dispose()
  })
})
