/** R6 and R20 towards identity providers: which ID tokens are believed, how GitHub's people are read, and what happens while a provider is away. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createHmac, generateKeyPairSync, sign } from "node:crypto"
import { type GatewayFixture, startGateway } from "#test/gateway/fixture.ts"
import {
  begin,
  callback,
  type Edit,
  fakeClient,
  fakeEnv,
  type FakeProvider,
  fakeSettings,
  logIn,
  makeBrowser,
  signed,
  type SigningKey,
  signingKey,
  startFakeProvider
} from "#test/gateway/loginFixture.ts"
import { startFakeGithub, type FakeGithub } from "#test/gateway/githubFixture.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

let fake: FakeProvider
let late: FakeProvider
let impostor: FakeProvider
let github: FakeGithub
let gateway: GatewayFixture
let firstKey: SigningKey

beforeAll(async () => {
  fake = startFakeProvider()
  firstKey = fake.keys[0]!
  late = startFakeProvider()
  late.discovery = undefined
  impostor = startFakeProvider()
  impostor.metadata = { issuer: fake.issuer }
  github = startFakeGithub()
  gateway = await startGateway({
    env: { ...fakeEnv, LOG_LEVEL: "Error" },
    settings: {
      providers: [
        { ...fakeSettings(fake), label: "Fake & Co" },
        fakeSettings(late, "late"),
        fakeSettings(impostor, "impostor"),
        github.settings
      ],
      routes: []
    }
  })
  await until("discovery", async () => (await makeBrowser(gateway).get("/auth/login?provider=fake")).status === 302)
})
afterAll(async () => {
  await gateway?.stop()
  for (const one of [fake, late, impostor, github]) await one?.stop()
})
beforeEach(() => {
  fake.keys = [firstKey]
  fake.metadata = {}
})

const accepted = async (edit: Edit = {}) => {
  const browser = makeBrowser(gateway)
  const answer = await logIn(browser, fake, "somebody", edit)
  expect([answer.status, answer.headers.get("location")]).toEqual([302, "/"])
  expect(browser.session()).toBeDefined()
}
/** No session comes of it, the page offers a new login, the state is used up. */
const refused = async (edit: Edit, status = 401) => {
  const browser = makeBrowser(gateway)
  const at = await begin(browser)
  const answer = await browser.get(callback(at, fake.code(at, "somebody", edit)))
  expect(answer.status).toBe(status)
  expect(await answer.text()).toContain('href="/auth/login"')
  expect(browser.session()).toBeUndefined()
  expect((await browser.get(callback(at, fake.code(at, "somebody")))).status).toBe(400)
  await accepted()
}
const claims = (changed: Record<string, unknown>) => refused({ claims: changed })
const now = () => Math.floor(Date.now() / 1000)
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

describe("R6: an ID token is believed", () => {
  test("with everything right", () => accepted())
  test("with azp naming us", () => accepted({ claims: { azp: fakeClient.id } }))
  test("with several audiences and azp naming us", () =>
    accepted({ claims: { aud: [fakeClient.id, "other"], azp: fakeClient.id } }))
  test("up to 30 s after its end, and issued up to 30 s ahead", async () => {
    await accepted({ claims: { exp: now() - 20 } })
    await accepted({ claims: { iat: now() + 20 } })
  })
  test("without kid where the provider has one key", () =>
    accepted({ idToken: (good, key) => signed({ ...key, kid: undefined }, good) }))
  test("signed by RS256 and EdDSA keys too", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
    const ed = generateKeyPairSync("ed25519")
    for (const [alg, pair] of [
      ["RS256", rsa],
      ["EdDSA", ed]
    ] as const) {
      const jwk = { ...pair.publicKey.export({ format: "jwk" }), kid: alg, alg, use: "sig" }
      fake.keys = [{ kid: alg, publicJwk: jwk, privateKey: pair.privateKey }]
      await accepted({
        idToken: (good) => {
          const input = `${part({ alg, kid: alg })}.${part(good)}`
          const hash = alg === "RS256" ? "sha256" : null
          return `${input}.${sign(hash, Buffer.from(input), pair.privateKey).toString("base64url")}`
        }
      })
    }
  })
  test("signed by a key that was rotated in just before, however recently the keys were read", async () => {
    for (let n = 0; n < 3; n++) {
      fake.keys = [signingKey(), ...fake.keys]
      await accepted()
    }
  })
  test("signed by the only key of a provider without key ids, after that was replaced", async () => {
    for (let n = 0; n < 2; n++) {
      fake.keys = [signingKey()].map((key) => ({
        ...key,
        kid: undefined,
        publicJwk: { ...key.publicJwk, kid: undefined }
      }))
      await accepted()
    }
  })
})

