/** Cancels by filter and the search of the list over HTTP: what is refused and changes nothing, what is hit, what is recorded. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Effect, Layer, Schema } from "effect"
import type { Problem } from "#shared/api/problem.ts"
import type { CancelledMany, CancelPreview, Job } from "#shared/api/scheduler.ts"
import { done, JobHandlers } from "#scheduler/JobHandler.ts"
import { until } from "#test/shared/until.ts"
import { type Running, startScheduler } from "#test/scheduler/callers.ts"
import { testHandlers } from "#test/scheduler/handlers.ts"

let scheduler: Running
const held = testHandlers()
/** Ids that the handler was told of after a cancel. */
const cleaned: Array<string> = []
const about = Layer.effectDiscard(
  JobHandlers.use((handlers) =>
    handlers.register({
      kind: "about.something",
      version: 1,
      description: "for a test",
      payload: Schema.Struct({ what: Schema.String }),
      target: ({ what }) => what,
      run: () => Effect.succeed(done()),
      cancelled: (id) => Effect.sync(() => void cleaned.push(id))
    })
  )
)
beforeAll(async () => {
  scheduler = await startScheduler({ handlers: Layer.merge(held.layer, about) })
}, 60_000)
afterAll(() => scheduler.stop(), 60_000)

const post = (path: string, json: unknown) => scheduler.ask(path, { method: "POST", json })
const later = "2999-01-01T00:00:00Z"
const waiting = (what: string) => scheduler.enqueue({ kind: "about.something", payload: { what }, runAt: later })
const audits = async () =>
  scheduler.database.query(`SELECT actor, after FROM jobs.audit WHERE action = 'jobs.cancelled' ORDER BY id`)
const preview = async (filter: object) => {
  const answer = await post("/jobs/cancel/preview", { filter })
  expect(answer.status).toBe(200)
  return (await answer.json()) as typeof CancelPreview.Type
}

