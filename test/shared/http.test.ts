/** The HTTP edge over a real socket: what a body may be, what an error shows, and what a strange Host cannot do. */
import { afterAll, beforeAll, beforeEach, describe, expect, type Mock, spyOn, test } from "bun:test"
import { connect } from "node:net"
import { Context, Deferred, Effect, Layer, ManagedRuntime, Schema, Stream } from "effect"
import { Unauthorized, Unavailable } from "#shared/domain/errors.ts"
import { accept, eventStream, guarded, makeApp, makeRun, readText, requestIdOf } from "#shared/http.ts"
import { until } from "#test/shared/until.ts"

const limit = 1000
const secret = "hunter2-value"
const runtime = ManagedRuntime.make(Layer.empty)
const run = makeRun(runtime)
const Item = Schema.Struct({
  name: Schema.String.check(Schema.isMaxLength(20)),
  tags: Schema.optionalKey(Schema.Array(Schema.String)),
  more: Schema.optionalKey(Schema.Unknown)
})
const Query = Schema.Struct({ limit: Schema.optionalKey(Schema.FiniteFromString) })
const state = { started: Deferred.makeUnsafe<void>(), interrupted: false }

const app = makeApp({ name: "test", runtime, bodyLimit: limit, ownBody: ["/form"] })
  .get("/plain", () => "plain")
  .get("/admin/public/x", () => "the inner route")
  .get("/public/x", () => "the outer route")
  .get("/query", ({ query, request }) => run(request, Effect.succeed(query)), { query: accept(Query, "/query") })
  .post("/items", ({ body, request }) => run(request, Effect.succeed(body)), { body: accept(Item) })
  .post("/anything", ({ body, request }) =>
    run(request, Effect.succeed({ is: body === undefined ? "nothing" : "something" }))
  )
  .post("/form", async ({ request }) => ({ read: await readText(request, limit) }))
  .patch("/things/:id", () => "changed")
  .delete("/things/:id", () => "deleted")
  .get("/files/*", () => "a file")
  .get("/throws", () => {
    throw new TypeError(secret)
  })
  .get("/rejects", () => Promise.reject(new Error(secret)))
  .get("/throws-text", () => {
    throw secret
  })
  .get("/dies", ({ request }) => run(request, Effect.die(new Error(secret))))
  .get("/fails-oddly", ({ request }) => run(request, Effect.fail(new Error(secret))))
  .get("/fails-late", ({ request }) =>
    run(
      request,
      Effect.andThen(Effect.yieldNow, Effect.fail(new Unavailable({ dependency: "logging DB", retryAfterSeconds: 2 })))
    )
  )
  .get("/unauthorized", ({ request }) =>
    run(request, Effect.fail(new Unauthorized({ detail: "no", challenge: 'Bearer error="x"' })))
  )
  .get("/throws-expected", () => {
    throw new Unavailable({ dependency: "logging DB", retryAfterSeconds: 2 })
  })
  .get("/waits", ({ request }) =>
    run(
      request,
      Effect.andThen(Deferred.succeed(state.started, undefined), Effect.never).pipe(
        Effect.onInterrupt(() => Effect.sync(() => (state.interrupted = true)))
      )
    )
  )

let server: Bun.Server<undefined>
let log: Mock<typeof console.log>
beforeAll(() => {
  log = spyOn(console, "log").mockImplementation(() => {})
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    fetch: guarded((request) => app.fetch(request))
  })
})
beforeEach(() => log.mockClear())
afterAll(async () => {
  await server.stop(true)
  await runtime.dispose()
  log.mockRestore()
})

interface Problem {
  readonly status: number
  readonly code: string
  readonly detail?: string
  readonly instance: string
  readonly errors?: ReadonlyArray<{ readonly pointer: string; readonly detail: string }>
}
const get = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init)
const post = (path: string, body: BodyInit | null, type = "application/json") =>
  get(path, { method: "POST", body, headers: type === "" ? {} : { "content-type": type } })
