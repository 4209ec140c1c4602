/** R10 both ways: which bearer tokens the gateway believes, and what the identity token says that a service gets from it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createHmac } from "node:crypto"
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose"
import { identityHeader } from "#shared/auth.ts"
import { type Echo, type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { signed, type SigningKey, signingKey } from "#test/gateway/loginFixture.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

let echo: EchoUpstream
let gateway: GatewayFixture
let owner: Person
let viewer: Person
/** A key that the gateway takes for its own, so that a test can sign with it. */
let ours: SigningKey

beforeAll(async () => {
  echo = startEcho()
  const route = (service: string, more: object = {}) => ({
    id: service,
    path: `/${service}`,
    upstream: echo.url,
    service,
    rules: [{ methods: ["GET", "OPTIONS"], action: "read" }, { action: "write" }],
    ...more
  })
  gateway = await startGateway({
    settings: {
      providers: [provider],
      routes: [
        route("monitor"),
        route("admin", { upstream: `${echo.url}/mounted`, stripPrefix: true }),
        { ...route("dashboard"), path: "/" },
        route("elsewhere", { environment: "prod" }),
        { id: "open", path: "/open", upstream: echo.url, service: "open", public: true }
      ]
    }
  })
  ours = signingKey()
  await gateway.database.query(`INSERT INTO signing_keys (kid, state, public_jwk, sealed_private_jwk, retired_at)
    VALUES ('${ours.kid}', 'previous', '${JSON.stringify(ours.publicJwk)}', 'none', now())`)
  await gateway.database.query("SELECT pg_notify('keys', '')")
  await until("the key is known", async () =>
    (await (await gateway.ask("/.well-known/jwks.json")).text()).includes(ours.kid!)
  )
  owner = await gateway.person()
  viewer = await gateway.person([{ role: "viewer" }])
})
afterAll(async () => {
  await gateway?.stop()
  await echo?.stop()
})

const bearer = (token: string, path = "/monitor/x", method = "GET") =>
  gateway.ask(path, { method, headers: { authorization: `Bearer ${token}` } })
/** The claims of an access token of the owner's session. */
const good = (): Record<string, unknown> => {
  const now = Math.floor(Date.now() / 1000)
  return {
    iss: gateway.origin,
    sub: owner.userId,
    aud: "gateway.test",
    client_id: "gatehouse",
    iat: now,
    exp: now + 600,
    jti: "x",
    scope: "*:*",
    env: "test",
    sid: owner.sessionId,
    auth_time: now
  }
}
const sign = (claims: object, header: object = {}, key = ours) => signed(key, claims, { typ: "at+jwt", ...header })
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

describe("R10: a bearer token is believed", () => {
  test("with everything right", async () => expect((await bearer(sign(good()))).status).toBe(200))
  test("whatever the case of its scheme", async () => {
    const token = await gateway.token(viewer)
    for (const scheme of ["bearer", "BEARER"]) {
      const answer = await gateway.ask("/monitor/x", { headers: { authorization: `${scheme} ${token}` } })
      expect(answer.status).toBe(200)
    }
  })
  test("before a cookie beside it, even if it is no good", async () => {
    const token = await gateway.token(viewer)
    const asked = (authorization: string) =>
      gateway.ask("/admin/x", { method: "POST", headers: { authorization, cookie: owner.cookie } })
    expect((await asked(`Bearer ${token}`)).status).toBe(403)
    expect((await asked("Bearer nonsense")).status).toBe(401)
    expect((await asked("Basic b3duZXI6")).status).toBe(401)
  })
})

