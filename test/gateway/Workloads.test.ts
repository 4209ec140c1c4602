/** R14: a workload exchanges its own identity for an access token with exactly its rights; every other token is refused and leaves nothing behind but a row in the audit. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { createHmac } from "node:crypto"
import { decodeJwt } from "jose"
import { accessTokenType, jwtTokenType, type TokenResponse } from "#shared/api/auth.ts"
import { type Echo, type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { signed } from "#test/gateway/loginFixture.ts"
import {
  assertion,
  assertionClaims,
  exchange,
  type Folder,
  type KeyFile,
  makeFolder
} from "#test/gateway/workloadFixture.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

let echo: EchoUpstream
let gateway: GatewayFixture
let owner: Person
let folder: Folder
let watchman: KeyFile
let foreign: KeyFile

const route = (service: string, more: object = {}) => ({
  id: service,
  path: `/${service}`,
  upstream: echo.url,
  service,
  rules: [
    { path: `/${service}/proposals`, methods: ["POST"], action: "propose" },
    { methods: ["GET"], action: "read" },
    { action: "write" }
  ],
  ...more
})
const workload = (id: string, key: KeyFile, more: object = {}) => ({
  id,
  role: "watchman",
  identity: { key: { file: key.file } },
  ...more
})
const settings = (...workloads: ReadonlyArray<object>) => ({
  providers: [provider],
  routes: [route("admin"), route("data"), route("elsewhere", { service: "admin", environment: "prod" })],
  workloads
})

beforeAll(async () => {
  echo = startEcho()
  folder = makeFolder()
  watchman = folder.key("watchman")
  foreign = folder.key("foreign")
  gateway = await startGateway({ settings: settings(workload("scheduler", watchman, { label: "The scheduler" })) })
  owner = await gateway.person()
})
afterAll(async () => {
  await gateway?.stop()
  await echo?.stop()
  folder?.remove()
})

const good = (form: Record<string, string> = {}) => exchange(gateway, assertion(gateway, watchman, "scheduler"), form)
const tokenOf = async (answer: Response | Promise<Response>) => {
  const got = await answer
  const body = (await got.json()) as TokenResponse
  expect([got.status, body]).toEqual([200, expect.anything()])
  return body.access_token
}
const by = (token: string, path: string, method = "GET") =>
  gateway.ask(path, { method, headers: { authorization: `Bearer ${token}` } })

describe("an exchange", () => {
  test("answers as RFC 8693 says, with a token of ten minutes and no refresh token", async () => {
    const answer = await good()
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"])
    const { access_token: token, ...rest } = (await answer.json()) as TokenResponse
    expect(rest).toEqual({
      issued_token_type: accessTokenType,
      token_type: "Bearer",
      expires_in: 600,
      scope: "*:*",
      env: "test"
    })
    expect(decodeJwt(token)).toMatchObject({ iss: gateway.origin, aud: "gateway.test", scope: "*:*" })
  })
  test("opens exactly what the workload's role allows", async () => {
    const token = await tokenOf(good())
    for (const [method, path, status] of [
      ["GET", "/admin/workloads", 200],
      ["POST", "/admin/proposals", 200],
      ["POST", "/admin/actions", 403],
      ["GET", "/elsewhere/x", 403],
      ["GET", "/data/x", 403],
      ["GET", "/auth/users", 403]
    ] as const) {
      expect([path, (await by(token, path, method)).status]).toEqual([path, status])
    }
    const told = (await (await by(token, "/admin/workloads")).json()) as Echo
    const claims = decodeJwt(told.headers["x-gatehouse-identity"]!)
    expect(claims).toMatchObject({ aud: "admin.test", name: "The scheduler", roles: ["watchman"], env: "test" })
    expect((claims["scope"] as string).split(" ").sort()).toEqual(["admin:propose", "admin:read"])
  })
})

const auditOf = (event: string) =>
  gateway.database.query(
    `SELECT actor, session_id AS "sessionId", request_id AS "requestId", detail FROM audit WHERE event = '${event}' ORDER BY id`
  )
const count = async (table: string, where = "true") =>
  (await gateway.database.query(`SELECT count(*)::int AS n FROM ${table} WHERE ${where}`))[0]!["n"] as number
const users = (id: string) => count("users", `provider = 'workload' AND subject = '${id}'`)
const workloadSessions = () => count("sessions", "kind = 'workload'")
const oauthError = async (asked: Response | Promise<Response>) => {
  const answer = await asked
  const body = (await answer.json()) as Record<string, unknown>
  expect(body).toMatchObject({ status: answer.status, code: body["error"], error_description: expect.any(String) })
  expect(answer.headers.get("cache-control")).toBe("no-store")
  expect(answer.headers.getSetCookie()).toEqual([])
  return [answer.status, body["error"]]
}
const asOwner = (method: string, path: string, body?: object) =>
  gateway.ask(path, {
    method,
    headers: { cookie: owner.cookie, origin: gateway.origin, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

describe("R14 attack: a subject token is invalid_grant, and leaves no user and no session", () => {
  const claims = (changed: Record<string, unknown>) => () => assertion(gateway, watchman, "scheduler", changed)
  const withHeader = (header: object, key = watchman) => signed(key, assertionClaims(gateway, "scheduler"), header)
  const now = () => Math.floor(Date.now() / 1000)
  const attacks: Readonly<Record<string, () => string>> = {
    "with algorithm none": () =>
      `${part({ alg: "none", typ: "JWT", kid: watchman.kid })}.${part(assertionClaims(gateway, "scheduler"))}.`,
    "with algorithm none and a signature": () =>
      `${part({ alg: "none", typ: "JWT", kid: watchman.kid })}.${part(assertionClaims(gateway, "scheduler"))}.${"A".repeat(86)}`,
    "with HS256 by the public key": () => {
      const input = `${part({ alg: "HS256", typ: "JWT", kid: watchman.kid })}.${part(assertionClaims(gateway, "scheduler"))}`
      return `${input}.${createHmac("sha256", JSON.stringify(watchman.publicJwk)).update(input).digest("base64url")}`
    },
    "of a foreign key": () => assertion(gateway, foreign, "scheduler"),
    "of a foreign key under the right id": () => withHeader({}, { ...foreign, kid: watchman.kid }),
    "that brings its key along": () => withHeader({ jwk: foreign.publicJwk }, { ...foreign, kid: watchman.kid }),
    "that says where its key is": () => withHeader({ jku: echo.url }),
    "with a critical extension": () => withHeader({ crit: ["b64"], b64: false }),
    "without key id": () => withHeader({ kid: undefined }),
    "of the type of our own tokens": () => withHeader({ typ: "at+jwt" }),
    "for another audience": claims({ aud: "https://evil.test" }),
    "for a service behind the gateway": claims({ aud: "admin.test" }),
    "for several audiences": () => assertion(gateway, watchman, "scheduler", { aud: [gateway.origin, "x"] }),
    "without audience": claims({ aud: undefined }),
    "of another issuer": claims({ iss: "https://evil.test" }),
    "without issuer": claims({ iss: undefined }),
    "of another subject": claims({ sub: "other" }),
    "of another workload's name": claims({ iss: "other", sub: "other" }),
    "of a name that no workload has": claims({ iss: "nobody", sub: "nobody" }),
    "of __proto__": claims({ iss: "__proto__", sub: "__proto__" }),
    "that has expired": claims({ iat: now() - 120, exp: now() - 1 }),
    "that never expires": claims({ exp: undefined }),
    "that was never issued": claims({ iat: undefined }),
    "that lives longer than five minutes": claims({ exp: now() + 330 }),
    "from the future": claims({ iat: now() + 100, exp: now() + 160 }),
    "that is not valid yet": claims({ nbf: now() + 100 }),
    "whose end is no number": claims({ exp: "9999999999" }),
    "whose end is no whole number": claims({ exp: now() + 60.5 }),
    "without jti": claims({ jti: undefined }),
    "with an empty jti": claims({ jti: "" }),
    "with an endless jti": claims({ jti: "x".repeat(300) }),
    "with a cut signature": () => assertion(gateway, watchman, "scheduler").slice(0, -2),
    "with something after it": () => `${assertion(gateway, watchman, "scheduler")}.x`,
    "whose claims were changed": () => {
      const [header, , signature] = assertion(gateway, watchman, "scheduler").split(".")
      return `${header}.${part(assertionClaims(gateway, "scheduler"))}.${signature}`
    },
    "of a service account, at a gateway that knows no cluster": () =>
      signed(watchman, {
        ...assertionClaims(gateway, "scheduler"),
        iss: "https://kubernetes.default.svc",
        aud: ["gateway.test"],
        sub: "system:serviceaccount:test:scheduler"
      }),
    "that is none": () => "nonsense",
    "that is enormous": () => `${"x".repeat(100)}.${"x".repeat(15_000)}.${"x".repeat(86)}`
  }
  for (const [what, make] of Object.entries(attacks)) {
    test(what, async () => {
      const before = [await count("users"), await workloadSessions(), await count("used_assertions")]
      const refusals = (await auditOf("workload.refused")).length
      expect(await oauthError(exchange(gateway, make()))).toEqual([400, "invalid_grant"])
      expect([await count("users"), await workloadSessions(), await count("used_assertions")]).toEqual(before)
      expect(await auditOf("workload.refused")).toHaveLength(refusals + 1)
    })
  }
  test("that was used before, here, at another gateway of the environment, or in other words under the same jti", async () => {
    const second = await startGateway({
      settings: settings(workload("scheduler", watchman)),
      database: { ...gateway.database, drop: async () => {} }
    })
    try {
      const once = assertion(gateway, watchman, "scheduler", { aud: "gateway.test" })
      await tokenOf(exchange(gateway, once))
      for (const where of [gateway, second]) {
        expect(await oauthError(exchange(where, once))).toEqual([400, "invalid_grant"])
      }
      const { jti } = decodeJwt(once)
      const again = assertion(gateway, watchman, "scheduler", { jti, aud: `${gateway.origin}/auth/token` })
      expect(await oauthError(exchange(gateway, again))).toEqual([400, "invalid_grant"])
      expect((await auditOf("workload.refused")).at(-1)!["detail"]).toEqual({
        workload: "scheduler",
        reason: "the assertion was used already"
      })
    } finally {
      await second.stop()
    }
  })
  test("that was used before, when twenty of it come at once, but for one", async () => {
    const once = assertion(gateway, watchman, "scheduler")
    const answers = await Promise.all(Array.from({ length: 20 }, () => exchange(gateway, once)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
  })
  test("of a workload that is disabled; its present token is 401 within five seconds", async () => {
    const token = await tokenOf(good())
    const userId = decodeJwt(token).sub!
    expect((await by(token, "/admin/x")).status).toBe(200)
    expect((await asOwner("PATCH", `/auth/users/${userId}`, { disabled: true })).status).toBe(200)
    await until("the token is refused", async () => (await by(token, "/admin/x")).status === 401, 5)
    expect(await oauthError(good())).toEqual([400, "invalid_grant"])
    expect(await workloadSessions()).toBe(0)
    expect((await asOwner("PATCH", `/auth/users/${userId}`, { disabled: false })).status).toBe(200)
    expect((await by(await tokenOf(good()), "/admin/x")).status).toBe(200)
  })
})

describe("a request that is no exchange of ours is refused by the error of RFC 6749 or RFC 8693", () => {
  const cases: Readonly<Record<string, readonly [form: Record<string, string>, error: string]>> = {
    "without subject_token": [{ subject_token: "" }, "invalid_request"],
    "without its type": [{ subject_token_type: "" }, "invalid_request"],
    "with a token of another type": [
      { subject_token_type: "urn:ietf:params:oauth:token-type:saml2" },
      "invalid_request"
    ],
    "for a refresh token": [
      { requested_token_type: "urn:ietf:params:oauth:token-type:refresh_token" },
      "invalid_request"
    ],
    "on behalf of another": [{ actor_token: "x", actor_token_type: jwtTokenType }, "invalid_request"],
    "for another audience": [{ audience: "admin.test" }, "invalid_target"],
    "for another resource": [{ resource: "https://evil.test" }, "invalid_target"],
    "with offline_access": [{ scope: "offline_access" }, "invalid_scope"],
    "with a scope of another form": [{ scope: "admin" }, "invalid_scope"]
  }
  for (const [what, [form, error]] of Object.entries(cases)) {
    test(what, async () => {
      const token = assertion(gateway, watchman, "scheduler")
      expect(await oauthError(exchange(gateway, token, form))).toEqual([400, error])
      // Nothing was looked at: the assertion is still good.
      expect((await exchange(gateway, token)).status).toBe(200)
    })
  }
  test("and one that says what is the case anyway is taken", async () => {
    for (const audience of ["gateway.test", gateway.origin]) {
      const answer = await good({ audience, resource: gateway.origin, requested_token_type: accessTokenType })
      expect(answer.status).toBe(200)
    }
  })
})

describe("a workload", () => {
  test("is one user and one session, however often and at once it comes", async () => {
    await gateway.database.query("DELETE FROM users WHERE provider = 'workload'")
    const answers = await Promise.all(Array.from({ length: 20 }, () => good()))
    const tokens = await Promise.all(answers.map(tokenOf))
    expect([await users("scheduler"), await workloadSessions()]).toEqual([1, 1])
    expect(new Set(tokens.map((token) => decodeJwt(token)["sid"])).size).toBe(1)
    expect(await count("grants", "role = 'watchman'")).toBe(1)
    for (const token of tokens) expect((await by(token, "/admin/x")).status).toBe(200)
  })
  test("goes on with its session, and has a new one when it has run out", async () => {
    const sid = async () => decodeJwt(await tokenOf(good()))["sid"]
    const first = await sid()
    expect(await sid()).toBe(first)
    await gateway.database.query("UPDATE sessions SET expires_at = now() - interval '1 second' WHERE kind = 'workload'")
    const next = await sid()
    expect(next).not.toBe(first)
    expect(await workloadSessions()).toBe(1)
  })
  test("has a session that ends with its token", async () => {
    const token = await tokenOf(good())
    const rows = await gateway.database.query(
      `SELECT extract(epoch FROM expires_at)::int AS ends FROM sessions WHERE id = '${decodeJwt(token)["sid"]}'`
    )
    expect(Math.abs((rows[0]!["ends"] as number) - decodeJwt(token).exp!)).toBeLessThan(5)
  })
  test("sees itself and its session, of a kind of its own", async () => {
    const token = await tokenOf(good())
    const me = (await (await by(token, "/auth/me")).json()) as Record<string, unknown>
    expect(me).toMatchObject({
      user: { provider: "workload", issuer: gateway.origin, subject: "scheduler", name: "The scheduler", email: null },
      roles: ["watchman"],
      session: { kind: "workload" }
    })
    const { items } = (await (await by(token, "/auth/sessions")).json()) as { items: ReadonlyArray<object> }
    expect(items).toMatchObject([{ kind: "workload", label: "scheduler", current: true }])
  })
  test("is confined by the scope it asks for, and never gets more than its role", async () => {
    const answer = await good({ scope: "admin:propose data:write" })
    const token = await tokenOf(answer)
    expect((await by(token, "/admin/proposals", "POST")).status).toBe(200)
    expect((await by(token, "/admin/x")).status).toBe(403)
    expect((await by(token, "/data/x", "POST")).status).toBe(403)
  })
  test("whose grant an owner has removed gets a token that opens nothing, also the next time", async () => {
    const token = await tokenOf(good())
    const rows = await gateway.database.query("SELECT id, user_id AS user FROM grants WHERE role = 'watchman'")
    expect((await asOwner("DELETE", `/auth/grants/${rows[0]!["id"]}`)).status).toBe(204)
    await until("the right is gone", async () => (await by(token, "/admin/x")).status === 403, 5)
    expect((await by(await tokenOf(good()), "/admin/x")).status).toBe(403)
    expect(await count("grants", "role = 'watchman'")).toBe(0)
    const again = { userId: rows[0]!["user"], role: "watchman", environment: "test" }
    expect((await asOwner("POST", "/auth/grants", again)).status).toBe(201)
    await until("the right is back", async () => (await by(token, "/admin/x")).status === 200, 5)
  })
  test("is listed among the users, and every exchange is in the audit with its request", async () => {
    const before = (await auditOf("workload.exchanged")).length
    const token = await tokenOf(good({ scope: "admin:read" }))
    const rows = await auditOf("workload.exchanged")
    expect(rows).toHaveLength(before + 1)
    expect(rows.at(-1)).toEqual({
      actor: decodeJwt(token).sub,
      sessionId: decodeJwt(token)["sid"],
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/u),
      detail: { workload: "scheduler", scope: "admin:read", identity: "key" }
    })
    const { items } = (await (await asOwner("GET", "/auth/users?q=scheduler")).json()) as {
      items: ReadonlyArray<object>
    }
    expect(items).toMatchObject([{ provider: "workload", grants: [{ role: "watchman", environment: "test" }] }])
  })
  test("that comes again with the same name changes nothing that caches depend on", async () => {
    await tokenOf(good())
    const version = () => gateway.database.query("SELECT version::text AS v FROM rights_version")
    const before = await version()
    await tokenOf(good())
    expect(await version()).toEqual(before)
  })
})

describe("the settings file", () => {
  test("takes a workload out, or changes its key, and its sessions end with it; a bad key file leaves the old in force", async () => {
    const stays = folder.key("stays")
    const leaves = folder.key("leaves")
    const rotates = folder.key("rotates")
    const file = { ...rotates }
    const own = await startGateway({
      settings: settings(workload("stays", stays), workload("leaves", leaves), workload("rotates", rotates))
    })
    try {
      const get = (key: KeyFile, id: string) => exchange(own, assertion(own, key, id))
      const works = async (token: string) =>
        (await own.ask("/admin/x", { headers: { authorization: `Bearer ${token}` } })).status === 200
      const tokens = {
        stays: await tokenOf(get(stays, "stays")),
        leaves: await tokenOf(get(leaves, "leaves")),
        rotates: await tokenOf(get(rotates, "rotates"))
      }
      for (const token of Object.values(tokens)) expect(await works(token)).toBe(true)
      const fresh = folder.key("fresh")
      folder.write("rotates.jwk", { keys: [fresh.publicJwk] })
      own.writeSettings(settings(workload("stays", stays), workload("rotates", file)))
      await until("the new key is taken", async () => (await get(fresh, "rotates")).status === 200)
      expect(await oauthError(get(rotates, "rotates"))).toEqual([400, "invalid_grant"])
      expect(await oauthError(get(leaves, "leaves"))).toEqual([400, "invalid_grant"])
      await until("their sessions have ended", async () => !(await works(tokens.leaves)), 5)
      await until("of the old key too", async () => !(await works(tokens.rotates)), 5)
      expect(await works(tokens.stays)).toBe(true)
      // The key file alone, with the settings as they are.
      folder.write("stays.jwk", stays.privateJwk)
      folder.write("rotates.jwk", rotates.publicJwk)
      expect((await get(stays, "stays")).status).toBe(200)
      folder.write("stays.jwk", stays.publicJwk)
      await until("the key is back", async () => (await get(rotates, "rotates")).status === 200)
    } finally {
      await own.stop()
    }
  })
})

test("R23: nothing of a subject token or an access token is in the log or the audit", async () => {
  const log = spyOn(console, "log").mockImplementation(() => {})
  const own = await startGateway({ settings: settings(workload("scheduler", watchman)), env: { LOG_LEVEL: "Debug" } })
  try {
    const planted = "planted-in-a-claim"
    const tokens = [
      assertion(own, watchman, "scheduler"),
      assertion(own, watchman, "scheduler", { aud: planted }),
      assertion(own, watchman, planted),
      assertion(own, foreign, "scheduler", { sub: planted })
    ]
    const answers = await Promise.all(tokens.map((token) => exchange(own, token)))
    expect(answers.map(({ status }) => status)).toEqual([200, 400, 400, 400])
    const { access_token: token } = (await answers[0]!.json()) as TokenResponse
    expect((await exchange(own, tokens[0]!)).status).toBe(400)
    const rows = await own.database.query("SELECT * FROM audit")
    const said = [...log.mock.calls.map(([line]) => String(line)), ...rows.map((row) => JSON.stringify(row))].join("\n")
    expect(said).toContain("workload refused")
    expect(said).toContain("workload.exchanged")
    for (const secret of [...tokens, token].flatMap((one) => one.split("."))) expect(said).not.toContain(secret)
    expect(said).not.toContain(planted)
  } finally {
    log.mockRestore()
    await own.stop()
  }
})