/** The problem of an answer that must be one, and hold no secret. */
const problem = async (answer: Response | Promise<Response>): Promise<Problem> => {
  const response = await answer
  const text = await response.text()
  expect(response.headers.get("content-type")).toBe("application/problem+json")
  expect(text).not.toContain("hunter2")
  const found = JSON.parse(text) as Problem
  expect(found.status).toBe(response.status)
  expect(found.instance).toMatch(/^[0-9a-f-]{36}$/u)
  return found
}
/** Sends bytes as they are and gives all that comes back until the connection ends. */
const raw = (text: string, end = true) =>
  new Promise<string>((resolve, reject) => {
    let answer = ""
    const socket = connect(server.port!, "127.0.0.1", () => (end ? socket.end(text) : socket.write(text)))
    socket.on("data", (chunk) => (answer += chunk.toString("latin1")))
    socket.on("error", reject)
    socket.on("close", () => resolve(answer))
  })

describe("a JSON body", () => {
  test("is decoded where it is right", async () => {
    const response = await post("/items", '{"name":"one","tags":["a"]}')
    expect([response.status, await response.json()]).toEqual([200, { name: "one", tags: ["a"] }])
    const typed = await post("/items", '{"name":"one"}', "Application/JSON; charset=utf-8")
    expect(typed.status).toBe(200)
  })
  test("that is no JSON is 400", async () => {
    for (const body of ["{", "{name:1}", "{'name':'x'}", `{"name":"${secret}"`, "NaN", '{"name":"x"} x', "﻿{", " "]) {
      expect(await problem(post("/items", body))).toMatchObject({ status: 400, code: "malformed_request" })
    }
  })
  test("that is no UTF-8 is 400", async () => {
    const bytes = new Uint8Array([...new TextEncoder().encode('{"name":"'), 0xff, 0xfe, 34, 125])
    expect(await problem(post("/items", bytes))).toMatchObject({ status: 400, detail: "the body is not valid UTF-8" })
    const cut = new Uint8Array([...new TextEncoder().encode('{"name":"'), 0xc3])
    expect(await problem(post("/items", cut))).toMatchObject({ status: 400, detail: "the body is not valid UTF-8" })
  })
  test("of another content type is 415", async () => {
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "application/jsonx",
      "text/json",
      "application/json5"
    ]) {
      expect(await problem(post("/items", '{"name":"one"}', type))).toMatchObject({
        status: 415,
        code: "unsupported_media_type"
      })
    }
    expect(await problem(post("/items", new Blob(['{"name":"one"}']), ""))).toMatchObject({ status: 415 })
  })
  test("with unknown fields is 422, each with its pointer and without its value", async () => {
    const found = await problem(post("/items", JSON.stringify({ name: "one", nmae: secret, "a/b": secret })))
    expect(found.code).toBe("invalid_input")
    expect(found.errors?.map(({ pointer }) => pointer).toSorted()).toEqual(["/a~1b", "/nmae"])
  })
  test("with wrong values is 422, all of them at once and without them", async () => {
    const found = await problem(
      post("/items", JSON.stringify({ name: `${secret}${secret}`, tags: ["a", { b: secret }] }))
    )
    expect([found.status, found.errors?.map(({ pointer }) => pointer)]).toEqual([422, ["/name", "/tags/1"]])
  })
  test("with keys of the prototype changes nothing but its own decoding", async () => {
    for (const body of [
      '{"name":"one","__proto__":{"admin":true}}',
      '{"name":"one","constructor":{"prototype":{"admin":true}}}',
      '{"__proto__":{"name":"one"}}'
    ]) {
      expect(await problem(post("/items", body))).toMatchObject({ status: 422 })
    }
    await post("/items", '{"name":"one","more":{"__proto__":{"admin":true}}}')
    expect(({} as { admin?: boolean }).admin).toBeUndefined()
  })
  test("nested 10,000 deep is 400 and 64 deep is not", async () => {
    const nested = (depth: number) => `{"name":"x","more":${"[".repeat(depth)}${"]".repeat(depth)}}`
    const large = makeApp({ name: "large", runtime, bodyLimit: 1_000_000 }).post("/items", ({ body }) => ({ body }))
    const ask = (body: string) =>
      large.fetch(
        new Request("http://service.test/items", {
          method: "POST",
          body,
          headers: { "content-type": "application/json" }
        })
      )
    expect(await problem(ask(nested(10_000)))).toMatchObject({
      status: 400,
      detail: "the body nests deeper than 64 levels"
    })
    expect(await problem(ask("[".repeat(10_000)))).toMatchObject({ status: 400 })
    expect(await problem(ask('{"a":'.repeat(10_000)))).toMatchObject({ status: 400 })
    expect((await ask(nested(63))).status).toBe(200)
    expect(await problem(ask(nested(64)))).toMatchObject({ status: 400 })
    // Brackets in texts are no nesting.
    expect((await ask(JSON.stringify({ name: `${"[{".repeat(5000)}\\"` }))).status).toBe(200)
  })
  test("with a NUL character is 400, written out or escaped", async () => {
    for (const body of ['{"name":"a\\u0000b"}', '{"name":"a\0b"}', '{"a\\u0000":1}']) {
      expect(await problem(post("/items", body))).toMatchObject({
        status: 400,
        detail: "the body contains a NUL character"
      })
    }
  })
  test("larger than the limit is 413, by its length before it is read", async () => {
    const body = JSON.stringify({ name: "x".repeat(limit) })
    expect(await problem(post("/items", body))).toMatchObject({ status: 413, code: "payload_too_large" })
    const answer = await raw(
      "POST /items HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 1001\r\n\r\n{",
      false
    )
    expect(answer).toStartWith("HTTP/1.1 413")
  })
  test("larger than the limit is 413, by count when it says no length", async () => {
    const chunks = (count: number) =>
      new ReadableStream<Uint8Array>({
        start: (controller) => {
          for (let index = 0; index < count; index++) controller.enqueue(new Uint8Array(100).fill(32))
          controller.enqueue(new TextEncoder().encode('{"name":"one"}'))
          controller.close()
        }
      })
    expect(await problem(post("/items", chunks(10)))).toMatchObject({ status: 413 })
    expect((await post("/items", chunks(9))).status).toBe(200)
  })
  test("in chunks that split its characters is put together", async () => {
    const bytes = new TextEncoder().encode('{"name":"äöü€😀"}')
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (const byte of bytes) controller.enqueue(new Uint8Array([byte]))
        controller.close()
      }
    })
    expect(await (await post("/items", stream)).json()).toEqual({ name: "äöü€😀" })
  })
  test("that is missing or empty is no body, which is 422 where one is needed", async () => {
    expect(await (await post("/anything", null)).json()).toEqual({ is: "nothing" })
    expect(await problem(post("/items", null, ""))).toMatchObject({ status: 422, errors: [{ pointer: "" }] })
    const empty = await problem(post("/items", ""))
    expect([400, 422]).toContain(empty.status)
  })
  test("is left to a route that reads its own", async () => {
    const form = await post("/form", "a=1&b=2", "application/x-www-form-urlencoded")
    expect(await form.json()).toEqual({ read: "a=1&b=2" })
    expect(await problem(post("/form", "x".repeat(limit + 1), "text/plain"))).toMatchObject({ status: 413 })
  })
})