describe("R6 attack: the ID token", () => {
  test("of another issuer", () => claims({ iss: "https://evil.test" }))
  test("without issuer", () => claims({ iss: undefined }))
  test("for another client", () => claims({ aud: "other" }))
  test("without audience", () => claims({ aud: undefined }))
  test("with several audiences, ours among them, and no azp", () => claims({ aud: [fakeClient.id, "other"] }))
  test("with azp naming another client", () => claims({ azp: "other" }))
  test("with several audiences and azp naming another", () => claims({ aud: [fakeClient.id, "other"], azp: "other" }))
  test("without subject", () => claims({ sub: undefined }))
  test("with an empty subject", () => claims({ sub: "" }))
  test("with a subject that is no text", () => claims({ sub: 1 }))
  test("with a subject that holds a NUL", () => claims({ sub: "some\u0000body" }))
  test("with a subject longer than 255", () => claims({ sub: "s".repeat(256) }))
  test("with another nonce", () => claims({ nonce: "n".repeat(43) }))
  test("without nonce", () => claims({ nonce: undefined }))
  test("that has expired", () => claims({ exp: now() - 60 }))
  test("that never expires", () => claims({ exp: undefined }))
  test("without time of issue", () => claims({ iat: undefined }))
  test("issued in the future", () => claims({ iat: now() + 300 }))
  test("not yet valid", () => claims({ nbf: now() + 300 }))
  test("whose signature is another's", () =>
    refused({ idToken: (good, key) => `${signed(key, good).slice(0, -6)}AAAAAA` }))
  test("whose claims were changed after signing", () =>
    refused({
      idToken: (good, key) => {
        const [header, , signature] = signed(key, good).split(".")
        return `${header}.${part({ ...good, sub: "admin" })}.${signature}`
      }
    }))
  test("signed by a key that is not published", () =>
    refused({ idToken: (good) => signed(signingKey(firstKey.kid), good) }))
  test("signed by a key that it brings along (jwk)", () =>
    refused({
      idToken: (good) => {
        const own = signingKey()
        return signed(own, good, { jwk: own.publicJwk })
      }
    }))
  test("without kid where the provider has several keys", async () => {
    fake.keys = [firstKey, signingKey()]
    await refused({ idToken: (good, key) => signed({ ...key, kid: undefined }, good) })
  })
  test("with a kid that is not published", () =>
    refused({ idToken: (good, key) => signed({ ...key, kid: "unknown" }, good) }))
  test("with algorithm none", () => refused({ idToken: (good) => `${part({ alg: "none" })}.${part(good)}.` }))
  test("with HS256 by the client secret", () =>
    refused({
      idToken: (good) => {
        const input = `${part({ alg: "HS256", typ: "JWT" })}.${part(good)}`
        return `${input}.${createHmac("sha256", fakeClient.secret).update(input).digest("base64url")}`
      }
    }))
  test("with HS256 by the public key", () =>
    refused({
      idToken: (good, key) => {
        const input = `${part({ alg: "HS256", kid: key.kid })}.${part(good)}`
        return `${input}.${createHmac("sha256", JSON.stringify(key.publicJwk)).update(input).digest("base64url")}`
      }
    }))
  test("with a critical extension that we do not know", () =>
    refused({ idToken: (good, key) => signed(key, good, { crit: ["x"], x: 1 }) }))
  test("that is none", () => refused({ idToken: () => "nonsense" }))
  test("that is missing", () => refused({ idToken: () => undefined }))
})

describe("R6: the token endpoint", () => {
  const answers = (make: () => Response) => ({ before: make })
  test("that refuses the code: 401", () =>
    refused(answers(() => Response.json({ error: "invalid_grant" }, { status: 400 }))))
  test("that refuses us: 401", () =>
    refused(answers(() => Response.json({ error: "invalid_client" }, { status: 401 }))))
  test("that answers with no JSON: 401", () => refused(answers(() => new Response("<html>"))))
  test("that answers with an error in a 200: 401", () => refused(answers(() => Response.json({ error: "nope" }))))
  test("that is out of order: 503", () =>
    refused(
      answers(() => new Response(null, { status: 500 })),
      503
    ))
  test("that redirects is not followed", () =>
    refused(answers(() => Response.redirect(`${impostor.issuer}/token`, 307))))
})

describe("R6: a provider that names itself in its answers (RFC 9207)", () => {
  test("is not believed without the name, and is with it", async () => {
    const named = startFakeProvider()
    named.metadata = { authorization_response_iss_parameter_supported: true }
    const own = await startGateway({ env: fakeEnv, settings: { providers: [fakeSettings(named)], routes: [] } })
    try {
      const browser = makeBrowser(own)
      await until("discovery", async () => (await browser.get("/auth/login?provider=fake")).status === 302)
      const at = await begin(browser)
      expect((await browser.get(callback(at, named.code(at, "x")))).status).toBe(401)
      const again = await begin(browser)
      const good = await browser.get(callback(again, named.code(again, "x"), { iss: named.issuer }))
      expect(good.status).toBe(302)
    } finally {
      await own.stop()
      await named.stop()
    }
  })
})

