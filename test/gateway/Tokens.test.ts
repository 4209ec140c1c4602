/** R10 and R15 at the token endpoint: what an access token says, how a refresh token changes hands, and how requests are refused. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { decodeJwt, decodeProtectedHeader } from "jose"
import { exchangeGrantType, sessionGrantType, type TokenResponse } from "#shared/api/auth.ts"
import { tokenHash } from "#shared/jws.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

let gateway: GatewayFixture
let person: Person
beforeAll(async () => {
  gateway = await startGateway({ settings: { providers: [provider], routes: [] } })
  person = await gateway.person([{ role: "viewer" }])
})
afterAll(() => gateway?.stop())

type Form = Readonly<Record<string, string>> | string
const post = (path: string, form: Form, headers: Record<string, string> = {}) =>
  gateway.ask(path, { method: "POST", body: new URLSearchParams(form), headers })
const own = (form: Record<string, string>, by: Person = person, headers: Record<string, string> = {}) =>
  post(
    "/auth/token",
    { grant_type: sessionGrantType, ...form },
    { cookie: by.cookie, origin: gateway.origin, ...headers }
  )
const tokens = async (answer: Response | Promise<Response>) => (await (await answer).json()) as TokenResponse
const refresh = (token: string) => post("/auth/token", { grant_type: "refresh_token", refresh_token: token })
const offline = async (by: Person = person, scope = "offline_access") =>
  (await tokens(own({ scope }, by))).refresh_token!
const me = async (token: string) => {
  const answer = await gateway.ask("/auth/me", { headers: { authorization: `Bearer ${token}` } })
  return answer.status
}
/** RFC 6749 §5.2: the error code, in a body that is a problem too and no cache keeps. */
const oauthError = async (asked: Response | Promise<Response>) => {
  const answer = await asked
  expect(answer.headers.get("cache-control")).toBe("no-store")
  expect(answer.headers.get("content-type")).toStartWith("application/json")
  const body = (await answer.json()) as Record<string, unknown>
  expect(body).toMatchObject({ status: answer.status, code: body["error"], error_description: expect.any(String) })
  expect(body["instance"]).toMatch(/^[0-9a-f-]{36}$/u)
  return [answer.status, body["error"]]
}
const audit = (event: string) =>
  gateway.database.query(`SELECT subject, session_id, ip, request_id FROM audit WHERE event = '${event}' ORDER BY id`)
const familyOf = async (token: string) => {
  const rows = await gateway.database.query(
    `SELECT session_id AS id FROM refresh_tokens WHERE hash = '${tokenHash(token)}'`
  )
  return rows[0]?.["id"] as string | undefined
}
const useWasSecondsAgo = (token: string, seconds: number) =>
  gateway.database.query(
    `UPDATE refresh_tokens SET used_at = now() - interval '${seconds} seconds' WHERE hash = '${tokenHash(token)}'`
  )

