/** R16 and the common answers: the login page for a person who navigates, a plain 401 for everything else, and never a loop. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { freePort } from "#test/shared/freePort.ts"
import { exchange, request } from "#test/gateway/rawHttp.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

let echo: EchoUpstream
let gateway: GatewayFixture
let owner: Person
let ended: Person
let disabled: Person
let endedToken: string

beforeAll(async () => {
  echo = startEcho()
  const upstream = echo.url
  gateway = await startGateway({
    settings: {
      providers: [provider],
      routes: [
        { id: "admin", path: "/admin", upstream, service: "admin", rules: [{ action: "read" }] },
        { id: "get", path: "/get", upstream, service: "get", public: true, rules: [{ methods: ["GET"], action: "*" }] },
        { id: "gone", path: "/gone", upstream: `http://127.0.0.1:${await freePort()}`, service: "gone", public: true },
        { id: "undo", path: "/undo", upstream, service: "admin", rules: [{ methods: ["GET"], action: "undo" }] }
      ]
    }
  })
  owner = await gateway.person()
  ended = await gateway.person()
  disabled = await gateway.person()
  endedToken = await gateway.token(ended)
  await gateway.database.query(`DELETE FROM sessions WHERE id = '${ended.sessionId}'`)
  await gateway.database.query(`UPDATE users SET disabled = true WHERE id = '${disabled.userId}'`)
  for (const { cookie } of [ended, disabled])
    await until(
      "the session is over",
      async () => (await gateway.ask("/auth/me", { headers: { cookie } })).status === 401
    )
})
afterAll(async () => {
  await gateway?.stop()
  await echo?.stop()
})

type Headers = Readonly<Record<string, string>>
const ask = (path: string, headers: Headers, method = "GET") => gateway.ask(path, { method, headers })

const html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
/** Who asks, and whether they are shown the login page. */
const clients: ReadonlyArray<readonly [who: string, method: string, headers: Headers, navigates: boolean]> = [
  ["a browser that navigates", "GET", { "sec-fetch-mode": "navigate", accept: html }, true],
  ["a browser that navigates and accepts anything", "GET", { "sec-fetch-mode": "navigate", accept: "*/*" }, true],
  ["a browser that navigates and says no more", "GET", { "sec-fetch-mode": "navigate" }, true],
  ["an old browser", "GET", { accept: html }, true],
  ["an old browser's script", "GET", { accept: html, "x-requested-with": "XMLHttpRequest" }, false],
  ["a page's fetch", "GET", { "sec-fetch-mode": "cors", accept: "*/*" }, false],
  ["a page's fetch of HTML", "GET", { "sec-fetch-mode": "cors", accept: html }, false],
  ["a page's fetch of its own origin", "GET", { "sec-fetch-mode": "same-origin", accept: html }, false],
  ["an image or script", "GET", { "sec-fetch-mode": "no-cors", accept: "image/*,*/*" }, false],
  ["an event source", "GET", { accept: "text/event-stream" }, false],
  ["a form that is sent", "POST", { "sec-fetch-mode": "navigate", accept: html, "content-length": "0" }, false],
  ["a DELETE of a browser", "DELETE", { "sec-fetch-mode": "navigate", accept: html }, false],
  ["a HEAD", "HEAD", { "sec-fetch-mode": "navigate", accept: html }, false],
  ["an OPTIONS", "OPTIONS", { accept: html }, false],
  ["curl", "GET", { accept: "*/*", "user-agent": "curl/8" }, false],
  ["a program that says nothing", "GET", { accept: "" }, false],
  ["a program that wants JSON", "GET", { accept: "application/json" }, false],
  ["a program that wants JSON, else HTML", "GET", { accept: "application/json, text/html;q=0.5" }, false],
  ["a program that refuses HTML", "GET", { accept: "text/html;q=0, */*" }, false],
  ["a program with a token", "GET", { authorization: "Bearer nonsense", accept: html }, false],
  ["a browser with a token", "GET", { authorization: "Bearer nonsense", "sec-fetch-mode": "navigate" }, false],
  ["a program with a password", "GET", { authorization: "Basic dTpw", accept: html }, false]
]
const secret = () => randomBytes(32).toString("base64url")
/** Cookies that are no session, and whether the browser is told to drop them. */
const cookies: ReadonlyArray<readonly [what: string, cookie: () => string | undefined, dropped: boolean]> = [
  ["no cookie", () => undefined, false],
  ["another's cookie", () => "theme=dark", false],
  ["an ended session's cookie", () => ended.cookie, true],
  ["a disabled person's cookie", () => disabled.cookie, true],
  ["a cookie nobody was given", () => `__Host-gatehouse=${secret()}`, true],
  ["garbage for a cookie", () => '__Host-gatehouse="><script>', true],
  ["an empty cookie", () => "__Host-gatehouse=", true],
  ["the same cookie twice", () => `${owner.cookie}; ${owner.cookie}`, true],
  ["a good and a planted cookie", () => `${owner.cookie}; __Host-gatehouse=${secret()}`, true]
]