describe("a query", () => {
  test("is decoded, and refused with pointers under /query", async () => {
    expect(await (await get("/query?limit=5")).json()).toEqual({ limit: 5 })
    const found = await problem(get(`/query?limit=${secret}&other=${secret}`))
    expect([found.status, found.errors?.map(({ pointer }) => pointer).toSorted()]).toEqual([
      422,
      ["/query/limit", "/query/other"]
    ])
  })
})

describe("an error", () => {
  test("of a route that is not there is 404 in every method", async () => {
    for (const method of ["GET", "POST", "DELETE", "PATCH"]) {
      expect(await problem(get(`/${secret}`, { method }))).toMatchObject({ status: 404, code: "not_found" })
    }
  })
  test("of a route that has other methods is 405, and names them", async () => {
    for (const [path, method, allow] of [
      ["/items", "GET", "POST"],
      ["/items", "PUT", "POST"],
      ["/plain", "POST", "GET, HEAD"],
      ["/things/17", "GET", "DELETE, PATCH"],
      ["/files/a/b", "POST", "GET, HEAD"]
    ] as const) {
      const answer = await get(path, { method })
      expect([path, method, answer.status, answer.headers.get("allow")]).toEqual([path, method, 405, allow])
      expect(await answer.json()).toMatchObject({ code: "method_not_allowed" })
    }
    for (const path of ["/things", "/things/", "/things/1/2", "/items/", "/files"]) {
      expect([path, (await get(path, { method: "PUT" })).status]).toEqual([path, 404])
    }
  })
  test("that is unexpected is an opaque 500 with the request id that the log has", async () => {
    for (const path of ["/throws", "/rejects", "/throws-text", "/dies", "/fails-oddly"]) {
      log.mockClear()
      const found = await problem(get(path))
      expect(found).toEqual({
        type: "/problems/internal-error",
        title: "Internal error",
        status: 500,
        code: "internal_error",
        instance: found.instance
      } as never)
      const lines = await until(
        "the line of log",
        () =>
          log.mock.calls.length > 0 &&
          log.mock.calls
            .flat()
            .map((one) => Bun.inspect(one))
            .join("\n")
      )
      expect(lines).toContain(found.instance)
    }
  })
  test("that is expected has its status, late or at once, thrown or returned", async () => {
    expect(await problem(get("/fails-late"))).toMatchObject({ status: 503, detail: "logging DB is unavailable" })
    expect(await problem(get("/throws-expected"))).toMatchObject({ status: 503, code: "unavailable" })
    for (const path of ["/fails-late", "/throws-expected"])
      expect((await get(path)).headers.get("retry-after")).toBe("2")
    const response = await get("/unauthorized")
    expect(response.headers.get("www-authenticate")).toBe('Bearer error="x"')
    expect(await problem(response)).toMatchObject({ status: 401 })
  })
  test("names the gateway's request id, and no other text", async () => {
    const id = "0190e0a0-0000-7000-8000-000000000001"
    expect(await problem(get("/none", { headers: { "x-request-id": id } }))).toMatchObject({ instance: id })
    for (const forged of ["x", `${id} `, `${id}x`, id.toUpperCase(), '"><script>']) {
      const found = await problem(get("/none", { headers: { "x-request-id": forged } }))
      // Headers are trimmed on the way.
      expect(found.instance === id).toBe(forged.trim() === id)
    }
    const request = new Request("http://service.test/")
    expect(requestIdOf(request)).toBe(requestIdOf(request))
    expect(requestIdOf(request)).not.toBe(requestIdOf(new Request("http://service.test/")))
  })
})

