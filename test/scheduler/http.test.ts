/** The scheduler's routes: who may ask, what is refused and changes nothing, what is shown. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Problem } from "#shared/api/problem.ts"
import type { Job, JobKinds, ScheduleView } from "#shared/api/scheduler.ts"
import { declaredRoutes, lostReferences, type OpenApiDocument, operationsOf } from "#test/shared/described.ts"
import { type Running, startScheduler } from "#test/scheduler/callers.ts"
import { testHandlers } from "#test/scheduler/handlers.ts"

let scheduler: Running
const held = testHandlers()
beforeAll(async () => {
  scheduler = await startScheduler({ handlers: held.layer })
}, 60_000)
afterAll(() => scheduler.stop(), 60_000)

const post = (path: string, json: unknown, headers: Record<string, string> = {}) =>
  scheduler.ask(path, { method: "POST", json, headers })
const problemOf = async (answer: Response) => (await answer.json()) as Problem
const jobs = async () => (await scheduler.database.query("SELECT count(*)::int AS n FROM jobs.jobs"))[0]!["n"]

const id = "0193b2a4-0000-7000-8000-000000000001"
const schedule = { cron: "0 3 * * *", kind: "test.ok", payload: {} }

describe("rights", () => {
  const routes = [
    ["GET", "/jobs"],
    ["GET", "/jobs/kinds"],
    ["GET", "/jobs/health"],
    ["GET", "/jobs/schedules"],
    ["GET", "/jobs/schedules/none"],
    ["GET", "/jobs/schedules/none/preview"],
    ["GET", "/jobs/audit/verify"],
    ["GET", `/jobs/${id}`],
    ["GET", `/jobs/${id}/logs`],
    ["HEAD", "/jobs"],
    ["POST", "/jobs"],
    ["POST", "/jobs/cancel"],
    ["POST", "/jobs/cancel/preview"],
    ["POST", `/jobs/${id}/cancel`],
    ["POST", `/jobs/${id}/retry`],
    ["PUT", "/jobs/schedules/none"],
    ["DELETE", "/jobs/schedules/none"],
    ["POST", "/jobs/schedules/none/trigger"],
    ["POST", "/jobs/schedules/none/pause"],
    ["POST", "/jobs/schedules/none/resume"],
    ["POST", "/jobs/schedules/none/backfill"]
  ] as const
  const scopes: ReadonlyArray<readonly [string | null, boolean, boolean]> = [
    [null, false, false],
    ["", false, false],
    ["monitor:read admin:apply", false, false],
    ["scheduler:read", true, false],
    ["scheduler:write", false, true],
    ["scheduler:*", true, true],
    ["scheduler:* !scheduler:write", true, false]
  ]
  for (const [method, path] of routes) {
    test(`${method} ${path}: each right by itself, before anything is read`, async () => {
      const reads = method === "GET" || method === "HEAD"
      for (const [scope, read, write] of scopes) {
        const { status } = await scheduler.ask(path, { method, scope })
        const allowed = reads ? read : write
        const refusal = scope === null ? 401 : 403
        expect([scope, allowed ? status !== 401 && status !== 403 : status]).toEqual([scope, allowed ? true : refusal])
      }
    })
  }
  test("a token for another request or route is refused", async () => {
    const bound = await scheduler.ask("/jobs", { method: "POST", json: { kind: "test.ok", payload: {} } })
    expect(bound.status).toBe(201)
    const answer = await scheduler.ask("/nothing", { scope: null })
    expect(answer.status).toBe(401)
  })
})

describe("POST /jobs", () => {
  test("the same key and body give 200 and the same job, another body 409, another person a job of their own", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() }
    const first = await post("/jobs", { kind: "test.ok", payload: { a: 1, b: 2 } }, headers)
    const again = await post("/jobs", { payload: { b: 2, a: 1 }, kind: "test.ok" }, headers)
    expect([first.status, again.status]).toEqual([201, 200])
    const [one, two] = [(await first.json()) as Job, (await again.json()) as Job]
    expect(two.id).toBe(one.id)
    const other = await post("/jobs", { kind: "test.ok", payload: { a: 2 } }, headers)
    expect([other.status, (await problemOf(other)).code]).toEqual([409, "idempotency_conflict"])
    const body = { kind: "test.ok", payload: { a: 1, b: 2 } }
    const theirs = await scheduler.ask("/jobs", { method: "POST", json: body, headers, as: "other" })
    expect(theirs.status).toBe(201)
  })

  test("a unique key gives the unfinished job", async () => {
    const job = { kind: "test.ok", payload: {}, uniqueKey: "report", runAt: "2999-01-01T00:00:00Z" }
    const [first, second] = [await post("/jobs", job), await post("/jobs", job)]
    expect([first.status, second.status]).toEqual([201, 200])
    expect(((await second.json()) as Job).id).toBe(((await first.json()) as Job).id)
  })

  const refused: ReadonlyArray<readonly [string, unknown, number, string | undefined]> = [
    ["an unknown kind", { kind: "no.such", payload: {} }, 422, "/kind"],
    ["a payload that does not fit", { kind: "test.logs", payload: { lines: 1 } }, 422, "/payload/lines"],
    ["an unknown field of the payload", { kind: "test.logs", payload: { lines: [], x: 1 } }, 422, "/payload/x"],
    ["a time that is none", { kind: "test.ok", payload: {}, runAt: "tomorrow" }, 400, "/runAt"],
    ["31 February", { kind: "test.ok", payload: {}, runAt: "2026-02-31T00:00:00Z" }, 400, "/runAt"],
    ["no attempts", { kind: "test.ok", payload: {}, maxAttempts: 0 }, 400, "/maxAttempts"],
    ["too many attempts", { kind: "test.ok", payload: {}, maxAttempts: 101 }, 400, "/maxAttempts"],
    ["half a priority", { kind: "test.ok", payload: {}, priority: 1.5 }, 400, "/priority"],
    ["an unknown field", { kind: "test.ok", payload: {}, state: "succeeded" }, 400, "/state"],
    ["no payload", { kind: "test.ok" }, 400, "/payload"],
    ["a list", [], 400, ""],
    ["an hour that RFC 3339 has not", { kind: "test.ok", payload: {}, runAt: "2027-01-01T24:00:00Z" }, 400, "/runAt"],
    ["an offset that no zone has", { kind: "test.ok", payload: {}, runAt: "2027-01-01T00:00:00+23:59" }, 400, "/runAt"],
    ["the year 10000 in UTC", { kind: "test.ok", payload: {}, runAt: "9999-12-31T23:59:59-12:00" }, 400, "/runAt"],
    ["a leap second", { kind: "test.ok", payload: {}, runAt: "2026-12-31T23:59:60Z" }, 400, "/runAt"],
    ["a payload for a kind that takes none", { kind: "retention", payload: { days: 1 } }, 422, "/payload/days"],
    ["a huge number", { kind: "test.ok", payload: {}, priority: 1e308 }, 400, "/priority"]
  ]
  for (const [what, body, status, pointer] of refused) {
    test(`${what} is ${status} with its place, and nothing is kept`, async () => {
      const before = await jobs()
      const answer = await post("/jobs", body)
      const problem = await problemOf(answer)
      const pointers = new Set(problem.errors?.map((fault) => fault.pointer))
      expect([answer.status, [...pointers]]).toEqual([status, [pointer ?? ""]])
      expect(await jobs()).toBe(before)
    })
  }

  test("a number that no double holds is 422 and not kept as null", async () => {
    const body = `{"kind":"test.ok","payload":{"a":[1e400]}}`
    const answer = await scheduler.ask("/jobs", {
      method: "POST",
      body,
      headers: { "content-type": "application/json" }
    })
    const problem = await problemOf(answer)
    expect([answer.status, problem.errors?.map(({ pointer }) => pointer)]).toEqual([422, ["/payload/a/0"]])
  })

  test("hostile bodies are refused before they are understood, and nothing is kept", async () => {
    const before = await jobs()
    const send = (body: string, type = "application/json") =>
      scheduler.ask("/jobs", { method: "POST", body, headers: { "content-type": type } })
    const deep = `{"kind":"test.ok","payload":${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}}`
    const statuses = [
      (await send(deep)).status,
      (await send('{"kind":"test.ok","payload":{"a":"\\u0000"}}')).status,
      (await send('{"kind":"test.ok","payload":')).status,
      (await send('{"kind":"test.ok","payload":{}}', "text/plain")).status,
      (await send(JSON.stringify({ kind: "test.ok", payload: { a: "x".repeat(256 * 1024) } }))).status
    ]
    expect(statuses).toEqual([400, 400, 400, 415, 413])
    expect(await jobs()).toBe(before)
  })

  test("security: prototype keys are data and poison nothing", async () => {
    const body =
      '{"kind":"test.ok","payload":{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}}'
    const answer = await scheduler.ask("/jobs", {
      method: "POST",
      body,
      headers: { "content-type": "application/json" }
    })
    expect([200, 201, 422]).toContain(answer.status)
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false)
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined()
  })

  test("an Idempotency-Key that is none is refused", async () => {
    const answer = await post("/jobs", { kind: "test.ok", payload: {} }, { "idempotency-key": "x".repeat(201) })
    expect(answer.status).toBe(400)
  })
})

describe("reading", () => {
  test("static paths are no ids", async () => {
    for (const path of ["kinds", "health", "schedules", "openapi.json", "audit/verify"]) {
      expect([path, (await scheduler.ask(`/jobs/${path}`)).status]).toEqual([path, 200])
    }
    const kinds = (await (await scheduler.ask("/jobs/kinds")).json()) as typeof JobKinds.Type
    expect(kinds.items.map(({ kind }) => kind)).toContain("retention")
  })

  test("what is not there is 404, whatever its id looks like", async () => {
    for (const path of [
      `/jobs/${id}`,
      "/jobs/x",
      "/jobs/%00",
      `/jobs/${id}/logs`,
      "/jobs/schedules/none",
      "/jobs/a/b/c"
    ]) {
      expect([path, (await scheduler.ask(path)).status]).toEqual([path, 404])
    }
  })

  test("a bad query is named", async () => {
    for (const [query, status] of [
      ["limit=0", 400],
      ["limit=201", 400],
      ["state=sleeping", 400],
      ["since=yesterday", 400],
      ["nothing=1", 400],
      ["cursor=x", 400],
      ["since=2026-01-01T00:00:00%2B23:59", 400]
    ] as const) {
      expect([query, (await scheduler.ask(`/jobs?${query}`)).status]).toEqual([query, status])
    }
  })

  test("security: secrets of a payload and a result are masked wherever they stand, names and all", async () => {
    const payload = {
      password: "hunter2",
      nested: [{ apiKey: "abc", note: "Bearer abcdefghijklmnop" }],
      env: [{ name: "DB_TOKEN", value: "s3cr3t" }],
      harmless: "shown"
    }
    const { id: made } = await scheduler.enqueue({ kind: "test.ok", payload })
    const detail = await scheduler.reaches(made, "succeeded")
    const masked = {
      password: "***",
      nested: [{ apiKey: "***", note: "Bearer <redacted>" }],
      env: [{ name: "DB_TOKEN", value: "***" }],
      harmless: "shown"
    }
    expect([detail.payload, detail.result]).toEqual([masked, masked])
  })

  test("the list is paged and filtered", async () => {
    const made = []
    for (let index = 0; index < 5; index++) made.push((await scheduler.enqueue({ kind: "test.final" })).id)
    for (const one of made) await scheduler.reaches(one, "failed")
    const seen: Array<string> = []
    for (let cursor: string | null = ""; cursor !== null;) {
      const page = `/jobs?kind=test.final&state=failed&limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`
      const answer = (await (await scheduler.ask(page)).json()) as { items: Array<Job>; nextCursor: string | null }
      seen.push(...answer.items.map((job) => job.id))
      cursor = answer.nextCursor
    }
    expect(seen).toEqual(made.toReversed())
  })
})

describe("cancel and retry", () => {
  test("a waiting job is cancelled at once, an ended one is 409, and both leave an audit row", async () => {
    const { id: made } = await scheduler.enqueue({ kind: "test.ok", runAt: "2999-01-01T00:00:00Z" })
    const answer = await post(`/jobs/${made}/cancel`, { reason: "not needed" })
    expect([answer.status, (await answer.json()) as Job]).toMatchObject([
      200,
      { state: "cancelled", reason: "not needed" }
    ])
    expect((await post(`/jobs/${made}/cancel`, { reason: "again" })).status).toBe(409)
    expect((await post(`/jobs/${made}/cancel`, { reason: " " })).status).toBe(400)
    const rows = await scheduler.database.query(`SELECT action FROM jobs.audit WHERE subject = '${made}'`)
    expect(rows).toEqual([{ action: "job.cancelled" }])
  })

  test("a retry is a new job that names the old one; a job that has not ended has none", async () => {
    const { id: made } = await scheduler.enqueue({ kind: "test.final" })
    await scheduler.reaches(made, "failed")
    const answer = await scheduler.ask(`/jobs/${made}/retry`, { method: "POST" })
    expect([answer.status, (await answer.json()) as Job]).toMatchObject([201, { kind: "test.final", retryOf: made }])
    const { id: waits } = await scheduler.enqueue({ kind: "test.ok", runAt: "2999-01-01T00:00:00Z" })
    expect((await scheduler.ask(`/jobs/${waits}/retry`, { method: "POST" })).status).toBe(409)
  })
})

describe("schedules", () => {
  test("are made, changed, paused, resumed, triggered, previewed and deleted", async () => {
    const put = (json: unknown) => scheduler.ask("/jobs/schedules/nightly", { method: "PUT", json })
    const made = await put({ ...schedule, timeZone: "Europe/Berlin" })
    const view = (await made.json()) as ScheduleView
    expect([made.status, view.nextSlots.length, view.overlap, view.missed]).toEqual([201, 5, "skip", "once"])
    expect((await put(schedule)).status).toBe(200)
    const at = async (action: string) => {
      const answer = await scheduler.ask(`/jobs/schedules/nightly/${action}`, { method: "POST" })
      return [answer.status, await answer.json()] as const
    }
    expect(await at("pause")).toMatchObject([200, { enabled: false, nextSlot: null, nextSlots: [] }])
    expect(await at("resume")).toMatchObject([200, { enabled: true }])
    expect(await at("trigger")).toMatchObject([201, { schedule: "nightly", kind: "test.ok" }])
    const preview = await scheduler.ask("/jobs/schedules/nightly/preview?n=3&from=2026-05-01T00:00:00Z")
    expect(await preview.json()).toMatchObject({
      slots: ["2026-05-01T03:00:00.000Z", "2026-05-02T03:00:00.000Z", "2026-05-03T03:00:00.000Z"]
    })
    expect((await scheduler.ask("/jobs/schedules/nightly", { method: "DELETE" })).status).toBe(204)
    expect((await scheduler.ask("/jobs/schedules/nightly")).status).toBe(404)
  })

  test("that cannot be are refused with the field", async () => {
    for (const [fields, pointer] of [
      [{ cron: "0 0 30 2 *" }, "/cron"],
      [{ cron: "" }, "/cron"],
      [{ timeZone: "Mars/Phobos" }, "/timeZone"],
      [{ cron: undefined, everySeconds: 9 }, "/everySeconds"],
      [{ kind: "no.such" }, "/kind"],
      [{ kind: "test.logs" }, "/payload/lines"],
      [{ catchUpMax: 1001 }, "/catchUpMax"],
      [{ overlap: "sometimes" }, "/overlap"]
    ] as const) {
      const answer = await scheduler.ask("/jobs/schedules/bad", { method: "PUT", json: { ...schedule, ...fields } })
      const problem = await problemOf(answer)
      expect([answer.status, problem.errors?.[0]?.pointer]).toEqual([
        /^.(?:kind|payload)/u.test(pointer) ? 422 : 400,
        pointer
      ])
    }
    expect((await scheduler.ask("/jobs/schedules/bad")).status).toBe(404)
    expect((await scheduler.ask("/jobs/schedules/Bad%20name", { method: "PUT", json: schedule })).status).toBe(400)
  })

  test("that come with the platform stay", async () => {
    const answer = await scheduler.ask("/jobs/schedules/retention", { method: "DELETE" })
    expect(answer.status).toBe(409)
    expect((await (await scheduler.ask("/jobs/schedules/retention")).json()) as ScheduleView).toMatchObject({
      builtIn: true
    })
  })
})

test("the audit's chain holds, and tells where it was broken", async () => {
  await scheduler.ask("/jobs/schedules/audited", { method: "PUT", json: schedule })
  await scheduler.ask("/jobs/schedules/audited/pause", { method: "POST" })
  const verdict = async () => (await scheduler.ask("/jobs/audit/verify")).json()
  expect(await verdict()).toMatchObject({ ok: true, brokenAt: null })
  const rows = await scheduler.database.query(`SELECT min(id)::int + 1 AS id FROM jobs.audit`)
  await scheduler.database.query(`UPDATE jobs.audit SET actor = 'nobody' WHERE id = ${rows[0]!["id"]}`)
  expect(await verdict()).toMatchObject({ ok: false, brokenAt: rows[0]!["id"] })
})

test("the description names every route, and any known caller may read it", async () => {
  expect((await scheduler.ask("/jobs/openapi.json", { scope: null })).status).toBe(401)
  const answer = await scheduler.ask("/jobs/openapi.json", { scope: "monitor:read" })
  const document = (await answer.json()) as OpenApiDocument
  const operations = operationsOf(document)
  expect([...operations.keys()]).toEqual(expect.arrayContaining([...declaredRoutes("scheduler")]))
  for (const [name, { responses = {}, summary = "" }] of operations) {
    expect([name, summary !== "", "401" in responses]).toEqual([name, true, true])
  }
  expect(lostReferences(document)).toEqual([])
})
