/** The database goes and comes back: nothing accepted is lost, nothing new is begun meanwhile, and the work goes on. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Effect } from "effect"
import { done } from "#scheduler/JobHandler.ts"
import { make } from "#scheduler/service.ts"
import type { Service } from "#shared/service.ts"
import { requestOf, startKeys } from "#test/scheduler/callers.ts"
import { testHandlers } from "#test/scheduler/handlers.ts"
import { type PrivatePostgres, privatePostgres } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

const keys = startKeys()
const held = testHandlers()
let postgres: PrivatePostgres
let service: Service
beforeAll(async () => {
  postgres = privatePostgres()
  await postgres.start()
  const env = {
    ...keys.env,
    SCHEDULER_DATABASE_URL: postgres.url("logging", "scheduler"),
    SCHEDULER_SWEEP: "200 millis",
    LOG_LEVEL: "Error"
  }
  service = await make(env, { handlers: held.layer })
  await until("ready", async () => (await service.internal(new Request("http://localhost/readyz"))).ok)
}, 60_000)
afterAll(async () => {
  await service.dispose()
  await keys.stop()
  await postgres.dispose()
}, 60_000)

const ask = async (path: string, init = {}) => await service.fetch(requestOf(keys, "http://localhost", path, init))
const enqueue = (kind: string) => ask("/jobs", { method: "POST", json: { kind, payload: {} } })
const idOf = async (answer: Response) => ((await answer.json()) as { readonly id: string }).id

test("a run that outlives the database's absence ends well, and what was accepted before is run after", async () => {
  const running = await idOf(await enqueue("test.held"))
  const run = await until("it runs", () => held.runs.find(({ context }) => context.jobId === running))
  await postgres.stop()
  run.end(Effect.succeed(done({ ended: "while the database was away" })))
  const refused = await enqueue("test.ok")
  expect(refused.status).toBe(503)
  expect((await service.internal(new Request("http://localhost/readyz"))).status).toBe(503)
  expect((await service.internal(new Request("http://localhost/livez"))).status).toBe(200)
  await postgres.start()
  await until("the end is kept", async () => {
    const answer = await ask(`/jobs/${running}`)
    return answer.ok && ((await answer.json()) as { job: { state: string } }).job.state === "succeeded"
  })
  const after = await until("jobs are accepted again", async () => {
    const answer = await enqueue("test.ok")
    return answer.ok ? idOf(answer) : undefined
  })
  await until("and run", async () => {
    const answer = await ask(`/jobs/${after}`)
    return answer.ok && ((await answer.json()) as { job: { state: string } }).job.state === "succeeded"
  })
  expect(await postgres.query("logging", "SELECT count(*)::int AS n FROM jobs.job_attempts")).toEqual([{ n: 2 }])
}, 60_000)
