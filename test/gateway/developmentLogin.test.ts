/** R6 and R20 with the real development identity provider over HTTP: it comes up late, everybody of the demo logs in, and no log line tells a secret. */
import { afterAll, beforeAll, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Exit, Scope } from "effect"
import { demoUsers } from "#dev/demoUsers.ts"
import { type IdentityProvider, startIdentityProvider } from "#dev/identityProvider.ts"
import { developmentSettings } from "#dev/settings.ts"
import { workloadKey } from "#dev/workloadKey.ts"
import { sessionGrantType, type Me, type TokenResponse } from "#shared/api/auth.ts"
import { type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, startGateway } from "#test/gateway/fixture.ts"
import { freePort } from "#test/shared/freePort.ts"
import { type Browser, makeBrowser } from "#test/gateway/loginFixture.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

const clientSecret = "planted-client-secret"
const scope = Effect.runSync(Scope.make())
const folder = mkdtempSync(join(tmpdir(), "gatehouse-login-"))
const log: Array<string> = []
const output = [spyOn(console, "log"), spyOn(console, "error"), spyOn(console, "warn")]
/** Whatever must never be in a log. */
const planted = new Set([clientSecret])

let echo: EchoUpstream
let gateway: GatewayFixture
let provider: IdentityProvider
let providerPort: number

beforeAll(async () => {
  for (const one of output) one.mockImplementation((...parts) => void log.push(parts.map(String).join(" ")))
  echo = startEcho()
  providerPort = await freePort()
  gateway = await startGateway({
    env: { DEVELOPMENT_CLIENT_SECRET: clientSecret, LOG_LEVEL: "Debug" },
    settings: developmentSettings({
      issuer: `http://localhost:${providerPort}`,
      monitor: echo.url,
      data: echo.url,
      dashboard: echo.url,
      admin: echo.url,
      scheduler: echo.url,
      schedulerKey: workloadKey(folder, "scheduler").publicFile,
      microservices: [{ name: "hello", url: echo.url, key: workloadKey(folder, "hello").publicFile }]
    })
  })
})
afterAll(async () => {
  await gateway?.stop()
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await echo?.stop()
  rmSync(folder, { recursive: true, force: true })
  for (const one of output) one.mockRestore()
})

/** Logs `user` in as curl -L does, hint and all; gives the callback's answer. */
const logIn = async (browser: Browser, user: string, returnTo = "/"): Promise<Response> => {
  const begun = await browser.get(
    `/auth/login?provider=dev&login_hint=${user}&return_to=${encodeURIComponent(returnTo)}`
  )
  let url = begun.headers.get("location")!
  planted.add(new URL(url).searchParams.get("state")!)
  const cookies = new Map<string, string>()
  while (!url.startsWith(gateway.origin)) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ")
    const answer = await fetch(url, { redirect: "manual", headers: { cookie } })
    for (const line of answer.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/u.exec(line) ?? []
      cookies.set(name, value)
    }
    url = new URL(answer.headers.get("location")!, url).href
  }
  planted.add(new URL(url).searchParams.get("code")!)
  const answer = await browser.get(url.slice(gateway.origin.length))
  const secret = browser.session()
  if (secret !== undefined) planted.add(secret)
  return answer
}

test("R20: started without the identity provider, sessions work and a login is 503; as soon as it is there, logins work", async () => {
  const person = await gateway.person([{ role: "viewer" }])
  planted.add(person.cookie.split("=")[1]!)
  expect((await gateway.ask("/monitor/host", { headers: { cookie: person.cookie } })).status).toBe(200)
  const browser = makeBrowser(gateway)
  expect((await browser.get("/auth/login?provider=dev")).status).toBe(503)
  expect(await (await browser.get("/auth/login")).text()).toContain("development login is not reachable")
  provider = await Effect.runPromise(
    startIdentityProvider({
      port: providerPort,
      clients: [{ clientId: "gatehouse", clientSecret, redirectUris: [`${gateway.origin}/auth/callback/dev`] }]
    }).pipe(Scope.provide(scope))
  )
  await until("the provider is found", async () => (await browser.get("/auth/login?provider=dev")).status === 302)
})

