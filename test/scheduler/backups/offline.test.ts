/** Backups by hand, as after a lost server: keys are made once, a set is drilled and opened with the recovery key alone. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Redacted } from "effect"
import { DatabaseBackups } from "#scheduler/backups/DatabaseBackups.ts"
import { drillByHand, makeKeys, openByHand } from "#scheduler/backups/offline.ts"
import { readAgeKey } from "#shared/age.ts"
import { backupsIn, bin, type Place, place, withTools } from "#test/scheduler/backups/fixture.ts"
import { freshDatabase } from "#test/shared/postgres.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-offline-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const reader = `backup_data_${process.pid}`
const inFolder = (name: string) => join(folder, name)

describe("keys", () => {
  test("of the server go into a file for its owner alone, and are not shown", async () => {
    const identityFile = inFolder("server")
    const text = await Effect.runPromise(makeKeys({ identityFile }))
    expect(text).not.toContain("AGE-SECRET-KEY")
    expect(statSync(identityFile).mode & 0o777).toBe(0o600)
    const { recipient } = await Effect.runPromise(readAgeKey(Redacted.make(readFileSync(identityFile, "utf8"))))
    expect(text).toContain(`public key: ${recipient}`)
    const again = await Effect.runPromise(Effect.flip(makeKeys({ identityFile })))
    expect(again.message).toBe(`${identityFile}: EEXIST`)
  })

  test("for recovery are shown once and made only once", async () => {
    const recipientFile = inFolder("recipient")
    const shown = await Effect.runPromise(makeKeys({ recipientFile }))
    expect(shown).toMatch(/^secret key: AGE-SECRET-KEY-1[0-9A-Z]+$/mu)
    const recipient = readFileSync(recipientFile, "utf8").trim()
    expect(shown).toContain(`public key: ${recipient}`)
    const again = await Effect.runPromise(makeKeys({ recipientFile }))
    expect(again).toBe(`there is a key already, none was made\npublic key: ${recipient}`)
  })
})

withTools.describe("a set", () => {
  let at: Place
  let path: string
  const recovery = inFolder("recovery")
  beforeAll(async () => {
    at = await place()
    writeFileSync(recovery, `# created: today\n${Redacted.value(at.recovery.identity)}\n`)
    const database = await freshDatabase("data")
    await database.query("CREATE TABLE things AS SELECT 7 AS n")
    await database.query("ALTER TABLE things ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, OWNER TO data")
    // As kustomize/base/data-db makes it, in an instance that is locked down.
    await database.query(`CREATE ROLE ${reader} LOGIN BYPASSRLS IN ROLE data_trusted, pg_read_all_data`)
    await database.query(`GRANT CONNECT ON DATABASE ${database.name} TO ${reader}`)
    const url = database.superuserUrl.replace("user=postgres", `user=${reader}`)
    const runtime = backupsIn(at, { url, database: "data" })
    const set = await runtime.runPromise(DatabaseBackups.use((all) => all.make("data", "by-hand")))
    await runtime.dispose()
    await database.query(`REVOKE CONNECT ON DATABASE ${database.name} FROM ${reader}`)
    await database.query(`DROP ROLE ${reader}`)
    path = join(at.folder, "data", set.manifest.set)
  }, 60_000)
  afterAll(() => at.dispose())

  test("is drilled with the recovery key", async () => {
    const record = await Effect.runPromise(drillByHand(join(path, "../newest"), recovery, { PG_BIN: bin }))
    expect(record).toMatchObject({ ok: true, rows: 1, faults: [] })
  })

  test("is opened into roles and an archive that pg_restore reads, never over what is there", async () => {
    const out = inFolder("opened")
    expect(await Effect.runPromise(openByHand(path, recovery, out))).toMatchObject({ database: "data", rows: 1 })
    expect(readFileSync(join(out, "roles.sql"), "utf8")).toMatch(/^CREATE ROLE "data" WITH NOSUPERUSER .*LOGIN/mu)
    const listed = Bun.spawnSync([join(bin, "pg_restore"), "--list", join(out, "dump.pgc")])
    expect(listed.stdout.toString()).toContain("TABLE DATA public things")
    const again = await Effect.runPromise(Effect.flip(openByHand(path, recovery, out)))
    expect(again.message).toBe(`${out}: EEXIST`)
  })

  test("is not found, or its key not one: both are said", async () => {
    for (const [set, key, message] of [
      [join(path, "../20200101T000000000Z-00000000"), recovery, "there is no backup data/20200101T000000000Z-00000000"],
      [folder, recovery, "expected a path that ends in <database>/<set>"],
      [path, join(path, "manifest.json"), "holds no secret key of age"]
    ] as const) {
      const error = await Effect.runPromise(Effect.flip(openByHand(set, key, inFolder("never"))))
      expect(error.message).toContain(message)
    }
  })
})