describe("R10 attack: a bearer token is 401 invalid_token", () => {
  const claims = (changed: Record<string, unknown>) => () => sign({ ...good(), ...changed })
  const now = () => Math.floor(Date.now() / 1000)
  const foreign = signingKey()
  const attacks: Readonly<Record<string, () => string>> = {
    "with algorithm none": () => `${part({ alg: "none", typ: "at+jwt", kid: ours.kid })}.${part(good())}.`,
    "with algorithm none and a signature": () =>
      `${part({ alg: "none", typ: "at+jwt", kid: ours.kid })}.${part(good())}.${"A".repeat(86)}`,
    "with HS256 by the public key": () => {
      const input = `${part({ alg: "HS256", typ: "at+jwt", kid: ours.kid })}.${part(good())}`
      return `${input}.${createHmac("sha256", JSON.stringify(ours.publicJwk)).update(input).digest("base64url")}`
    },
    "with another algorithm's name": () => sign(good(), { alg: "ES384" }),
    "of a foreign key": () => sign(good(), {}, foreign),
    "of a foreign key under our key's id": () => sign(good(), {}, { ...foreign, kid: ours.kid }),
    "that brings its key along (jwk)": () => sign(good(), { jwk: foreign.publicJwk }, { ...foreign, kid: ours.kid }),
    "that says where its key is (jku)": () => sign(good(), { jku: echo.url }),
    "that says where its certificate is (x5u)": () => sign(good(), { x5u: echo.url }),
    "that brings a certificate (x5c)": () => sign(good(), { x5c: ["x"] }),
    "with a critical extension": () => sign(good(), { crit: ["b64"], b64: false }),
    "without key id": () => sign(good(), { kid: undefined }),
    "of type JWT": () => sign(good(), { typ: "JWT" }),
    "of type logout+jwt": () => sign(good(), { typ: "logout+jwt" }),
    "without type": () => sign(good(), { typ: undefined }),
    "of another issuer": claims({ iss: "https://evil.test" }),
    "without issuer": claims({ iss: undefined }),
    "for another audience": claims({ aud: "monitor.test" }),
    "for several audiences": claims({ aud: ["gateway.test", "monitor.test"] }),
    "for another environment's gateway": claims({ aud: "gateway.prod" }),
    "without audience": claims({ aud: undefined }),
    "of another client": claims({ client_id: "gateway" }),
    "that has expired": claims({ iat: now() - 700, exp: now() - 100 }),
    "that never expires": claims({ exp: undefined }),
    "that lives longer than ours do": claims({ exp: now() + 3600 }),
    "from the future": claims({ iat: now() + 300, exp: now() + 600 }),
    "whose end is no number": claims({ exp: "9999999999" }),
    "without session": claims({ sid: undefined }),
    "of a session that never was": claims({ sid: "00000000-0000-7000-8000-000000000000" }),
    "of no user's id": claims({ sub: "someone" }),
    "of a session that is no id": claims({ sid: "' OR 1=1" }),
    "of another user than its session's": () => sign({ ...good(), sub: viewer.userId }),
    "without scope": claims({ scope: undefined }),
    "whose claims were changed": () => {
      const [header, , signature] = sign(good()).split(".")
      return `${header}.${part({ ...good(), scope: "admin:*" })}.${signature}`
    },
    "with a cut signature": () => sign(good()).slice(0, -2),
    "with something after it": () => `${sign(good())}.x`,
    "with padding": () => `${sign(good())}==`,
    "that is a list": () => signed(ours, [], { typ: "at+jwt" }),
    "that is none": () => "nonsense",
    "that is enormous": () => "x".repeat(8000)
  }
  for (const [what, make] of Object.entries(attacks)) {
    test(what, async () => {
      const before = echo.count()
      const answer = await bearer(make())
      expect(answer.status).toBe(401)
      expect(answer.headers.get("www-authenticate")).toStartWith('Bearer error="invalid_token"')
      expect(answer.headers.getSetCookie()).toEqual([])
      expect((await bearer(make(), "/auth/me")).status).toBe(401)
      expect(echo.count()).toBe(before)
    })
  }
  test("also for a browser that navigates: no redirect for a token", async () => {
    const headers = { authorization: "Bearer nonsense", accept: "text/html", "sec-fetch-mode": "navigate" }
    for (const path of ["/monitor/x", "/auth/me"]) expect((await gateway.ask(path, { headers })).status).toBe(401)
  })
})

describe("R10: scope confines a token to its services", () => {
  test("one for monitor:read reads the monitor and nothing else", async () => {
    const token = await gateway.token(owner, "monitor:read")
    expect((await bearer(token, "/monitor/x")).status).toBe(200)
    for (const [path, method] of [
      ["/monitor/x", "POST"],
      ["/", "GET"],
      ["/admin/x", "GET"],
      ["/auth/users", "GET"],
      ["/auth/roles/x", "DELETE"]
    ] as const) {
      expect([path, (await bearer(token, path, method)).status]).toEqual([path, 403])
    }
  })
})

const echoed = async (path: string, init: RequestInit) => {
  const answer = await gateway.ask(path, init)
  expect(answer.status).toBe(200)
  return (await answer.json()) as Echo
}
const identityAt = async (path: string, by: Person = owner, method = "GET") => {
  const found = await echoed(path, { method, headers: { cookie: by.cookie, origin: gateway.origin } })
  return found.headers[identityHeader]!
}

