/** Backups of a real database: what one holds, what a drill proves of it, and what spoils one is caught. */
import { afterAll, beforeAll, describe, expect } from "bun:test"
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { createHash } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, type ManagedRuntime, Redacted } from "effect"
import { type BackupSet, BackupSets } from "#scheduler/backups/BackupSets.ts"
import { DatabaseBackups } from "#scheduler/backups/DatabaseBackups.ts"
import { RestoreDrills } from "#scheduler/backups/RestoreDrills.ts"
import { Throwaway } from "#scheduler/backups/Throwaway.ts"
import type { Contents } from "#scheduler/backups/contents.ts"
import { openSession } from "#shared/sql.ts"
import { newAgeKey, opened, sealed } from "#shared/age.ts"
import {
  backupsIn,
  mountSmall,
  type Place,
  place,
  unmount,
  withDisk,
  withTools
} from "#test/scheduler/backups/fixture.ts"
import { type FreshDatabase, freshDatabase } from "#test/shared/postgres.ts"

const { test } = withTools

type Runtime = ManagedRuntime.ManagedRuntime<BackupSets | DatabaseBackups | RestoreDrills, never>

let at: Place
let database: FreshDatabase
let runtime: Runtime
let first: BackupSet

const reader = `backup_${process.pid}`

const make = (job: string, from: Runtime = runtime) =>
  from.runPromise(DatabaseBackups.use((all) => all.make("logging", job)))
const play = (set: BackupSet, by: Runtime = runtime) => by.runPromise(RestoreDrills.use((all) => all.play(set)))
const list = (of: Runtime = runtime) => of.runPromise(BackupSets.use((all) => all.list("logging")))
const folderOf = (set: BackupSet, place = at) => join(place.folder, "logging", set.manifest.set)

if (withTools.possible) {
  beforeAll(async () => {
    at = await place()
    database = await freshDatabase("logging", "scheduler")
    for (const statement of [
      `CREATE TABLE jobs.things (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, at timestamptz, nothing text, doc jsonb, raw bytea)`,
      `INSERT INTO jobs.things (name, at, doc, raw) SELECT 'thing ' || n, now(), jsonb_build_object('n', n), sha256(n::text::bytea) FROM generate_series(1, 1000) AS n`,
      `CREATE TABLE jobs.parts (id int, at date) PARTITION BY RANGE (at)`,
      `CREATE TABLE jobs.parts_2026 PARTITION OF jobs.parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`,
      `INSERT INTO jobs.parts VALUES (1, '2026-05-05'), (1, '2026-05-05')`,
      `ALTER TABLE jobs.things ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`,
      `CREATE POLICY none ON jobs.things USING (false)`,
      `GRANT SELECT (id) ON jobs.things TO monitor`,
      `GRANT SELECT ON jobs.parts TO admin WITH GRANT OPTION`,
      `ALTER TABLE jobs.things OWNER TO scheduler`,
      `CREATE TABLE jobs.effect_sql_migrations (migration_id int, name text)`,
      `INSERT INTO jobs.effect_sql_migrations VALUES (1, 'things')`
    ]) {
      await database.query(statement)
    }
    runtime = backupsIn(at, { url: database.superuserUrl })
    // By a role that only reads, past row security; what confines it is part of what is kept.
    await database.query(`CREATE ROLE ${reader} LOGIN BYPASSRLS CONNECTION LIMIT 5 IN ROLE pg_read_all_data`)
    await database.query(`ALTER ROLE ${reader} SET search_path = pg_catalog, "$user"`)
    await database.query(`ALTER ROLE ${reader} SET statement_timeout = '10min'`)
    await database.query(`GRANT CONNECT ON DATABASE ${database.name} TO ${reader}`)
    await database.query("REVOKE EXECUTE ON FUNCTION pg_sleep FROM PUBLIC")
    const reading = backupsIn(at, { url: database.superuserUrl.replace("user=postgres", `user=${reader}`) })
    first = await make("job-1", reading)
    await reading.dispose()
  }, 60_000)
  afterAll(async () => {
    await runtime?.dispose()
    await database?.query(`REVOKE CONNECT ON DATABASE ${database.name} FROM ${reader}`)
    await database?.query(`DROP ROLE ${reader}`)
    await database?.drop()
    at?.dispose()
  })
}