describe("R20: a provider that is away", () => {
  test("is 503 with a page, says so on the login page, and works as soon as it is back", async () => {
    const browser = makeBrowser(gateway)
    const answer = await browser.get("/auth/login?provider=late")
    expect(answer.status).toBe(503)
    expect(await answer.text()).toContain("unavailable")
    expect(await (await browser.get("/auth/login")).text()).toContain("single sign-on is not reachable")
    expect((await browser.get("/auth/callback/late?state=x&code=y")).status).toBe(400)
    late.discovery = () =>
      Response.json({
        issuer: late.issuer,
        authorization_endpoint: `${late.issuer}/authorize`,
        token_endpoint: `${late.issuer}/token`,
        jwks_uri: `${late.issuer}/jwks`
      })
    await until("the provider is found", async () => (await browser.get("/auth/login?provider=late")).status === 302)
    const at = await begin(browser, "provider=late")
    expect((await browser.get(callback(at, late.code(at, "x"), {}, "late"))).status).toBe(302)
  })
  test("or that poses as another issuer is never used", async () => {
    expect(impostor.asked("/.well-known/openid-configuration")).toBeGreaterThan(0)
    expect((await makeBrowser(gateway).get("/auth/login?provider=impostor")).status).toBe(503)
  })
  test("the login page escapes labels, and offers what is there", async () => {
    const page = await (await makeBrowser(gateway).get("/auth/login?return_to=/x%3Fa=1%26b=2")).text()
    expect(page).toContain("Continue with Fake &amp; Co")
    expect(page).toContain("/auth/login?provider=fake&amp;return_to=%2Fx%3Fa%3D1%26b%3D2")
  })
})

describe("R6: GitHub, which knows no ID token", () => {
  const enter = async () => {
    const browser = makeBrowser(gateway)
    const at = await begin(browser, "provider=hub&return_to=/y")
    expect(at.origin + at.pathname).toBe(`${github.url}/login/oauth/authorize`)
    expect(at.searchParams.get("scope")).toBe("read:user user:email")
    const answer = await browser.get(callback(at, github.code(at), {}, "hub"))
    return { answer, browser }
  }
  const row = async () => {
    const rows = await gateway.database.query(
      "SELECT subject, issuer, name, email FROM users WHERE provider = 'hub' ORDER BY last_login_at DESC LIMIT 1"
    )
    return rows[0]
  }
  beforeEach(() => github.reset())

  test("the person is the numeric id, with name and primary verified e-mail", async () => {
    const { answer, browser } = await enter()
    expect([answer.status, answer.headers.get("location")]).toEqual([302, "/y"])
    expect((await browser.get("/auth/me")).status).toBe(200)
    expect(await row()).toEqual({ subject: "4711", issuer: github.url, name: "Octo Cat", email: "octo@cat.test" })
  })
  test("an unverified e-mail is not kept, nor a verified one that is not the primary", async () => {
    github.emails = [
      { email: "octo@cat.test", primary: true, verified: false },
      { email: "other@cat.test", primary: false, verified: true }
    ]
    await enter()
    expect((await row())?.["email"]).toBeNull()
  })
  test("who changes the login name stays the same user; without a name the login name is shown", async () => {
    await enter()
    github.user = { id: 4711, login: "renamed", name: null }
    await enter()
    expect((await row())?.["name"]).toBe("renamed")
    expect(await gateway.database.query("SELECT 1 FROM users WHERE provider = 'hub'")).toHaveLength(1)
  })
  test("whose e-mail addresses cannot be read still lets in", async () => {
    github.emails = undefined
    expect((await enter()).answer.status).toBe(302)
    expect((await row())?.["email"]).toBeNull()
  })
  test("whose answer is no person: 401; whose API is down: 503; no session", async () => {
    github.user = { login: "no-id" }
    const odd = await enter()
    expect([odd.answer.status, odd.browser.session()]).toEqual([401, undefined])
    github.user = undefined
    const down = await enter()
    expect([down.answer.status, down.browser.session()]).toEqual([503, undefined])
  })
  test("refuses a code with another verifier (PKCE)", async () => {
    const browser = makeBrowser(gateway)
    const at = await begin(browser, "provider=hub")
    await gateway.database.query("UPDATE login_attempts SET verifier = reverse(verifier)")
    expect((await browser.get(callback(at, github.code(at), {}, "hub"))).status).toBe(401)
  })
})
