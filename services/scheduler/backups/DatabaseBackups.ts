/** Makes one backup set of one database at one moment; must leave nothing that looks like a set when anything fails. */
import { Context, Effect, Layer, Redacted } from "effect"
import type { BackupDatabase } from "#shared/api/scheduler.ts"
import { sealed } from "#shared/age.ts"
import { type Followed, follow } from "#shared/secrets/rotation.ts"
import { DatabaseNotTrusted } from "#shared/databaseTls.ts"
import { openSession, queryRows, type SqlError } from "#shared/sql.ts"
import { type BackupSet, BackupSets } from "./BackupSets.ts"
import { type Contents, rowsOf } from "./contents.ts"
import { prepare, readContents, readSequences } from "./ContentsReader.ts"
import { codeOf } from "#shared/systemErrors.ts"
import { BackupFailed, ToolsMissing } from "./failures.ts"
import { libpqEnvironment, PostgresTools } from "./PostgresTools.ts"

export interface DatabaseBackupOptions {
  /** Connection URLs of a role that may read everything, past row security. */
  readonly urls: Readonly<Partial<Record<BackupDatabase, Redacted.Redacted>>>
  /** Public keys of age: the server's own, and one whose secret is kept elsewhere. */
  readonly recipients: ReadonlyArray<string>
}

export class DatabaseBackups extends Context.Service<
  DatabaseBackups,
  {
    readonly databases: ReadonlyArray<BackupDatabase>
    /** Why none can be made here, such as a tool of another version than the servers'; a server that is away is no reason. */
    readonly unavailable: Effect.Effect<string | undefined>
    /** A new set of `database`, kept; one that the same job has made already is given again. */
    readonly make: (database: BackupDatabase, jobId: string) => Effect.Effect<BackupSet, BackupFailed | ToolsMissing>
  }
>()("gatehouse/scheduler/DatabaseBackups") {
  static readonly layer = (options: DatabaseBackupOptions) => Layer.effect(DatabaseBackups, makeBackups(options))
}

/** Held by the session for its life, so it falls with a killed process: one backup of a database at a time. */
const lock = "SELECT pg_try_advisory_lock(hashtextextended('gatehouse backup', 0)) AS mine"

const snapshot = `
  SELECT pg_export_snapshot() AS snapshot, clock_timestamp() AS taken,
    (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)::text AS lsn,
    current_setting('server_version') AS version`

const unreachable = (error: SqlError.SqlError) => {
  const cause: unknown = error.reason.cause
  if (cause instanceof DatabaseNotTrusted) return new BackupFailed({ reason: cause.message })
  // The server's code only: its words may quote what is in the database.
  const code = typeof cause === "object" && cause !== null && "code" in cause ? ` (${String(cause.code)})` : ""
  return new BackupFailed({ reason: `the database does not answer: ${error.reason._tag}${code}` })
}

const writing = (error: unknown) =>
  new BackupFailed({ reason: codeOf(error) === "unknown" ? "the backup cannot be written" : codeOf(error) })

const sameMajor = (tool: string, server: string) =>
  tool.split(".")[0] === server.split(".")[0]
    ? Effect.void
    : Effect.fail(new ToolsMissing({ reason: `pg_dump is of version ${tool}, the server of ${server}` }))

/** How long a server is waited for when only its version is asked. */
const patience = "2 seconds"