describe("a backup", () => {
  test("made by a role that only reads is restored and equal, row by row, by the recovery key alone", async () => {
    expect(first.manifest).toMatchObject({ database: "logging", tables: 3, rows: 1003, jobId: "job-1" })
    // What a killed drill left goes with the next one; nothing is left of that.
    const left = join(tmpdir(), `gatehouse-drill-999999999-${process.pid}`)
    mkdirSync(join(left, "cluster"), { recursive: true })
    expect(await play(first)).toMatchObject({ ok: true, faults: [], tables: 3, rows: 1003 })
    const own = new RegExp(`^gatehouse-drill-(?:${process.pid}-|999999999-${process.pid})`, "u")
    expect(readdirSync(tmpdir()).filter((name) => own.test(name))).toEqual([])
    expect((await list())[0]?.drill).toMatchObject({ ok: true, rows: 1003 })
  })

  test("is made once by one job, however often that runs", async () => {
    expect((await make("job-1")).manifest.set).toBe(first.manifest.set)
  })

  test("is one moment: what is written while it is taken is not in it, nor half of it", async () => {
    let writing = true
    const writer = (async () => {
      for (let n = 0; writing; n += 1) {
        await database.query(`WITH one AS (INSERT INTO jobs.parts VALUES (${n}, '2026-06-06') RETURNING 1)
          INSERT INTO jobs.things (name) SELECT 'pair' FROM one`)
      }
    })()
    const set = await make("under-load")
    writing = false
    await writer
    const seen = await play(set)
    expect(seen.faults).toEqual([])
    await database.query("DELETE FROM jobs.things WHERE name = 'pair'")
    await database.query("DELETE FROM jobs.parts WHERE at = '2026-06-06'")
  })

  test("security: holds no row in the clear, and only its owner reads its files", () => {
    const folder = folderOf(first)
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(folder)) {
      expect([name, statSync(join(folder, name)).mode & 0o777]).toEqual([name, 0o600])
      expect(readFileSync(join(folder, name)).includes("thing 7")).toBe(false)
    }
  })

  test("has sums that sha256sum can check", () => {
    for (const line of readFileSync(join(folderOf(first), "SHA256SUMS"), "utf8")
      .trim()
      .split("\n")) {
      const [sum, name] = line.split("  ") as [string, string]
      const found = createHash("sha256")
        .update(readFileSync(join(folderOf(first), name)))
        .digest("hex")
      expect([name, found]).toEqual([name, sum])
    }
  })

  test("is refused while another of the same database is under way", async () => {
    const url = Redacted.make(database.superuserUrl)
    const refused = await runtime.runPromise(
      Effect.gen(function* () {
        const other = yield* openSession({ url, applicationName: "gatehouse-test" })
        yield* other.query("SELECT pg_advisory_lock(hashtextextended('gatehouse backup', 0))")
        return yield* Effect.flip(DatabaseBackups.use((all) => all.make("logging", "second")))
      }).pipe(Effect.scoped)
    )
    expect(refused.message).toBe("another backup of the logging database is running")
  })

  test("that does not fit on the disk is none, and says why", async () => {
    const full = backupsIn(at, { url: database.superuserUrl, minFreeBytes: Number.MAX_SAFE_INTEGER })
    const before = readdirSync(join(at.folder, "logging")).length
    expect(await full.runPromise(Effect.flip(DatabaseBackups.use((all) => all.make("logging", "full"))))).toMatchObject(
      {
        message: "the disk is full"
      }
    )
    await full.dispose()
    expect(readdirSync(join(at.folder, "logging"))).toHaveLength(before)
  })

  withDisk.test("that fills the disk half-way is none, and the next one heals", async () => {
    const small = await place()
    const mounted = { ...small, folder: join(small.folder, "small") }
    mkdirSync(mounted.folder)
    mountSmall(mounted.folder, "192k")
    const its = backupsIn(mounted, { url: database.superuserUrl })
    try {
      await database.query(
        "CREATE TABLE jobs.noise AS SELECT gen_random_bytes FROM (SELECT sha512((n * random())::text::bytea) AS gen_random_bytes FROM generate_series(1, 8000) AS n) AS noise"
      )
      const error = await its.runPromise(Effect.flip(DatabaseBackups.use((all) => all.make("logging", "small"))))
      expect(error.message).toBe("the disk is full")
      expect(readdirSync(join(mounted.folder, "logging"))).toEqual([])
      await database.query("DROP TABLE jobs.noise")
      expect((await make("smaller", its)).manifest.rows).toBe(1003)
    } finally {
      await its.dispose()
      unmount(mounted.folder)
      small.dispose()
      await database.query("DROP TABLE IF EXISTS jobs.noise")
    }
  })

  test("that a killed run left half-made is seen by nobody and gone with the next", async () => {
    const half = join(at.folder, "logging", `${first.manifest.set}.partial`)
    cpSync(folderOf(first), half, { recursive: true })
    expect((await list()).filter(({ manifest }) => manifest.set === first.manifest.set)).toHaveLength(1)
    await make("after-a-kill")
    expect(readdirSync(join(at.folder, "logging")).filter((name) => name.endsWith(".partial"))).toEqual([])
  })

  test("security: a password reaches neither a program's arguments nor an error", async () => {
    const url = database.superuserUrl.replace("user=postgres", "user=nobody_here&password=Sup3rSecret")
    const wrong = backupsIn(at, { url })
    const error = await wrong.runPromise(Effect.flip(DatabaseBackups.use((all) => all.make("logging", "wrong"))))
    await wrong.dispose()
    expect(String(error)).not.toContain("Sup3rSecret")
    expect(error.message).toContain("the database does not answer")
  })
})

