/** The sample service as its callers see it: who they are, what they may, what they wrote, what the scheduler is asked for them. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { declaredRoutes, lostReferences, type OpenApiDocument, operationsOf } from "#test/shared/described.ts"
import { type FreshDatabase, freshDatabase } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"
import { type Running, startHello } from "./callers.ts"

const greeter = { scope: "hello:read hello:greet" }
let database: FreshDatabase
let hello: Running
beforeAll(async () => {
  database = await freshDatabase("data", "hello")
  hello = await startHello({ HELLO_DATABASE_URL: database.url, HELLO_GREETING: "Salut" })
  await until("ready", async () => (await hello.service.internal(new Request("http://localhost/readyz"))).ok)
})
afterAll(async () => {
  await hello?.stop()
  await database?.drop()
})
beforeEach(async () => {
  await database.query("DELETE FROM hello.greetings")
  hello.scheduler.asked.splice(0)
  hello.scheduler.status = 201
})

const texts = async (answer: Response) => {
  const { items, nextCursor } = (await answer.json()) as {
    readonly items: ReadonlyArray<{ readonly text: string }>
    readonly nextCursor: string | null
  }
  return { texts: items.map(({ text }) => text), nextCursor }
}

test("tells the caller who they are, by the identity token", async () => {
  expect(await (await hello.ask("/hello", { user: "olga" })).json()).toEqual({
    greeting: "Salut, The olga!",
    you: { id: "olga", name: "The olga", roles: ["developer"] },
    environment: "dev"
  })
})

describe("security: who", () => {
  const writes = [
    ["/hello/greetings", { text: "x" }],
    ["/hello/reminders", { text: "x", at: "2030-01-01T00:00:00Z" }]
  ] as const
  test("shows no token is 401 on every route, and changes nothing", async () => {
    for (const path of ["/hello", "/hello/greetings", "/hello/openapi.json"]) {
      expect((await hello.ask(path, { scope: null })).status).toBe(401)
    }
    for (const [path, body] of writes) {
      expect((await hello.post(path, body, { scope: null })).status).toBe(401)
    }
    expect(await database.query("SELECT 1 FROM hello.greetings")).toEqual([])
    expect(hello.scheduler.asked).toEqual([])
  })
  test("may read and not greet is 403 where something is written", async () => {
    for (const [path, body] of writes) {
      const answer = await hello.post(path, body)
      expect(answer.status).toBe(403)
      expect(((await answer.json()) as { readonly detail: string }).detail).toContain("hello:greet")
    }
    expect(await database.query("SELECT 1 FROM hello.greetings")).toEqual([])
    expect(hello.scheduler.asked).toEqual([])
  })
  test("may greet and not read is 403 where something is shown", async () => {
    expect((await hello.ask("/hello", { scope: "hello:greet" })).status).toBe(403)
    expect((await hello.ask("/hello/greetings", { scope: "hello:greet" })).status).toBe(403)
  })
})

describe("the guest book", () => {
  test("keeps what is written, with its writer, newest first and by pages", async () => {
    for (const text of ["one", "two", "three"]) {
      const answer = await hello.post("/hello/greetings", { text }, greeter)
      expect(answer.status).toBe(201)
      expect(await answer.json()).toMatchObject({ text, by: { id: "guest", name: "The guest" } })
    }
    const first = await texts(await hello.ask("/hello/greetings?limit=2"))
    expect(first.texts).toEqual(["three", "two"])
    const second = await texts(await hello.ask(`/hello/greetings?limit=2&cursor=${first.nextCursor}`))
    expect(second).toEqual({ texts: ["one"], nextCursor: null })
  })
  test("has one entry for one Idempotency-Key of one user", async () => {
    const sign = (user: string) =>
      hello.post("/hello/greetings", { text: "once" }, { ...greeter, user, headers: { "idempotency-key": "k" } })
    const [first, second, other] = [await sign("a"), await sign("a"), await sign("b")]
    expect([first.status, second.status, other.status]).toEqual([201, 200, 201])
    expect(await second.json()).toEqual(await first.json())
  })
  test("refuses what is no greeting, by its place and without its value", async () => {
    for (const [body, pointer] of [
      [{ text: "" }, "/text"],
      [{ text: "two\nlines" }, "/text"],
      [{ text: "x".repeat(201) }, "/text"],
      [{ text: "x", more: 1 }, "/more"]
    ] as const) {
      const answer = await hello.post("/hello/greetings", body, greeter)
      const problem = (await answer.json()) as { readonly errors: ReadonlyArray<{ readonly pointer: string }> }
      expect([answer.status, problem.errors.map((one) => one.pointer)]).toEqual([422, [pointer]])
    }
    const odd = await hello.post(
      "/hello/greetings",
      { text: "x" },
      { ...greeter, headers: { "idempotency-key": "a b" } }
    )
    expect(odd.status).toBe(400)
    expect(await database.query("SELECT 1 FROM hello.greetings")).toEqual([])
  })
  test("refuses a cursor that is not its own, and a limit that cannot be", async () => {
    expect((await hello.ask("/hello/greetings?cursor=eA")).status).toBe(400)
    expect((await hello.ask("/hello/greetings?limit=0")).status).toBe(422)
    expect((await hello.ask("/hello/greetings?page=2")).status).toBe(422)
  })
  test("says 503, not 500, while its table cannot be reached", async () => {
    const away = await startHello({ HELLO_DATABASE_URL: "postgresql://hello@127.0.0.1:1/data" })
    try {
      const answer = await away.ask("/hello/greetings")
      expect([answer.status, await answer.json()]).toMatchObject([503, { code: "unavailable" }])
      expect((await away.service.internal(new Request("http://localhost/readyz"))).status).toBe(503)
    } finally {
      await away.stop()
    }
  })
})

describe("a reminder", () => {
  const at = "2030-01-01T00:00:00.000Z"
  test("is a job of the scheduler's that calls back, asked for as this workload", async () => {
    const init = { ...greeter, user: "olga", headers: { "idempotency-key": "k" } }
    const answer = await hello.post("/hello/reminders", { text: "later", at }, init)
    expect([answer.status, await answer.json()]).toMatchObject([202, { runAt: at }])
    const [{ body, headers }] = hello.scheduler.asked as [(typeof hello.scheduler.asked)[number]]
    expect(body).toEqual({
      kind: "http.call",
      payload: { method: "POST", path: "/hello/greetings", body: { text: "later" } },
      runAt: at
    })
    expect(headers.get("authorization")).toBe("Bearer mine")
    expect(headers.get("idempotency-key")).toBe("olga/k")
  })
  test("that the scheduler does not take is 503", async () => {
    for (const status of [403, 500]) {
      hello.scheduler.status = status
      expect((await hello.post("/hello/reminders", { text: "later", at }, greeter)).status).toBe(503)
    }
  })
  test("at no time is refused", async () => {
    expect((await hello.post("/hello/reminders", { text: "later", at: "soon" }, greeter)).status).toBe(422)
    expect(hello.scheduler.asked).toEqual([])
  })
})

test("describes every route that it has", async () => {
  const document = (await (await hello.ask("/hello/openapi.json")).json()) as OpenApiDocument
  expect([...operationsOf(document).keys()].toSorted()).toEqual([...declaredRoutes("hello")].toSorted())
  expect(lostReferences(document)).toEqual([])
})
