/** R8 and R13, sentence by sentence: what a session cookie is, how long it lives, and how it ends. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import {
  fakeEnv,
  type FakeProvider,
  fakeSettings,
  logIn,
  makeBrowser,
  startFakeProvider
} from "#test/gateway/loginFixture.ts"
import { tokenHash } from "#shared/jws.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

let fake: FakeProvider
let echo: EchoUpstream
let gateway: GatewayFixture
let person: Person

const settings = () => ({
  providers: [provider, fakeSettings(fake)],
  routes: [{ id: "echo", path: "/echo", upstream: echo.url, service: "monitor", rules: [{ action: "read" }] }]
})
beforeAll(async () => {
  fake = startFakeProvider()
  echo = startEcho()
  gateway = await startGateway({ env: fakeEnv, settings: settings() })
  await until("discovery", async () => (await makeBrowser(gateway).get("/auth/login?provider=fake")).status === 302)
  person = await gateway.person()
})
afterAll(async () => {
  await gateway?.stop()
  await fake?.stop()
  await echo?.stop()
})

const rowOf = async (id: string) => (await gateway.database.query(`SELECT * FROM sessions WHERE id = '${id}'`))[0]
const me = (cookie: string, on = gateway) => on.ask("/auth/me", { headers: { cookie } })
const change = (method: string, path: string, cookie: string, headers: Record<string, string> = {}) =>
  gateway.ask(path, { method, headers: { cookie, origin: gateway.origin, ...headers } })
const gone = "__Host-gatehouse=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"

describe("R8: the session cookie", () => {
  test("is 256 random bits under __Host-gatehouse: HttpOnly, Secure, Lax, Path=/ and no Domain", async () => {
    const answers = await Promise.all([1, 2].map(() => logIn(makeBrowser(gateway), fake, "cookie")))
    const cookies = answers.map((answer) =>
      answer.headers.getSetCookie().find((one) => one.startsWith("__Host-gatehouse="))!
    )
    for (const cookie of cookies) {
      const [pair = "", ...attributes] = cookie.split("; ")
      expect(Buffer.from(pair.split("=")[1]!, "base64url")).toHaveLength(32)
      expect(attributes).toEqual(["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=604800"])
    }
    expect(cookies[0]).not.toBe(cookies[1])
  })

  test("is in the DB as a SHA-256 only, with user, times, provider session, agent and address", async () => {
    const browser = makeBrowser(gateway)
    const authTime = Math.floor(Date.now() / 1000) - 100
    await logIn(browser, fake, "stored", { claims: { sid: "idp-session-1", auth_time: authTime } })
    const secret = browser.session()!
    const rows = await gateway.database.query(
      "SELECT s.* FROM sessions s JOIN users u ON u.id = user_id WHERE subject = 'stored'"
    )
    expect(rows).toHaveLength(1)
    expect(rows[0]).toMatchObject({
      kind: "browser",
      secret_hash: tokenHash(secret),
      provider: "fake",
      idp_sid: "idp-session-1",
      auth_time: new Date(authTime * 1000),
      ip: "127.0.0.1"
    })
    expect(rows[0]!["user_agent"]).toStartWith("Bun/")
    const dump = JSON.stringify(await gateway.database.query("SELECT * FROM sessions"))
    expect(dump).not.toContain(secret)
  })

  test("no table of the DB holds the secret, or any token of the provider", async () => {
    const browser = makeBrowser(gateway)
    let idToken = ""
    await logIn(browser, fake, "dumped", {
      idToken: (good, key) =>
        (idToken = `${Buffer.from(JSON.stringify({ kid: key.kid })).toString("base64url")}.x.${good["nonce"]}`)
    })
    await logIn(browser, fake, "dumped")
    const tables = await gateway.database.query(
      "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    expect(tables.length).toBeGreaterThan(8)
    for (const { name } of tables) {
      const text = JSON.stringify(await gateway.database.query(`SELECT t::text FROM "${name}" t`))
      expect(text).not.toContain(browser.session()!)
      expect(text).not.toContain(idToken.split(".")[2]!)
    }
  })

  const cookies: ReadonlyArray<readonly [string, () => string]> = [
    ["unknown", () => `__Host-gatehouse=${randomBytes(32).toString("base64url")}`],
    ["garbage", () => "__Host-gatehouse=%00%ff; other=1"],
    ["empty", () => "__Host-gatehouse="],
    ["too long", () => `__Host-gatehouse=${"A".repeat(4000)}`],
    ["in SQL", () => "__Host-gatehouse=' OR 1=1 --"],
    ["duplicate: the good one twice", () => `${person.cookie}; ${person.cookie}`],
    ["duplicate: another before the good one", () => `__Host-gatehouse=${"A".repeat(43)}; ${person.cookie}`],
    ["with another's case", () => person.cookie.replace("__Host-gatehouse", "__host-Gatehouse")]
  ]
  for (const [name, cookie] of cookies) {
    test(`${name}: anonymous, and deleted, on routes and on own paths`, async () => {
      for (const path of ["/echo", "/auth/me", "/auth/users"]) {
        const before = echo.count()
        const answer = await gateway.ask(path, { headers: { cookie: cookie() } })
        expect(answer.status).toBe(401)
        expect(answer.headers.get("www-authenticate")).toStartWith("Bearer")
        expect(echo.count()).toBe(before)
        // A cookie of another name is not ours to delete.
        expect(answer.headers.getSetCookie()).toEqual(name.startsWith("with another") ? [] : [gone])
      }
    })
  }

  test("that is dead, on a navigation: to the login, and deleted", async () => {
    for (const path of ["/echo", "/auth/me"]) {
      const answer = await gateway.ask(path, {
        headers: { cookie: `__Host-gatehouse=${"A".repeat(43)}`, accept: "text/html" }
      })
      expect([answer.status, answer.headers.get("location")]).toEqual([
        302,
        `/auth/login?return_to=${encodeURIComponent(path)}`
      ])
      expect(answer.headers.getSetCookie()).toContain(gone)
    }
  })
})

describe("R8: a session's limits", () => {
  const limited = async (env: Record<string, string>, body: (own: GatewayFixture) => Promise<void>) => {
    const own = await startGateway({ env: { ...fakeEnv, ...env }, settings: settings() })
    try {
      await body(own)
    } finally {
      await own.stop()
    }
  }
  const planted = async (own: GatewayFixture, times: string) => {
    const secret = randomBytes(32).toString("base64url")
    await own.database.query(`
      WITH someone AS (INSERT INTO users (provider, issuer, subject, name) VALUES ('fake', 'x', '${secret}', 'x') RETURNING id)
      INSERT INTO sessions (kind, label, secret_hash, user_id, provider, auth_time, last_seen_at, expires_at)
      SELECT 'browser', 'test', '${tokenHash(secret)}', id, 'fake', now(), ${times} FROM someone`)
    return `__Host-gatehouse=${secret}`
  }

  test("unused for longer than the idle limit it has ended, a moment less and it has not", () =>
    limited({ GATEWAY_SESSION_IDLE: "30 minutes" }, async (own) => {
      const alive = await planted(own, "now() - interval '29 minutes', now() + interval '1 day'")
      const dead = await planted(own, "now() - interval '31 minutes', now() + interval '1 day'")
      expect((await me(alive, own)).status).toBe(200)
      expect((await me(dead, own)).status).toBe(401)
    }))

  test("use keeps it from being idle", () =>
    limited({ GATEWAY_SESSION_IDLE: "30 minutes" }, async (own) => {
      const cookie = await planted(own, "now() - interval '29 minutes', now() + interval '1 day'")
      expect((await me(cookie, own)).status).toBe(200)
      await until("its use is noted", async () => {
        const rows = await own.database.query("SELECT 1 FROM sessions WHERE last_seen_at > now() - interval '1 minute'")
        return rows.length === 1
      })
    }))

  test("past the absolute limit it has ended, however much it is used", () =>
    limited({ GATEWAY_SESSION_ABSOLUTE: "1 second" }, async (own) => {
      const browser = makeBrowser(own)
      await until("discovery", async () => (await browser.get("/auth/login?provider=fake")).status === 302)
      const answer = await logIn(browser, fake, "short")
      expect(answer.headers.getSetCookie().some((one) => one.includes("; Max-Age=1"))).toBe(true)
      const cookie = `__Host-gatehouse=${browser.session()}`
      expect((await me(cookie, own)).status).toBe(200)
      await until("the session ends", async () => (await me(cookie, own)).status === 401, 3)
    }))

  test("neither limit is 0 or longer than a cookie may live: the start is refused", async () => {
    for (const [key, value] of [
      ["GATEWAY_SESSION_IDLE", "0 seconds"],
      ["GATEWAY_SESSION_ABSOLUTE", "0 seconds"],
      ["GATEWAY_SESSION_ABSOLUTE", "Infinity"],
      ["GATEWAY_SESSION_IDLE", "-1 seconds"]
    ] as const) {
      const failed = await startGateway({ env: { ...fakeEnv, [key]: value }, settings: settings() }).then(
        () => undefined,
        (error: Error) => error
      )
      expect(failed?.message).toContain(key)
    }
  })
})

describe("R8: GET /auth/sessions", () => {
  test("lists one's own, marks the current, and shows no secret", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    await gateway.database.query(
      `INSERT INTO sessions (kind, label, secret_hash, user_id, provider, auth_time, expires_at, user_agent)
       VALUES ('browser', 'other', 'h1', '${mine.userId}', 'hub', now(), now() + interval '1 day', 'Agent <b>'),
              ('browser', 'dead', 'h2', '${mine.userId}', 'hub', now(), now() - interval '1 second', 'x')`
    )
    const answer = await gateway.ask("/auth/sessions", { headers: { cookie: mine.cookie } })
    expect(answer.headers.get("cache-control")).toBe("no-store")
    const text = await answer.text()
    const { items } = JSON.parse(text) as { items: ReadonlyArray<{ id: string; current: boolean; label: string }> }
    expect(items.map(({ current, label }) => [label, current])).toEqual([
      ["other", false],
      ["test", true]
    ])
    expect(text).not.toContain("h1")
    expect(text).not.toContain(mine.cookie.split("=")[1]!)
  })

  test("is paged by limit and cursor; a foreign cursor is 400, a bad limit 422", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    for (let n = 0; n < 4; n++) {
      await gateway.database.query(
        `INSERT INTO sessions (kind, label, secret_hash, user_id, provider, auth_time, expires_at)
         VALUES ('browser', 'n${n}', '${mine.userId}${n}', '${mine.userId}', 'hub', now(), now() + interval '1 day')`
      )
    }
    const page = async (query: string) => {
      const answer = await gateway.ask(`/auth/sessions?${query}`, { headers: { cookie: mine.cookie } })
      return (await answer.json()) as { items: ReadonlyArray<{ label: string }>; nextCursor: string | null }
    }
    const seen: Array<string> = []
    let cursor: string | null = ""
    while (cursor !== null) {
      const found: Awaited<ReturnType<typeof page>> = await page(`limit=2${cursor && `&cursor=${cursor}`}`)
      seen.push(...found.items.map((one) => one.label))
      cursor = found.nextCursor
    }
    expect(seen).toEqual(["n3", "n2", "n1", "n0", "test"])
    const status = async (query: string) =>
      (await gateway.ask(`/auth/sessions?${query}`, { headers: { cookie: mine.cookie } })).status
    expect(await status("cursor=abc")).toBe(400)
    for (const bad of ["0", "201", "abc", "1.5", "-1", ""]) expect(await status(`limit=${bad}`)).toBe(422)
    expect(await status("what=1")).toBe(422)
    expect(await status("limit=1&limit=2")).toBe(422)
  })
})

describe("R8: DELETE /auth/sessions/:id", () => {
  test("ends one's own: it is out at once, and the audit tells", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    expect((await me(mine.cookie)).status).toBe(200)
    const answer = await change("DELETE", `/auth/sessions/${mine.sessionId}`, mine.cookie)
    expect(answer.status).toBe(204)
    expect((await me(mine.cookie)).status).toBe(401)
    expect(await rowOf(mine.sessionId)).toBeUndefined()
    const rows = await gateway.database.query(
      `SELECT detail FROM audit WHERE event = 'session.ended' AND session_id = '${mine.sessionId}'`
    )
    expect(rows).toEqual([{ detail: { reason: "ended by its user" } }])
  })
  test("of somebody else's is 404 and changes nothing, for an owner too", async () => {
    const other = await gateway.person([{ role: "viewer" }])
    expect((await change("DELETE", `/auth/sessions/${other.sessionId}`, person.cookie)).status).toBe(404)
    expect((await me(other.cookie)).status).toBe(200)
  })
  test("of one that never was is 404, of no id 422", async () => {
    const nobody = "00000000-0000-7000-8000-000000000000"
    expect((await change("DELETE", `/auth/sessions/${nobody}`, person.cookie)).status).toBe(404)
    expect((await change("DELETE", "/auth/sessions/abc", person.cookie)).status).toBe(422)
  })
  test("from another site's page is 403", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    const path = `/auth/sessions/${mine.sessionId}`
    expect((await change("DELETE", path, mine.cookie, { origin: "https://evil.test" })).status).toBe(403)
    expect((await me(mine.cookie)).status).toBe(200)
  })
  test("a session that ends in the DB is out within five seconds", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    expect((await me(mine.cookie)).status).toBe(200)
    await gateway.database.query(`DELETE FROM sessions WHERE id = '${mine.sessionId}'`)
    await until("it is out", async () => (await me(mine.cookie)).status === 401, 5)
  })
})

describe("R13: logout", () => {
  const logOut = (cookie: string | undefined, headers: Record<string, string> = {}) =>
    gateway.ask("/auth/logout", {
      method: "POST",
      headers: { origin: gateway.origin, ...(cookie === undefined ? {} : { cookie }), ...headers }
    })
  test("GET shows a form and ends nothing", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    const answer = await gateway.ask("/auth/logout", { headers: { cookie: mine.cookie, accept: "text/html" } })
    expect(answer.status).toBe(200)
    expect(await answer.text()).toContain('<form method="post" action="/auth/logout">')
    expect((await me(mine.cookie)).status).toBe(200)
  })
  test("POST deletes the row, clears the cookie with the attributes it was set with, and empties the cache", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    const answer = await logOut(mine.cookie)
    expect(answer.status).toBe(204)
    expect(answer.headers.getSetCookie()).toContain(gone)
    expect(answer.headers.get("clear-site-data")).toBe('"cache"')
    expect(answer.headers.get("cache-control")).toBe("no-store")
    expect(await rowOf(mine.sessionId)).toBeUndefined()
    expect((await me(mine.cookie)).status).toBe(401)
  })
  test("a person's browser is led to the login page", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    const answer = await logOut(mine.cookie, { accept: "text/html" })
    expect([answer.status, answer.headers.get("location")]).toEqual([303, "/auth/login"])
    expect(answer.headers.getSetCookie()).toContain(gone)
  })
  test("needs one of our own pages, with and without a session", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    for (const cookie of [mine.cookie, undefined]) {
      for (const headers of [{ origin: "https://evil.test" }, { origin: "null" }]) {
        const answer = await logOut(cookie, headers)
        expect(answer.status).toBe(403)
        expect(answer.headers.getSetCookie()).toEqual([])
      }
    }
    const bare = await gateway.ask("/auth/logout", { method: "POST", headers: { cookie: mine.cookie } })
    expect(bare.status).toBe(403)
    expect((await me(mine.cookie)).status).toBe(200)
  })
  test("twice is as once: a dead session's cookie still goes", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    expect((await logOut(mine.cookie)).status).toBe(204)
    const again = await logOut(mine.cookie)
    expect(again.status).toBe(204)
    expect(again.headers.getSetCookie()).toContain(gone)
  })
  test("by a token ends the token's session; by a confined one it is 403, by a dead one 401", async () => {
    const mine = await gateway.person([{ role: "viewer" }])
    const confined = await gateway.token(mine, "monitor:read")
    const whole = await gateway.token(mine)
    const by = (token: string) =>
      gateway.ask("/auth/logout", { method: "POST", headers: { authorization: `Bearer ${token}` } })
    expect((await by(confined)).status).toBe(403)
    expect((await me(mine.cookie)).status).toBe(200)
    expect((await by(whole)).status).toBe(204)
    expect((await me(mine.cookie)).status).toBe(401)
    expect((await by(whole)).status).toBe(401)
  })
})
