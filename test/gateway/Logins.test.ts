/** R6 and R7 at the callback: what the browser brings back is believed only as far as the attempt it belongs to says. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type GatewayFixture, startGateway } from "#test/gateway/fixture.ts"
import {
  begin,
  type Browser,
  callback,
  fakeEnv,
  type FakeProvider,
  fakeSettings,
  logIn,
  makeBrowser,
  startFakeProvider
} from "#test/gateway/loginFixture.ts"

setDefaultTimeout(60_000)

let fake: FakeProvider
let other: FakeProvider
let gateway: GatewayFixture

beforeAll(async () => {
  fake = startFakeProvider()
  other = startFakeProvider()
  gateway = await startGateway({
    env: fakeEnv,
    settings: {
      providers: [fakeSettings(fake), fakeSettings(other, "other")],
      routes: [],
      firstOwner: { provider: "fake", subject: "first" },
      grants: [
        { person: { provider: "fake", email: "Mail@Example.test" }, role: "operator", environment: "nightly" },
        { person: { provider: "fake", subject: "seeded" }, role: "viewer", environment: "*" },
        { person: { provider: "fake", subject: "seeded" }, role: "developer", environment: "dev" }
      ]
    }
  })
})
afterAll(async () => {
  await gateway?.stop()
  await fake?.stop()
  await other?.stop()
})

const browserOf = () => makeBrowser(gateway)
const attempts = async () => {
  const rows = await gateway.database.query("SELECT count(*)::int AS n FROM login_attempts")
  return rows[0]!["n"] as number
}
const sessions = async (subject: string) =>
  gateway.database.query(
    `SELECT s.* FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.subject = '${subject}' ORDER BY s.id`
  )
const audit = (event: string) =>
  gateway.database.query(`SELECT subject, actor, detail FROM audit WHERE event = '${event}' ORDER BY id`)

/** A login in `browser` that `spoil` turns into a bad callback: refused with a page, no session; its state is used up, and a new login works. */
const refused = async (
  statuses: ReadonlyArray<number>,
  spoil: (authorization: URL, code: string, browser: Browser) => string | Promise<string>,
  { kept = false }: { readonly kept?: boolean } = {}
) => {
  const browser = browserOf()
  const authorization = await begin(browser)
  const saved = new Map(browser.cookies)
  const path = await spoil(authorization, fake.code(authorization, "victim"), browser)
  const answer = await browser.get(path)
  expect(statuses).toContain(answer.status)
  expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8")
  expect(answer.headers.get("cache-control")).toBe("no-store")
  expect(await answer.text()).toContain('href="/auth/login"')
  expect(browser.session()).toBeUndefined()
  expect(await sessions("victim")).toEqual([])
  for (const [name, value] of saved) browser.cookies.set(name, value)
  const retry = await browser.get(callback(authorization, fake.code(authorization, "victim")))
  // A callback that names no attempt of ours cannot use one up.
  expect(retry.status).toBe(kept ? 302 : 400)
  await gateway.database.query("DELETE FROM sessions WHERE provider = 'fake'")
  const again = await logIn(browser, fake, "victim")
  expect([again.status, again.headers.get("location")]).toEqual([302, "/"])
  expect(await sessions("victim")).toHaveLength(1)
  await gateway.database.query("DELETE FROM sessions WHERE provider = 'fake'")
}