describe("R10: an access token", () => {
  test("has the header and the claims of the specification, for ten minutes at most", async () => {
    const answer = await own({ scope: "monitor:read admin:undo" })
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"])
    const body = await tokens(answer)
    const { access_token: token, ...rest } = body
    expect(rest).toEqual({ token_type: "Bearer", expires_in: 600, scope: "admin:undo monitor:read", env: "test" })
    const header = decodeProtectedHeader(token)
    expect(header).toEqual({ alg: "ES256", typ: "at+jwt", kid: expect.any(String) })
    const claims = decodeJwt(token)
    const now = Math.floor(Date.now() / 1000)
    expect(claims).toEqual({
      iss: gateway.origin,
      sub: person.userId,
      aud: "gateway.test",
      client_id: "gatehouse",
      iat: expect.any(Number),
      exp: claims.iat! + 600,
      jti: expect.any(String),
      scope: "admin:undo monitor:read",
      env: "test",
      sid: person.sessionId,
      auth_time: expect.any(Number)
    })
    expect(Math.abs(claims.iat! - now)).toBeLessThan(5)
  })
  test("without a scope may do what its user may; with one no more than that, and never more than the user", async () => {
    const owner = await gateway.person()
    const users = async (token: string) =>
      (await gateway.ask("/auth/users", { headers: { authorization: `Bearer ${token}` } })).status
    expect(await users(await gateway.token(owner))).toBe(200)
    for (const scope of ["auth:read", "auth:*", "*:read", "*:*"]) {
      expect([scope, await users(await gateway.token(owner, scope))]).toEqual([scope, 200])
    }
    for (const scope of ["monitor:read", "auth:write", "*:write", "dashboard:*"]) {
      expect([scope, await users(await gateway.token(owner, scope))]).toEqual([scope, 403])
    }
    expect(await users(await gateway.token(person, "*:*"))).toBe(403)
  })
  test("that is confined may not manage sessions", async () => {
    const confined = await gateway.token(person, "monitor:read")
    for (const [method, path] of [
      ["GET", "/auth/sessions"],
      ["DELETE", `/auth/sessions/${person.sessionId}`]
    ] as const) {
      const answer = await gateway.ask(path, { method, headers: { authorization: `Bearer ${confined}` } })
      expect(answer.status).toBe(403)
    }
  })
  test("of a session that ended is 401 within five seconds, by logout and in the DB", async () => {
    for (const end of [
      (by: Person) =>
        gateway.ask("/auth/logout", { method: "POST", headers: { cookie: by.cookie, origin: gateway.origin } }),
      (by: Person) => gateway.database.query(`DELETE FROM sessions WHERE id = '${by.sessionId}'`)
    ]) {
      const somebody = await gateway.person([{ role: "viewer" }])
      const token = await gateway.token(somebody)
      expect(await me(token)).toBe(200)
      await end(somebody)
      await until("the token is refused", async () => (await me(token)) === 401, 5)
    }
  })
  test("is given to a session from our own pages only, never to another token", async () => {
    expect((await own({}, person, { origin: "https://evil.test" })).status).toBe(403)
    expect((await post("/auth/token", { grant_type: sessionGrantType })).status).toBe(401)
    const token = await gateway.token(person)
    const answer = await post("/auth/token", { grant_type: sessionGrantType }, { authorization: `Bearer ${token}` })
    expect(await oauthError(answer)).toEqual([401, "invalid_client"])
  })
  test("a dead session's cookie is taken away here too", async () => {
    const answer = await own({}, { ...person, cookie: `__Host-gatehouse=${"A".repeat(43)}` })
    expect(answer.status).toBe(401)
    expect(answer.headers.getSetCookie()).toEqual([
      "__Host-gatehouse=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
    ])
  })
})

