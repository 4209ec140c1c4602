/** `gatehouse data-setup`: makes the instance's roles with the passwords of their URLs and locks it down, as its superuser; must be safe to repeat and show no password to the server. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto"
import { Effect, Redacted, Schedule, Schema } from "effect"
import { type Env, readConfig } from "#shared/config.ts"
import { openSession, sqlStateOf } from "#shared/sql.ts"
import { setupConfig } from "./config.ts"
import { instanceStatements, ownerRole, queryRole, writeRole } from "./migrations/instance.ts"

/** The instance cannot be set up; the detail is the server's own words. */
export class SetupFailed extends Schema.TaggedError<SetupFailed>()("SetupFailed", { detail: Schema.String }) {
  override get message() {
    return `the data instance cannot be set up: ${this.detail}`
  }
}

/** Rounds of PBKDF2 as Postgres does them (`scram_iterations`). */
const iterations = 4096

/** What Postgres keeps of a password (RFC 5803), made here so that no log of the server can show the password itself. */
export const scramVerifier = (password: string, salt: Uint8Array = randomBytes(16)): string => {
  const salted = pbkdf2Sync(password.normalize("NFKC"), salt, iterations, 32, "sha256")
  const keyed = (text: string) => createHmac("sha256", salted).update(text).digest()
  const stored = createHash("sha256").update(keyed("Client Key")).digest("base64")
  return `SCRAM-SHA-256$${iterations}:${Buffer.from(salt).toString("base64")}$${stored}:${keyed("Server Key").toString("base64")}`
}

/** The password in a connection URL, undefined where it has none (a trusted unix socket). */
const passwordOf = (url: Redacted.Redacted): string | undefined => {
  const { password, searchParams } = new URL(Redacted.value(url))
  return password === "" ? (searchParams.get("password") ?? undefined) : decodeURIComponent(password)
}

/** Waits for an instance that is just starting, then sets it up. Fails with ConfigInvalid or SetupFailed. */
export const setUp = Effect.fn("data.setUp")(function* (env: Env) {
  const { databaseUrl, queryDatabaseUrl, setupDatabaseUrl, writeDatabaseUrl } = yield* readConfig(setupConfig, env, [])
  yield* Effect.gen(function* () {
    const session = yield* openSession({
      url: setupDatabaseUrl,
      applicationName: "gatehouse-data-setup",
      parameters: {}
    }).pipe(Effect.retry({ times: 60, schedule: Schedule.spaced("1 second") }))
    // Of several replicas that start at once one at a time: two that alter a role together fail.
    yield* session.query("SELECT pg_advisory_lock(hashtextextended('gatehouse-data-setup', 0))")
    for (const statement of instanceStatements) yield* session.query(statement)
    for (const [role, url] of [
      [ownerRole, databaseUrl],
      [queryRole, queryDatabaseUrl],
      [writeRole, writeDatabaseUrl]
    ] as const) {
      const password = passwordOf(url)
      if (password !== undefined) yield* session.query(`ALTER ROLE ${role} PASSWORD '${scramVerifier(password)}'`)
    }
  }).pipe(
    Effect.scoped,
    Effect.catchTag("SqlError", (error) => {
      const { message } = sqlStateOf(error)
      return Effect.fail(new SetupFailed({ detail: message === "" ? error.message : message }))
    })
  )
})
