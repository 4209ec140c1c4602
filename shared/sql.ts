/** The one adapter around @effect/sql-pg: a pool, migrations, typed unavailability, LISTEN that survives a lost connection; must hold no query of any service. */
import { PgClient, PgConnection, PgTypes } from "@effect/sql-pg"
import {
  Context,
  type Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  type Redacted,
  Ref,
  Result,
  Schedule,
  Semaphore,
  Stream
} from "effect"
import { Migrator, SqlClient, SqlError } from "effect/sql"
import { distrustOf, isUnprotected, urlFault, verification, watchCertificate } from "./databaseTls.ts"
import { Unavailable } from "./domain/errors.ts"
import { follow } from "./secrets/rotation.ts"
import { codeOf } from "./systemErrors.ts"

export { SqlClient, SqlError }

/** Each migration by its ordered name, `0001_what`; forward only. */
export type Migrations = Readonly<Record<string, Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient>>>

/** A migration made of SQL statements, run in order in one transaction with all other pending ones. */
export const statements = (...texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    for (const text of texts) yield* sql.unsafe(text)
  })

interface DatabaseOptions {
  /** For messages and readiness, e.g. "gateway DB". */
  readonly name: string
  /** Followed, where it comes from a file or a store. */
  readonly url: Redacted.Redacted
  readonly applicationName: string
  readonly migrations: Migrations
  readonly maxConnections?: number
  /** How long one run or transaction is waited for before it is `Unavailable`; without it as long as it takes. */
  readonly patience?: Duration.Input
}

const unreachable = new Set([
  "ConnectionError",
  "AuthenticationError",
  "AuthorizationError",
  "LockTimeoutError",
  "StatementTimeoutError"
])

/**
 * SQLSTATE classes of a server that is there and cannot serve: 53 resources (disk full), 57P shutdown, 58 system, 25006
 * read-only, 3D000 no such database (yet).
 */
const unable = /^(?:53|57P|58|25006|08|3D000)/u

const isUnavailability = (error: SqlError.SqlError): boolean => {
  if (unreachable.has(error.reason._tag)) return true
  return unable.test(codeOf(error.reason.cause))
}

const notTrusted = (error: unknown, url: Redacted.Redacted) =>
  error instanceof SqlError.SqlError ? distrustOf(error.reason.cause, url) : undefined

/** The same failure, whose cause is a `DatabaseNotTrusted` where it is one of trust. */
const toldWhy =
  (url: Redacted.Redacted) =>
  (error: SqlError.SqlError): SqlError.SqlError => {
    const cause = notTrusted(error, url)
    if (cause === undefined) return error
    return new SqlError.SqlError({
      reason: new SqlError.ConnectionError({ cause, message: cause.message, operation: "connect" })
    })
  }

/** One connection that no pool shares: what it is told lasts until its scope ends, and it with it. */
export type Session = PgConnection.PgConnection

interface SessionOptions {
  readonly url: Redacted.Redacted
  readonly applicationName: string
  /** Parameters of the session from its first moment on, by name. */
  readonly parameters?: Readonly<Record<string, string>>
  /** Given each `text[]` of a result instead of whoever asked for it. */
  readonly takeTextArray?: TakeTextArray
}

/**
 * Takes a value where it lies: `size` bytes from `start` on, in PostgreSQL's binary form, which are another value's as soon as
 * it returns. So a result passes without an object for each of its values.
 */
export type TakeTextArray = (bytes: Uint8Array, start: number, size: number) => void

/** PostgreSQL's id of the type `text[]`. */
const textArrayOid = 1009
const taken = Result.succeed(null)

const takingTextArrays = (take: TakeTextArray) => {
  const types = PgTypes.makeRegistry()
  const read = (bytes: Uint8Array, start: number, size: number) => {
    take(bytes, start, size)
    return taken
  }
  types.register<unknown>(textArrayOid, {
    encode: (value) => PgTypes.encode(value, textArrayOid),
    decode: (bytes) => read(bytes, 0, bytes.length),
    read
  })
  return types
}

/**
 * Opens a session for one request, with statements that are never kept prepared. Its queries speak the extended protocol, in
 * which the server takes one statement at a time; interrupting one cancels it on the server.
 */
