/** A service and its database over TLS, on a real server that speaks nothing else: who is believed, who is not and what is said of it, and that all else works as without. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ConfigProvider, Effect, Exit, Fiber, Layer, Logger, ManagedRuntime, Redacted, Result, Stream } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { TestClock } from "effect/testing"
import { databaseUrl, DatabaseNotTrusted, urlFault, watchCertificate } from "#shared/databaseTls.ts"
import { Database, openSession, queryRows, SqlClient, type SqlError } from "#shared/sql.ts"
import { makeAuthority } from "#test/shared/certificates.ts"
import { freshDatabase } from "#test/shared/postgres.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { tlsObstacle, tlsPostgres, type TlsPostgres } from "#test/shared/tlsPostgres.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

const folder = mkdtempSync(join(tmpdir(), "gatehouse-database-tls-"))
const running: Array<{ readonly dispose: () => Promise<void> }> = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.dispose()
})
afterAll(() => rmSync(folder, { recursive: true }))

const ownState = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
const believing = (file: string) => `?sslmode=verify-full&sslrootcert=${encodeURIComponent(file)}`

/** A session's answer, or why there is none. */
const ask = async (url: string): Promise<unknown> => {
  const session = openSession({ url: Redacted.make(url), applicationName: "test" })
  const asked = Effect.scoped(Effect.flatMap(session, (one) => queryRows(one, ownState)))
  const answer = await Effect.runPromise(Effect.result(asked))
  return Result.isSuccess(answer) ? answer.success : answer.failure
}

const reasonOf = (failure: unknown) => {
  const { reason } = failure as SqlError.SqlError
  return reason.cause instanceof DatabaseNotTrusted ? [reason._tag, reason.cause.reason] : [reason._tag]
}

/** A service's pool, with what it logs. */
const open = (url: string) => {
  const lines: Array<string> = []
  const runtime = ManagedRuntime.make(
    Database.layer({
      name: "test DB",
      url: Redacted.make(url),
      applicationName: "test",
      migrations: {},
      maxConnections: 4
    }).pipe(Layer.provideMerge(Logger.layer([Logger.map(Logger.formatJson, (line) => void lines.push(line))])))
  )
  running.push(runtime)
  const query = (text: string) =>
    Effect.flatMap(Database, (database) =>
      Effect.flatMap(SqlClient.SqlClient, (sql) => database.run(sql.unsafe<Record<string, unknown>>(text)))
    )
  const run = async (text: string) => {
    const exit = await runtime.runPromise(Effect.exit(query(text)))
    return Exit.isSuccess(exit) ? exit.value : "failed"
  }
  return { runtime, lines, query, run }
}

skipUnless(tlsObstacle === undefined, tlsObstacle ?? "").describe("a database that speaks TLS", () => {
  let postgres: TlsPostgres
  beforeAll(async () => {
    postgres = await tlsPostgres()
  })
  afterAll(() => postgres.dispose())
  afterEach(() => postgres.certify({ name: "database", hosts: [postgres.address] }))

  const url = (parameters: string) => postgres.url("gateway", "gateway", parameters)
  const good = () => url(believing(postgres.authorityFile))

  test("encrypts every connection: the pool's and a request's own", async () => {
    const encrypted = [{ ssl: true, version: "TLSv1.3" }]
    expect(await ask(good())).toEqual(encrypted)
    const { lines, run } = open(good())
    expect(await run(ownState)).toEqual(encrypted)
    expect(lines.filter((line) => line.includes("no TLS"))).toEqual([])
  })

  test("security: is refused when its certificate is another authority's", async () => {
    expect(reasonOf(await ask(url(believing(postgres.otherAuthorityFile))))).toEqual(["ConnectionError", "authority"])
    await postgres.certify({ name: "database", hosts: [postgres.address] }, makeAuthority("the databases' authority"))
    await until("the new certificate is shown", async () => reasonOf(await ask(good()))[1] === "authority")
  })

  test("security: is refused when its certificate is for another name", async () => {
    await postgres.certify({ name: postgres.address, hosts: ["other-db", "127.0.0.1"] })
    await until("the new certificate is shown", async () => reasonOf(await ask(good()))[1] === "name")
  })

  test("security: is refused when its certificate has ended", async () => {
    await postgres.certify({ name: "database", hosts: [postgres.address], notAfter: new Date(Date.now() - 60_000) })
    await until("the new certificate is shown", async () => reasonOf(await ask(good()))[1] === "time")
  })

  test("security: is believed by nobody when the file of authorities is gone or holds none", async () => {
    expect(reasonOf(await ask(url(believing(join(folder, "no-such-file")))))).toEqual([
      "ConnectionError",
      "authority_file"
    ])
    const empty = join(folder, "empty.crt")
    writeFileSync(empty, "")
    expect(reasonOf(await ask(url(believing(empty))))).toEqual(["ConnectionError", "authority_file"])
  })

  test("security: is refused with an unsafe NODE_TLS_REJECT_UNAUTHORIZED too", async () => {
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0"
    try {
      expect(reasonOf(await ask(url(believing(postgres.otherAuthorityFile))))).toEqual(["ConnectionError", "authority"])
    } finally {
      delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"]
    }
  })

  test("security: lets nobody in without TLS, and the service says what is missing", async () => {
    expect(reasonOf(await ask(url("")))).toEqual(["ConnectionError", "tls_wanted"])
  })

  test("security: says why a service is not ready, and no secret", async () => {
    const { lines, run } = open(url(believing(postgres.otherAuthorityFile)))
    expect(await run("SELECT 1 AS one")).toBe("failed")
    await until("the reason is in the log", () =>
      lines.some((line) => line.includes("is not from an authority that sslrootcert names"))
    )
    expect(lines.join("\n")).not.toContain("password of the tests")
    expect(lines.join("\n")).not.toContain("a%20password")
  })

  test("is believed as soon as the file names its authority, with no restart", async () => {
    const file = join(folder, "followed.crt")
    copyFileSync(postgres.otherAuthorityFile, file)
    const { run } = open(url(believing(file)))
    expect(await run("SELECT 1 AS one")).toBe("failed")
    copyFileSync(postgres.authorityFile, file)
    await until("the service answers", async () => Array.isArray(await run("SELECT 1 AS one")))
  })

  test("keeps who is connected when its certificate is renewed", async () => {
    const { run } = open(good())
    const pid = JSON.stringify(await run("SELECT pg_backend_pid() AS pid"))
    await postgres.certify({ name: "database", hosts: [postgres.address] })
    expect(JSON.stringify(await run("SELECT pg_backend_pid() AS pid"))).toBe(pid)
  })

  test("cancels on the server what is interrupted", async () => {
    const { query, runtime } = open(good())
    const sleeping = async () =>
      (
        await postgres.server.query(
          "gateway",
          "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(600)'"
        )
      ).length
    const fiber = runtime.runFork(query("SELECT pg_sleep(600)"))
    await until("the query runs", async () => (await sleeping()) === 1)
    await Effect.runPromise(Fiber.interrupt(fiber))
    await until("the query has ended", async () => (await sleeping()) === 0)
  })

  test("brings notifications", async () => {
    const { runtime } = open(good())
    const seen: Array<string | undefined> = []
    runtime.runFork(
      Effect.flatMap(Database, (database) =>
        Stream.runForEach(database.notifications("changes"), (one) => Effect.sync(() => seen.push(one)))
      )
    )
    await until("it listens", () => seen.length === 1)
    await postgres.server.query("gateway", "NOTIFY changes, 'told'")
    await until("the notification is here", () => seen.includes("told"))
  })
})