for (const user of demoUsers) {
  test(`R6: ${user.name} logs in and has ${user.role === null ? "no role" : `the role ${user.role}`}`, async () => {
    const browser = makeBrowser(gateway)
    const answer = await logIn(browser, user.id, "/monitor/host?x=1")
    expect([answer.status, answer.headers.get("location")]).toEqual([302, "/monitor/host?x=1"])
    const me = (await (await browser.get("/auth/me")).json()) as Me
    expect(me.user).toMatchObject({ provider: "dev", subject: user.id, name: user.name, email: user.email })
    expect(me.roles).toEqual(user.role === null ? [] : [user.role])
    expect((await browser.get("/monitor/host?x=1")).status).toBe(user.role === null ? 403 : 200)
    expect((await browser.get("/auth/users")).status).toBe(user.role === "owner" ? 200 : 403)
    const rows = await gateway.database.query(
      `SELECT idp_sid, auth_time FROM sessions s JOIN users u ON u.id = user_id WHERE subject = '${user.id}'`
    )
    expect(rows[0]!["idp_sid"]).toBeString()
    expect(Math.abs((rows[0]!["auth_time"] as Date).getTime() - Date.now())).toBeLessThan(10_000)
  })
}

test("R6: a login after another user's in the same browser replaces it", async () => {
  const browser = makeBrowser(gateway)
  await logIn(browser, "viewer")
  const first = browser.session()!
  await logIn(browser, "owner")
  const me = (await (await browser.get("/auth/me")).json()) as Me
  expect(me.user.subject).toBe("owner")
  expect((await gateway.ask("/auth/me", { headers: { cookie: `__Host-gatehouse=${first}` } })).status).toBe(401)
})

test("R6: the provider's key rotated just before it signs is no obstacle", async () => {
  for (let n = 0; n < 2; n++) {
    await Effect.runPromise(provider.rotateKey)
    expect((await logIn(makeBrowser(gateway), "viewer")).status).toBe(302)
  }
})

test("R23: no token, cookie, code, state or secret stands in any line of the log, faults included", async () => {
  const browser = makeBrowser(gateway)
  await logIn(browser, "owner")
  const asked = await browser.send(
    "POST",
    "/auth/token",
    new URLSearchParams({ grant_type: sessionGrantType, scope: "offline_access" })
  )
  const tokens = (await asked.json()) as TokenResponse
  planted.add(tokens.access_token).add(tokens.refresh_token!)
  const bearer = { authorization: `Bearer ${tokens.access_token}` }
  expect((await gateway.ask("/monitor/host", { headers: bearer })).status).toBe(200)
  expect((await gateway.ask(`/monitor/host?access_token=${tokens.access_token}`)).status).toBe(400)
  // A fault of our own in the middle of each: its log line comes with a cause.
  await gateway.database.query("ALTER TABLE login_attempts RENAME TO gone")
  await gateway.database.query("ALTER TABLE refresh_tokens RENAME TO gone_too")
  planted.add("planted-state").add("planted-code")
  const broken = await browser.get("/auth/callback/dev?state=planted-state&code=planted-code")
  expect(broken.status).toBe(500)
  expect(await broken.text()).not.toMatch(/planted|SqlError|relation/u)
  const form = new URLSearchParams({ grant_type: "refresh_token", refresh_token: tokens.refresh_token! })
  const answer = await gateway.ask("/auth/token", { method: "POST", body: form })
  expect(answer.status).toBe(500)
  expect(await answer.text()).not.toMatch(/gtr_|SqlError|relation/u)
  const text = log.join("\n")
  expect(text).toContain("request failed")
  for (const one of planted) expect([one, text.includes(one)]).toEqual([one, false])
  expect(planted.size).toBeGreaterThan(20)
  // One line is one JSON object: nothing breaks out of it.
  for (const line of log) if (line.startsWith("{")) expect(() => JSON.parse(line)).not.toThrow()
})
