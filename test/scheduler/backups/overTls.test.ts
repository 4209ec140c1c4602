/** Backups over TLS: the driver and PostgreSQL's own programs believe the same authority, by the same URL, and no other. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test"
import { Effect, Redacted } from "effect"
import { DatabaseBackups } from "#scheduler/backups/DatabaseBackups.ts"
import { libpqEnvironment, PostgresTools } from "#scheduler/backups/PostgresTools.ts"
import { backupsIn, bin, type Place, place, withTools } from "#test/scheduler/backups/fixture.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { tlsObstacle, tlsPostgres, type TlsPostgres } from "#test/shared/tlsPostgres.ts"

setDefaultTimeout(60_000)

const possible = withTools.possible && tlsObstacle === undefined
const { test } = skipUnless(possible, tlsObstacle ?? "no PostgreSQL tools")

let at: Place
let postgres: TlsPostgres
if (possible) {
  beforeAll(async () => {
    at = await place()
    postgres = await tlsPostgres()
    await postgres.server.query("gateway", "ALTER ROLE gateway SUPERUSER")
    await postgres.server.query("gateway", "CREATE TABLE kept AS SELECT generate_series(1, 100) AS n")
  })
  afterAll(async () => {
    await postgres?.dispose()
    at?.dispose()
  })
}

const believing = (file: string) =>
  postgres.url("gateway", "gateway", `?sslmode=verify-full&sslrootcert=${encodeURIComponent(file)}`)

const make = async (url: string) => {
  const runtime = backupsIn(at, { url, database: "gateway" })
  const job = crypto.randomUUID()
  try {
    return await runtime.runPromise(Effect.result(DatabaseBackups.use((all) => all.make("gateway", job))))
  } finally {
    await runtime.dispose()
  }
}

/** How pg_dump itself ends, and what it complains of. */
const dump = (url: string) =>
  Effect.runPromise(
    Effect.gen(function* () {
      const child = yield* (yield* PostgresTools).start({
        tool: "pg_dump",
        args: ["--no-password", "--schema-only"],
        env: libpqEnvironment(Redacted.make(url))
      })
      const text = yield* Effect.promise(() => new Response(child.stdout).text())
      return { code: yield* Effect.promise(() => child.ended), text, complaints: child.complaints() }
    }).pipe(Effect.scoped, Effect.provide(PostgresTools.layer({ folder: bin, path: "" })))
  )

test("a backup is made of a database that speaks nothing else", async () => {
  const made = await make(believing(postgres.authorityFile))
  if (made._tag === "Failure") throw made.failure
  expect(made.success.manifest).toMatchObject({ database: "gateway", tables: 1, rows: 100 })
})

test("security: none is made of a server that another authority vouches for", async () => {
  const made = await make(believing(postgres.otherAuthorityFile))
  if (made._tag === "Success") throw new Error("made")
  expect(made.failure.message).toContain("the server's certificate is not from an authority that sslrootcert names")
})

test("security: pg_dump itself verifies by the same URL", async () => {
  expect((await dump(believing(postgres.authorityFile))).text).toContain("CREATE TABLE public.kept")
  const refused = await dump(believing(postgres.otherAuthorityFile))
  expect(refused.code).not.toBe(0)
  expect(refused.complaints).toContain("certificate verify failed")
  expect(refused.complaints).not.toContain("a password of the tests")
})