/** A copy of the first set in a place of its own, to spoil. */
const spoiled = async (spoil: (folder: string) => void) => {
  const copy = await place()
  const own: Place = { ...copy, server: at.server, recovery: at.recovery }
  cpSync(folderOf(first), folderOf(first, own), { recursive: true })
  rmSync(join(folderOf(first, own), "drill.json"), { force: true })
  spoil(folderOf(first, own))
  const its = backupsIn(own, { url: database.superuserUrl })
  const [set] = await list(its)
  const record = set === undefined ? undefined : await play(set, its)
  await its.dispose()
  copy.dispose()
  return record
}

/** A set that this server has made and marked, of parts that do not belong together. */
const mixed = async (dump: "its own" | "another database's", change: (contents: Contents) => Contents) => {
  const recipients = first.manifest.recipients
  const other = dump === "its own" ? undefined : await freshDatabase("data")
  const source = { ...at, folder: `${at.folder}-mixed` }
  const its = backupsIn(source, { url: other?.superuserUrl ?? database.superuserUrl })
  const from = other === undefined ? first : await make("other", its)
  const home = other === undefined ? runtime : its
  const work = Effect.gen(function* () {
    const sets = yield* BackupSets
    const read = (set: BackupSet, name: "dump.age" | "contents.age") =>
      Effect.promise(() => opened(sets.read(set, name), at.recovery.identity))
    const contents: Contents = JSON.parse(
      yield* Effect.promise(async () =>
        new Response(await opened(await firstFile("contents.age"), at.recovery.identity)).text()
      )
    )
    const draft = yield* sets.begin("logging", new Date(Date.now() + 1000))
    const dumped = yield* read(from, "dump.age")
    yield* Effect.promise(async () => draft.write("dump.age", await sealed(dumped, recipients)))
    const text = JSON.stringify({ ...change(contents), set: draft.set })
    yield* Effect.promise(async () => draft.write("contents.age", await sealed(new Blob([text]).stream(), recipients)))
    const { files: _files, format: _format, set: _set, database: _database, ...facts } = first.manifest
    const set = yield* draft.keep(facts)
    return yield* RestoreDrills.use((drills) => drills.play(set))
  })
  const record = await home.runPromise(work)
  await its.dispose()
  await other?.drop()
  rmSync(source.folder, { recursive: true, force: true })
  return record
}
const firstFile = async (name: string) => new Blob([readFileSync(join(folderOf(first), name))]).stream()

