/** Gives the embedded server the databases, roles and schemas of the services; must stay safe to repeat on every start. */
import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { instanceStatements, trustedRole } from "#data/migrations/instance.ts"
import { microserviceNames } from "./microservices.ts"
import { PostgresFailed } from "./postgresFailed.ts"

/** A database the embedded server holds, each a service's own but `logging`, which three share in schemas of their own. */
export const databases = ["gateway", "logging", "data"] as const
export type Database = (typeof databases)[number]

/** A role of the embedded server: one for each service that keeps anything, and two for what data does for its callers. */
export const roles = [
  "gateway",
  "admin",
  "scheduler",
  "monitor",
  "data",
  "data_query",
  "data_write",
  ...microserviceNames
] as const
export type Role = (typeof roles)[number]

const loggingSchemas = { admin: "actions", scheduler: "jobs", monitor: "metrics" } as const

/** The team's own services keep what they have in the data DB, beside what is the data service's. */
const dataSchemas = Object.fromEntries(microserviceNames.map((name) => [name, name]))

/** A connection URL over the unix socket, as libpq and @effect/sql-pg read it. */
export const socketUrl = (socketDir: string, database: string, role: string) =>
  `postgresql:///${encodeURIComponent(database)}?host=${encodeURIComponent(socketDir)}&user=${encodeURIComponent(role)}`

const connect = (socketDir: string, database: string) =>
  PgConnection.make({
    url: Redacted.make(socketUrl(socketDir, database, "postgres")),
    applicationName: "gatehouse-dev"
  })

/** Checks that the server behind the socket is process `pid`, then creates what is missing. */
export const ensureDatabases = (socketDir: string, pid: number): Effect.Effect<void, PostgresFailed> =>
  Effect.gen(function* () {
    const postgres = yield* connect(socketDir, "postgres")
    // The server reads the file in its own data folder: the answer proves both which process and which folder it is.
    const file = yield* postgres.query("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pid")
    if (file.rows[0]?.["pid"] !== pid) {
      return yield* new PostgresFailed({ operation: "connect", detail: `another server answers in ${socketDir}` })
    }
    const present = yield* postgres.query(
      "SELECT rolname::text AS name FROM pg_roles UNION ALL SELECT 'db:' || datname FROM pg_database"
    )
    const names = new Set(present.rows.map((row) => row["name"]))
    for (const role of roles) if (!names.has(role)) yield* postgres.query(`CREATE ROLE ${role} LOGIN`)
    for (const database of databases) {
      if (names.has(`db:${database}`)) continue
      const owner = database === "logging" ? "postgres" : database
      // Copying the template's files needs two checkpoints, which is slower here than logging its few blocks.
      yield* postgres.query(`CREATE DATABASE ${database} OWNER ${owner} STRATEGY wal_log`)
    }
    for (const database of ["postgres", "template1", ...databases]) {
      yield* postgres.query(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC`)
    }
    for (const [database, schemas] of [
      ["logging", loggingSchemas],
      ["data", dataSchemas]
    ] as const) {
      const connection = yield* connect(socketDir, database)
      if (database === "logging") yield* connection.query("REVOKE ALL ON SCHEMA public FROM PUBLIC")
      for (const [role, schema] of Object.entries(schemas)) {
        yield* connection.query(`GRANT CONNECT, TEMPORARY ON DATABASE ${database} TO ${role}`)
        yield* connection.query(`CREATE SCHEMA IF NOT EXISTS ${schema} AUTHORIZATION ${role}`)
        yield* connection.query(`ALTER ROLE ${role} IN DATABASE ${database} SET search_path = ${schema}`)
      }
    }
    // In production the superuser of an instance of its own: `gatehouse data-setup`.
    const data = yield* connect(socketDir, "data")
    for (const statement of instanceStatements) yield* data.query(statement)
    // Callers' SQL is what the lock-down is against; a service with tables of its own there migrates them under a lock.
    for (const role of Object.keys(dataSchemas)) yield* data.query(`GRANT ${trustedRole} TO ${role}`)
  }).pipe(
    Effect.scoped,
    Effect.catchTag("SqlError", (error) =>
      Effect.fail(
        new PostgresFailed({ operation: "create the databases", detail: String(error.reason.cause ?? error.message) })
      )
    )
  )
