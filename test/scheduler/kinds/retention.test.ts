/** `retention` on real tables: what ended long ago goes, with its attempts; what has not ended stays for ever. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { uuidv7 } from "#shared/domain/ids.ts"
import { type Running, startScheduler } from "#test/scheduler/callers.ts"

let scheduler: Running
beforeAll(async () => {
  scheduler = await startScheduler({}, { SCHEDULER_KEEP_SUCCEEDED_DAYS: "30", SCHEDULER_KEEP_FAILED_DAYS: "180" })
}, 60_000)
afterAll(() => scheduler.stop(), 60_000)

const day = 86_400_000
const made = async (state: string, days: number, count = 1) => {
  const ids = Array.from({ length: count }, () => uuidv7(Date.now() - days * day))
  const finished = ["available", "running", "retryable"].includes(state) ? "NULL" : `now() - interval '${days} days'`
  await scheduler.database.query(`
    INSERT INTO jobs.jobs (id, kind, version, payload, state, priority, run_at, max_attempts, created_by, created_at, finished_at, lease_until)
    SELECT id::uuid, 'of.old', 1, '{}', '${state}', 0, now(), 1, 'test', now() - interval '${days} days', ${finished}, now() + interval '1 day'
    FROM unnest(ARRAY['${ids.join("','")}']) AS id`)
  await scheduler.database.query(`
    INSERT INTO jobs.job_attempts SELECT id::uuid, 1, 1, 'failed', 'w', now(), now(), '' FROM unnest(ARRAY['${ids.join("','")}']) AS id`)
  return ids
}
const left = async (ids: ReadonlyArray<string>) =>
  (await scheduler.database.query(`SELECT FROM jobs.jobs WHERE id::text IN ('${ids.join("','")}')`)).length

test("forgets by state and age, in bites, and touches nothing that has not ended", async () => {
  const gone = [
    ...(await made("succeeded", 31, 2500)),
    ...(await made("failed", 181)),
    ...(await made("cancelled", 181))
  ]
  const kept = [
    ...(await made("succeeded", 29)),
    ...(await made("failed", 179)),
    ...(await made("available", 400)),
    ...(await made("running", 400)),
    ...(await made("retryable", 400))
  ]
  const { id } = await scheduler.enqueue({ kind: "retention" })
  const { result } = await scheduler.reaches(id, "succeeded")
  expect(result).toMatchObject({ succeeded: 2500, failed: 1, cancelled: 1, expired: 0 })
  expect([await left(gone), await left(kept)]).toEqual([0, kept.length])
  const attempts = await scheduler.database.query(
    `SELECT FROM jobs.job_attempts a WHERE NOT EXISTS (SELECT FROM jobs.jobs j WHERE j.id = a.job_id)`
  )
  expect(attempts).toEqual([])
})
