/** The scheduler over its HTTP interface: a job is kept, run, found and read. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Effect } from "effect"
import { done } from "#scheduler/JobHandler.ts"
import { type Running, startScheduler } from "#test/scheduler/callers.ts"
import { testHandlers } from "#test/scheduler/handlers.ts"
import { until } from "#test/shared/until.ts"

let scheduler: Running
const held = testHandlers()
beforeAll(async () => {
  scheduler = await startScheduler({ handlers: held.layer })
}, 60_000)
afterAll(() => scheduler.stop(), 60_000)

test("runs a job that was asked for and shows its result and attempt", async () => {
  const { id } = await scheduler.enqueue({ kind: "test.ok", payload: { a: 1 } })
  const { attempts, job, result } = await scheduler.reaches(id, "succeeded")
  expect(result).toEqual({ a: 1 })
  expect(job).toMatchObject({ attempt: 1, kind: "test.ok", reason: "", schedule: null })
  expect(attempts).toMatchObject([{ attempt: 1, state: "succeeded", error: "" }])
})

test("shows a running job with the attempt under way", async () => {
  const { id } = await scheduler.enqueue({ kind: "test.held" })
  const run = await until("it runs", () => held.runs.find(({ context }) => context.jobId === id))
  expect(await scheduler.job(id)).toMatchObject({
    job: { state: "running", attempt: 1 },
    attempts: [{ state: "running", attempt: 1, finishedAt: null }]
  })
  run.end(Effect.succeed(done()))
  await scheduler.reaches(id, "succeeded")
})
