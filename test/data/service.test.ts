/** The data service as a whole: its settings, its setup, its description, and what becomes of requests while its database is away. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test"
import { Effect, Redacted, Result } from "effect"
import { dataConfig, dataPrefixes } from "#data/config.ts"
import { make } from "#data/service.ts"
import { scramVerifier, setUp } from "#data/setup.ts"
import { ConfigInvalid, type Env, readConfig } from "#shared/config.ts"
import { declaredRoutes, lostReferences, type OpenApiDocument, operationsOf } from "#test/shared/described.ts"
import { freshDatabase, type PrivatePostgres } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"
import { rowsOf, type Running, startData, startOnPrivatePostgres } from "./callers.ts"

const url = (role: string) => `postgresql://${role}:secret-${role}@data-db/data`
const base: Env = {
  ENVIRONMENT: "dev",
  IDENTITY_ISSUER: "http://localhost:8080",
  IDENTITY_JWKS_URL: "http://localhost/keys",
  DATA_DATABASE_URL: url("data"),
  DATA_QUERY_DATABASE_URL: url("data_query"),
  DATA_WRITE_DATABASE_URL: url("data_write")
}
const configOf = (env: Env) =>
  Effect.runPromise(Effect.result(readConfig(dataConfig, { ...base, ...env }, dataPrefixes)))

describe("settings", () => {
  test("have the limits of the README unless told", async () => {
    const config = await configOf({})
    if (Result.isFailure(config)) throw config.failure
    expect(config.success.limits).toMatchObject({ queryMillis: 10_000, maxRows: 10_000, exportMillis: 1_800_000 })
  })

  test("security: a URL of another role, an unknown key and a limit out of bounds stop the start by name, without the value", async () => {
    for (const [env, key] of [
      [{ DATA_QUERY_DATABASE_URL: url("data") }, "DATA_QUERY_DATABASE_URL"],
      [{ DATA_QUERY_DATABASE_URL: url("postgres") }, "DATA_QUERY_DATABASE_URL"],
      [{ DATA_DATABASE_URL: "not a url" }, "DATA_DATABASE_URL"],
      [{ DATA_QUERY_MAX_ROWS: "0" }, "DATA_QUERY_MAX_ROWS"],
      [{ DATA_QUERY_TIMEOUT: "2 hours" }, "DATA_QUERY_TIMEOUT"],
      [{ DATA_QUERY_MAX_ROW: "5" }, "DATA_QUERY_MAX_ROW"]
    ] as const) {
      const found = await configOf(env)
      const failure = Result.isFailure(found) ? found.failure : undefined
      expect(failure).toBeInstanceOf(ConfigInvalid)
      expect([failure?.key, failure?.message.includes("secret-")]).toEqual([key, false])
    }
  })
})

describe("gatehouse data-setup", () => {
  test("makes roles that are limited, with passwords the server never saw, and may be repeated", async () => {
    const database = await freshDatabase("data")
    const as = (role: string) => `${database.url.replace("user=data", `user=${role}`)}&password=secret-${role}`
    const env = {
      DATA_SETUP_DATABASE_URL: as("postgres"),
      DATA_DATABASE_URL: as("data"),
      DATA_QUERY_DATABASE_URL: as("data_query"),
      DATA_WRITE_DATABASE_URL: as("data_write")
    }
    await Effect.runPromise(setUp(env))
    await Effect.runPromise(setUp(env))
    const roles = await database.query(
      `SELECT rolname::text AS name, rolpassword AS kept, rolinherit AS inherits, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls AS mighty
       FROM pg_authid WHERE rolname IN ('data', 'data_query', 'data_write') ORDER BY 1`
    )
    expect(roles.map(({ name, mighty }) => [name, mighty])).toEqual([
      ["data", false],
      ["data_query", false],
      ["data_write", false]
    ])
    for (const { kept, name } of roles) {
      const [, salt = ""] = /^SCRAM-SHA-256\$4096:([^$]+)\$/u.exec(String(kept)) ?? []
      expect(String(kept)).toBe(scramVerifier(`secret-${String(name)}`, Buffer.from(salt, "base64")))
    }
    await database.query(
      "DO $$ BEGIN ALTER ROLE data PASSWORD NULL; ALTER ROLE data_query PASSWORD NULL; ALTER ROLE data_write PASSWORD NULL; END $$"
    )
  })

  test("makes the same verifier as the example of RFC 7677", () => {
    const verifier = scramVerifier("pencil", Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64"))
    expect(verifier).toBe(
      "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
  })

  test("says what is wrong without a password", async () => {
    const broken = { ...base, DATA_SETUP_DATABASE_URL: url("postgres"), DATA_DATABASE_URL: url("postgres") }
    const outcome = await Effect.runPromise(Effect.result(setUp(broken)))
    expect(Result.isFailure(outcome) && outcome.failure.message).toContain("DATA_DATABASE_URL")
    expect(String(Redacted.make("x"))).not.toContain("x")
  })
})

describe("a running service", () => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-datasets-"))
  let data: Running
  beforeAll(async () => {
    writeFileSync(join(folder, "0001_a.sql"), "CREATE TABLE sales.a (n int); INSERT INTO sales.a VALUES (1);")
    writeFileSync(join(folder, "notes.txt"), "no SQL")
    data = await startData({ DATA_DATASETS_DIR: folder })
  })
  afterAll(async () => {
    await data.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test("describes every route with a summary, an answer and its refusals, to any caller the gateway knows", async () => {
    const document = JSON.parse((await data.ask("/data/openapi.json")).text) as OpenApiDocument
    const operations = operationsOf(document)
    expect([...operations.keys()].toSorted()).toEqual(declaredRoutes("data").toSorted())
    for (const [name, { responses = {}, summary = "" }] of operations) {
      expect([name, summary !== "", "401" in responses, "503" in responses]).toEqual([name, true, true, true])
    }
    expect(lostReferences(document)).toEqual([])
    expect((await data.ask("/data/openapi.json", { scope: null })).status).toBe(401)
  })

  test("sets memberships for who may manage, and they hold from the next query on", async () => {
    const sql = "SELECT count(*)::int AS n FROM sales.orders"
    expect(rowsOf(await data.query(sql, { as: "new" }))).toEqual([{ n: 0 }])
    const set = (json: object) => data.ask("/data/v1/memberships", { method: "PUT", json })
    expect((await set({ kind: "user", name: "new", tenants: ["south", "north"] })).status).toBe(200)
    expect(rowsOf(await data.query(sql, { as: "new" }))).toEqual([{ n: 40 }])
    expect((await set({ kind: "user", name: "new", tenants: [] })).status).toBe(200)
    expect(rowsOf(await data.query(sql, { as: "new" }))).toEqual([{ n: 0 }])
    expect((await set({ kind: "group", name: "new", tenants: [] })).status).toBe(422)
    expect((await data.ask("/data/v1/memberships")).json()["memberships"]).toEqual([
      { kind: "role", name: "owner", tenants: ["*"] },
      { kind: "user", name: "north", tenants: ["north"] },
      { kind: "user", name: "south", tenants: ["south"] }
    ])
  })

  test("runs the definitions of its folder once each, and is not ready with one that was changed since", async () => {
    expect(rowsOf(await data.query("SELECT n FROM sales.a"))).toEqual([{ n: 1 }])
    const names = await data.database.query("SELECT name FROM gw.definition ORDER BY 1")
    expect(names.map(({ name }) => name)).toEqual(["0001_a.sql", "sample"])
    writeFileSync(join(folder, "0001_a.sql"), "DROP TABLE sales.a")
    const as = (role: string) => data.database.url.replace("user=data", `user=${role}`)
    const quiet = spyOn(console, "log").mockImplementation(() => {})
    const other = await make({
      ...base,
      DATA_DATABASE_URL: as("data"),
      DATA_QUERY_DATABASE_URL: as("data_query"),
      DATA_WRITE_DATABASE_URL: as("data_write"),
      DATA_DATASETS_DIR: folder,
      LOG_LEVEL: "Error"
    })
    try {
      await until("it says what is wrong", async () =>
        (await (await other.internal(new Request("http://localhost/readyz"))).text()).includes(
          "0001_a.sql: has changed"
        )
      )
    } finally {
      await other.dispose()
      quiet.mockRestore()
    }
    expect(rowsOf(await data.query("SELECT n FROM sales.a"))).toEqual([{ n: 1 }])
  })
})

describe("while the database is away", () => {
  let postgres: PrivatePostgres
  let data: Running
  let stop: () => Promise<void>
  beforeAll(async () => {
    ;({ data, postgres, stop } = await startOnPrivatePostgres())
  })
  afterAll(() => stop())

  test("every route answers 503 and when to ask again, nothing is changed, and it comes back by itself", async () => {
    await postgres.stop()
    for (const answer of [
      await data.query("SELECT 1"),
      await data.ask("/data/v1/catalog"),
      await data.ask("/data/v1/rows/sales/orders"),
      await data.ask("/data/v1/rows/sales/products", { json: { sku: "z", name: "z", price: 1 } })
    ]) {
      expect([answer.status, answer.json()["code"], answer.headers.get("retry-after")]).toEqual([
        503,
        "unavailable",
        "2"
      ])
    }
    const ready = await data.service.internal(new Request("http://localhost/readyz"))
    expect(ready.status).toBe(503)
    await postgres.start()
    await until("the data service answers again", async () => (await data.query("SELECT 1 AS one")).status === 200)
    expect(rowsOf(await data.query("SELECT count(*)::int AS n FROM sales.products"))).toEqual([{ n: 3 }])
  })
})
