/** Lists of jobs among very many: what they ask for is found by an index, not by reading everything. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { type Running, startScheduler } from "./callers.ts"

let scheduler: Running
beforeAll(async () => {
  scheduler = await startScheduler()
  await scheduler.database.query(`
    INSERT INTO jobs.jobs (id, kind, version, payload, state, priority, run_at, max_attempts, created_by, created_at)
    SELECT uuidv7(), 'retention', 1, '{}', 'succeeded', 0, now(), 5, 'x', now() - interval '1 day'
    FROM generate_series(1, 50000)`)
  await scheduler.database.query("ANALYZE jobs.jobs")
}, 60_000)
afterAll(() => scheduler.stop())

for (const condition of [
  "state = 'running'",
  "state = 'retryable'",
  "state = 'available' AND run_at > now()",
  "state = 'failed'",
  "schedule = 'x'",
  "kind = 'http.call'",
  "created_at < now() - interval '2 days'",
  "created_at >= now() - interval '1 minute'"
]) {
  test(`jobs with ${condition} are found by an index`, async () => {
    const plan = await scheduler.database.query(
      `EXPLAIN SELECT id FROM jobs.jobs WHERE ${condition} ORDER BY id DESC LIMIT 51`
    )
    expect(JSON.stringify(plan)).not.toContain("Seq Scan")
  })
}
