/** R5 and R12: every decision agrees with the DB, a change of rights takes effect in seconds, and nothing is allowed while the DB is away. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { Effect, Layer, Redacted, References } from "effect"
import { TestClock } from "effect/testing"
import { migrations } from "#gateway/migrations/index.ts"
import { freshFor, Rights } from "#gateway/Rights.ts"
import { Database } from "#shared/sql.ts"
import { type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"
import { freshDatabase, type PrivatePostgres, privatePostgres } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

let echo: EchoUpstream
let gateway: GatewayFixture

const environments = ["prod", "nightly", "dev"] as const
const services = ["monitor", "admin", "data"] as const
const actions: Readonly<Record<string, string>> = {
  GET: "read",
  HEAD: "read",
  POST: "write",
  PUT: "write",
  DELETE: "erase"
}
const hostOf = (environment: string) => (environment === "prod" ? new URL(gateway.origin).host : `${environment}.test`)

const settings = () => ({
  providers: [provider],
  routes: environments.flatMap((environment) =>
    services.map((service) => ({
      id: `${service}-${environment}`,
      hosts: [environment === "prod" ? "localhost" : `${environment}.test`],
      path: `/${service}`,
      upstream: echo.url,
      service,
      environment,
      rules: [
        { methods: ["GET"], action: "read" },
        { methods: ["POST", "PUT"], action: "write" },
        { methods: ["DELETE"], action: "erase" }
      ]
    }))
  )
})

beforeAll(async () => {
  echo = startEcho()
  gateway = await startGateway({
    env: { ENVIRONMENT: "prod", GATEWAY_HOSTS: "nightly.test, dev.test" },
    settings: settings()
  })
})
afterAll(async () => {
  await gateway?.stop()
  await echo?.stop()
})

const ask = (by: Person, environment: string, service: string, method = "GET", on = gateway) =>
  on.ask(`/${service}/x`, {
    method,
    headers: {
      cookie: by.cookie,
      host: environment === "prod" ? new URL(on.origin).host : hostOf(environment),
      origin: on.origin
    }
  })
const statusOf = async (...of: Parameters<typeof ask>) => (await ask(...of)).status
const sql = (text: string) => gateway.database.query(text)
const grantTo = (by: Person, role: string, environment: string, expires = "NULL") =>
  sql(
    `INSERT INTO grants (user_id, role, environment, expires_at) VALUES ('${by.userId}', '${role}', '${environment}', ${expires})`
  )

describe("R5: decisions", () => {
  test("agree with a naive reading of the DB: 3 roles x 3 environments x services x methods, granted everywhere and in one", async () => {
    await sql(`INSERT INTO roles (name, description) VALUES ('reader', ''), ('worker', ''), ('keeper', '')`)
    await sql(`INSERT INTO role_rights (role, position, environment, service, action, effect) VALUES
      ('reader', 0, '*', '*', 'read', 'allow'), ('reader', 1, 'prod', 'data', '*', 'deny'),
      ('worker', 0, 'nightly', 'admin', '*', 'allow'), ('worker', 1, '*', 'monitor', 'write', 'allow'),
      ('worker', 2, 'dev', '*', '*', 'allow'), ('worker', 3, '*', '*', 'erase', 'deny'),
      ('keeper', 0, '*', '*', '*', 'allow'), ('keeper', 1, 'nightly', 'admin', 'erase', 'deny')`)
    const people: Array<Person> = []
    for (const role of ["reader", "worker", "keeper"]) {
      for (const environment of ["*", ...environments]) people.push(await gateway.person([{ role, environment }]))
    }
    people.push(await gateway.person([{ role: "keeper" }, { role: "worker", environment: "dev" }]))
    people.push(await gateway.person([]))
    // Not the gateway's function: the rule of the specification, as a query.
    const rows = await sql(`
      SELECT u.id || ' ' || e || ' ' || s || ' ' || a AS key FROM users u, unnest(ARRAY['prod','nightly','dev']) e,
        unnest(ARRAY['monitor','admin','data']) s, unnest(ARRAY['read','write','erase']) a,
        LATERAL (SELECT array_agg(r.effect) AS effects FROM grants g JOIN role_rights r ON r.role = g.role
          WHERE g.user_id = u.id AND g.environment IN (e, '*') AND r.environment IN (e, '*')
            AND r.service IN (s, '*') AND r.action IN (a, '*')) x
      WHERE 'allow' = ANY (x.effects) AND NOT 'deny' = ANY (x.effects)`)
    const allowed = new Set(rows.map((row) => row["key"]))
    let allows = 0
    for (const person of people) {
      const asked = environments.flatMap((environment) =>
        services.flatMap((service) => Object.keys(actions).map((method) => ({ environment, service, method })))
      )
      const found = await Promise.all(
        asked.map(async (one) => [one, await statusOf(person, one.environment, one.service, one.method)] as const)
      )
      for (const [{ environment, method, service }, status] of found) {
        const expected = allowed.has(`${person.userId} ${environment} ${service} ${actions[method]}`)
        if (expected) allows++
        expect([person.userId, environment, service, method, status]).toEqual([
          person.userId,
          environment,
          service,
          method,
          expected ? 200 : 403
        ])
      }
    }
    expect(allows).toBeGreaterThan(100)
  })

  test("a right for nightly opens nothing on prod", async () => {
    const person = await gateway.person([{ role: "owner", environment: "nightly" }])
    expect(await statusOf(person, "nightly", "admin", "POST")).toBe(200)
    expect(await statusOf(person, "prod", "admin", "POST")).toBe(403)
    expect(await statusOf(person, "prod", "admin")).toBe(403)
  })
  test("deny beats allow, whichever role says so", async () => {
    await sql("INSERT INTO roles (name, description) VALUES ('nodata', '')")
    await sql("INSERT INTO role_rights VALUES ('nodata', 0, '*', 'data', 'read', 'deny')")
    const person = await gateway.person([{ role: "owner" }, { role: "nodata", environment: "prod" }])
    expect(await statusOf(person, "prod", "data")).toBe(403)
    expect(await statusOf(person, "prod", "data", "POST")).toBe(200)
    expect(await statusOf(person, "nightly", "data")).toBe(200)
  })
  test("what no route or rule names is 401 for strangers and 404 for who is logged in, the owner too", async () => {
    const owner = await gateway.person()
    for (const [path, method] of [
      ["/nowhere", "GET"],
      ["/monitorx", "GET"],
      ["/monitor/x", "PATCH"]
    ] as const) {
      const before = echo.count()
      const headers = { origin: gateway.origin }
      expect((await gateway.ask(path, { method, headers })).status).toBe(401)
      expect((await gateway.ask(path, { method, headers: { ...headers, cookie: owner.cookie } })).status).toBe(404)
      expect(echo.count()).toBe(before)
    }
  })
  test("the answer names the right that is missing, and for a token the scope", async () => {
    const person = await gateway.person([{ role: "viewer" }])
    const answer = await ask(person, "prod", "data", "DELETE")
    expect(((await answer.json()) as { detail: string }).detail).toBe("needs the right data:erase in prod")
    const token = await gateway.token(person)
    const byToken = await gateway.ask("/data/x", { method: "DELETE", headers: { authorization: `Bearer ${token}` } })
    expect([byToken.status, byToken.headers.get("www-authenticate")]).toEqual([
      403,
      'Bearer error="insufficient_scope", scope="data:erase"'
    ])
  })
})

describe("R5, R12: a change of rights takes effect within five seconds", () => {
  const within = async (what: string, person: Person, status: number, seconds = 5) => {
    const started = performance.now()
    await until(what, async () => (await statusOf(person, "prod", "admin", "POST")) === status, seconds)
    return (performance.now() - started) / 1000
  }
  const listening = () =>
    sql(`SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`)

  test("a revoked grant, by notification", async () => {
    const person = await gateway.person()
    expect(await statusOf(person, "prod", "admin", "POST")).toBe(200)
    await sql(`DELETE FROM grants WHERE user_id = '${person.userId}'`)
    expect(await within("it is refused", person, 403)).toBeLessThan(1.5)
  })
  test("a new grant, an edited role and a disabled user", async () => {
    const person = await gateway.person([])
    expect(await statusOf(person, "prod", "admin", "POST")).toBe(403)
    await sql("INSERT INTO roles (name, description) VALUES ('edited', '')")
    await grantTo(person, "edited", "prod")
    await sql("INSERT INTO role_rights VALUES ('edited', 0, 'prod', 'admin', 'write', 'allow')")
    await within("it is allowed", person, 200)
    await sql("UPDATE role_rights SET effect = 'deny' WHERE role = 'edited'")
    await within("it is denied", person, 403)
    await sql(`UPDATE users SET disabled = true WHERE id = '${person.userId}'`)
    await within("the user is out", person, 401)
  })
  test("by the sweep where no notification came", async () => {
    const person = await gateway.person()
    expect(await statusOf(person, "prod", "admin", "POST")).toBe(200)
    await sql(`DO $$ BEGIN
      SET LOCAL session_replication_role = replica;
      DELETE FROM grants WHERE user_id = '${person.userId}';
      UPDATE rights_version SET version = version + 1;
    END $$`)
    await within("it is refused", person, 403)
  })
  test("after the LISTEN connections were killed; they are made again", async () => {
    const person = await gateway.person()
    const before = await listening()
    expect(before.length).toBeGreaterThan(0)
    await sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
    )
    await sql(`DELETE FROM grants WHERE user_id = '${person.userId}'`)
    await within("it is refused", person, 403)
    const old = new Set(before.map((row) => row["pid"]))
    await until("it listens again", async () => {
      const now = await listening()
      return now.length === before.length && now.every((row) => !old.has(row["pid"]))
    })
    const next = await gateway.person()
    await sql(`DELETE FROM grants WHERE user_id = '${next.userId}'`)
    expect(await within("by notification again", next, 403)).toBeLessThan(1.5)
    // Sessions are heard of again too: each channel has its own ear.
    const third = await gateway.person()
    expect(await statusOf(third, "prod", "admin", "POST")).toBe(200)
    await sql(`DELETE FROM sessions WHERE id = '${third.sessionId}'`)
    expect(await within("the session has ended", third, 401)).toBeLessThan(1.5)
  })
  test("a grant that runs out, without any change in the DB", async () => {
    const person = await gateway.person([])
    await grantTo(person, "operator", "prod", "now() + interval '1200 milliseconds'")
    await sql("INSERT INTO role_rights VALUES ('operator', 99, '*', 'admin', 'write', 'allow')")
    await within("it is allowed", person, 200)
    await within("it has run out", person, 403)
    const me = await gateway.ask("/auth/me", { headers: { cookie: person.cookie } })
    expect(((await me.json()) as { roles: unknown }).roles).toEqual([])
  })
  test("an open stream of events ends when its reader's right, or session, does", async () => {
    for (const end of [
      (person: Person) => sql(`DELETE FROM grants WHERE user_id = '${person.userId}'`),
      (person: Person) => sql(`DELETE FROM sessions WHERE id = '${person.sessionId}'`)
    ]) {
      const person = await gateway.person([{ role: "viewer" }])
      const coming = echo.nextFeed()
      const asked = gateway.ask("/monitor/sse", { headers: { cookie: person.cookie } })
      const { gone, send } = await coming
      send("data: 1\n\n")
      const answer = await asked
      const reader = answer.body!.getReader()
      expect(new TextDecoder().decode((await reader.read()).value)).toBe("data: 1\n\n")
      await end(person)
      const started = performance.now()
      while (!(await reader.read()).done);
      await gone
      expect(performance.now() - started).toBeLessThan(5000)
    }
  })
})

describe("R5, R20: without the DB", () => {
  /** A gateway on a server of its own that `away` takes and `back` gives. */
  const scenario = async (
    away: (postgres: PrivatePostgres) => Promise<void>,
    back: (postgres: PrivatePostgres) => Promise<void> | void
  ) => {
    const postgres = privatePostgres()
    await postgres.start()
    const own = await startGateway({
      env: { ENVIRONMENT: "prod", GATEWAY_HOSTS: "nightly.test, dev.test" },
      settings: settings(),
      database: {
        url: postgres.url("gateway", "gateway"),
        query: (text) => postgres.query("gateway", text),
        drop: async () => {}
      }
    })
    const owner = await own.person()
    const status = async (method = "POST") => (await ask(owner, "prod", "admin", method, own)).status
    try {
      expect(await status()).toBe(200)
      await away(postgres)
      const since = performance.now()
      // What was confirmed less than five seconds ago may be served; nothing later.
      await until("it is closed", async () => {
        const asked = performance.now()
        const found = await status()
        if (asked - since > 5500) expect(found).toBe(503)
        expect([200, 503]).toContain(found)
        return found === 503
      })
      const asked = performance.now()
      const cookie = { headers: { cookie: owner.cookie } }
      const [read, erase, answer, me, begun, login, stranger, ready, live] = await Promise.all([
        status("GET"),
        status("DELETE"),
        own.ask("/admin/x", cookie),
        own.ask("/auth/me", cookie),
        own.ask("/auth/login?provider=hub"),
        own.ask("/auth/login", { headers: { accept: "text/html" } }),
        own.ask("/admin/x"),
        own.service.internal(new Request("http://i/readyz")),
        own.service.internal(new Request("http://i/livez"))
      ])
      expect(performance.now() - asked).toBeLessThan(5000)
      expect([read, erase, answer.status, me.status, begun.status]).toEqual([503, 503, 503, 503, 503])
      expect(answer.headers.get("retry-after")).toBe("2")
      // Who shows nothing is told to log in, as ever.
      expect([login.status, stranger.status]).toEqual([200, 401])
      expect([ready.status, live.status]).toEqual([503, 200])
      await back(postgres)
      await until("it is open again", async () => (await status()) === 200, 15)
    } finally {
      await own.stop()
      await postgres.dispose()
    }
  }
  test.concurrent("that was stopped, protected routes are 503 after five seconds at most, and open by themselves", () =>
    scenario(
      (postgres) => postgres.stop(),
      (postgres) => postgres.start()
    ))
  test.concurrent("that hangs, protected routes are 503 and not slow, and open by themselves", () =>
    scenario(
      (postgres) => postgres.pause(),
      (postgres) => postgres.resume()
    ))
})

test("R5: remembered rights serve for five seconds without the DB, and not a millisecond longer", async () => {
  const database = await freshDatabase("gateway")
  const layer = Rights.layer.pipe(
    Layer.provide(
      Database.layer({ name: "the gateway DB", url: Redacted.make(database.url), applicationName: "test", migrations })
    ),
    Layer.provideMerge(TestClock.layer()),
    Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
  )
  await Effect.runPromise(
    Effect.gen(function* () {
      const rights = yield* Rights
      yield* rights.snapshot
      yield* Effect.promise(database.drop)
      yield* TestClock.adjust(freshFor)
      expect(rights.peek()).toBeDefined()
      yield* TestClock.adjust(1)
      expect(rights.peek()).toBeUndefined()
      expect((yield* Effect.flip(rights.snapshot))._tag).toBe("Unavailable")
    }).pipe(Effect.provide(layer))
  )
  expect(freshFor).toBe(5000)
})