export const openSession = ({ applicationName, parameters, takeTextArray, url }: SessionOptions) =>
  Effect.suspend(() =>
    PgConnection.make({
      url,
      ssl: verification(url),
      applicationName,
      ...(takeTextArray === undefined ? {} : { types: takingTextArrays(takeTextArray) }),
      ...(parameters === undefined ? {} : { startupParameters: parameters }),
      connectTimeout: "3 seconds",
      keepAlive: "10 seconds",
      prepare: false
    })
  ).pipe(Effect.mapError(toldWhy(url)))

/** Runs one statement, whose text is the program's own, and gives its rows. */
export const queryRows = (session: Session, text: string) =>
  Effect.map(session.query(text, [], false), ({ rows }): ReadonlyArray<Readonly<Record<string, unknown>>> => rows)

/** The SQLSTATE and the server's own words of a failed statement, where there are any. */
export const sqlStateOf = (error: SqlError.SqlError): { readonly state: string; readonly message: string } => {
  const cause: unknown = error.reason.cause
  const text = (key: string) =>
    typeof cause === "object" && cause !== null && key in cause ? String(cause[key as keyof typeof cause]) : ""
  return { state: text("code"), message: text("message") }
}

/** A service's own database: started before the server is there, it migrates as soon as it can and fails as Unavailable until then. */
export class Database extends Context.Service<
  Database,
  {
    readonly name: string
    /**
     * Runs queries: an unreachable, full or unmigrated database is `Unavailable` (503); any other SQL failure is a bug and
     * dies. Catch the SQL errors a query expects (unique violation) inside `queries`.
     */
    readonly run: <A, E, R>(
      queries: Effect.Effect<A, E | SqlError.SqlError, R>
    ) => Effect.Effect<A, Exclude<E, SqlError.SqlError> | Unavailable, R>
    /** The same in one transaction; a failure, defect or interruption rolls back. */
    readonly transaction: <A, E, R>(
      queries: Effect.Effect<A, E | SqlError.SqlError, R>
    ) => Effect.Effect<A, Exclude<E, SqlError.SqlError> | Unavailable, R>
    /** Succeeds when the server answers and every migration is in; bounded to 2 s. */
    readonly ready: Effect.Effect<void, Unavailable>
    /**
     * Every notification of `channel`, with `undefined` first and after each reconnection, when anything may have been
     * missed; never fails and never ends.
     */
    readonly notifications: (channel: string) => Stream.Stream<string | undefined>
  }
>()("gatehouse/shared/Database") {
  static readonly layer = (options: DatabaseOptions) =>
    Layer.effect(Database, makeDatabase(options)).pipe(Layer.provideMerge(pool(options)), Layer.orDie)
}

/**
 * Each new connection is made with the URL and the authorities as they are then; a connection that stands outlives the password
 * it was made with.
 */
const pool = ({ applicationName, maxConnections = 10, name, url }: DatabaseOptions) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { current } = yield* follow(url, (text) => urlFault(text) === undefined)
      if (isUnprotected(url)) yield* Effect.logWarning(`${name}: connections have no TLS`)
      const { seen, watch } = watchCertificate(name)
      yield* Effect.forkScoped(watch)
      return PgClient.layer({
        get url() {
          return current()
        },
        get ssl() {
          return verification(current(), seen)
        },
        applicationName,
        maxConnections,
        connectTimeout: "3 seconds",
        keepAlive: "10 seconds"
      })
    })
  )

