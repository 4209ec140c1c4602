/** A service's database on a real server: not there at the start, stopped, paused, back again; and what becomes of SQL failures. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { Effect, Exit, Layer, ManagedRuntime, Redacted, References, Stream } from "effect"
import { openDoor } from "#test/shared/postgresDoor.ts"
import { Database, type Migrations, SqlClient, statements } from "#shared/sql.ts"
import { type FreshDatabase, freshDatabase, type PrivatePostgres, privatePostgres } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

const migrations: Migrations = {
  "0001_notes": statements("CREATE TABLE notes (id int PRIMARY KEY, body text NOT NULL)"),
  "0002_first": statements("INSERT INTO notes VALUES (1, 'first')", "INSERT INTO notes VALUES (2, 'second')")
}

const running: Array<{ readonly dispose: () => Promise<void> }> = []
afterEach(async () => {
  for (const one of running.splice(0)) await one.dispose()
})

const open = (url: string, using: Migrations = migrations, maxConnections = 2) => {
  const runtime = ManagedRuntime.make(
    Database.layer({
      name: "test DB",
      url: Redacted.make(url),
      applicationName: "test",
      migrations: using,
      maxConnections
    }).pipe(Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "None")))
  )
  running.push(runtime)
  const tried = async <A>(effect: Effect.Effect<A, unknown, Database | SqlClient.SqlClient>): Promise<A | string> => {
    const exit = await runtime.runPromise(Effect.exit(effect))
    if (Exit.isSuccess(exit)) return exit.value
    const [reason] = exit.cause.reasons
    return reason?._tag === "Fail" ? String((reason.error as { _tag: string })._tag) : (reason?._tag ?? "none")
  }
  const run = (text: string) =>
    tried(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        return yield* (yield* Database).run(sql.unsafe<Record<string, unknown>>(text))
      })
    )
  return {
    runtime,
    tried,
    run,
    ready: () =>
      tried(
        Effect.as(
          Database.use((database) => database.ready),
          "ready"
        )
      )
  }
}

/** Every notification of the channel so far; `undefined` is a (re)connection. */
const listen = ({ runtime }: ReturnType<typeof open>, channel: string) => {
  const seen: Array<string | undefined> = []
  runtime.runFork(
    Effect.flatMap(Database, (database) =>
      Stream.runForEach(database.notifications(channel), (one) => Effect.sync(() => seen.push(one)))
    )
  )
  return seen
}

const transaction = (body: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* (yield* Database).transaction(body(sql))
  })

describe("with a server", () => {
  let database: FreshDatabase
  beforeAll(async () => {
    database = await freshDatabase("gateway")
  })
  afterAll(() => database.drop())

  test("migrates once, however many services start together", async () => {
    const several = [open(database.url), open(database.url), open(database.url)]
    for (const { ready } of several) await until("readiness", async () => (await ready()) === "ready")
    expect(await several[0]!.run("SELECT id FROM notes ORDER BY id")).toEqual([{ id: 1 }, { id: 2 }])
    expect(await database.query("SELECT count(*)::int AS applied FROM effect_sql_migrations")).toEqual([{ applied: 2 }])
  })
  test("brings a later migration to a database that has the earlier ones", async () => {
    const later = open(database.url, {
      ...migrations,
      "0003_more": statements("ALTER TABLE notes ADD COLUMN more int")
    })
    expect(await later.run("SELECT more FROM notes LIMIT 1")).toEqual([{ more: null }])
  })
  test("takes a wrong statement for a bug, and keeps the server's words to itself", async () => {
    const { run } = open(database.url)
    expect(await run("SELEC 1")).toBe("Die")
    expect(await run("SELECT * FROM no_such_table")).toBe("Die")
    expect(await run("INSERT INTO notes VALUES (1, 'again')")).toBe("Die")
  })
  test("lets a query catch the failure it expects", async () => {
    const { tried } = open(database.url)
    const outcome = await tried(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const insert = sql`INSERT INTO notes VALUES (1, 'again')`.pipe(
          Effect.as("inserted"),
          Effect.catchReason("SqlError", "UniqueViolation", () => Effect.succeed("there is one"))
        )
        return yield* (yield* Database).run(insert)
      })
    )
    expect(outcome).toBe("there is one")
  })
  test("rolls a transaction back on a failure, a defect and an interruption", async () => {
    const { run, tried } = open(database.url)
    const insert = (sql: SqlClient.SqlClient) => sql`INSERT INTO notes VALUES (9, 'never')`
    for (const end of [Effect.fail({ _tag: "Expected" }), Effect.die("defect"), Effect.interrupt]) {
      await tried(transaction((sql) => Effect.andThen(insert(sql), end)))
      expect(await run("SELECT id FROM notes WHERE id = 9")).toEqual([])
    }
    expect(await tried(transaction((sql) => Effect.andThen(insert(sql), Effect.fail({ _tag: "Expected" }))))).toBe(
      "Expected"
    )
    await tried(transaction((sql) => sql`INSERT INTO notes VALUES (3, 'kept')`))
    expect(await run("SELECT body FROM notes WHERE id = 3")).toEqual([{ body: "kept" }])
  })
})