for (const [who, method, headers, navigates] of clients) {
  describe(`R16: ${who} is ${navigates ? "shown the login" : "told 401"}`, () => {
    for (const [what, cookie, dropped] of cookies) {
      test(`with ${what}`, async () => {
        const before = echo.count()
        const shown = cookie()
        const answer = await ask("/admin/x?y=1", shown === undefined ? headers : { ...headers, cookie: shown }, method)
        expect(echo.count()).toBe(before)
        expect(answer.headers.get("cache-control")).toBe("no-store")
        const set = answer.headers.getSetCookie()
        if (navigates) {
          expect(answer.status).toBe(302)
          expect(answer.headers.get("location")).toBe("/auth/login?return_to=%2Fadmin%2Fx%3Fy%3D1")
          expect(set.some((one) => one.startsWith("__Host-gatehouse-redirected="))).toBe(true)
        } else {
          expect(answer.status).toBe(401)
          expect(answer.headers.get("location")).toBeNull()
          expect(answer.headers.get("www-authenticate")).toStartWith("Bearer")
          expect(answer.headers.get("content-type")).toBe("application/problem+json")
          const body = await answer.text()
          if (method === "HEAD") expect(body).toBe("")
          else expect(JSON.parse(body)).toMatchObject({ status: 401, code: "unauthorized", title: "Not logged in" })
        }
        // A token is what counts where one is shown: the cookie is not even looked at.
        const cleared = dropped && headers["authorization"] === undefined
        const clearing = "__Host-gatehouse=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
        expect(set.filter((one) => one.startsWith("__Host-gatehouse="))).toEqual(cleared ? [clearing] : [])
      })
    }
  })
}

test("R16: who is logged in is let through, whoever they are", async () => {
  for (const [, method, headers] of clients.filter(([, , { authorization }]) => authorization === undefined)) {
    const answer = await ask("/admin/x", { ...headers, cookie: owner.cookie, origin: gateway.origin }, method)
    expect(answer.status).toBe(200)
    expect(answer.headers.getSetCookie()).toEqual([])
  }
})

describe("R16: bearer tokens that are no good are told why", () => {
  test("and are never redirected", async () => {
    const answer = await ask("/admin/x", { authorization: `Bearer ${endedToken}`, accept: html })
    expect(answer.status).toBe(401)
    expect(answer.headers.get("www-authenticate")).toBe(
      'Bearer error="invalid_token", error_description="the session has ended"'
    )
  })
  test("R16: nor is a WebSocket", async () => {
    const { status } = await exchange(
      gateway.port,
      request("GET", "/admin/x", new URL(gateway.origin).host, [
        "Upgrade: websocket",
        `Accept: ${html}`,
        `Origin: ${gateway.origin}`
      ])
    )
    expect(status).not.toBe(302)
  })
})

