/** Logs: no token, cookie, password or code gets into a line, and no value breaks out of its line. */
import { afterEach, beforeEach, describe, expect, type Mock, spyOn, test } from "bun:test"
import { ConfigProvider, Effect, Layer, Metric } from "effect"
import { logging, metricsText, redact } from "#shared/telemetry.ts"

const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmF0dXJlX2h1bnRlcjI"
const planted = "hunter2_0123456789abcdef"

describe("redact takes out", () => {
  const table: ReadonlyArray<readonly [what: string, line: string, left: string]> = [
    ["a token", `token ${jwt} seen`, "token <token> seen"],
    ["a token without signature", `x eyJhbGciOiJub25lIn0.${planted}. y`, "x <token> y"],
    ["a bearer token", `authorization: Bearer ${planted}`, "authorization: Bearer <redacted>"],
    ["a bearer token in small letters", `bearer ${planted}`, "bearer <redacted>"],
    ["basic credentials", `Basic ${btoa(`user:${planted}`)}`, "Basic <redacted>"],
    ["the session cookie", `__Host-gatehouse=${planted}; theme=dark`, "__Host-gatehouse=<redacted>; theme=dark"],
    ["the login cookie", `__Host-gatehouse-login=${planted}`, "__Host-gatehouse-login=<redacted>"],
    ["an API token", `key gth_${planted}`, "key <token>"],
    ["a refresh token", `key gtr_${planted}`, "key <token>"],
    ["a database password", `postgres://user:${planted}@db/x`, "postgres://user:<redacted>@db/x"],
    ["a database password with another scheme", `postgresql://u:${planted}@h`, "postgresql://u:<redacted>@h"],
    ...["code", "state", "token", "access_token", "refresh_token", "id_token", "client_secret", "code_verifier"].map(
      (name) => [`the parameter ${name}`, `/cb?a=1&${name}=${planted}&b=2`, `/cb?a=1&${name}=<redacted>&b=2`] as const
    )
  ]
  for (const [what, line, left] of table) test(what, () => expect(redact(line)).toBe(left))

  test("every one of several, inside JSON too, which stays JSON", () => {
    const line = JSON.stringify({
      a: `Bearer ${planted}`,
      b: jwt,
      c: `?code=${planted}`,
      d: `__Host-gatehouse=${planted}`
    })
    const left = redact(line)
    expect(left).not.toContain("hunter2")
    expect(JSON.parse(left)).toEqual({
      a: "Bearer <redacted>",
      b: "<token>",
      c: "?code=<redacted>",
      d: "__Host-gatehouse=<redacted>"
    })
  })
  test("nothing else", () => {
    const line = "GET /monitor/host?from=2026-01-01&codes=1 by bearer of news 0190e0a0-0000-7000-8000-000000000001"
    expect(redact(line)).toBe(line)
  })
})

describe("a line of log", () => {
  let output: Mock<typeof console.log>
  beforeEach(() => {
    output = spyOn(console, "log").mockImplementation(() => {})
  })
  afterEach(() => output.mockRestore())
  const logged = async (effect: Effect.Effect<void>, env: Record<string, string> = {}) => {
    const layer = logging("monitor").pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))))
    await Effect.runPromise(Effect.provide(effect, layer))
    return output.mock.calls.map(([line]) => String(line))
  }

  test("is one JSON object with the service's name", async () => {
    const lines = await logged(Effect.logInfo("ready").pipe(Effect.annotateLogs({ requestId: "one" })))
    expect(lines.length).toBe(1)
    expect(JSON.parse(lines[0]!)).toMatchObject({
      message: "ready",
      level: "INFO",
      annotations: { service: "monitor", requestId: "one" }
    })
  })
  test("cannot be broken by line ends or terminal codes in a value", async () => {
    for (const format of ["json", "text"]) {
      output.mockClear()
      const forged = 'x\r\n{"level":"INFO","message":"forged"}\u2028\u001b[2K'
      const lines = await logged(Effect.logInfo(forged).pipe(Effect.annotateLogs({ path: forged })), {
        LOG_FORMAT: format
      })
      expect(lines.length).toBe(1)
      expect(lines[0]).not.toMatch(/[\r\n\u001b]/u)
    }
  })
  test("holds no secret, also not one in an error", async () => {
    const lines = await logged(
      Effect.logError("failed", new Error(`Bearer ${planted}`)).pipe(
        Effect.annotateLogs({ cookie: `__Host-gatehouse=${planted}` })
      )
    )
    expect(lines.join("\n")).not.toContain("hunter2")
    expect(lines.join("\n")).toContain("redacted")
  })
  test("is written from LOG_LEVEL up", async () => {
    const all = Effect.andThen(Effect.logInfo("info"), Effect.logWarning("warning"))
    expect((await logged(all, { LOG_LEVEL: "Warn", LOG_FORMAT: "text" })).length).toBe(1)
  })
})

test("what is counted is Prometheus text", async () => {
  const counter = Metric.counter("test_requests_total", { description: "Requests", incremental: true })
  await Effect.runPromise(Metric.update(Metric.withAttributes(counter, { path: 'a"b\\c\nd' }), 3))
  const text = await Effect.runPromise(metricsText)
  expect(text).toContain("# TYPE test_requests_total counter")
  expect(text).toContain('test_requests_total{path="a\\"b\\\\c\\nd"} 3')
})