test("forgets nobody who waits when one connection opens and another fails in the same moment", async () => {
  const database = await freshDatabase("gateway")
  const door = await openDoor(database.url)
  try {
    const opened = open(door.url, migrations, 10)
    await until("readiness", async () => (await opened.ready()) === "ready")
    door.hold()
    // The first takes the connection that stands, the others wait for three new ones, and the query for a fourth.
    const heard = ["a", "b", "c", "d"].map((channel) => listen(opened, channel))
    await until("three connections to be asked for", () => door.held.length === 3)
    let answer: unknown
    void opened.run("SELECT 1 AS one").then((rows) => (answer = rows))
    const [first, second, third] = door.held
    door.letThrough()
    first!.admit()
    second!.refuse()
    await until("the first of them to be used", () => heard.filter(({ length }) => length > 0).length === 2)
    third!.admit()
    await until("an answer", () => answer !== undefined)
    expect(answer).toEqual([{ one: 1 }])
    await until("every listener to listen", () => heard.every(({ length }) => length > 0))
  } finally {
    door.close()
    await database.drop()
  }
})

describe("without one", () => {
  let server: PrivatePostgres
  let url: string
  beforeAll(async () => {
    server = privatePostgres()
    // Its address is known from its first start.
    await server.start()
    url = server.url("gateway", "gateway")
    await server.stop()
  })
  afterAll(() => server.dispose())

  test("starts, says 503, and migrates as soon as the server is there", async () => {
    const database = open(url)
    expect(await database.ready()).toBe("Unavailable")
    expect(await database.run("SELECT 1 AS one")).toBe("Unavailable")
    await server.start()
    await until("readiness", async () => (await database.ready()) === "ready")
    expect(await database.run("SELECT id FROM notes ORDER BY id")).toEqual([{ id: 1 }, { id: 2 }])
  })

  test("says 503 while the server is stopped, and works again when it is back", async () => {
    const database = open(url)
    await until("readiness", async () => (await database.ready()) === "ready")
    await server.stop()
    expect(await database.run("SELECT 1 AS one")).toBe("Unavailable")
    expect(await database.ready()).toBe("Unavailable")
    await server.start()
    await until("a query to work", async () => Array.isArray(await database.run("SELECT 1 AS one")))
  })

  test("says within 2 s that it is not ready when the server hangs", async () => {
    const database = open(url)
    await until("readiness", async () => (await database.ready()) === "ready")
    await server.pause()
    try {
      const before = performance.now()
      expect(await database.ready()).toBe("Unavailable")
      expect(performance.now() - before).toBeLessThan(4000)
    } finally {
      server.resume()
    }
    await until("readiness", async () => (await database.ready()) === "ready")
  })

  test("listens again after the server was away, and says that it may have missed something", async () => {
    const database = open(url)
    await until("readiness", async () => (await database.ready()) === "ready")
    const seen = listen(database, "changes")
    await until("the first mark", () => seen.length === 1)
    await until("a notification", async () => {
      await server.query("gateway", "NOTIFY changes, 'one'")
      return seen.includes("one")
    })
    expect(seen[0]).toBeUndefined()
    await server.stop()
    await server.start()
    await until("the mark of the new connection", () => seen.lastIndexOf(undefined) > 0)
    await until("a notification", async () => {
      await server.query("gateway", "NOTIFY changes, 'two'")
      return seen.includes("two")
    })
    expect(seen.filter((one) => one === undefined).length).toBe(2)
  })

  test("listens from before the server is there", async () => {
    await server.stop()
    const database = open(url)
    const seen = listen(database, "early")
    await server.start()
    await until("the first mark", () => seen.length > 0)
    await until("a notification", async () => {
      await server.query("gateway", "NOTIFY early, 'bird'")
      return seen.includes("bird")
    })
  })

  test("says 503 when the server turns every write away", async () => {
    const database = open(url)
    await until("readiness", async () => (await database.ready()) === "ready")
    await server.query("gateway", "ALTER DATABASE gateway SET default_transaction_read_only = on")
    try {
      const fresh = open(url)
      await until("a connection that may only read", async () => Array.isArray(await fresh.run("SELECT 1 AS one")))
      expect(await fresh.run("INSERT INTO notes VALUES (77, 'no')")).toBe("Unavailable")
    } finally {
      await server.query("postgres" as never, "ALTER DATABASE gateway RESET default_transaction_read_only")
    }
  })
})
