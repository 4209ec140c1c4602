/** The gateway DB's schema: made once, however many gateways start at once, with the built-in roles and the rules it keeps by itself. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { Effect, Redacted, References } from "effect"
import { migrations } from "#gateway/migrations/index.ts"
import { builtInRoles } from "#shared/domain/rights.ts"
import { Database, type Migrations } from "#shared/sql.ts"
import { type FreshDatabase, freshDatabase, migrated } from "#test/shared/postgres.ts"
import { type GatewayFixture, provider, startGateway } from "#test/gateway/fixture.ts"

setDefaultTimeout(60_000)

const settings = { providers: [provider], routes: [] }
let database: FreshDatabase
let gateways: ReadonlyArray<GatewayFixture>
beforeAll(async () => {
  database = await freshDatabase("gateway")
  gateways = await Promise.all(
    [1, 2, 3].map(() => startGateway({ settings, database: { ...database, drop: async () => {} } }))
  )
})
afterAll(async () => {
  await Promise.all((gateways ?? []).map((gateway) => gateway.stop()))
  await database?.drop()
})

test("three gateways that start at once on an empty DB migrate it once and share one pair of keys", async () => {
  expect(await database.query("SELECT name FROM effect_sql_migrations")).toEqual([
    { name: "identity" },
    { name: "workloads" },
    { name: "hello" }
  ])
  expect(await database.query("SELECT state FROM signing_keys ORDER BY state")).toEqual([
    { state: "current" },
    { state: "next" }
  ])
  const person = await gateways[0]!.person()
  const token = await gateways[0]!.token(person)
  for (const gateway of gateways) {
    const byCookie = await gateway.ask("/auth/me", { headers: { cookie: person.cookie } })
    expect(byCookie.status).toBe(200)
  }
  // The issuer is part of a token: another public URL is another gateway.
  const foreign = await gateways[1]!.ask("/auth/me", { headers: { authorization: `Bearer ${token}` } })
  expect(foreign.status).toBe(401)
})
test("the built-in roles are there, with their rights in order", async () => {
  for (const role of builtInRoles) {
    const rows = await database.query(
      `SELECT environment, service, action, effect FROM role_rights WHERE role = '${role.name}' ORDER BY position`
    )
    expect(rows).toEqual(role.rights as never)
  }
  expect(await database.query("SELECT 1 FROM roles WHERE built_in")).toHaveLength(builtInRoles.length)
})
test("a DB from before the sample service gets its rights, and nothing that an owner has changed", async () => {
  const old = await freshDatabase("gateway")
  const migrate = (part: Migrations) =>
    Effect.runPromise(
      migrated.pipe(
        Effect.provide(
          Database.layer({ name: "old", url: Redacted.make(old.url), applicationName: "test", migrations: part })
        ),
        Effect.provideService(References.MinimumLogLevel, "None")
      )
    )
  const { "0003_hello": hello, ...before } = migrations
  await migrate(before)
  await old.query("DELETE FROM roles WHERE name = 'microservice'")
  await old.query("DELETE FROM role_rights WHERE service = 'hello'")
  await old.query("DELETE FROM role_rights WHERE role = 'developer' AND service = 'data'")
  await old.query("UPDATE roles SET built_in = false WHERE name = 'approver'")
  await migrate({ ...before, "0003_hello": hello! })
  const rights = async (role: string) =>
    (
      await old.query(
        `SELECT service || ':' || action AS right FROM role_rights WHERE role = '${role}' ORDER BY position`
      )
    ).map((row) => row["right"])
  expect(await rights("microservice")).toEqual(["scheduler:read", "scheduler:write"])
  expect((await rights("watchman")).slice(-2)).toEqual(["hello:read", "hello:greet"])
  expect(await rights("developer")).not.toContain("data:read")
  expect(await rights("developer")).toContain("hello:greet")
  expect(await rights("approver")).not.toContain("hello:read")
  expect(await rights("owner")).toEqual(["*:*"])
  await old.drop()
})
test("every change that decisions depend on gives a new version, a login alone none", async () => {
  const version = async () => (await database.query("SELECT version::text AS v FROM rights_version"))[0]!["v"]
  const person = await gateways[0]!.person([])
  let last = await version()
  for (const statement of [
    `INSERT INTO grants (user_id, role, environment) VALUES ('${person.userId}', 'viewer', '*')`,
    "UPDATE role_rights SET effect = effect WHERE role = 'viewer'",
    "UPDATE roles SET description = 'x' WHERE name = 'viewer'",
    `UPDATE users SET disabled = true WHERE id = '${person.userId}'`,
    `DELETE FROM users WHERE id = '${person.userId}'`
  ]) {
    await database.query(statement)
    const now = await version()
    expect([statement, now === last]).toEqual([statement, false])
    last = now
  }
  await database.query("UPDATE users SET last_login_at = now()")
  expect(await version()).toBe(last)
})
test("who is removed leaves no session, grant or token behind", async () => {
  const person = await gateways[0]!.person()
  await database.query(
    `INSERT INTO refresh_tokens (hash, session_id, scope) VALUES ('h', '${person.sessionId}', '*:*')`
  )
  await database.query(`DELETE FROM users WHERE id = '${person.userId}'`)
  for (const table of ["sessions", "grants"]) {
    expect(await database.query(`SELECT 1 FROM ${table} WHERE user_id = '${person.userId}'`)).toEqual([])
  }
  expect(await database.query("SELECT 1 FROM refresh_tokens")).toEqual([])
})

const migrate = (old: FreshDatabase, some: Migrations) =>
  migrated.pipe(
    Effect.provide(
      Database.layer({ name: "db", url: Redacted.make(old.url), applicationName: "test", migrations: some })
    ),
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.runPromise
  )
test("a DB of the first release gets the role of the scheduler once, and keeps what its owners made", async () => {
  const old = await freshDatabase("gateway")
  try {
    await migrate(old, { "0001_identity": migrations["0001_identity"]! })
    // As the first release left it: without the role, with one that its owners have changed and one session.
    await old.query("DELETE FROM roles WHERE name = 'watchman'")
    await old.query("UPDATE roles SET description = 'ours' WHERE name = 'viewer'")
    await old.query("DELETE FROM role_rights WHERE role = 'viewer'")
    await migrate(old, migrations)
    await migrate(old, migrations)
    const rights = await old.query("SELECT service, action FROM role_rights WHERE role = 'watchman' ORDER BY position")
    const watchman = builtInRoles.find(({ name }) => name === "watchman")!
    expect(rights).toEqual(watchman.rights.map(({ action, service }) => ({ service, action })))
    expect(await old.query("SELECT built_in FROM roles WHERE name = 'watchman'")).toEqual([{ built_in: true }])
    expect(await old.query("SELECT description FROM roles WHERE name = 'viewer'")).toEqual([{ description: "ours" }])
    expect(await old.query("SELECT 1 FROM role_rights WHERE role = 'viewer'")).toEqual([])
  } finally {
    await old.drop()
  }
})
test("a role that an owner has made under the name of a new one stays theirs", async () => {
  const old = await freshDatabase("gateway")
  try {
    await migrate(old, { "0001_identity": migrations["0001_identity"]! })
    await old.query("UPDATE roles SET built_in = false, description = 'ours' WHERE name = 'watchman'")
    await old.query("DELETE FROM role_rights WHERE role = 'watchman'")
    await migrate(old, migrations)
    expect(await old.query("SELECT built_in, description FROM roles WHERE name = 'watchman'")).toEqual([
      { built_in: false, description: "ours" }
    ])
    expect(await old.query("SELECT 1 FROM role_rights WHERE role = 'watchman'")).toEqual([])
  } finally {
    await old.drop()
  }
})