describe("POST /jobs/cancel", () => {
  test("cancels what the preview counted, once confirmed, and is recorded once with the count", async () => {
    const made = []
    for (let n = 0; n < 23; n++) made.push((await waiting("all of these")).id)
    const other = await waiting("not this")
    const filter = { target: "all of these" }
    const { count, sample } = await preview(filter)
    expect([count, sample.map(({ id }) => id)]).toEqual([23, made.toSorted().toReversed().slice(0, 20)])
    const answer = await post("/jobs/cancel", { filter, reason: "a mistake", confirmCount: 23 })
    expect([answer.status, (await answer.json()) as CancelledMany]).toEqual([
      200,
      { count: 23, cancelled: 23, asked: 0 }
    ])
    for (const id of made) {
      expect((await scheduler.job(id)).job).toMatchObject({ state: "cancelled", reason: "a mistake" })
    }
    expect((await scheduler.job(other.id)).job.state).toBe("scheduled")
    expect(await audits()).toEqual([
      { actor: "user", after: JSON.stringify({ filter, reason: "a mistake", count: 23 }) }
    ])
    await until("every one is cleaned up after", async () => cleaned.length === 23)
    expect(new Set(cleaned)).toEqual(new Set(made))
  })

  test("reaches beyond one part", async () => {
    await scheduler.database.query(`
      INSERT INTO jobs.jobs (id, kind, version, payload, state, priority, run_at, max_attempts, created_by, target)
      SELECT uuidv7(), 'test.ok', 1, '{}', 'available', 0, '2999-01-01', 3, 'test', 'many' FROM generate_series(1, 1201)`)
    const before = (await audits()).length
    const answer = await post("/jobs/cancel", { filter: { target: "many" }, reason: "all", confirmCount: 1201 })
    expect((await answer.json()) as CancelledMany).toEqual({ count: 1201, cancelled: 1201, asked: 0 })
    expect((await preview({ target: "many" })).count).toBe(0)
    expect(await audits()).toHaveLength(before + 1)
  })

  test("a running job is told to end", async () => {
    const { id } = await scheduler.enqueue({ kind: "test.held" })
    const run = await until("it runs", async () => held.runs.find(({ context }) => context.jobId === id))
    const filter = { kind: "test.held", state: "running" }
    const answer = await post("/jobs/cancel", { filter, reason: "too slow", confirmCount: 1 })
    expect((await answer.json()) as CancelledMany).toEqual({ count: 1, cancelled: 0, asked: 1 })
    expect((await scheduler.reaches(id, "cancelled")).job.reason).toBe("too slow")
    expect(run.interrupted()).toBe(true)
  })

  test("without the count it is 400 with the number; with another than the present one 409; nothing is changed", async () => {
    const made = [await waiting("counted"), await waiting("counted")]
    const before = await audits()
    const filter = { target: "counted" }
    const missing = await post("/jobs/cancel", { filter, reason: "why" })
    expect([missing.status, ((await missing.json()) as Problem).errors]).toEqual([
      400,
      [{ pointer: "/confirmCount", detail: "missing; 2 jobs fit the filter now" }]
    ])
    for (const confirmCount of [1, 3]) {
      const changed = await post("/jobs/cancel", { filter, reason: "why", confirmCount })
      expect([changed.status, (await changed.json()) as Problem]).toMatchObject([
        409,
        { code: "count_changed", detail: "2 jobs fit the filter now" }
      ])
    }
    for (const { id } of made) expect((await scheduler.job(id)).job.state).toBe("scheduled")
    expect(await audits()).toEqual(before)
  })

  const refused: ReadonlyArray<readonly [string, object, string]> = [
    ["no filter", {}, "/filter"],
    ["an empty filter", { filter: {} }, "/filter"],
    ["an unknown field", { filter: { id: "1" } }, "/filter/id"],
    ["a state that has ended", { filter: { state: "failed" } }, "/filter/state"],
    ["a time that is none", { filter: { since: "yesterday" } }, "/filter/since"],
    ["a target that is no text of a line", { filter: { target: "a\nb" } }, "/filter/target"]
  ]
  for (const [what, body, pointer] of refused) {
    test(`${what} is 400 with its place, for the preview too`, async () => {
      for (const path of ["/jobs/cancel", "/jobs/cancel/preview"]) {
        const more = path === "/jobs/cancel" ? { reason: "why", confirmCount: 1 } : {}
        const answer = await post(path, { ...body, ...more })
        const { errors } = (await answer.json()) as Problem
        expect([path, answer.status, errors?.map((one) => one.pointer)]).toEqual([path, 400, [pointer]])
      }
    })
  }
})

describe("GET /jobs", () => {
  const ids = async (query: string) => {
    const answer = await scheduler.ask(`/jobs?${query}`)
    expect([query, answer.status]).toEqual([query, 200])
    return ((await answer.json()) as { items: Array<Job> }).items.map(({ id }) => id)
  }

  test("finds jobs by what they are about, their queue and a text", async () => {
    const { id, target } = await waiting("Ship\n 7")
    expect(target).toBe("Ship  7")
    expect(await ids("target=Ship++7")).toEqual([id])
    expect(await ids("queue=about&limit=1")).toEqual([id])
    expect(await ids(`q=${id.toUpperCase()}`)).toEqual([id])
    expect(await ids("queue=test&target=Ship++7")).toEqual([])
  })

  test("security: a search reads no payload", async () => {
    await scheduler.enqueue({ kind: "test.ok", payload: { password: "hunter2-secret" }, runAt: later })
    expect(await ids("q=hunter2")).toEqual([])
  })

  test("a search, sort or cursor that cannot be is 400", async () => {
    const page = (await (await scheduler.ask("/jobs?limit=1&sort=oldest")).json()) as { nextCursor: string }
    for (const query of [
      "q=",
      `q=${"a".repeat(201)}`,
      "q=a%00",
      "q=a%0Ab",
      "sort=best",
      "target=",
      "queue=A%20b",
      `limit=1&cursor=${page.nextCursor}`,
      `limit=1&sort=oldest&queue=test&cursor=${page.nextCursor}`
    ]) {
      expect([query, (await scheduler.ask(`/jobs?${query}`)).status]).toEqual([query, 400])
    }
    expect((await scheduler.ask(`/jobs?limit=1&sort=oldest&cursor=${page.nextCursor}`)).status).toBe(200)
  })
})
