/** R11: keys are published before they sign, rotated without a lost request, gone at once in an emergency, and never shown. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { decodeProtectedHeader } from "jose"
import { rotateKeys } from "#gateway/rotateKeys.ts"
import { Effect, Result } from "effect"
import { type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

let echo: EchoUpstream
let gateway: GatewayFixture
let owner: Person
const secret = "the gateway's secret of this test, planted-secret-1"
const log: Array<string> = []
const output = [spyOn(console, "log"), spyOn(console, "error"), spyOn(console, "warn")]

const settings = () => ({
  providers: [provider],
  routes: [{ id: "x", path: "/x", upstream: echo.url, service: "monitor", rules: [{ action: "read" }] }]
})
const envOf = (own: GatewayFixture, more: Record<string, string> = {}) => ({
  ENVIRONMENT: "test",
  LOG_LEVEL: "Debug",
  GATEWAY_PUBLIC_URL: own.origin,
  GATEWAY_FILE: own.settingsFile,
  GATEWAY_DATABASE_URL: own.database.url,
  GATEWAY_SECRET: secret,
  TEST_CLIENT_SECRET: "x",
  ...more
})
beforeAll(async () => {
  for (const one of output) one.mockImplementation((...parts) => void log.push(parts.map(String).join(" ")))
  echo = startEcho()
  gateway = await startGateway({ env: { GATEWAY_SECRET: secret, LOG_LEVEL: "Debug" }, settings: settings() })
  owner = await gateway.person()
})
afterAll(async () => {
  await gateway?.stop()
  await echo?.stop()
  for (const one of output) one.mockRestore()
})

interface Jwks {
  readonly keys: ReadonlyArray<Record<string, string>>
}
const published = async (on = gateway) => {
  const answer = await on.ask("/.well-known/jwks.json")
  return (await answer.json()) as Jwks
}
const kids = async () => (await published()).keys.map((key) => key["kid"]!).sort()
const states = async () => {
  const rows = await gateway.database.query("SELECT kid, state FROM signing_keys ORDER BY state, retired_at")
  return rows.map((row) => [String(row["state"]), String(row["kid"])] as const)
}
const kidOf = (state: string) => states().then((rows) => rows.filter(([of]) => of === state).map(([, kid]) => kid))
const rotate = (emergency = false) => Effect.runPromise(rotateKeys(envOf(gateway), emergency))
const ask = (token: string) => gateway.ask("/x", { headers: { authorization: `Bearer ${token}` } })

describe("R11: the JWKS", () => {
  test("holds public keys only, and tells caches what they may do", async () => {
    const answer = await gateway.ask("/.well-known/jwks.json")
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "public, max-age=300"])
    expect(answer.headers.get("content-type")).toStartWith("application/json")
    const { keys } = (await answer.json()) as Jwks
    expect(keys).toHaveLength(2)
    for (const key of keys) {
      expect(Object.keys(key).sort()).toEqual(["alg", "crv", "kid", "kty", "use", "x", "y"])
      expect(key).toMatchObject({ kty: "EC", crv: "P-256", alg: "ES256", use: "sig" })
    }
  })
  test("is 304 without a body for who has it, by any form of the ETag", async () => {
    const etag = (await gateway.ask("/.well-known/jwks.json")).headers.get("etag")!
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const answer = await gateway.ask("/.well-known/jwks.json", { headers: { "if-none-match": known } })
      expect([known, answer.status, answer.headers.get("etag"), await answer.text()]).toEqual([known, 304, etag, ""])
    }
    const other = await gateway.ask("/.well-known/jwks.json", { headers: { "if-none-match": '"other"' } })
    expect(other.status).toBe(200)
  })
  test("is for services on the internal port too", async () => {
    const answer = await gateway.service.internal(new Request("http://internal/.well-known/jwks.json"))
    expect(((await answer.json()) as Jwks).keys.map((key) => key["kid"]!).sort()).toEqual(await kids())
  })
  test("holds next before it signs, current, and previous", async () => {
    const [next] = await kidOf("next")
    const [current] = await kidOf("current")
    expect(await kids()).toEqual([next!, current!].sort())
    expect(decodeProtectedHeader(await gateway.token(owner)).kid).toBe(current!)
    const etag = (await gateway.ask("/.well-known/jwks.json")).headers.get("etag")
    await rotate()
    await until("the new set is published", async () => (await kids()).length === 3)
    expect(await kidOf("current")).toEqual([next!])
    expect(await kidOf("previous")).toEqual([current!])
    expect(await kids()).toContain(current!)
    expect(decodeProtectedHeader(await gateway.token(owner)).kid).toBe(next!)
    expect((await gateway.ask("/.well-known/jwks.json")).headers.get("etag")).not.toBe(etag)
    expect(await gateway.database.query("SELECT event FROM audit WHERE event LIKE 'keys.%'")).toEqual([
      { event: "keys.rotated" }
    ])
  })
})

describe("R11: rotation", () => {
  test("twice under load loses no request", async () => {
    const old = await gateway.token(owner)
    let loading = true
    const statuses = new Map<number, number>()
    const seen = new Set<string>()
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (loading) {
          const token = await gateway.token(owner)
          seen.add(String(decodeProtectedHeader(token).kid))
          for (const one of [old, token]) {
            const { status } = await ask(one)
            statuses.set(status, (statuses.get(status) ?? 0) + 1)
          }
        }
      })
    )
    const before = await kids()
    for (let n = 0; n < 2; n++) {
      const [next] = await kidOf("next")
      await rotate()
      await until("the next key signs", async () => seen.has(String(next)))
    }
    loading = false
    await load
    expect([...statuses.keys()]).toEqual([200])
    expect(statuses.get(200)!).toBeGreaterThan(20)
    expect(seen.size).toBeGreaterThanOrEqual(3)
    expect(await kids()).toEqual(expect.arrayContaining(before))
  })
  test("drops a previous key a day after it last signed", async () => {
    const previous = await kidOf("previous")
    await gateway.database.query(
      `UPDATE signing_keys SET retired_at = now() - interval '25 hours' WHERE kid = '${previous[0]}'`
    )
    await gateway.database.query("SELECT pg_notify('keys', '')")
    await until("it is not published", async () => !(await kids()).includes(previous[0]!))
    await rotate()
    expect(await kidOf("previous")).not.toContain(previous[0]!)
  })
  test("happens by itself after thirty days, once, and not a day before", async () => {
    const [current] = await kidOf("current")
    const [next] = await kidOf("next")
    const age = async (days: number) => {
      await gateway.database.query(
        `UPDATE signing_keys SET promoted_at = now() - interval '${days} days' WHERE state = 'current'`
      )
      await gateway.database.query("SELECT pg_notify('keys', '') FROM generate_series(1, 3)")
    }
    const second = await startGateway({
      env: { GATEWAY_SECRET: secret, LOG_LEVEL: "Debug" },
      settings: settings(),
      database: { ...gateway.database, drop: async () => {} }
    })
    try {
      await age(29)
      await gateway.token(owner)
      expect(await kidOf("current")).toEqual([current!])
      const rotations = async () =>
        (await gateway.database.query("SELECT 1 FROM audit WHERE event = 'keys.rotated'")).length
      const before = await rotations()
      await age(31)
      for (const one of [gateway, second]) {
        await until("the key is replaced", async () => {
          const { keys } = await published(one)
          return (await kidOf("current"))[0] === next && keys.some((key) => key["kid"] === next)
        })
      }
      expect(await rotations()).toBe(before + 1)
    } finally {
      await second.stop()
    }
  })
})

describe("R11: an emergency", () => {
  test("drops every key, ends every session, and refuses old tokens within ten seconds", async () => {
    const somebody = await gateway.person()
    const token = await gateway.token(somebody)
    const before = new Set(await kids())
    expect((await ask(token)).status).toBe(200)
    const started = performance.now()
    await rotate(true)
    await until("the token is refused", async () => (await ask(token)).status === 401)
    await until("the session is over", async () => {
      const answer = await gateway.ask("/auth/me", { headers: { cookie: somebody.cookie } })
      return answer.status === 401
    })
    expect(performance.now() - started).toBeLessThan(10_000)
    expect((await kids()).filter((kid) => before.has(kid))).toEqual([])
    expect(await gateway.database.query("SELECT 1 FROM sessions")).toEqual([])
    owner = await gateway.person()
    expect((await ask(await gateway.token(owner))).status).toBe(200)
    expect(await gateway.database.query("SELECT 1 FROM audit WHERE event = 'keys.rotated.emergency'")).toHaveLength(1)
  })
})

describe("R11: a private key", () => {
  const wrong = { GATEWAY_SECRET: "another secret, as long as it has to be, 2" }
  test("is in no row as it is: sealed, and bound to its id", async () => {
    const rows = await gateway.database.query("SELECT t::text AS row, sealed_private_jwk AS sealed FROM signing_keys t")
    for (const { row, sealed } of rows) {
      expect(row).not.toMatch(/"d"\s*:/u)
      expect(Buffer.from(String(sealed), "base64url").toString("latin1")).not.toContain('"d"')
    }
  })
  test("that GATEWAY_SECRET does not open: 503 where a key is needed, said in the log, and no crash", async () => {
    const own = await startGateway({
      env: { ...wrong, LOG_LEVEL: "Warn" },
      settings: settings(),
      database: { ...gateway.database, drop: async () => {} },
      awaitReady: false
    })
    try {
      await until("the log says so", async () => {
        await own.ask("/auth/login")
        return log.some((line) => line.includes("GATEWAY_SECRET does not open it"))
      })
      const jwks = await own.ask("/.well-known/jwks.json")
      expect(jwks.status).toBe(503)
      expect(await jwks.text()).not.toContain("GATEWAY_SECRET")
      expect((await own.ask("/x", { headers: { cookie: owner.cookie } })).status).toBe(503)
      expect((await own.ask("/auth/me", { headers: { cookie: owner.cookie } })).status).toBe(200)
      expect((await own.service.internal(new Request("http://i/readyz"))).status).toBe(503)
      expect((await own.service.internal(new Request("http://i/livez"))).status).toBe(200)
    } finally {
      await own.stop()
    }
  })
  test("is not replaced by who has another secret, unless in an emergency, which is the way out of a lost one", async () => {
    const before = await states()
    const refused = await Effect.runPromise(Effect.result(rotateKeys(envOf(gateway, wrong), false)))
    expect(Result.isFailure(refused) && refused.failure.message).toContain("GATEWAY_SECRET does not open it")
    expect(await states()).toEqual(before)
    await Effect.runPromise(rotateKeys(envOf(gateway, wrong), true))
    await Effect.runPromise(rotateKeys(envOf(gateway, wrong), false))
    await rotate(true)
    owner = await until("the gateway signs again", async () => {
      const person = await gateway.person()
      return (await ask(await gateway.token(person).catch(() => "none"))).status === 200 ? person : undefined
    })
  })
  test("and the secret, tokens and cookies stand in no line of the log", async () => {
    const token = await gateway.token(owner)
    await gateway.ask("/x", { headers: { authorization: `Bearer ${token}x` } })
    const text = log.join("\n")
    expect(log.length).toBeGreaterThan(0)
    for (const planted of [secret, "planted-secret-1", token, owner.cookie.split("=")[1]!, '"d":']) {
      expect(text).not.toContain(planted)
    }
  })
})
