/** R9: what another site's page can make a browser do here. Nothing that changes anything, and nothing it may read. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { exchange, request } from "#test/gateway/rawHttp.ts"

setDefaultTimeout(60_000)

const friend = "https://friend.test"
let echo: EchoUpstream
let gateway: GatewayFixture
let owner: Person
let token: string

beforeAll(async () => {
  echo = startEcho()
  const upstream = echo.url
  const rules = [{ action: "read" }]
  gateway = await startGateway({
    settings: {
      providers: [provider],
      routes: [
        { id: "admin", path: "/admin", upstream, service: "admin", rules },
        { id: "shared", path: "/shared", upstream, service: "shared", rules, origins: [friend] },
        { id: "open", path: "/open", upstream, service: "open", public: true }
      ]
    }
  })
  owner = await gateway.person()
  token = await gateway.token(owner)
})
afterAll(async () => {
  await gateway?.stop()
  await echo?.stop()
})

type Headers = Readonly<Record<string, string>>
const cookie = (): Headers => ({ cookie: owner.cookie })
const bearer = (): Headers => ({ authorization: `Bearer ${token}` })
const status = async (method: string, path: string, headers: Headers) =>
  (await gateway.ask(path, { method, headers })).status

const changing = ["POST", "PUT", "PATCH", "DELETE"] as const
const reading = ["GET", "HEAD"] as const
/** By which headers a browser tells where a request comes from, and whether it comes from our own pages. */
const senders: ReadonlyArray<readonly [who: string, headers: () => Headers, ours: boolean]> = [
  ["our own page", () => ({ origin: gateway.origin }), true],
  ["our own page, by Sec-Fetch-Site too", () => ({ origin: gateway.origin, "sec-fetch-site": "same-origin" }), true],
  ["our own page of a browser that omits Origin", () => ({ "sec-fetch-site": "same-origin" }), true],
  ["a sibling subdomain", () => ({ origin: gateway.origin.replace("localhost", "sibling.localhost") }), false],
  ["a sibling that says only same-site", () => ({ "sec-fetch-site": "same-site" }), false],
  ["our host on another port", () => ({ origin: "http://localhost:1" }), false],
  ["our host with another scheme", () => ({ origin: gateway.origin.replace("http:", "https:") }), false],
  ["our origin in another spelling", () => ({ origin: gateway.origin.toUpperCase() }), false],
  ["our origin with a path", () => ({ origin: `${gateway.origin}/` }), false],
  ["our origin as a prefix", () => ({ origin: `${gateway.origin}.evil.test` }), false],
  ["a foreign page", () => ({ origin: "https://evil.test" }), false],
  [
    "a foreign page that claims same-origin",
    () => ({ origin: "https://evil.test", "sec-fetch-site": "same-origin" }),
    false
  ],
  ["a sandboxed frame", () => ({ origin: "null" }), false],
  ["a sandboxed frame that claims same-origin", () => ({ origin: "null", "sec-fetch-site": "same-origin" }), false],
  ["two origins", () => ({ origin: `${gateway.origin}, https://evil.test` }), false],
  ["nobody who tells", () => ({}), false],
  ["an address that was typed", () => ({ "sec-fetch-site": "none" }), false],
  ["a foreign page that omits Origin", () => ({ "sec-fetch-site": "cross-site" }), false],
  ["a friend of another route", () => ({ origin: friend }), false]
]