describe("R16: a second redirect within ten seconds without a session is an error page, not a loop", () => {
  const navigate = { "sec-fetch-mode": "navigate", accept: html }
  const markOf = async (path: string, cookie = "") => {
    const answer = await ask(path, { ...navigate, cookie })
    expect(answer.status).toBe(302)
    const set = answer.headers.getSetCookie().find((one) => one.startsWith("__Host-gatehouse-redirected="))!
    expect(set).toEndWith("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=10")
    return set.split(";")[0]!
  }
  test("for the same page", async () => {
    const mark = await markOf("/admin/loop")
    for (const cookie of [mark, `${mark}; ${ended.cookie}`]) {
      const answer = await ask("/admin/loop", { ...navigate, cookie })
      expect(answer.status).toBe(401)
      expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8")
      expect(answer.headers.get("www-authenticate")).toBe("Bearer")
      expect(answer.headers.get("cache-control")).toBe("no-store")
      expect(await answer.text()).toContain("came back without a session")
    }
  })
  test("also where Accept does not ask for HTML", async () => {
    const answer = await ask("/admin/loop", {
      "sec-fetch-mode": "navigate",
      accept: "*/*",
      cookie: await markOf("/admin/loop")
    })
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8")
  })
  test("another page, opened in another tab, is redirected", async () => {
    await markOf("/admin/two", await markOf("/admin/one"))
  })
  test("with a session there is nothing to redirect", async () => {
    const mark = await markOf("/admin/loop")
    expect((await ask("/admin/loop", { ...navigate, cookie: `${mark}; ${owner.cookie}` })).status).toBe(200)
  })
})

describe("common answers", () => {
  test("no route: 401 for anybody, 404 for who is logged in", async () => {
    expect((await ask("/nowhere", {})).status).toBe(401)
    expect((await ask("/nowhere", { cookie: owner.cookie })).status).toBe(404)
    expect((await ask("/nowhere", { accept: html })).status).toBe(302)
  })
  test("no right: 403, with the scope a token lacks", async () => {
    const viewer = await gateway.person([{ role: "viewer" }])
    const answer = await ask("/undo", { cookie: viewer.cookie })
    expect(answer.status).toBe(403)
    expect(await answer.json()).toMatchObject({ code: "forbidden", detail: "needs the right admin:undo in test" })
    const token = await gateway.token(owner, "admin:read")
    const confined = await ask("/undo", { authorization: `Bearer ${token}` })
    expect(confined.status).toBe(403)
    expect(confined.headers.get("www-authenticate")).toBe('Bearer error="insufficient_scope", scope="admin:undo"')
  })
  test("a public route refuses methods that it does not name", async () => {
    expect((await ask("/get", {})).status).toBe(200)
    expect((await ask("/get", {}, "DELETE")).status).toBe(405)
  })
  test("an upstream that refuses: 502", async () => {
    const answer = await ask("/gone/x", {})
    expect(answer.status).toBe(502)
    expect(await answer.json()).toMatchObject({ code: "upstream_unreachable", title: "Upstream refused" })
  })
  test("every error is problem+json without internals, or a page where Accept prefers HTML", async () => {
    for (const [path, status] of [
      ["/gone/x", 502],
      ["/a//b", 400],
      ["/get", 200]
    ] as const) {
      const problem = await ask(path, { accept: "application/json, text/html;q=0.9" })
      expect(problem.status).toBe(status)
      if (status === 200) continue
      expect(problem.headers.get("content-type")).toBe("application/problem+json")
      const body = (await problem.json()) as Record<string, unknown>
      expect(Object.keys(body).sort()).toEqual(["code", "detail", "instance", "status", "title", "type"])
      expect(JSON.stringify(body)).not.toMatch(/127\.0\.0\.1|ECONN|at \/|\.ts/u)
      const page = await ask(path, { accept: html })
      expect(page.status).toBe(status)
      expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8")
    }
  })
})