describe("R10: the identity token that a service gets", () => {
  test("has the header and claims of the specification, is signed by a published key, and lives a minute", async () => {
    const token = await identityAt("/monitor/x?y=1", viewer)
    const keys = createLocalJWKSet((await (await gateway.ask("/.well-known/jwks.json")).json()) as never)
    await jwtVerify(token, keys, { algorithms: ["ES256"], typ: "at+jwt" })
    expect(decodeProtectedHeader(token)).toEqual({ alg: "ES256", typ: "at+jwt", kid: expect.any(String) })
    const claims = decodeJwt(token)
    expect(claims).toEqual({
      iss: gateway.origin,
      sub: viewer.userId,
      aud: "monitor.test",
      client_id: "gateway",
      iat: expect.any(Number),
      exp: claims.iat! + 60,
      jti: expect.any(String),
      scope: "monitor:read",
      roles: ["viewer"],
      env: "test",
      sid: viewer.sessionId,
      auth_time: expect.any(Number),
      name: expect.stringContaining("Person")
    })
  })
  test("names the route's environment and service", async () => {
    const prod = await gateway.person([{ role: "owner", environment: "prod" }])
    expect(decodeJwt(await identityAt("/elsewhere/x", prod))).toMatchObject({
      aud: "elsewhere.prod",
      env: "prod",
      scope: "elsewhere:*"
    })
  })
  test("is reused for reads of the same session and service, and only there", async () => {
    const first = await identityAt("/monitor/x")
    expect(await identityAt("/monitor/y")).toBe(first)
    expect(await identityAt("/monitor/z", owner, "OPTIONS")).toBe(first)
    expect(await identityAt("/admin/x")).not.toBe(first)
    expect(await identityAt("/monitor/x", viewer)).not.toBe(first)
    const claims = decodeJwt(first)
    expect([claims["htm"], claims["htu"]]).toEqual([undefined, undefined])
  })
  test("is made anew when rights or keys change", async () => {
    const somebody = await gateway.person([{ role: "viewer" }])
    const first = await identityAt("/monitor/x", somebody)
    await gateway.database.query(
      `INSERT INTO grants (user_id, role, environment) VALUES ('${somebody.userId}', 'operator', '*')`
    )
    const second = await until("its scope follows", async () => {
      const token = await identityAt("/monitor/x", somebody)
      return token === first ? undefined : token
    })
    expect(decodeJwt(second)["scope"]).toBe("monitor:read monitor:processes")
  })
  test("for a write is its own each time, bound to method and path as the service sees them", async () => {
    const seen = new Set<string>()
    for (const [method, path, htu] of [
      ["POST", "/monitor/x?secret=1", "/monitor/x"],
      ["POST", "/monitor/x?secret=1", "/monitor/x"],
      ["DELETE", "/admin/a%20b", "/mounted/a%20b"],
      ["PUT", "/admin", "/mounted/"],
      ["PATCH", "/", "/"]
    ] as const) {
      const token = await identityAt(path, owner, method)
      expect(decodeJwt(token)).toMatchObject({ htm: method, htu })
      seen.add(token)
    }
    expect(seen.size).toBe(5)
  })
  test("says no more than the access token that asked", async () => {
    const scopeBy = async (scope: string, by = owner) => {
      const token = await gateway.token(by, scope)
      const found = await echoed("/monitor/x", { headers: { authorization: `Bearer ${token}` } })
      expect(found.headers["authorization"]).toBeUndefined()
      return decodeJwt(found.headers[identityHeader]!)["scope"]
    }
    expect(await scopeBy("monitor:read admin:undo")).toBe("monitor:read")
    expect(await scopeBy("monitor:*")).toBe("monitor:*")
    expect(await scopeBy("*:read")).toBe("monitor:read")
    expect(await scopeBy("*:*")).toBe("monitor:*")
    expect(await scopeBy("*:*", viewer)).toBe("monitor:read")
  })
  test("tells of what is denied beside a wider right", async () => {
    await gateway.database.query("INSERT INTO roles (name, description) VALUES ('nowrite', '')")
    await gateway.database.query("INSERT INTO role_rights VALUES ('nowrite', 0, '*', 'monitor', 'write', 'deny')")
    const somebody = await gateway.person([{ role: "owner" }, { role: "nowrite" }])
    const scope = String(decodeJwt(await identityAt("/monitor/x", somebody))["scope"])
    expect(scope.split(" ").sort()).toEqual(["!monitor:write", "monitor:*"])
  })
  test("is ours alone: a client's own is dropped, and a public route gets none", async () => {
    const forged = { [identityHeader]: "forged" }
    const found = await echoed("/monitor/x", { headers: { cookie: owner.cookie, ...forged } })
    expect(found.headers[identityHeader]).not.toBe("forged")
    const open = await echoed("/open/x", { headers: { cookie: owner.cookie, ...forged } })
    expect(open.headers[identityHeader]).toBeUndefined()
  })
})

describe("R10: the two kinds of token are not taken for each other", () => {
  test("an identity token opens nothing at the gateway, not even a service's called gateway", async () => {
    for (const path of ["/monitor/x", "/admin/x"]) expect((await bearer(await identityAt(path))).status).toBe(401)
    const claims = decodeJwt(await identityAt("/monitor/x"))
    expect((await bearer(sign({ ...claims, aud: "gateway.test" }))).status).toBe(401)
  })
})