for (const [who, headers, ours] of senders) {
  test("two Origin headers are not ours", async () => {
    const answer = await exchange(
      gateway.port,
      request("POST", "/admin/x", new URL(gateway.origin).host, [
        `Cookie: ${owner.cookie}`,
        `Origin: ${gateway.origin}`,
        "Origin: https://evil.test",
        "Content-Length: 0"
      ])
    )
    expect(answer.status).toBe(403)
  })

  describe("R9: a route's list", () => {
    test("lets its origins change something by cookie, and no other route's", async () => {
      for (const method of changing) {
        expect(await status(method, "/shared/x", { ...cookie(), origin: friend })).toBe(200)
        expect(await status(method, "/shared/x", { ...cookie(), origin: "https://friend.test.evil.test" })).toBe(403)
        expect(await status(method, "/admin/x", { ...cookie(), origin: friend })).toBe(403)
      }
    })
    test("lets its origins read the answers, errors included", async () => {
      const asked = [
        gateway.ask("/shared/x", { headers: { ...cookie(), origin: friend } }),
        gateway.ask("/shared/x", { headers: { origin: friend } }),
        gateway.ask("/shared/%2f", { headers: { ...cookie(), origin: friend } }),
        gateway.ask("/shared/x", { headers: { authorization: "Bearer x", origin: friend } })
      ]
      const answers = await Promise.all(asked)
      expect(answers.map((answer) => answer.status)).toEqual([200, 401, 400, 401])
      // A path that is refused belongs to no route.
      for (const answer of [answers[0]!, answers[1]!, answers[3]!]) {
        expect(answer.headers.get("access-control-allow-origin")).toBe(friend)
        expect(answer.headers.get("access-control-allow-credentials")).toBe("true")
        expect(answer.headers.get("vary")?.toLowerCase()).toContain("origin")
      }
      expect(answers[2]!.headers.get("access-control-allow-origin")).toBeNull()
    })
    test("a cache cannot mix the answers for two origins", async () => {
      for (const headers of [
        {},
        { origin: gateway.origin },
        { origin: "https://evil.test" }
      ] as ReadonlyArray<Headers>) {
        const answer = await gateway.ask("/shared/x", { headers: { ...cookie(), ...headers } })
        expect(answer.headers.get("vary")?.toLowerCase()).toContain("origin")
        expect(answer.headers.get("access-control-allow-origin")).toBeNull()
      }
    })
  })

  describe("R9: a preflight is answered by the gateway from the route's list", () => {
    const preflight = async (path: string, headers: Headers) => {
      const before = echo.count()
      const answer = await gateway.ask(path, {
        method: "OPTIONS",
        headers: {
          "access-control-request-method": "PUT",
          "access-control-request-headers": "content-type",
          ...headers
        }
      })
      expect(echo.count()).toBe(before)
      return answer
    }
    test("a listed origin may", async () => {
      const answer = await preflight("/shared/x", { origin: friend })
      expect(answer.status).toBe(204)
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        "access-control-allow-origin": friend,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": expect.stringContaining("PUT"),
        "access-control-allow-headers": expect.stringContaining("content-type"),
        vary: "origin"
      })
    })
    test("any other may not, on no route", async () => {
      for (const origin of [
        "https://evil.test",
        "null",
        gateway.origin.replace("localhost", "sibling.localhost"),
        `${friend}.evil.test`
      ])
        for (const path of ["/shared/x", "/admin/x", "/open/x", "/nowhere"]) {
          const answer = await preflight(path, { origin })
          expect(answer.status).toBe(403)
          expect(answer.headers.get("access-control-allow-origin")).toBeNull()
        }
      expect((await preflight("/admin/x", { origin: friend })).status).toBe(403)
    })
    test("no credentials are asked for it", async () => {
      expect((await preflight("/shared/x", { origin: friend, cookie: "__Host-gatehouse=nonsense" })).status).toBe(204)
    })
    test("an OPTIONS that is no preflight is a request like others", async () => {
      expect(await status("OPTIONS", "/admin/x", { origin: friend })).toBe(401)
      expect(await status("OPTIONS", "/admin/x", cookie())).toBe(200)
    })
  })

  describe("an event stream", () => {
    const stream = { accept: "text/event-stream" }
    test("asked for with a cookie by a foreign page is refused, and not even opened", async () => {
      for (const origin of ["https://evil.test", "null", gateway.origin.replace("http:", "https:")]) {
        expect(await status("GET", "/admin/x", { ...cookie(), ...stream, origin })).toBe(403)
      }
    })
    test("is given to our own pages, to those a route lists, and to a bearer", async () => {
      expect(await status("GET", "/admin/x", { ...cookie(), ...stream })).toBe(200)
      expect(await status("GET", "/admin/x", { ...cookie(), ...stream, origin: gateway.origin })).toBe(200)
      expect(await status("GET", "/shared/x", { ...cookie(), ...stream, origin: friend })).toBe(200)
      expect(await status("GET", "/admin/x", { ...bearer(), ...stream, origin: "https://evil.test" })).toBe(200)
    })
  })

  describe(`R9: a request of ${who}`, () => {
    for (const method of changing) {
      test(`${method} by cookie is ${ours ? "let through" : "403"}`, async () => {
        const before = echo.count()
        expect(await status(method, "/admin/x", { ...cookie(), ...headers() })).toBe(ours ? 200 : 403)
        expect(echo.count() - before).toBe(ours ? 1 : 0)
      })
      test(`${method} by token is let through`, async () => {
        expect(await status(method, "/admin/x", { ...bearer(), ...headers() })).toBe(200)
      })
      test(`${method} by cookie on the gateway's own routes is ${ours ? "no" : "a"} 403`, async () => {
        const answered = await status(method, "/auth/sessions/018f0000-0000-7000-8000-000000000000", {
          ...cookie(),
          ...headers()
        })
        if (method === "DELETE") expect(answered).toBe(ours ? 404 : 403)
        else expect(answered).toBe(405)
      })
    }
    test("reading by cookie is let through, but its answer is not for a foreign page to see", async () => {
      for (const method of reading) {
        const answer = await gateway.ask("/admin/x", { method, headers: { ...cookie(), ...headers() } })
        expect(answer.status).toBe(200)
        expect(answer.headers.get("access-control-allow-origin")).toBeNull()
      }
    })
    test(`a WebSocket is ${ours ? "not refused for it" : "403"}`, async () => {
      for (const credential of [cookie(), bearer(), {}]) {
        const lines = Object.entries({ ...credential, ...headers() }).map(([name, value]) => `${name}: ${value}`)
        const answer = await exchange(
          gateway.port,
          [
            "GET /admin/ws HTTP/1.1",
            `Host: ${new URL(gateway.origin).host}`,
            ...lines,
            "Upgrade: websocket",
            "Connection: Upgrade, close",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "",
            ""
          ].join("\r\n")
        )
        if (ours) expect(answer.status).not.toBe(403)
        else expect(answer.status).toBe(403)
      }
    })
  })
}

test("a token beside a cookie is what counts", async () => {
  expect(await status("POST", "/admin/x", { ...cookie(), ...bearer(), origin: "https://evil.test" })).toBe(200)
  expect(
    await status("POST", "/admin/x", { ...cookie(), authorization: "Bearer nonsense", origin: "https://evil.test" })
  ).toBe(401)
})