describe("R15: a refresh token", () => {
  test("comes with offline_access only, opens a session of its own, and is stored as a hash", async () => {
    expect((await tokens(own({ scope: "monitor:read" }))).refresh_token).toBeUndefined()
    const answer = await tokens(own({ scope: "monitor:read offline_access", label: "my laptop" }))
    expect(answer.refresh_token).toMatch(/^gtr_[A-Za-z0-9_-]{43}$/u)
    expect(answer.scope).toBe("monitor:read")
    const sid = decodeJwt(answer.access_token)["sid"] as string
    expect(sid).not.toBe(person.sessionId)
    const rows = await gateway.database.query(`SELECT kind, label, user_id FROM sessions WHERE id = '${sid}'`)
    expect(rows).toEqual([{ kind: "token", label: "my laptop", user_id: person.userId }])
    const dump = JSON.stringify(await gateway.database.query("SELECT t::text FROM refresh_tokens t"))
    expect(dump).not.toContain(answer.refresh_token!.slice(4))
  })
  test("is rotated at each use; scope, session and time of login stay", async () => {
    const first = await tokens(own({ scope: "monitor:read offline_access" }))
    let token = first.refresh_token!
    const seen = new Set([token])
    for (let n = 0; n < 3; n++) {
      const next = await tokens(refresh(token))
      token = next.refresh_token!
      expect(seen.has(token)).toBe(false)
      seen.add(token)
      expect(next.scope).toBe("monitor:read")
      const [old, now] = [decodeJwt(first.access_token), decodeJwt(next.access_token)]
      expect([now["sid"], now["auth_time"], now.sub]).toEqual([old["sid"], old["auth_time"], old.sub])
      expect(now.jti).not.toBe(old.jti)
      expect(await me(next.access_token)).toBe(200)
    }
  })
  test("works on after its browser session has ended", async () => {
    const somebody = await gateway.person([{ role: "viewer" }])
    const token = await offline(somebody)
    await gateway.database.query(`DELETE FROM sessions WHERE id = '${somebody.sessionId}'`)
    expect((await refresh(token)).status).toBe(200)
  })
  test("used again within ten seconds gives the same successor", async () => {
    const token = await offline()
    const next = (await tokens(refresh(token))).refresh_token
    expect((await tokens(refresh(token))).refresh_token).toBe(next!)
    await useWasSecondsAgo(token, 9)
    expect((await tokens(refresh(token))).refresh_token).toBe(next!)
    expect((await refresh(next!)).status).toBe(200)
  })
  test("used again later ends the whole family, with an audit row", async () => {
    const token = await offline()
    const family = await familyOf(token)
    const latest = await tokens(refresh(token))
    await useWasSecondsAgo(token, 11)
    expect(await oauthError(refresh(token))).toEqual([400, "invalid_grant"])
    expect(await oauthError(refresh(latest.refresh_token!))).toEqual([400, "invalid_grant"])
    await until("its access token is refused", async () => (await me(latest.access_token)) === 401, 5)
    expect((await audit("refresh.reused")).at(-1)).toMatchObject({
      subject: person.userId,
      session_id: family,
      ip: "127.0.0.1",
      request_id: expect.any(String)
    })
    expect((await gateway.ask("/auth/me", { headers: { cookie: person.cookie } })).status).toBe(200)
  })
  for (const count of [2, 5, 20]) {
    test(`used ${count} times at once is rotated once, and every answer is good`, async () => {
      const token = await offline()
      const answers = await Promise.all(Array.from({ length: count }, () => refresh(token)))
      expect(answers.map((answer) => answer.status)).toEqual(Array.from({ length: count }, () => 200))
      const bodies = await Promise.all(answers.map((answer) => tokens(answer)))
      expect(new Set(bodies.map((body) => body.refresh_token)).size).toBe(1)
      const family = await familyOf(token)
      const rows = await gateway.database.query(`SELECT used_at FROM refresh_tokens WHERE session_id = '${family}'`)
      expect(rows).toHaveLength(2)
      expect(rows.filter((row) => row["used_at"] === null)).toHaveLength(1)
      expect(await Promise.all(bodies.map((body) => me(body.access_token)))).toEqual(bodies.map(() => 200))
      expect((await refresh(bodies[0]!.refresh_token!)).status).toBe(200)
    })
  }
  test("of a disabled user, of an ended or idle family is not valid", async () => {
    const somebody = await gateway.person([{ role: "viewer" }])
    for (const end of [
      (id: string) => gateway.database.query(`DELETE FROM sessions WHERE id = '${id}'`),
      (id: string) => gateway.database.query(`UPDATE sessions SET expires_at = now() WHERE id = '${id}'`),
      (id: string) =>
        gateway.database.query(`UPDATE sessions SET last_seen_at = now() - interval '1 year' WHERE id = '${id}'`)
    ]) {
      const token = await offline(somebody)
      await end((await familyOf(token))!)
      expect(await oauthError(refresh(token))).toEqual([400, "invalid_grant"])
    }
    const token = await offline(somebody)
    const owner = await gateway.person()
    await gateway.ask(`/auth/users/${somebody.userId}`, {
      method: "PATCH",
      headers: { cookie: owner.cookie, origin: gateway.origin, "content-type": "application/json" },
      body: '{"disabled":true}'
    })
    expect(await oauthError(refresh(token))).toEqual([400, "invalid_grant"])
  })
  test("that is malformed, unknown or of another kind is invalid_grant", async () => {
    const access = await gateway.token(person)
    for (const bad of [
      "x",
      "gtr_",
      `gtr_${"A".repeat(43)}`,
      `gtr_${"A".repeat(44)}`,
      access,
      "gtr_' OR 1=1 --",
      "\u0000"
    ]) {
      expect(await oauthError(refresh(bad))).toEqual([400, "invalid_grant"])
    }
  })
  test("is no session cookie and no bearer token", async () => {
    const token = await offline()
    expect(await me(token)).toBe(401)
    const answer = await gateway.ask("/auth/me", { headers: { cookie: `__Host-gatehouse=${token.slice(4)}` } })
    expect(answer.status).toBe(401)
  })
})