const flip = (file: string, at: number) => {
  const bytes = readFileSync(file)
  bytes[at]! ^= 1
  writeFileSync(file, bytes)
}

describe("a drill catches", () => {
  test("one flipped bit, in the dump and in the record of what it held", async () => {
    for (const name of ["dump.age", "contents.age"]) {
      const record = await spoiled((folder) => flip(join(folder, name), statSync(join(folder, name)).size - 40))
      expect(record).toMatchObject({ ok: false, faults: [`${name} is not as it was written (SHA-256)`] })
    }
  })

  test("a truncated archive", async () => {
    const record = await spoiled((folder) => truncateSync(join(folder, "dump.age"), 3000))
    expect(record?.faults[0]).toMatch(/^dump\.age has 3000 bytes, not \d+$/u)
  })

  test("a whole archive of another database", async () => {
    const { faults, ok } = await mixed("another database's", (contents) => contents)
    expect(ok).toBe(false)
    expect(faults[0]).toMatch(/it holds no database logging_/u)
  })

  test("a row that was restored otherwise than it was, a right and a migration that were not", async () => {
    const { faults, ok } = await mixed("its own", (contents) => ({
      ...contents,
      tables: contents.tables.map((table) => (table.name === "things" ? { ...table, hash: "1:1" } : table)),
      grants: [
        ...contents.grants.filter((line) => line !== "function pg_sleep(double precision): PUBLIC may EXECUTE"),
        "relation jobs.things of scheduler: data may SELECT"
      ],
      migrations: [...contents.migrations, "jobs: 2 more"]
    }))
    expect(ok).toBe(false)
    expect(faults).toContain("table jobs.things has other rows than the source had")
    expect(faults).toContain("a grant is missing: relation jobs.things of scheduler: data may SELECT")
    expect(faults).toContain("a migration is missing: jobs: 2 more")
  })

  test("security: a manifest that somebody else wrote to fit what they planted", async () => {
    const record = await spoiled((folder) => {
      const file = join(folder, "manifest.json")
      writeFileSync(file, readFileSync(file, "utf8").replace('"rows": 1003', '"rows": 1004'))
    })
    expect(record).toMatchObject({ ok: false, faults: ["its manifest does not bear this server's mark"] })
  })

  test("a set in the folder of another database, which is no set there", async () => {
    const copy = await place()
    cpSync(folderOf(first), join(copy.folder, "gateway", first.manifest.set), { recursive: true })
    const its = backupsIn({ ...copy, server: at.server }, { url: database.superuserUrl, database: "gateway" })
    expect(await its.runPromise(BackupSets.use((all) => all.list("gateway")))).toEqual([])
    await its.dispose()
    copy.dispose()
  })

  test("a key that does not open it, without blaming the set", async () => {
    const stranger = await Effect.runPromise(newAgeKey)
    const other = backupsIn(at, { url: database.superuserUrl, drill: { identity: stranger.identity } })
    const error = await other.runPromise(Effect.flip(RestoreDrills.use((all) => all.play(first))))
    await other.dispose()
    expect(error.message).toContain("is not sealed to this key")
    expect((await list()).find(({ manifest }) => manifest.set === first.manifest.set)?.drill?.ok).not.toBe(false)
  })

  test("a target that is the source, before anything is written there", async () => {
    const source = Layer.succeed(
      Throwaway,
      Throwaway.of({
        server: Effect.succeed({
          owner: "postgres",
          url: (name) => Redacted.make(database.superuserUrl.replace(database.name, name))
        })
      })
    )
    const other = backupsIn(at, { url: database.superuserUrl, throwaway: source })
    const error = await other.runPromise(Effect.flip(RestoreDrills.use((all) => all.play(first))))
    await other.dispose()
    expect(error.message).toBe("refused: the target is the source of this backup")
  })
})
