/** Backups through the scheduler's own interface: jobs, list, metric, schedules, and what is said where they cannot be made. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Redacted } from "effect"
import { make } from "#scheduler/service.ts"
import type { BackupList, ScheduleList } from "#shared/api/scheduler.ts"
import { bin, type Place, place, withTools } from "#test/scheduler/backups/fixture.ts"
import { type Running, startKeys, startScheduler } from "#test/scheduler/callers.ts"
import { freshDatabase } from "#test/shared/postgres.ts"

const kindsOf = async (scheduler: Running) => {
  const answer = await scheduler.ask("/jobs/kinds")
  const { items } = (await answer.json()) as { items: ReadonlyArray<{ kind: string; unavailable: string | null }> }
  return Object.fromEntries(items.map(({ kind, unavailable }) => [kind, unavailable]))
}
const listOf = async (scheduler: Running) => (await (await scheduler.ask("/jobs/backups")).json()) as BackupList
const metricsOf = async (scheduler: Running) =>
  (await scheduler.service.internal(new Request("http://localhost/metrics"))).text()

const settings = (at: Place, url: string, tools: string) => ({
  SCHEDULER_BACKUP_DIR: join(at.folder, "sets"),
  SCHEDULER_BACKUP_LOGGING_URL: url,
  SCHEDULER_BACKUP_IDENTITY: Redacted.value(at.server.identity),
  SCHEDULER_BACKUP_RECOVERY_RECIPIENT: at.recovery.recipient,
  SCHEDULER_BACKUP_MIN_FREE_BYTES: "0",
  PG_BIN: tools
})

withTools.describe("a scheduler that backs up", () => {
  let at: Place
  let scheduler: Running
  beforeAll(async () => {
    at = await place()
    const database = await freshDatabase("logging", "scheduler")
    scheduler = await startScheduler(
      {},
      { ...settings(at, database.superuserUrl, bin), SCHEDULER_DATABASE_URL: database.url }
    )
  }, 60_000)
  afterAll(async () => {
    await scheduler.stop()
    at.dispose()
  }, 60_000)

  test("makes a backup, and counts it as restorable only once a drill has restored it", async () => {
    expect(await kindsOf(scheduler)).toMatchObject({ "database.backup": null, "database.drill": null })
    const made = await scheduler.enqueue({ kind: "database.backup" })
    expect((await scheduler.reaches(made.id, "succeeded", "failed")).job.reason).toBe("")
    const before = await listOf(scheduler)
    expect(before.items).toMatchObject([{ database: "logging", state: "made", jobId: made.id, drill: null }])
    // Of a database that nobody backs up there is nothing to tell.
    expect(before.databases).toEqual([{ database: "logging", restorableAgeSeconds: null }])
    expect(await metricsOf(scheduler)).not.toMatch(/^backup_last_restorable_age_seconds\{database="gateway"\}/mu)
    expect(before.notes[0]).toContain("copy them elsewhere")
    expect(await metricsOf(scheduler)).toMatch(/^backup_last_restorable_age_seconds\{database="logging"\} \+?Inf/mu)

    const drill = await scheduler.enqueue({ kind: "database.drill", payload: { databases: ["logging"] } })
    const { job, result } = await scheduler.reaches(drill.id, "succeeded", "failed")
    expect(job).toMatchObject({ reason: "", target: "database/logging" })
    expect(result).toMatchObject({ restored: [{ database: "logging", set: before.items[0]!.id }] })
    const after = await listOf(scheduler)
    expect(after.items).toMatchObject([{ state: "verified", drill: { faults: [] } }])
    expect(after.databases.find(({ database }) => database === "logging")?.restorableAgeSeconds).toBeGreaterThanOrEqual(
      0
    )
    expect(await metricsOf(scheduler)).toMatch(/^backup_last_restorable_age_seconds\{database="logging"\} \d/mu)
  })

  test("has schedules for both", async () => {
    const { items } = (await (await scheduler.ask("/jobs/schedules")).json()) as typeof ScheduleList.Type
    expect(items.filter(({ name }) => name.startsWith("database-"))).toMatchObject([
      { name: "database-backup", kind: "database.backup", enabled: true, builtIn: true },
      { name: "database-drill", kind: "database.drill", enabled: true, builtIn: true }
    ])
  })

  test("fails a backup of a database that it has no way to, and says so", async () => {
    const { id } = await scheduler.enqueue({
      kind: "database.backup",
      payload: { databases: ["data"] },
      maxAttempts: 1
    })
    const { job } = await scheduler.reaches(id, "failed")
    expect(job.reason).toContain("max_attempts")
    expect((await scheduler.job(id)).attempts[0]?.error).toBe("data: no way to the data database is configured")
  })

  test("refuses a payload that is none", async () => {
    for (const payload of [{ databases: [] }, { databases: ["postgres"] }, { database: "logging" }]) {
      const answer = await scheduler.ask("/jobs", { method: "POST", json: { kind: "database.backup", payload } })
      expect([payload, answer.status]).toEqual([payload, 422])
    }
  })
})

withTools.describe("a scheduler that only sees the folder", () => {
  test("accepts what another makes, leaves it to that one and shows it", async () => {
    const at = await place()
    const database = await freshDatabase("logging", "scheduler")
    const { SCHEDULER_BACKUP_DIR, ...making } = settings(at, database.superuserUrl, bin)
    const url = { SCHEDULER_DATABASE_URL: database.url, SCHEDULER_BACKUP_DIR }
    const first = await startScheduler({}, url)
    const held = await first.enqueue({ kind: "database.backup" })
    const later = await first.enqueue({ kind: "retention" })
    await first.reaches(later.id, "succeeded")
    expect((await first.job(held.id)).job.state).toBe("available")
    const second = await startScheduler({}, { ...url, ...making })
    expect((await first.reaches(held.id, "succeeded", "failed")).job.reason).toBe("")
    expect((await listOf(first)).items).toMatchObject([{ database: "logging", jobId: held.id }])
    await second.stop()
    await first.stop()
    at.dispose()
  })
})

describe("a scheduler without backups", () => {
  const refused = async (scheduler: Running) => {
    const answer = await scheduler.ask("/jobs", { method: "POST", json: { kind: "database.backup", payload: {} } })
    return { status: answer.status, body: JSON.stringify(await answer.json()) }
  }

  test("shows the kinds with the reason, and refuses them", async () => {
    const scheduler = await startScheduler()
    expect(await kindsOf(scheduler)).toMatchObject({
      "database.backup": "backups are not configured: SCHEDULER_BACKUP_DIR",
      "database.drill": "backups are not configured: SCHEDULER_BACKUP_DIR"
    })
    expect(await refused(scheduler)).toMatchObject({ status: 422, body: expect.stringContaining("not configured") })
    expect((await listOf(scheduler)).notes).toEqual(["backups are not configured: SCHEDULER_BACKUP_DIR"])
    await scheduler.stop()
  })

  test("says which tool it lacks", async () => {
    const at = await place()
    const empty = mkdtempSync(join(tmpdir(), "gatehouse-no-tools-"))
    const database = await freshDatabase("logging", "scheduler")
    const scheduler = await startScheduler({}, settings(at, database.superuserUrl, empty))
    expect(await kindsOf(scheduler)).toMatchObject({
      "database.backup": "PostgreSQL's pg_dump is not in the folder of PG_BIN",
      "database.drill": "PostgreSQL's pg_restore is not in the folder of PG_BIN"
    })
    expect((await refused(scheduler)).body).toContain("pg_dump is not in the folder of PG_BIN")
    // As Debian's, beside a newer server.
    writeFileSync(join(empty, "pg_dump"), "#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.9 (Debian 15.9-0)'\n", {
      mode: 0o755
    })
    expect((await kindsOf(scheduler))["database.backup"]).toMatch(
      /^pg_dump is of version 15\.9, the server of 18\.\d+$/u
    )
    await scheduler.stop()
    await database.drop()
    rmSync(empty, { recursive: true })
    at.dispose()
  })

  test("does not start half configured, and names what is missing", async () => {
    const at = await place()
    const keys = startKeys()
    const all = {
      ...keys.env,
      SCHEDULER_DATABASE_URL: "postgres://nobody@127.0.0.1:1/none",
      ...settings(at, "postgres://backup@127.0.0.1:1/logging", "/none")
    }
    const cases: ReadonlyArray<readonly [object, string]> = [
      [{ SCHEDULER_BACKUP_DIR: undefined }, "SCHEDULER_BACKUP_DIR"],
      [{ SCHEDULER_BACKUP_IDENTITY: undefined }, "SCHEDULER_BACKUP_IDENTITY"],
      [{ SCHEDULER_BACKUP_IDENTITY: "hunter2" }, "SCHEDULER_BACKUP_IDENTITY"],
      [{ SCHEDULER_BACKUP_RECOVERY_RECIPIENT: undefined }, "SCHEDULER_BACKUP_RECOVERY_RECIPIENT"],
      [{ SCHEDULER_BACKUP_RECOVERY_RECIPIENT: at.server.recipient }, "SCHEDULER_BACKUP_RECOVERY_RECIPIENT"],
      [{ SCHEDULER_BACKUP_LOGGING_URL: "mysql://x" }, "SCHEDULER_BACKUP_LOGGING_URL"],
      [{ SCHEDULER_BACKUP_FOLDER: "/x" }, "SCHEDULER_BACKUP_FOLDER"]
    ]
    for (const [change, key] of cases) {
      const error: unknown = await make({ ...all, ...change }).catch((failure: unknown) => failure)
      expect(error).toMatchObject({ _tag: "ConfigInvalid", key })
      expect(String(error)).not.toContain("hunter2")
    }
    await keys.stop()
    at.dispose()
  })
})
