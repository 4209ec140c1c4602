/** `bun run drill restore`: all three databases of a running platform are backed up while rows are written and the platform is killed, restored by the recovery key and compared row by row; the last line is one JSON object, exit 0 only if the promise held. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PgConnection } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { socketUrl } from "#dev/postgresDatabases.ts"
import { migrations as ofAdmin } from "#admin/migrations/index.ts"
import { migrations as ofData } from "#data/migrations/index.ts"
import { migrations as ofHello } from "#hello/migrations/index.ts"
import { migrations as ofGateway } from "#gateway/migrations/index.ts"
import { migrations as ofMonitor } from "#monitor/migrations/index.ts"
import { BackupSets } from "#scheduler/backups/BackupSets.ts"
import { PostgresTools } from "#scheduler/backups/PostgresTools.ts"
import { type Restored, RestoreDrills } from "#scheduler/backups/RestoreDrills.ts"
import { Throwaway } from "#scheduler/backups/Throwaway.ts"
import { migrations as ofScheduler } from "#scheduler/migrations/index.ts"
import type { BackupList, Job, JobDetail } from "#shared/api/scheduler.ts"
import { freePort } from "#test/shared/freePort.ts"
import { dataFolder, startPlatformProcess } from "#test/scenarios/platformProcess.ts"
import { logIn } from "#test/scenarios/story.ts"
import { eventually } from "#test/shared/until.ts"
import { postgresTools } from "#test/shared/postgresTools.ts"

/** Rows that are there from the start, so that a backup takes a moment. */
const rowsBefore = 20_000
/** Milliseconds between two rows that are written meanwhile. */
const pause = 20
/** Seconds that a job may take to begin, and to end, on a machine with much else to do. */
const begins = 120
const ends = 300
/** What a restore of these small databases may take together, and what may be lost. */
const rtoBudget = 120
const rpoBudget = 120

/** Where each service's migrations are recorded, in which database. */
const migrators = {
  gateway: [["public", ofGateway]],
  logging: [
    ["actions", ofAdmin],
    ["jobs", ofScheduler],
    ["metrics", ofMonitor]
  ],
  data: [
    ["public", ofData],
    ["hello", ofHello]
  ]
} as const

const query = (url: Redacted.Redacted, text: string) =>
  Effect.runPromise(
    Effect.scoped(
      Effect.flatMap(PgConnection.make({ url, applicationName: "gatehouse-drill" }), (connection) =>
        Effect.map(connection.query(text), ({ rows }) => rows)
      )
    )
  )

/** The migrations that the code has and a copy has not. */
const pending = async ({ set, url }: Restored) => {
  const missing: Array<string> = []
  for (const [schema, migrations] of migrators[set.manifest.database]) {
    const rows = await query(url, `SELECT migration_id::int AS id FROM ${schema}.effect_sql_migrations`)
    const done = new Set(rows.map(({ id }) => Number(id)))
    missing.push(...Object.keys(migrations).filter((name) => !done.has(Number.parseInt(name, 10))))
  }
  return missing
}

