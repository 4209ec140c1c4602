/** The scripts that a database runs at its first start, on a real Postgres: each service gets what is its own and sees nothing of another's. */
import { PgConnection } from "@effect/sql-pg"
import { beforeAll, describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { Effect, Redacted } from "effect"
import { type FreshDatabase, freshDatabase } from "#test/shared/postgres.ts"

const base = resolve(import.meta.dir, "../../kustomize/base")
/** The server is shared with other suites, whose roles have the real names. */
const prefixOf = (database: FreshDatabase) => `r_${database.name}_`

/** What psql makes of a script: variables from files, put in as literals; with names of this suite's own. */
const statementsOf = (script: string, roles: ReadonlyArray<string>, database: FreshDatabase): ReadonlyArray<string> => {
  const variables = new Map<string, string>()
  const lines = script.split("\n").filter((line) => {
    const [, name, file] = /^\\set (\w+) `cat \/run\/secrets\/gatehouse\/([\w-]+)`$/u.exec(line) ?? []
    if (name !== undefined && file !== undefined) variables.set(name, `it's ${file}`)
    return !line.startsWith("\\") && !line.startsWith("--")
  })
  return lines
    .join("\n")
    .replaceAll(/:'(\w+)'/gu, (_, name: string) => {
      const value = variables.get(name)
      if (value === undefined) throw new Error(`${name} is not set`)
      return `'${value.replaceAll("'", "''")}'`
    })
    .split(";")
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "")
    .map((statement) =>
      statement
        .replaceAll(/\b(DATABASE|IN DATABASE) (?:postgres, template1, )?\w+/gu, `$1 ${database.name}`)
        .replaceAll(
          new RegExp(`\\b(ROLE|ROLES?|TO|AUTHORIZATION|,) ((?:${roles.join("|")})\\b)`, "gu"),
          `$1 ${prefixOf(database)}$2`
        )
    )
}

/** Runs a statement as one of the roles. */
const as = (database: FreshDatabase, role: string, statement: string): Promise<ReadonlyArray<unknown>> => {
  const url = new URL(database.url.replace("postgresql:///", "postgresql://x/"))
  url.searchParams.set("user", `${prefixOf(database)}${role}`)
  return Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const connection = yield* PgConnection.make({
          url: Redacted.make(url.href.replace("postgresql://x/", "postgresql:///")),
          applicationName: "gatehouse-test"
        })
        return (yield* connection.query(statement)).rows
      })
    ).pipe(Effect.catchTag("SqlError", (error) => Effect.die(error.reason.cause ?? error)))
  )
}

const prepare = async (name: string, roles: ReadonlyArray<string>) => {
  const database = await freshDatabase("gateway")
  const script = readFileSync(resolve(base, name, "roles.sql"), "utf8")
  for (const statement of statementsOf(script, roles, database)) await database.query(statement)
  return database
}

describe("the logging DB's roles", () => {
  const schemas = { admin: "actions", scheduler: "jobs", monitor: "metrics" } as const
  const services = ["admin", "scheduler", "monitor"] as const
  let database: FreshDatabase
  beforeAll(async () => {
    database = await prepare("logging-db", [...services, "backup"])
    for (const service of services) await as(database, service, "CREATE TABLE own (word text)")
  })

  test("make what they need in their own schema, without naming it", async () => {
    const rows = await database.query("SELECT schemaname FROM pg_tables WHERE tablename = 'own' ORDER BY 1")
    expect(rows).toEqual([{ schemaname: "actions" }, { schemaname: "jobs" }, { schemaname: "metrics" }])
  })

  test.each(services)("security: %s sees nothing of the others, and can make nothing in public", async (service) => {
    for (const other of services) {
      const query = as(database, service, `SELECT * FROM ${schemas[other]}.own`)
      if (other === service) expect(await query).toEqual([])
      else await expect(query).rejects.toThrow("permission denied for schema")
    }
    await expect(as(database, service, "CREATE TABLE public.x (a int)")).rejects.toThrow("permission denied")
    await expect(as(database, service, "CREATE SCHEMA x")).rejects.toThrow("permission denied")
    await expect(as(database, service, "CREATE ROLE x")).rejects.toThrow("permission denied")
  })

  test("security: the backup's role reads everything and changes nothing", async () => {
    for (const schema of Object.values(schemas)) {
      expect(await as(database, "backup", `SELECT * FROM ${schema}.own`)).toEqual([])
      await expect(as(database, "backup", `DELETE FROM ${schema}.own`)).rejects.toThrow("permission denied")
    }
  })

  test("security: have passwords that are kept as SCRAM, not as they are", async () => {
    const rows = await database.query(
      `SELECT rolname FROM pg_authid WHERE rolname LIKE '${prefixOf(database)}%' AND rolpassword NOT LIKE 'SCRAM-SHA-256$%'`
    )
    expect(rows).toEqual([])
  })
})

describe("the gateway DB's roles", () => {
  let database: FreshDatabase
  beforeAll(async () => {
    database = await prepare("gateway-db", ["gateway", "backup"])
  })

  test("are the gateway, which owns the database, and the backup, which reads it", async () => {
    await as(database, "gateway", "CREATE TABLE people (name text)")
    expect(await as(database, "backup", "SELECT * FROM people")).toEqual([])
    await expect(as(database, "backup", "DELETE FROM people")).rejects.toThrow("permission denied")
    await expect(as(database, "gateway", "CREATE ROLE x")).rejects.toThrow("permission denied")
  })
})

describe("the data DB's roles", () => {
  let database: FreshDatabase
  beforeAll(async () => {
    database = await prepare("data-db", ["hello", "backup", "data_trusted"])
  })

  test("keep a microservice in a schema of its own", async () => {
    await as(database, "hello", "CREATE TABLE guests (name text)")
    expect(await database.query("SELECT schemaname FROM pg_tables WHERE tablename = 'guests'")).toEqual([
      { schemaname: "hello" }
    ])
    await expect(as(database, "hello", "CREATE TABLE public.x (a int)")).rejects.toThrow("permission denied")
    await expect(as(database, "hello", "CREATE SCHEMA x")).rejects.toThrow("permission denied")
  })
})