const makeBackups = Effect.fnUntraced(function* ({ recipients, urls }: DatabaseBackupOptions) {
  const sets = yield* BackupSets
  const tools = yield* PostgresTools
  const databases = (["gateway", "logging", "data"] as const).filter((database) => urls[database] !== undefined)
  // A password that is replaced while this process lives is taken up with the next run.
  const followed = new Map<BackupDatabase, Followed>()
  for (const database of databases) followed.set(database, yield* follow(urls[database]!, URL.canParse))
  const urlOf = (database: BackupDatabase) => followed.get(database)?.current()

  const dump = Effect.fnUntraced(function* (url: Redacted.Redacted, name: string) {
    return yield* tools.start({
      tool: "pg_dump",
      args: ["--format=custom", "--no-password", `--snapshot=${name}`, "--lock-wait-timeout=60s"],
      env: { ...libpqEnvironment(url), PGAPPNAME: "gatehouse-backup" }
    })
  })

  const take = Effect.fnUntraced(function* (database: BackupDatabase, url: Redacted.Redacted, jobId: string) {
    const toolVersion = yield* tools.need("pg_dump")
    const session = yield* openSession({ url, applicationName: "gatehouse-backup" })
    if ((yield* queryRows(session, lock))[0]?.["mine"] !== true) {
      return yield* new BackupFailed({ reason: `another backup of the ${database} database is running` })
    }
    yield* prepare(session)
    yield* queryRows(session, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    const moment = (yield* queryRows(session, snapshot))[0]!
    const serverVersion = String(moment["version"]).split(" ")[0]!
    yield* sameMajor(toolVersion, serverVersion)
    const takenAt = moment["taken"] instanceof Date ? moment["taken"] : new Date(String(moment["taken"]))
    const draft = yield* Effect.acquireRelease(sets.begin(database, takenAt), (one) => sets.discard(database, one))
    const sequences = yield* readSequences(session)
    const dumped = Effect.gen(function* () {
      const child = yield* dump(url, String(moment["snapshot"]))
      const written = yield* Effect.result(
        Effect.tryPromise({
          try: async () => draft.write("dump.age", await sealed(child.stdout, recipients)),
          catch: writing
        })
      )
      if (written._tag === "Failure") return yield* written.failure
      if ((yield* Effect.promise(() => child.ended)) !== 0) {
        return yield* new BackupFailed({ reason: `pg_dump failed: ${child.complaints()}` })
      }
    })
    const [reading] = yield* Effect.all([readContents(session), dumped], { concurrency: 2 })
    yield* queryRows(session, "COMMIT")
    const contents: Contents = { format: 1, set: draft.set, database, ...reading, sequences }
    yield* Effect.tryPromise({
      try: async () =>
        draft.write("contents.age", await sealed(new Blob([JSON.stringify(contents)]).stream(), recipients)),
      catch: writing
    })
    return yield* draft.keep({
      takenAt: takenAt.toISOString(),
      jobId,
      serverVersion,
      toolVersion,
      lsn: String(moment["lsn"]),
      tables: contents.tables.length,
      rows: rowsOf(contents),
      recipients
    })
  })

  const versionOf = (url: Redacted.Redacted) =>
    openSession({ url, applicationName: "gatehouse-backup" }).pipe(
      Effect.flatMap((session) => queryRows(session, "SELECT current_setting('server_version') AS version")),
      Effect.scoped,
      Effect.timeout(patience),
      Effect.option
    )

  const fit = Effect.gen(function* () {
    const tool = yield* tools.need("pg_dump")
    const answers = yield* Effect.forEach(databases, (database) => versionOf(urlOf(database)!), { concurrency: 3 })
    for (const answer of answers) {
      if (answer._tag === "Some") yield* sameMajor(tool, String(answer.value[0]!["version"]).split(" ")[0]!)
    }
    return undefined
  })

  return DatabaseBackups.of({
    databases,
    unavailable: Effect.catchTag(fit, "ToolsMissing", ({ reason }) => Effect.succeed(reason)),
    make: Effect.fn("DatabaseBackups.make")(function* (database, jobId) {
      const url = urlOf(database)
      if (url === undefined)
        return yield* new BackupFailed({ reason: `no way to the ${database} database is configured` })
      const made = (yield* sets.list(database)).find(({ manifest }) => manifest.jobId === jobId)
      if (made !== undefined) return made
      return yield* Effect.scoped(take(database, url, jobId)).pipe(
        Effect.catchTag("SqlError", (error: SqlError.SqlError) => Effect.fail(unreachable(error)))
      )
    })
  })
})