const main = async (): Promise<boolean> => {
  const tools = postgresTools()
  if ("missing" in tools) throw new Error(tools.missing)
  const folder = dataFolder()
  const sets = join(folder.path, "database-backups")
  const port = await freePort(2)
  const env = {
    PG_BIN: tools.bin,
    SCHEDULER_LEASE: "10 seconds",
    SCHEDULER_BACKUP_MIN_FREE_BYTES: "0",
    LOG_LEVEL: "Warn"
  }
  const start = () => startPlatformProcess(folder.path, port, { env })
  let platform = await start()
  let writing = true
  try {
    const owner = await logIn(platform.origin, "owner")
    const source = Redacted.make(socketUrl(join(folder.path, "server/socket"), "data", "postgres"))
    await query(
      source,
      "CREATE TABLE canary (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT now(), load text)"
    )
    await query(source, `INSERT INTO canary (load) SELECT md5(random()::text) FROM generate_series(1, ${rowsBefore})`)
    let written = 0
    const writer = (async () => {
      for (; writing; written += 1) {
        await query(source, "INSERT INTO canary (load) VALUES (md5(random()::text))")
        await Bun.sleep(pause)
      }
    })()

    const ask = (kind: string) =>
      eventually(
        `${kind} is accepted`,
        async () => {
          const { body, status } = await owner.post("/jobs", { kind, payload: {} })
          if (status !== 201) throw new Error(`${kind}: ${status} ${JSON.stringify(body)}`)
          return (body as Job).id
        },
        begins
      )
    const detail = async (id: string) => (await owner.get(`/jobs/${id}`)) as JobDetail
    const ended = (id: string) =>
      eventually(
        `job ${id} has ended`,
        async () => {
          const found = await detail(id)
          return ["succeeded", "failed", "cancelled"].includes(found.job.state) ? found : undefined
        },
        ends
      )

    const first = await ask("database.backup")
    await eventually(
      "the backup runs",
      async () => ((await detail(first)).job.state === "available" ? undefined : true),
      begins
    )
    platform.signal("SIGKILL")
    await platform.exited
    platform = await start()
    console.log("killed during the backup, and started again")
    const backup = await ended(first)
    if (backup.job.state !== "succeeded") throw new Error(`the backup failed: ${backup.job.reason}`)
    const folders = readdirSync(sets).map((database) => readdirSync(join(sets, database)))
    const survivedKill = folders.length === 3 && folders.every((names) => names.length === 1)
    console.log(`three databases backed up in ${backup.attempts.length} attempts`)

    const disaster = Date.now()
    const proof = await ended(await ask("database.drill"))
    if (proof.job.state !== "succeeded") throw new Error(`the drill failed: ${proof.job.reason}`)
    const listed = (await owner.get("/jobs/backups")) as BackupList
    console.log(
      `restored by the scheduler: ${listed.items.map(({ database, rows, state }) => `${database} ${state}, ${rows} rows`).join("; ")}`
    )

    let canary = 0
    let pendingMigrations = 0
    const inspect = (copy: Restored) =>
      Effect.promise(async () => {
        const missing = await pending(copy)
        pendingMigrations += missing.length
        if (copy.set.manifest.database === "data") {
          canary = Number(
            (await query(copy.url, "SELECT (extract(epoch FROM max(at)) * 1000)::float8 AS at FROM canary"))[0]!["at"]
          )
        }
        return missing.map((name) => `the migration ${name} is pending`)
      })
    const identity = Redacted.make(readFileSync(join(folder.path, "secrets/backup-recovery-identity"), "utf8").trim())
    const programs = PostgresTools.layer({ folder: tools.bin, path: "" })
    const layer = RestoreDrills.layer({ identity, inspect }).pipe(
      Layer.provideMerge(BackupSets.layer({ folder: sets, minFreeBytes: 0, key: undefined })),
      Layer.provide(Throwaway.layer({ folder: tmpdir() }).pipe(Layer.provide(programs))),
      Layer.provide(programs)
    )
    const records = await Effect.runPromise(
      Effect.forEach(["gateway", "logging", "data"] as const, (database) =>
        Effect.flatMap(RestoreDrills, (drills) => drills.newest(database))
      ).pipe(Effect.provide(layer))
    )
    const restored = records.flatMap((tried) => tried.slice(0, 1).map(({ record }) => record))
    for (const { faults } of restored) for (const fault of faults) console.log(fault)

    const second = await ended(await ask("database.backup"))
    if (second.job.state !== "succeeded") throw new Error(`the second backup failed: ${second.job.reason}`)
    writing = false
    await writer
    const newest = readdirSync(join(sets, "data")).toSorted().at(-1)!
    const file = join(sets, "data", newest, "dump.age")
    const bytes = readFileSync(file)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(file, bytes)
    const caught = await ended(await ask("database.drill"))
    const { items } = (await owner.get("/jobs/backups")) as BackupList
    const ofData = items.filter(({ database }) => database === "data").map(({ state }) => state)
    const damagedCaught =
      caught.job.state === "failed" && caught.job.reason.includes(newest) && ofData.join() === "damaged,verified"
    console.log(`one bit flipped: ${caught.job.reason}`)

    const told = {
      databases: restored.filter(({ ok }) => ok).length,
      tables: restored.reduce((sum, { tables }) => sum + tables, 0),
      rows: restored.reduce((sum, { rows }) => sum + rows, 0),
      rowsWrittenMeanwhile: written,
      mismatches: restored.reduce((sum, { faults }) => sum + faults.length, 0),
      pendingMigrations,
      survivedKill,
      damagedCaught,
      rtoSeconds: Math.round(restored.reduce((sum, { rtoSeconds }) => sum + rtoSeconds, 0) * 10) / 10,
      rpoSeconds: Math.round((disaster - canary) / 100) / 10
    }
    console.log(JSON.stringify(told))
    const held = told.databases === 3 && told.mismatches === 0 && pendingMigrations === 0
    return held && survivedKill && damagedCaught && told.rtoSeconds <= rtoBudget && told.rpoSeconds <= rpoBudget
  } catch (error) {
    console.error(platform.output().split("\n").slice(-20).join("\n"))
    throw error
  } finally {
    writing = false
    platform.signal("SIGTERM")
    await platform.exited
    folder.remove()
  }
}

process.exit((await main().catch((error: unknown) => (console.error(error), false))) ? 0 : 1)