describe("R6: a login begins with an attempt that only this browser can complete", () => {
  test("the browser goes to the provider with state, nonce and an S256 challenge, and gets the login cookie", async () => {
    const answer = await browserOf().get("/auth/login?provider=fake&return_to=/x")
    expect(answer.status).toBe(302)
    expect(answer.headers.get("cache-control")).toBe("no-store")
    const url = new URL(answer.headers.get("location")!)
    expect(url.origin + url.pathname).toBe(`${fake.issuer}/authorize`)
    const asked = url.searchParams
    expect(asked.get("response_type")).toBe("code")
    expect(asked.get("redirect_uri")).toBe(`${gateway.origin}/auth/callback/fake`)
    expect(asked.get("scope")).toBe("openid profile email")
    expect(asked.get("code_challenge_method")).toBe("S256")
    for (const name of ["state", "nonce", "code_challenge"]) expect(asked.get(name)).toMatch(/^[A-Za-z0-9_-]{43}$/u)
    const [cookie] = answer.headers.getSetCookie()
    expect(cookie).toMatch(/^__Host-gatehouse-login=eyJ[^;]+; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=600$/u)
  })

  test("the state is stored as a hash only, and for ten minutes", async () => {
    const authorization = await begin(browserOf())
    const rows = await gateway.database.query(
      `SELECT * FROM login_attempts WHERE nonce = '${authorization.searchParams.get("nonce")}'`
    )
    expect(rows).toHaveLength(1)
    expect(JSON.stringify(rows)).not.toContain(authorization.searchParams.get("state")!)
  })

  test("a login leads to where it was begun for, with a new session and without the login cookie", async () => {
    const browser = browserOf()
    const authorization = await begin(browser, "provider=fake&return_to=/monitor/host%3Fx=1")
    const answer = await browser.get(callback(authorization, fake.code(authorization, "walker")))
    expect([answer.status, answer.headers.get("location")]).toEqual([302, "/monitor/host?x=1"])
    const cookies = answer.headers.getSetCookie()
    expect(cookies.find((one) => one.startsWith("__Host-gatehouse="))).toMatch(
      /^__Host-gatehouse=[A-Za-z0-9_-]{43}; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=604800$/u
    )
    expect(cookies).toContain("__Host-gatehouse-login=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
    expect((await browser.get("/auth/me")).status).toBe(200)
  })

  test("a provider that is not configured is 404, at the start and at the callback", async () => {
    const browser = browserOf()
    expect((await browser.get("/auth/login?provider=nobody")).status).toBe(404)
    const authorization = await begin(browser)
    const answer = await browser.get(callback(authorization, fake.code(authorization, "walker"), {}, "nobody"))
    expect(answer.status).toBe(404)
    expect(browser.session()).toBeUndefined()
  })

  test("a sixth login of one browser drops its oldest, and only that", async () => {
    const browser = browserOf()
    const started: Array<URL> = []
    for (let n = 0; n < 6; n++) started.push(await begin(browser))
    const [oldest, ...younger] = started
    expect((await browser.get(callback(oldest!, fake.code(oldest!, "tabs")))).status).toBe(400)
    for (const authorization of younger) {
      expect((await browser.get(callback(authorization, fake.code(authorization, "tabs")))).status).toBe(302)
    }
  })

  test("the pending logins of another browser stay", async () => {
    const [one, two] = [browserOf(), browserOf()]
    const mine = await begin(one)
    for (let n = 0; n < 6; n++) await begin(two)
    expect((await one.get(callback(mine, fake.code(mine, "tabs")))).status).toBe(302)
  })
})

describe("R6 attack: the state", () => {
  test("missing", () => refused([400], (at, code) => callback(at, code, { state: undefined }), { kept: true }))
  test("empty", () => refused([400], (at, code) => callback(at, code, { state: "" }), { kept: true }))
  test("tampered", () =>
    refused([400], (at, code) => callback(at, code, { state: `${at.searchParams.get("state")!.slice(0, -1)}-` }), {
      kept: true
    }))
  test("sent twice", () =>
    refused([400], (at, code) => `${callback(at, code)}&state=${at.searchParams.get("state")}`, { kept: true }))
  test("removed from the DB", () =>
    refused([400], async (at, code) => {
      await gateway.database.query("DELETE FROM login_attempts")
      return callback(at, code)
    }))
  test("of a login that was begun more than ten minutes ago", () =>
    refused([400], async (at, code) => {
      await gateway.database.query("UPDATE login_attempts SET created_at = now() - interval '11 minutes'")
      return callback(at, code)
    }))
  test("replayed after a login that worked", async () => {
    const browser = browserOf()
    const authorization = await begin(browser)
    expect((await browser.get(callback(authorization, fake.code(authorization, "again")))).status).toBe(302)
    const before = browser.session()
    const replay = await browser.get(callback(authorization, fake.code(authorization, "again")))
    expect(replay.status).toBe(400)
    expect(browser.session()).toBe(before)
    expect(await sessions("again")).toHaveLength(1)
  })
  test("used by two requests at once logs in once", async () => {
    const browser = browserOf()
    const authorization = await begin(browser)
    const path = callback(authorization, fake.code(authorization, "twice"))
    const answers = await Promise.all([browser.get(path), browser.get(path)])
    expect(answers.map((answer) => answer.status).sort()).toEqual([302, 400])
    expect(await sessions("twice")).toHaveLength(1)
  })
})

describe("R6 attack: the login cookie", () => {
  const without = (change: (browser: Browser, value: string) => void) => (at: URL, code: string, browser: Browser) => {
    change(browser, browser.cookies.get("__Host-gatehouse-login")!)
    return callback(at, code)
  }
  const set = (browser: Browser, value: string) => browser.cookies.set("__Host-gatehouse-login", value)
  const forged = (header: object, claims: object) =>
    `${Buffer.from(JSON.stringify(header)).toString("base64url")}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.`
  const claimsOf = (value: string) => JSON.parse(Buffer.from(value.split(".")[1]!, "base64url").toString()) as object

  test("missing: the page says what to do", () =>
    refused(
      [400],
      without((browser) => browser.cookies.clear())
    ))
  test("with a tampered signature", () =>
    refused(
      [400],
      without((browser, value) => set(browser, `${value.slice(0, -4)}AAAA`))
    ))
  test("with algorithm none", () =>
    refused(
      [400],
      without((browser, value) => set(browser, forged({ alg: "none", typ: "JWT" }, claimsOf(value))))
    ))
  test("of another browser", async () => {
    const stranger = browserOf()
    await begin(stranger)
    await refused(
      [400],
      without((browser) => set(browser, stranger.cookies.get("__Host-gatehouse-login")!))
    )
  })
  test("that is the session cookie's value", () =>
    refused(
      [400],
      without((browser) => set(browser, "A".repeat(43)))
    ))
})

describe("R6 attack: the code and its verifier", () => {
  const tamper = (value: string) => async (at: URL, code: string) => {
    await gateway.database.query(`UPDATE login_attempts SET verifier = ${value}`)
    return callback(at, code)
  }
  test("missing code", () => refused([400, 401], (at, code) => callback(at, code, { code: undefined })))
  test("empty code", () => refused([400, 401], (at) => callback(at, "")))
  test("code sent twice", () => refused([400, 401], (at, code) => `${callback(at, code)}&code=other`))
  test("unknown code", () => refused([401], (at) => callback(at, "made-up")))
  test("missing verifier", () => refused([401], tamper("''")))
  test("tampered verifier", () => refused([401], tamper("reverse(verifier)")))
  test("replayed code in a new login of the same browser", async () => {
    await refused([401], async (at, code, browser) => {
      expect((await browser.get(callback(at, code))).status).toBe(302)
      await gateway.database.query("DELETE FROM sessions WHERE provider = 'fake'")
      browser.cookies.delete("__Host-gatehouse")
      const next = await begin(browser)
      return callback(next, code)
    })
  })
  test("code of somebody else's login (injection)", () =>
    refused([401], async (at) => {
      const attacker = await begin(browserOf())
      return callback(at, fake.code(attacker, "attacker"))
    }))
})

describe("R6 attack: the provider", () => {
  test("another provider's callback", () => refused([400], (at, code) => callback(at, code, {}, "other")))
  test("another issuer in the callback (RFC 9207)", () =>
    refused([401], (at, code) => callback(at, code, { iss: other.issuer })))
  test("an empty issuer in the callback", () => refused([401], (at, code) => callback(at, code, { iss: "" })))
  test("an issuer sent twice", () =>
    refused([400, 401], (at, code) => `${callback(at, code, { iss: fake.issuer })}&iss=${other.issuer}`))
  test("the right issuer in the callback is accepted", async () => {
    const browser = browserOf()
    const at = await begin(browser)
    expect((await browser.get(callback(at, fake.code(at, "walker"), { iss: fake.issuer }))).status).toBe(302)
  })
  test("an error answer", () =>
    refused([400], (at) => callback(at, "", { code: undefined, error: "access_denied", error_description: "<b>no" })))
  test("an error answer beside a code", () => refused([400], (at, code) => callback(at, code, { error: "oops" })))
  test("an error sent twice", () => refused([400], (at, code) => `${callback(at, code)}&error=a&error=b`))
})

describe("R6: several tabs of one browser", () => {
  const finish = async (browser: Browser, at: URL, to: string) => {
    const answer = await browser.get(callback(at, fake.code(at, "tabs")))
    expect([answer.status, answer.headers.get("location")]).toEqual([302, to])
  }
  test("one after the other both succeed", async () => {
    const browser = browserOf()
    const one = await begin(browser, "provider=fake&return_to=/one")
    await finish(browser, one, "/one")
    const two = await begin(browser, "provider=fake&return_to=/two")
    await finish(browser, two, "/two")
  })
  test("interleaved both succeed, in either order", async () => {
    for (const reverse of [false, true]) {
      const browser = browserOf()
      const tabs = [
        [await begin(browser, "provider=fake&return_to=/one"), "/one"],
        [await begin(browser, "provider=fake&return_to=/two"), "/two"]
      ] as const
      for (const [at, to] of reverse ? tabs.toReversed() : tabs) await finish(browser, at, to)
    }
  })
  test("both from a login page opened at once", async () => {
    const browser = browserOf()
    await Promise.all([browser.get("/auth/login"), browser.get("/auth/login?return_to=/two")])
    const [one, two] = await Promise.all([begin(browser), begin(browser, "provider=fake&return_to=/two")])
    await finish(browser, one, "/")
    await finish(browser, two, "/two")
  })
  test("at different providers both succeed", async () => {
    const browser = browserOf()
    const one = await begin(browser)
    const two = await begin(browser, "provider=other")
    expect((await browser.get(callback(two, other.code(two, "tabs"), {}, "other"))).status).toBe(302)
    await finish(browser, one, "/")
  })
})

describe("R8: a login makes a new session", () => {
  test("and who has one is led past the login page, to nowhere else than here", async () => {
    const browser = makeBrowser(gateway)
    await logIn(browser, fake, "logged-in")
    const led = await browser.get("/auth/login?return_to=%2Fecho%2Fx%3Fa%3D1")
    expect([led.status, led.headers.get("location")]).toEqual([302, "/echo/x?a=1"])
    const astray = await browser.get("/auth/login?return_to=%2F%2Fevil.example")
    expect([astray.status, astray.headers.get("location")]).toEqual([302, "/"])
  })

  test("an answer to a request that was under way with the replaced cookie leaves the new one alone", async () => {
    const browser = makeBrowser(gateway)
    await logIn(browser, fake, "two-tabs")
    const before = browser.session()!
    await logIn(browser, fake, "two-tabs")
    for (const path of ["/auth/me", "/echo/x"]) {
      const late = await gateway.ask(path, { headers: { cookie: `__Host-gatehouse=${before}` } })
      expect(late.status).toBe(401)
      expect(late.headers.getSetCookie()).toEqual([])
    }
    const stranger = await gateway.ask("/auth/me", { headers: { cookie: `__Host-gatehouse=${"x".repeat(43)}` } })
    expect(stranger.headers.getSetCookie().join()).toContain("Max-Age=0")
  })

  test("with a new secret, and the one before is gone", async () => {
    const browser = browserOf()
    await logIn(browser, fake, "renewed")
    const first = browser.session()!
    await logIn(browser, fake, "renewed")
    expect(browser.session()).not.toBe(first)
    expect(await sessions("renewed")).toHaveLength(1)
    const old = await gateway.ask("/auth/me", { headers: { cookie: `__Host-gatehouse=${first}` } })
    expect(old.status).toBe(401)
  })
  test("a session that an attacker planted before the login is not the one after it", async () => {
    const attacker = browserOf()
    await logIn(attacker, fake, "attacker")
    const browser = browserOf()
    browser.cookies.set("__Host-gatehouse", attacker.session()!)
    await logIn(browser, fake, "fixated")
    expect(browser.session()).not.toBe(attacker.session())
    const me = (await (await browser.get("/auth/me", { accept: "application/json" })).json()) as {
      user: { subject: string }
    }
    expect(me.user.subject).toBe("fixated")
  })
})

describe("R6: who logs in", () => {
  const userRow = async (subject: string) =>
    (await gateway.database.query(`SELECT * FROM users WHERE subject = '${subject}'`))[0]!
  const grantsOf = async (subject: string) => {
    const rows = await gateway.database.query(
      `SELECT role || '@' || environment AS one FROM grants g JOIN users u ON u.id = user_id WHERE subject = '${subject}' ORDER BY 1`
    )
    return rows.map((row) => row["one"])
  }

  test("is (provider, issuer, subject): the same subject of another provider is another user", async () => {
    await logIn(browserOf(), fake, "same")
    const browser = browserOf()
    const at = await begin(browser, "provider=other")
    await browser.get(callback(at, other.code(at, "same"), {}, "other"))
    const rows = await gateway.database.query("SELECT provider FROM users WHERE subject = 'same' ORDER BY provider")
    expect(rows.map((row) => row["provider"])).toEqual(["fake", "other"])
  })
  test("keeps an e-mail only if the provider says that it is verified", async () => {
    const email = "someone@example.test"
    for (const [verified, kept] of [
      [undefined, null],
      [false, null],
      ["false", null],
      [1, null],
      [true, email],
      [false, null],
      ["true", email]
    ] as const) {
      await logIn(browserOf(), fake, "mailer", {
        claims: verified === undefined ? { email } : { email, email_verified: verified }
      })
      expect((await userRow("mailer"))["email"]).toBe(kept)
    }
  })
  test("is shown by the name of the last login, at most 200 characters of it", async () => {
    await logIn(browserOf(), fake, "named", { claims: { name: "x".repeat(5000) } })
    expect((await userRow("named"))["name"]).toBe("x".repeat(200))
    await logIn(browserOf(), fake, "named", { claims: { name: undefined, preferred_username: "nick" } })
    expect((await userRow("named"))["name"]).toBe("nick")
  })
  test("may have control characters in a name: they are dropped, not stored and no fault", async () => {
    const answer = await logIn(browserOf(), fake, "control", { claims: { name: "A\u0000B\nC" } })
    expect(answer.status).toBe(302)
    expect((await userRow("control"))["name"]).toBe("ABC")
  })
  test("disabled: a 403 page, no session, and the audit tells", async () => {
    await logIn(browserOf(), fake, "banned")
    await gateway.database.query("UPDATE users SET disabled = true WHERE subject = 'banned'")
    await gateway.database.query("DELETE FROM sessions WHERE provider = 'fake'")
    const before = await userRow("banned")
    const browser = browserOf()
    const answer = await logIn(browser, fake, "banned")
    expect(answer.status).toBe(403)
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8")
    expect(browser.session()).toBeUndefined()
    expect(await sessions("banned")).toEqual([])
    expect((await audit("login.disabled")).at(-1)!["subject"]).toBe((await userRow("banned"))["id"])
    expect((await userRow("banned"))["last_login_at"]).toEqual(before["last_login_at"])
  })
  test("the configured first owner is owner everywhere from the first login", async () => {
    const browser = browserOf()
    await logIn(browser, fake, "first")
    expect(await grantsOf("first")).toEqual(["owner@*"])
    expect((await browser.get("/auth/users")).status).toBe(200)
  })
  test("the same subject at another provider is no owner", async () => {
    const browser = browserOf()
    const at = await begin(browser, "provider=other")
    await browser.get(callback(at, other.code(at, "first"), {}, "other"))
    expect((await browser.get("/auth/users")).status).toBe(403)
  })
  test("seeded roles are given once: one that was removed stays removed", async () => {
    await logIn(browserOf(), fake, "seeded")
    expect(await grantsOf("seeded")).toEqual(["developer@dev", "viewer@*"])
    await gateway.database.query("DELETE FROM grants WHERE role = 'viewer' AND reason = 'given by configuration'")
    await logIn(browserOf(), fake, "seeded")
    expect(await grantsOf("seeded")).toEqual(["developer@dev"])
  })
  test("a seed by e-mail needs a verified one, in any case", async () => {
    const email = "mail@example.TEST"
    await logIn(browserOf(), fake, "by-mail", { claims: { email, email_verified: false } })
    expect(await grantsOf("by-mail")).toEqual([])
    await logIn(browserOf(), fake, "by-mail", { claims: { email, email_verified: true } })
    expect(await grantsOf("by-mail")).toEqual(["operator@nightly"])
  })
  test("two first logins of one person at once make one user", async () => {
    const answers = await Promise.all([1, 2, 3].map(() => logIn(browserOf(), fake, "parallel")))
    expect(answers.map((answer) => answer.status)).toEqual([302, 302, 302])
    expect(await gateway.database.query("SELECT 1 FROM users WHERE subject = 'parallel'")).toHaveLength(1)
  })
})

describe("R7: the way back is checked again when it is used", () => {
  test("what was changed in the DB leads to the start page", async () => {
    for (const bad of ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)", "/auth/logout"]) {
      const browser = browserOf()
      const at = await begin(browser, "provider=fake&return_to=/fine")
      await gateway.database.query(`UPDATE login_attempts SET return_to = '${bad}'`)
      const answer = await browser.get(callback(at, fake.code(at, "walker")))
      expect(answer.headers.get("location")).toBe("/")
    }
  })
})

test("every login and every refusal leaves an audit row", async () => {
  const logins = (await audit("login")).length
  const refusals = (await audit("login.refused")).length
  await logIn(browserOf(), fake, "audited")
  await browserOf().get("/auth/callback/fake?state=never&code=x")
  expect((await audit("login")).length).toBe(logins + 1)
  expect((await audit("login.refused")).length).toBe(refusals + 1)
  const failures = (await audit("login.failed")).length
  await logIn(browserOf(), fake, "audited", { idToken: () => "nonsense" })
  expect((await audit("login.failed")).length).toBe(failures + 1)
})

test("attempts do not pile up: those that ran out go with the next login", async () => {
  for (let n = 0; n < 3; n++) await begin(browserOf())
  await gateway.database.query("UPDATE login_attempts SET created_at = now() - interval '11 minutes'")
  await begin(browserOf())
  expect(await attempts()).toBe(1)
})
