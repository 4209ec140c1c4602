/** Brings datasets in and keeps what is published right: runs definition files once each, then grants and takes rights again and again; must read no row. */
import { createHash } from "node:crypto"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { Context, Effect, Layer, Schedule, Schema } from "effect"
import { Unavailable } from "#shared/domain/errors.ts"
import { Database, SqlClient, SqlError, sqlStateOf } from "#shared/sql.ts"

/** A definition that cannot be run: its file, and why. Nothing of it was kept. */
export class DefinitionFailed extends Schema.TaggedError<DefinitionFailed>()("DefinitionFailed", {
  name: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `dataset definition ${this.name}: ${this.detail}`
  }
}

interface Definition {
  readonly name: string
  readonly text: string
}

interface Options {
  /** Folder of `*.sql`, run in the order of their names, each once. */
  readonly folder: string | undefined
  /** More of them, for a composition that has its own. */
  readonly definitions?: ReadonlyArray<Definition>
}

/** Names of files as a person sorts them: `0001_orders.sql`. */
const fileName = /^[A-Za-z0-9][A-Za-z0-9_.-]*\.sql$/u

export class Datasets extends Context.Service<
  Datasets,
  {
    /** Grants callers what they may have of every dataset, and takes what they may not. */
    readonly publish: Effect.Effect<void, Unavailable>
    /** Succeeds once every definition is in and the rights are set. */
    readonly ready: Effect.Effect<void, DefinitionFailed | Unavailable>
  }
>()("gatehouse/data/Datasets") {
  static readonly layer = (options: Options) => Layer.effect(Datasets, makeDatasets(options))
}

const makeDatasets = (options: Options) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    let outcome: DefinitionFailed | "waiting" | "done" = "waiting"

    const inFolder = (folder: string) =>
      Effect.tryPromise({
        try: async () => {
          const names = (await readdir(folder)).filter((name) => fileName.test(name)).sort()
          return Promise.all(names.map(async (name) => ({ name, text: await readFile(join(folder, name), "utf8") })))
        },
        catch: () => new DefinitionFailed({ name: folder, detail: "the folder cannot be read" })
      })

    /** One transaction with the record that it ran; two replicas take turns. */
    const define = Effect.fnUntraced(function* ({ name, text }: Definition) {
      const sha256 = createHash("sha256").update(text).digest("hex")
      yield* database.transaction(
        Effect.gen(function* () {
          yield* sql`SELECT pg_advisory_xact_lock(hashtextextended('gw.definition', 0))`
          const [known] = yield* sql<{ readonly sha256: string }>`SELECT sha256 FROM gw.definition WHERE name = ${name}`
          if (known?.sha256 === sha256) return
          if (known !== undefined) {
            return yield* new DefinitionFailed({ name, detail: "has changed since it was run; write another file" })
          }
          // The extended protocol takes one statement at a time, a DO block as many as it holds.
          yield* sql
            .unsafe(`DO $gatehouse$ BEGIN ${executed(text)} END $gatehouse$`)
            .pipe(
              Effect.mapError((error) =>
                error instanceof SqlError.SqlError && !unreachable.has(error.reason._tag)
                  ? new DefinitionFailed({ name, detail: sqlStateOf(error).message })
                  : error
              )
            )
          yield* sql`INSERT INTO gw.definition (name, sha256) VALUES (${name}, ${sha256})`
        })
      )
    })

    const publish = Effect.asVoid(database.run(sql`SELECT gw.publish()`))

    const bring = Effect.gen(function* () {
      const files = options.folder === undefined ? [] : yield* inFolder(options.folder)
      yield* Effect.forEach([...(options.definitions ?? []), ...files], define, { discard: true })
      yield* publish
    }).pipe(
      Effect.tap(() => Effect.sync(() => (outcome = "done"))),
      Effect.tapError((error) =>
        Effect.sync(() => {
          if (error instanceof DefinitionFailed) outcome = error
        })
      )
    )

    /** A fault is told and met again: nothing may stop the rights from being set. */
    const steadily = <E extends Error>(effect: Effect.Effect<void, E>) =>
      effect.pipe(
        // That the database is away, its own layer says.
        Effect.tapError((error) => (error instanceof Unavailable ? Effect.void : Effect.logWarning(error.message))),
        Effect.catchDefect((defect) =>
          Effect.andThen(Effect.logError("datasets are not published", defect), Effect.fail("again"))
        ),
        Effect.retry(Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")]))
      )
    yield* steadily(bring).pipe(
      Effect.andThen(steadily(publish).pipe(Effect.repeat(Schedule.spaced("10 seconds")))),
      Effect.forkScoped
    )

    return Datasets.of({
      publish,
      ready: Effect.suspend((): Effect.Effect<void, DefinitionFailed | Unavailable> => {
        if (outcome === "done") return Effect.void
        if (outcome === "waiting") return new Unavailable({ dependency: "data DB", retryAfterSeconds: 2 })
        return outcome
      })
    })
  })

const unreachable: ReadonlySet<string> = new Set(["ConnectionError", "AuthenticationError"])

/** A whole file as one dynamic statement: EXECUTE, unlike the extended protocol, takes several. */
const executed = (text: string) => {
  const tag = `definition_${createHash("sha256").update(text).digest("hex").slice(0, 16)}`
  return `EXECUTE $${tag}$${text}$${tag}$;`
}
