/** `http.call` against a gateway of the test's own: its token, its path, its judgement of the answer. */
import { afterAll, beforeEach, expect, test } from "bun:test"
import { Effect, Layer, Redacted } from "effect"
import { WorkloadIdentity } from "#shared/workload.ts"
import { httpCall } from "#scheduler/kinds/httpCall.ts"
import { kindOf } from "./runKind.ts"

interface Seen {
  readonly method: string
  readonly path: string
  readonly authorization: string | null
  readonly key: string | null
  readonly body: string
}
let seen: Array<Seen> = []
let answer: (request: Request) => Response = () => Response.json({})
const gateway = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    const { pathname, search } = new URL(request.url)
    seen.push({
      method: request.method,
      path: pathname + search,
      authorization: request.headers.get("authorization"),
      key: request.headers.get("idempotency-key"),
      body: await request.text()
    })
    return answer(request)
  }
})
afterAll(() => gateway.stop(true))
beforeEach(() => {
  seen = []
  answer = () => Response.json({})
})

let tokens = 0
const identity = Layer.succeed(WorkloadIdentity, {
  gatewayUrl: new URL(`http://127.0.0.1:${gateway.port}`),
  accessToken: Effect.sync(() => Redacted.make(`token-${++tokens}`)),
  forget: () => Effect.void
})
const { handler, run } = await kindOf("http.call", httpCall.pipe(Layer.provide(identity)))

test("calls the path with the scheduler's token and one idempotency key for all attempts", async () => {
  const { outcome } = await run({ method: "POST", path: "/orders/close?day=1", body: { a: 1 } })
  expect(outcome).toMatchObject({ _tag: "Done", result: { status: 200 } })
  await run({ method: "POST", path: "/orders/close?day=1", body: { a: 1 } }, { attempt: 2 })
  expect(seen[0]).toMatchObject({ method: "POST", path: "/orders/close?day=1", body: '{"a":1}' })
  expect(seen[0]!.authorization).toStartWith("Bearer token-")
  expect(seen[0]!.key).toBe(seen[1]!.key)
})

test("tries again what may pass, and not what will not", async () => {
  for (const [status, retryable] of [
    [500, true],
    [503, true],
    [429, true],
    [400, false],
    [404, false],
    [409, false]
  ] as const) {
    answer = () => new Response("no", { status })
    expect((await run({ method: "GET", path: "/orders" })).failure).toMatchObject({
      retryable,
      detail: `answered ${status}`
    })
  }
})

test("takes the statuses it expects, and only those", async () => {
  answer = () => new Response("no", { status: 404 })
  expect((await run({ method: "DELETE", path: "/orders/1", expectStatus: [204, 404] })).outcome?._tag).toBe("Done")
  answer = () => new Response("yes")
  expect((await run({ method: "DELETE", path: "/orders/1", expectStatus: [204, 404] })).failure).toBeDefined()
})

test("fetches a new token when the gateway refuses the old one, once", async () => {
  answer = () => new Response("no", { status: 401 })
  expect((await run({ method: "GET", path: "/orders" })).failure).toMatchObject({ retryable: false })
  expect(new Set(seen.map(({ authorization }) => authorization)).size).toBe(2)
})

test("follows no redirect: another origin never sees the token", async () => {
  answer = () => Response.redirect("http://127.0.0.1:1/steal", 302)
  expect((await run({ method: "GET", path: "/orders" })).failure).toBeDefined()
  expect(seen).toHaveLength(1)
})

test("refuses payloads that name another place or hold what they must not", async () => {
  for (const payload of [
    { method: "GET", path: "//evil.example/" },
    { method: "GET", path: "/admin/plans" },
    { method: "TRACE", path: "/orders" },
    { method: "GET", path: "/orders", body: {} },
    { method: "GET", path: "/orders", url: "http://evil.example" },
    { method: "GET" }
  ]) {
    const error = await Effect.runPromise(Effect.flip(handler.check(payload, "/payload")))
    expect(error._tag).toBe("InvalidInput")
  }
})