test("a client that goes away interrupts its request", async () => {
  const abort = new AbortController()
  const answer = get("/waits", { signal: abort.signal }).catch(() => "gone")
  await Effect.runPromise(Deferred.await(state.started))
  abort.abort()
  expect(await answer).toBe("gone")
  await until("the interruption", () => state.interrupted)
})

describe("a Host", () => {
  const status = async (host: string, path = "/plain") =>
    Number((await raw(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).split(" ")[1])
  test("that is one host is served", async () => {
    for (const host of ["a.test", "a", "A.TEST:8080", "127.0.0.1:1", "[::1]:80"]) expect(await status(host)).toBe(200)
  })
  test("that is no plain host is 400", async () => {
    for (const host of ["a/b", "a@b", "a b", "a,b", "a:b", "a:123456", "a\tb", "a?b", "a#b", "", "a%2fb", "<a>"]) {
      expect(await status(host)).toBe(400)
    }
  })
  test("however short does not choose another route", async () => {
    for (const host of ["a", "ab", "abc", "x:1", "a.test"]) {
      const answer = await raw(`GET /admin/public/x HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
      expect(answer).toContain("the inner route")
    }
  })
})

describe("an event stream", () => {
  const open = (
    events: Stream.Stream<{ event: string; id: string; data: unknown }>,
    stopping = new AbortController()
  ) => {
    const request = new Request("http://service.test/stream")
    return { response: eventStream(Context.empty(), request, events, stopping.signal), stopping }
  }
  test("carries each value with its event and id, and ends with its source", async () => {
    const { response } = open(
      Stream.make({ event: "host", id: "1", data: { a: "x\ny" } }, { event: "host", id: "2", data: 2 })
    )
    expect(response.headers.get("content-type")).toBe("text/event-stream")
    expect(response.headers.get("cache-control")).toBe("no-store")
    const text = (await response.text()).replaceAll(": ping\n\n", "")
    expect(text).toBe('id: 1\nevent: host\ndata: {"a":"x\\ny"}\n\nid: 2\nevent: host\ndata: 2\n\n')
  })
  test("ends when the service drains", async () => {
    const { response, stopping } = open(Stream.concat(Stream.make({ event: "host", id: "1", data: 1 }), Stream.never))
    const reader = response.body!.getReader()
    await reader.read()
    stopping.abort()
    const end = await until("the end", () =>
      reader.read().then(
        ({ done }) => done,
        () => true
      )
    )
    expect(end).toBe(true)
  })
})