describe("RFC 7009: revocation", () => {
  const revoke = (form: Form) => post("/auth/revoke", form)
  test("ends the family, by its present and by its used token, with an audit row", async () => {
    for (const used of [false, true]) {
      const token = await offline()
      const family = await familyOf(token)
      const next = await tokens(refresh(token))
      expect((await revoke({ token: used ? token : next.refresh_token! })).status).toBe(200)
      expect(await oauthError(refresh(next.refresh_token!))).toEqual([400, "invalid_grant"])
      await until("its access token is refused", async () => (await me(next.access_token)) === 401, 5)
      expect((await audit("token.revoked")).at(-1)).toMatchObject({ subject: person.userId, session_id: family })
    }
  })
  test("of what is unknown is no error; of nothing it is", async () => {
    expect((await revoke({ token: "unknown" })).status).toBe(200)
    expect(await oauthError(revoke({}))).toEqual([400, "invalid_request"])
    expect(await oauthError(revoke({ token: "" }))).toEqual([400, "invalid_request"])
  })
})

describe("RFC 6749: the form", () => {
  const send = (path: string, body: string | Blob, type: string | undefined) =>
    gateway.ask(path, { method: "POST", body, headers: type === undefined ? {} : { "content-type": type } })
  const form = "application/x-www-form-urlencoded"
  for (const path of ["/auth/token", "/auth/revoke"]) {
    test(`${path}: a parameter that occurs twice, another content type, no body: invalid_request`, async () => {
      for (const [body, type] of [
        ["grant_type=refresh_token&grant_type=refresh_token&token=x", form],
        ["grant_type=refresh_token&token=a&token=b", form],
        ['{"grant_type":"refresh_token","token":"x"}', "application/json"],
        ["grant_type=refresh_token", "text/plain"],
        ["", form],
        ["\u00ff", "multipart/form-data; boundary=x"]
      ] as const) {
        expect([body, ...(await oauthError(send(path, body, type)))]).toEqual([body, 400, "invalid_request"])
      }
      expect(await oauthError(send(path, new Blob([new Uint8Array([0xff, 0xfe])]), form))).toEqual([
        400,
        "invalid_request"
      ])
    })
    test(`${path}: a form that is too large is 413, whether or not it says so`, async () => {
      const large = `token=${"x".repeat(20_000)}`
      expect(await oauthError(send(path, large, form))).toEqual([413, "invalid_request"])
      const stream = new Blob([large]).stream()
      const headers = { "content-type": form }
      const answer = gateway.ask(path, { method: "POST", body: stream, headers, duplex: "half" } as RequestInit)
      expect(await oauthError(answer)).toEqual([413, "invalid_request"])
    })
  }
  test("with a charset is read; an unknown grant is unsupported; an empty or missing one invalid", async () => {
    expect(await oauthError(send("/auth/token", "grant_type=password&username=a", `${form}; charset=utf-8`))).toEqual([
      400,
      "unsupported_grant_type"
    ])
    expect(await oauthError(post("/auth/token", { grant_type: "" }))).toEqual([400, "invalid_request"])
    expect(await oauthError(post("/auth/token", { refresh_token: "x" }))).toEqual([400, "invalid_request"])
    expect(await oauthError(post("/auth/token", { grant_type: "refresh_token" }))).toEqual([400, "invalid_request"])
    expect(await oauthError(refresh(""))).toEqual([400, "invalid_request"])
  })
  test("with a scope or label of no known form is refused, and nothing of it repeated", async () => {
    for (const scope of [
      "everything",
      "a:b:c",
      "MONITOR:read",
      "monitor:",
      ":read",
      "monitor:read\tx",
      "x".repeat(5000)
    ]) {
      const answer = await own({ scope })
      expect(await oauthError(answer.clone())).toEqual([400, "invalid_scope"])
      expect(await answer.text()).not.toContain(scope)
    }
    for (const label of ["x".repeat(101), "a\nb", "a\u0000b"]) {
      expect(await oauthError(own({ scope: "offline_access", label }))).toEqual([400, "invalid_request"])
    }
  })
  test("a token in the URL is refused before it is looked at", async () => {
    const token = await gateway.token(person)
    for (const name of ["access_token", "refresh_token", "id_token"]) {
      expect((await gateway.ask(`/auth/me?${name}=${token}`)).status).toBe(400)
    }
  })
})

test("RFC 8414: the metadata names the issuer and where things are", async () => {
  const answer = await gateway.ask("/.well-known/oauth-authorization-server")
  const found = (await answer.json()) as Record<string, unknown>
  expect(found).toMatchObject({
    issuer: gateway.origin,
    token_endpoint: `${gateway.origin}/auth/token`,
    revocation_endpoint: `${gateway.origin}/auth/revoke`,
    jwks_uri: `${gateway.origin}/.well-known/jwks.json`,
    grant_types_supported: ["refresh_token", sessionGrantType, exchangeGrantType]
  })
})