const makeDatabase = (options: DatabaseOptions) =>
  Effect.gen(function* () {
    const pg = yield* PgClient.PgClient
    const sql = yield* SqlClient.SqlClient
    const migrated = yield* Ref.make(false)
    const once = yield* Semaphore.make(1)
    const unavailable = new Unavailable({ dependency: options.name, retryAfterSeconds: 2 })
    const { attended } = yield* pickUpForgotten(sql)

    const migrate = once.withPermit(
      attended(
        Effect.gen(function* () {
          if (yield* Ref.get(migrated)) return
          // Who waits here keeps all others, so a network that swallows what is sent is given up.
          yield* Effect.timeoutOrElse(sql`SELECT 1`, { duration: "10 seconds", orElse: () => unavailable })
          yield* Migrator.make({})({ loader: Migrator.fromRecord({ ...options.migrations }) })
          yield* Ref.set(migrated, true)
        })
      )
    )
    yield* migrate.pipe(
      Effect.tapError((error) =>
        Effect.logWarning(`${options.name} is not ready, retrying`).pipe(
          Effect.annotateLogs({ reason: reasonOf(error, options.url) })
        )
      ),
      Effect.retry(Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")])),
      Effect.tap(() => Effect.logDebug(`${options.name} is migrated`)),
      Effect.tapCause((cause) => Effect.logError(`${options.name} cannot be migrated`, cause)),
      Effect.ignore,
      Effect.provideService(SqlClient.SqlClient, sql),
      Effect.forkScoped
    )

    const ensureMigrated = Effect.flatMap(Ref.get(migrated), (done) =>
      done
        ? Effect.void
        : migrate.pipe(
            Effect.provideService(SqlClient.SqlClient, sql),
            Effect.timeout("5 seconds"),
            Effect.catchCause(() => unavailable)
          )
    )

    const patiently = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      options.patience === undefined ? effect : within(options.patience, unavailable, effect)

    const settled = <A, E, R>(queries: Effect.Effect<A, E | SqlError.SqlError, R>) =>
      Effect.flatMap(
        Effect.result(queries),
        (result): Effect.Effect<A, Exclude<E, SqlError.SqlError> | Unavailable> => {
          if (Result.isSuccess(result)) return Effect.succeed(result.success)
          const error = result.failure
          if (error instanceof SqlError.SqlError) return isUnavailability(error) ? unavailable : Effect.die(error)
          return Effect.fail(error as Exclude<E, SqlError.SqlError>)
        }
      )

    /** Asked by each probe: what a certificate that has ended does to a service that stands is told here. */
    const answers = Effect.tapError(sql`SELECT 1`, (error) => {
      const distrust = notTrusted(error, options.url)
      return distrust === undefined ? Effect.void : Effect.logError(`${options.name}: ${distrust.message}`)
    })

    return Database.of({
      name: options.name,
      run: (queries) => patiently(Effect.andThen(ensureMigrated, attended(settled(queries)))),
      transaction: (queries) =>
        patiently(Effect.andThen(ensureMigrated, attended(settled(sql.withTransaction(queries))))),
      ready: Effect.asVoid(within("2 seconds", unavailable, Effect.andThen(ensureMigrated, settled(answers)))),
      notifications: (channel) =>
        Stream.unwrap(
          Effect.map(attended(pg.listen(channel)), (queue) =>
            Stream.concat(
              Stream.succeed(undefined as string | undefined),
              Stream.fromQueue(queue).pipe(Stream.map((one) => one.payload as string | undefined))
            )
          )
        ).pipe(
          Stream.retry(Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("2 seconds")])),
          Stream.orDie
        )
    })
  })

/**
 * The pool of effect 4.1 forgets who waits: when, of several connections being opened, one is made and another fails in the
 * same moment, the failure keeps a place among the connections, and no other is opened until somebody else asks. So while
 * anything is under way, somebody asks every second.
 */
const pickUpForgotten = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    let underWay = 0
    const attended = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.suspend(() => {
        underWay++
        return Effect.ensuring(
          effect,
          Effect.sync(() => underWay--)
        )
      })
    const ask = Effect.suspend(() =>
      underWay === 0 ? Effect.void : Effect.ignore(Effect.timeout(sql`SELECT 1`, "1 second"))
    )
    yield* Effect.forkScoped(Effect.repeat(ask, Schedule.spaced("1 second")))
    return { attended }
  })

/**
 * Fails with `late` after `limit` at the latest. An interrupted query waits seconds for a server that hangs to hear of it:
 * that wait is left to a fiber of its own.
 */
const within = <A, E, L, R>(limit: Duration.Input, late: L, effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.forkDetach(effect), (fiber) =>
    Fiber.join(fiber).pipe(
      Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.fail(late) }),
      Effect.onExit((exit) => (Exit.isFailure(exit) ? Effect.sync(() => fiber.interruptUnsafe()) : Effect.void))
    )
  )

const reasonOf = (error: unknown, url: Redacted.Redacted): string =>
  notTrusted(error, url)?.message ??
  (error instanceof SqlError.SqlError ? error.reason._tag : error instanceof Error ? error.message : "unknown")