describe("a database without TLS", () => {
  test("security: is refused by who wants it", async () => {
    const fresh = await freshDatabase("gateway")
    const file = join(folder, "some.crt")
    writeFileSync(file, makeAuthority("some").cert)
    // Over a unix socket Postgres speaks none.
    const answer = await ask(`${fresh.url}&sslmode=verify-full&sslrootcert=${encodeURIComponent(file)}`)
    expect(reasonOf(answer)).toEqual(["ConnectionError", "no_tls"])
    await fresh.drop()
  })
})

describe("a database's URL", () => {
  const read = (value: string) =>
    Effect.runPromise(
      Effect.result(databaseUrl("X_DATABASE_URL")).pipe(
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({ X_DATABASE_URL: value })))
      )
    )

  test("security: asks for verified TLS or for none; whatever else stops the start, and says what is expected", async () => {
    const file = join(folder, "named.crt")
    writeFileSync(file, makeAuthority("named").cert)
    for (const end of ["", "?sslmode=disable", "?sslmode=verify-full&sslrootcert=system", believing(file)]) {
      expect(Result.isSuccess(await read(`postgres://someone:hunter2@db/x${end}`))).toBe(true)
    }
    for (const end of [
      "?sslmode=prefer",
      "?sslmode=allow",
      "?sslmode=require",
      "?sslmode=verify-ca&sslrootcert=system",
      "?sslmode=verify-full",
      "?sslmode=",
      "?sslmode=verify-full&sslrootcert=",
      believing("/no/such/file")
    ]) {
      const answer = await read(`postgres://someone:hunter2@db/x${end}`)
      if (Result.isSuccess(answer)) throw new Error(`accepted: ${end}`)
      expect(answer.failure.message).toMatch(/sslrootcert.* at \["X_DATABASE_URL"\]/u)
      expect(answer.failure.message).not.toContain("hunter2")
    }
    expect(urlFault("mysql://x")).toBe("must be a postgres:// URL")
  })
})

describe("a certificate's end", () => {
  test("is a figure, and a warning from 45 days before", async () => {
    const lines: Array<string> = []
    const day = 86_400_000
    const exposed = await Effect.runPromise(
      Effect.gen(function* () {
        const { seen, watch } = watchCertificate("the DB of this test")
        seen(50 * day)
        yield* Effect.forkChild(watch)
        yield* TestClock.adjust("4 days")
        expect(lines.filter((line) => line.includes("must be renewed"))).toEqual([])
        yield* TestClock.adjust("2 days")
        expect(lines.filter((line) => line.includes("must be renewed")).length).toBeGreaterThan(0)
        return yield* PrometheusMetrics.format()
      }).pipe(
        Effect.scoped,
        Effect.provide([
          TestClock.layer(),
          Logger.layer([Logger.map(Logger.formatJson, (line) => void lines.push(line))])
        ])
      )
    )
    expect(exposed).toContain(
      `gatehouse_database_certificate_not_after_seconds{database="the DB of this test"} ${50 * 86_400}`
    )
  })
})
