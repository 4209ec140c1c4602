/** Proves that a backup can be restored: opens it, restores it into a throwaway server and compares it row by row with what was recorded; must never write to a database that was there before. */
import { Clock, Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import type { BackupDatabase } from "#shared/api/scheduler.ts"
import { AgeFailed, opened } from "#shared/age.ts"
import { openSession, queryRows, type SqlError } from "#shared/sql.ts"
import { type BackupSet, BackupSets, type DrillRecord } from "./BackupSets.ts"
import { Contents, differences, type Reading, roleStatements } from "./contents.ts"
import { prepare, readContents } from "./ContentsReader.ts"
import { BackupDamaged, BackupFailed, type ToolsMissing } from "./failures.ts"
import { libpqEnvironment, PostgresTools } from "./PostgresTools.ts"
import { type EmptyServer, Throwaway } from "./Throwaway.ts"

/** A restored copy, as long as its drill goes on. */
export interface Restored {
  readonly set: BackupSet
  readonly url: Redacted.Redacted
}

export interface DrillOptions {
  /** Opens the sets: the server's own key, or the recovery key. */
  readonly identity: Redacted.Redacted
  /** Further checks of a copy: what is wrong with it, one line each. */
  readonly inspect?: (copy: Restored) => Effect.Effect<ReadonlyArray<string>, BackupFailed>
}

export class RestoreDrills extends Context.Service<
  RestoreDrills,
  {
    /**
     * Restores one set and records what came of it beside the set. Fails as BackupFailed or ToolsMissing, and records nothing, where the
     * set was not to blame.
     */
    readonly play: (set: BackupSet) => Effect.Effect<DrillRecord, BackupFailed | ToolsMissing>
    /** The sets of a database, newest first, up to the first that can be restored: each with its record. */
    readonly newest: (
      database: BackupDatabase
    ) => Effect.Effect<
      ReadonlyArray<{ readonly set: BackupSet; readonly record: DrillRecord }>,
      BackupFailed | ToolsMissing
    >
  }
>()("gatehouse/scheduler/RestoreDrills") {
  static readonly layer = (options: DrillOptions) => Layer.effect(RestoreDrills, makeDrills(options))
}

/** Sets that one drill tries: if so many in a row are damaged, the next is not the question. */
const mostTried = 3

const decodeContents = Schema.decodeUnknownOption(Schema.fromJsonString(Contents), { onExcessProperty: "error" })

const ownTrouble = (error: SqlError.SqlError) =>
  new BackupFailed({ reason: `the drill's server failed: ${error.reason._tag}` })

const makeDrills = Effect.fnUntraced(function* ({ identity, inspect }: DrillOptions) {
  const sets = yield* BackupSets
  const throwaway = yield* Throwaway
  const tools = yield* PostgresTools

  const damaged = (set: BackupSet, reason: string) => new BackupDamaged({ set: set.manifest.set, reason })
  const unsealed = (set: BackupSet, what: string) => (error: unknown) =>
    error instanceof AgeFailed && error.reason === "not for this key"
      ? // Not the set's fault, unless it was planted: this key was never to open it.
        new BackupFailed({ reason: `${what} of ${set.manifest.set} is not sealed to this key` })
      : damaged(set, `${what} cannot be opened: it is not as it was sealed`)

  const contentsOf = Effect.fnUntraced(function* (set: BackupSet) {
    const text = yield* Effect.tryPromise({
      try: async () => new Response(await opened(sets.read(set, "contents.age"), identity)).text(),
      catch: unsealed(set, "contents.age")
    })
    const contents = Option.getOrUndefined(decodeContents(text))
    if (contents === undefined) return yield* damaged(set, "contents.age is not what this version writes")
    if (contents.set !== set.manifest.set || contents.database !== set.manifest.database) {
      return yield* damaged(set, "contents.age belongs to another set")
    }
    return contents
  })

  /** Before anything is written: neither the source itself nor a server that holds anything. */
  const refuseKnown = Effect.fnUntraced(
    function* (server: EmptyServer, contents: Contents) {
      const session = yield* openSession({ url: server.url("postgres"), applicationName: "gatehouse-drill" })
      const rows = yield* queryRows(
        session,
        `
      SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system,
        (SELECT count(*)::int FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')) AS databases`
      )
      if (rows[0]?.["system"] === contents.systemIdentifier) {
        return yield* new BackupFailed({ reason: "refused: the target is the source of this backup" })
      }
      if (rows[0]?.["databases"] !== 0) {
        return yield* new BackupFailed({ reason: "refused: the target holds databases already" })
      }
      return session
    },
    Effect.catchTag("SqlError", (error: SqlError.SqlError) => Effect.fail(ownTrouble(error)))
  )

  const makeRoles = Effect.fnUntraced(function* (set: BackupSet, contents: Contents, server: EmptyServer) {
    const session = yield* refuseKnown(server, contents)
    for (const statement of roleStatements(contents)) {
      yield* queryRows(session, statement).pipe(
        Effect.catchTag("SqlError", () => Effect.fail(damaged(set, "a role in it cannot be made")))
      )
    }
  }, Effect.scoped)

  const restore = Effect.fnUntraced(function* (set: BackupSet, server: EmptyServer) {
    const child = yield* tools.start({
      tool: "pg_restore",
      args: ["--format=custom", "--create", "--exit-on-error", "--no-password", "--dbname=postgres"],
      env: libpqEnvironment(server.url("postgres"))
    })
    yield* Effect.forkScoped(Effect.promise(() => child.stdout.pipeTo(new WritableStream()).catch(() => {})))
    const fed = yield* Effect.result(
      Effect.tryPromise({
        try: async () => {
          const plain = await opened(sets.read(set, "dump.age"), identity)
          let broken: unknown
          const watched = plain.pipeThrough(new TransformStream({ transform: (chunk, to) => to.enqueue(chunk) }))
          await watched.pipeTo(child.stdin).catch((error: unknown) => (broken = error))
          return broken
        },
        catch: unsealed(set, "dump.age")
      })
    )
    if (fed._tag === "Failure") return yield* fed.failure
    const code = yield* Effect.promise(() => child.ended)
    // A restore that ends well has also read all that it was given.
    if (code !== 0 || child.errors() > 0) {
      return yield* damaged(set, `pg_restore failed: ${child.complaints() || String(fed.success ?? "without a word")}`)
    }
    if (fed.success !== undefined) return yield* damaged(set, "dump.age cannot be read to its end")
  }, Effect.scoped)

  const compare = Effect.fnUntraced(function* (set: BackupSet, contents: Contents, server: EmptyServer) {
    const url = server.url(contents.databaseName)
    const session = yield* openSession({ url, applicationName: "gatehouse-drill" }).pipe(
      Effect.mapError(() => damaged(set, `it holds no database ${contents.databaseName}`))
    )
    const reading: Reading = yield* Effect.andThen(prepare(session), readContents(session)).pipe(
      Effect.catchTag("SqlError", (error: SqlError.SqlError) =>
        Effect.fail(damaged(set, `the copy cannot be read: ${error.reason._tag}`))
      )
    )
    const own = ({ member, name }: { readonly member?: string; readonly name?: string }) =>
      member !== server.owner && name !== server.owner
    const found = { ...reading, roles: reading.roles.filter(own), memberships: reading.memberships.filter(own) }
    const further = inspect === undefined ? [] : yield* inspect({ set, url })
    return { found, faults: [...differences(contents, found), ...further] }
  }, Effect.scoped)

  const judge = Effect.fnUntraced(function* (set: BackupSet) {
    yield* tools.need("pg_restore", "initdb", "postgres")
    yield* sets.check(set)
    const contents = yield* contentsOf(set)
    const server = yield* throwaway.server
    yield* makeRoles(set, contents, server)
    yield* restore(set, server)
    const { faults, found } = yield* compare(set, contents, server)
    return { faults, tables: found.tables.length, rows: found.tables.reduce((sum, { rows }) => sum + rows, 0) }
  }, Effect.scoped)

  const play = Effect.fn("RestoreDrills.play")(function* (set: BackupSet) {
    const started = yield* Clock.currentTimeMillis
    const verdict = yield* judge(set).pipe(
      Effect.catchTag("BackupDamaged", ({ reason }) => Effect.succeed({ faults: [reason], tables: 0, rows: 0 }))
    )
    const now = yield* Clock.currentTimeMillis
    const record: DrillRecord = {
      ...verdict,
      manifestSha256: set.manifestSha256,
      at: new Date(now).toISOString(),
      ok: verdict.faults.length === 0,
      rtoSeconds: (now - started) / 1000,
      rpoSeconds: Math.max(0, (started - Date.parse(set.manifest.takenAt)) / 1000)
    }
    yield* sets.record(set, record)
    return record
  })

  return RestoreDrills.of({
    play,
    newest: Effect.fn("RestoreDrills.newest")(function* (database) {
      const tried: Array<{ readonly set: BackupSet; readonly record: DrillRecord }> = []
      for (const set of (yield* sets.list(database)).slice(0, mostTried)) {
        const record = yield* play(set)
        tried.push({ set, record })
        if (record.ok) break
      }
      return tried
    })
  })
})
