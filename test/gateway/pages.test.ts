/** R27: what a browser is told about every kind of answer, and that no page says what a stranger put into it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { hygiene } from "#gateway/upstreamHeaders.ts"
import { errorPage, loginPage, logoutPage } from "#gateway/pages.ts"
import { problemOf } from "#shared/problem.ts"
import { type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, provider, startGateway } from "#test/gateway/fixture.ts"
import { rawUpstream, type RawUpstream } from "#test/gateway/rawHttp.ts"

setDefaultTimeout(60_000)

let echo: EchoUpstream
let own: RawUpstream
let plain: GatewayFixture
let secure: GatewayFixture

beforeAll(async () => {
  echo = startEcho()
  own = await rawUpstream(
    [
      "HTTP/1.1 200 OK",
      "Content-Length: 2",
      "Content-Type: text/html",
      "Content-Security-Policy: default-src 'none'",
      "X-Frame-Options: SAMEORIGIN",
      "Referrer-Policy: no-referrer",
      "X-Content-Type-Options: nosniff",
      "Strict-Transport-Security: max-age=1",
      "Connection: close",
      "",
      "ok"
    ].join("\r\n")
  )
  const routes = [
    { id: "admin", path: "/admin", upstream: echo.url, service: "admin", rules: [{ action: "read" }] },
    { id: "open", path: "/open", upstream: echo.url, service: "open", public: true },
    { id: "own", path: "/own", upstream: own.url, service: "own", public: true }
  ]
  plain = await startGateway({ settings: { providers: [provider], routes } })
  secure = await startGateway({
    settings: { providers: [provider], routes },
    env: { GATEWAY_PUBLIC_URL: "https://gate.test" }
  })
})
afterAll(async () => {
  await plain?.stop()
  await secure?.stop()
  await echo?.stop()
  await own?.stop()
})

const watched = [
  "content-type",
  "cache-control",
  "strict-transport-security",
  "x-content-type-options",
  "referrer-policy",
  "content-security-policy",
  "service-worker-allowed",
  "access-control-allow-origin",
  "server",
  "x-powered-by"
]
const html = "text/html,*/*;q=0.8"
const policy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
const always = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "content-security-policy": policy
}
/** Every kind of answer, with what is particular to it. */
const kinds: ReadonlyArray<
  readonly [
    kind: string,
    path: string,
    headers: Record<string, string>,
    status: number,
    particular: Record<string, string>
  ]
> = [
  [
    "login page",
    "/auth/login",
    { accept: html },
    200,
    { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" }
  ],
  [
    "logout page",
    "/auth/logout",
    { accept: html },
    200,
    { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" }
  ],
  [
    "style sheet",
    "/auth/style.css",
    {},
    200,
    { "content-type": "text/css; charset=utf-8", "cache-control": "public, max-age=3600" }
  ],
  [
    "error page",
    "/a//b",
    { accept: html },
    400,
    { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" }
  ],
  ["error for programs", "/a//b", {}, 400, { "content-type": "application/problem+json", "cache-control": "no-store" }],
  [
    "refusal of a host",
    "/",
    { host: "evil.test" },
    421,
    { "content-type": "application/problem+json", "cache-control": "no-store" }
  ],
  ["redirect to the login", "/admin", { accept: html }, 302, { "cache-control": "no-store" }],
  [
    "JSON of the gateway",
    "/auth/me",
    {},
    401,
    { "content-type": "application/problem+json", "cache-control": "no-store" }
  ],
  [
    "proxied HTML",
    "/open/html",
    {},
    200,
    { "content-type": "text/html", "content-security-policy": "default-src 'none'" }
  ],
  ["proxied JSON", "/open/x", {}, 200, { "content-type": "application/json;charset=utf-8" }],
  ["proxied redirect", "/open/found", {}, 302, {}]
]

for (const [kind, path, headers, status, particular] of kinds) {
  test(`R27: ${kind} carries the headers of browser hygiene`, async () => {
    for (const [gateway, transport] of [
      [plain, {}],
      [secure, { "strict-transport-security": "max-age=31536000" }]
    ] as const) {
      const answer = await gateway.ask(path, { headers })
      expect(answer.status).toBe(status)
      const told = Object.fromEntries([...answer.headers].filter(([name]) => watched.includes(name)))
      expect(told).toEqual({ ...always, ...transport, ...particular })
    }
  })
}

test("R27: HSTS is told on https alone", () => {
  expect(hygiene(true).map(([name]) => name)).toContain("strict-transport-security")
  expect(hygiene(false).map(([name]) => name)).not.toContain("strict-transport-security")
})

test("R27: what an upstream says of its own stays", async () => {
  const answer = await secure.ask("/own")
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    "content-security-policy": "default-src 'none'",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=1"
  })
})

describe("pages show text, never markup, of anyone else", () => {
  const evil = `"><script>alert('1')</script>&`
  const marks = /<script|"><s|\son\w+=/iu
  test("login page", () => {
    const page = loginPage(
      evil,
      [
        { id: "hub", label: evil, available: true },
        { id: "off", label: evil, available: false }
      ],
      `/x?y=${evil}`
    )
    expect(page).not.toMatch(marks)
    expect(page).toContain("&lt;script&gt;")
  })
  test("logout page", () => expect(logoutPage(evil)).not.toMatch(marks))
  test("error page", () => {
    expect(errorPage({ ...problemOf(400, "x", evil), title: evil }, evil)).not.toMatch(marks)
  })
  test("no page needs what the policy forbids", () => {
    for (const page of [loginPage("test", [], "/"), logoutPage("test"), errorPage(problemOf(404, "x"), "id")])
      expect(page).not.toMatch(/<script|<style|style=|javascript:|https?:\/\//iu)
  })
  test("a login page of a stranger's link leads nowhere else", async () => {
    const answer = await plain.ask("/auth/login?return_to=https%3A%2F%2Fevil.test", { headers: { accept: html } })
    const page = await answer.text()
    expect(page).not.toContain("evil.test")
    expect(page).toContain("return_to=%2F")
  })
})
