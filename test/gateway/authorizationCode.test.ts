/** The code exchange is bounded in time, and tells a refusal from an absence. */
import { afterAll, describe, expect, test } from "bun:test"
import { Effect, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import { authorizationUrl, exchangeCode, generateCodeVerifier } from "#gateway/authorizationCode.ts"

const client = { clientId: "client", clientSecret: "secret", redirectUri: "http://localhost/auth/callback/x" }
let arrived = () => {}
const asked = new Promise<void>((resolve) => (arrived = resolve))
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  development: false,
  fetch: (request) => {
    const { pathname } = new URL(request.url)
    if (pathname === "/never") {
      arrived()
      return new Promise<Response>(() => {})
    }
    if (pathname === "/refuse") return Response.json({ error: "invalid_grant" }, { status: 400 })
    if (pathname === "/broken") return new Response(null, { status: 502 })
    if (pathname === "/loop") return Response.redirect("/refuse", 307)
    return Response.json({ access_token: 1 })
  }
})
afterAll(() => server.stop(true))
const exchange = (path: string) =>
  exchangeCode(client, new URL(path, server.url).href, "code", generateCodeVerifier(), "5 seconds")
const reasonOf = async (path: string) => {
  const result = await Effect.runPromise(Effect.result(exchange(path)))
  return Result.isFailure(result) ? result.failure.reason : undefined
}

describe("R6: a code exchange", () => {
  test("that is not answered ends after five seconds, and not before", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(Effect.result(exchange("/never")), { startImmediately: true })
        yield* Effect.promise(() => asked)
        yield* TestClock.adjust("4999 millis")
        expect(fiber.pollUnsafe()).toBeUndefined()
        yield* TestClock.adjust("1 millis")
        const result = yield* Fiber.join(fiber)
        expect(Result.isFailure(result) && result.failure.reason).toBe("timeout")
      }).pipe(Effect.provide(TestClock.layer()))
    ))
  test("tells apart who refuses, who is out of order and who is away", async () => {
    expect(await reasonOf("/refuse")).toBe("refused")
    expect(await reasonOf("/broken")).toBe("unreachable")
    const gone = await Effect.runPromise(
      Effect.result(exchangeCode(client, "http://127.0.0.1:9/token", "code", "verifier", "5 seconds"))
    )
    expect(Result.isFailure(gone) && gone.failure.reason).toBe("unreachable")
  })
  test("that gives no token of the kind asked for is a fault of form", async () => {
    const tokens = await Effect.runPromise(exchange("/tokens"))
    for (const token of [tokens.accessToken, tokens.idToken]) {
      const result = await Effect.runPromise(Effect.result(token))
      expect(Result.isFailure(result) && result.failure.reason).toBe("format")
    }
  })
})

test("a verifier is new each time and long enough (RFC 7636 §4.1)", () => {
  const verifiers = new Set(Array.from({ length: 100 }, generateCodeVerifier))
  expect(verifiers.size).toBe(100)
  for (const one of verifiers) expect(one).toMatch(/^[A-Za-z0-9_~.-]{43,128}$/u)
})

test("an endpoint's own parameters stay, and a hint cannot replace what protects the login", () => {
  const attempt = { state: "s", nonce: "n", verifier: "v".repeat(43), scopes: ["openid"] }
  const url = authorizationUrl(client, "https://idp.test/authorize?tenant=7", attempt, { login_hint: "a&state=b" })
  expect(url.searchParams.get("tenant")).toBe("7")
  expect(url.searchParams.getAll("state")).toEqual(["s"])
  expect(url.searchParams.get("login_hint")).toBe("a&state=b")
})
