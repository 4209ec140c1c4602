/** Takes a whole file into a dataset in one transaction, or nothing of it; must show which rows are bad, and why. */
import { Context, Effect, Layer, Result, Schema } from "effect"
import { type Dataset, IngestAnswer, type Reject } from "#shared/api/data.ts"
import { Conflict, InvalidInput, MalformedRequest, PayloadTooLarge } from "#shared/domain/errors.ts"
import type { Principal } from "#shared/domain/identity.ts"
import { Catalogue } from "./Catalogue.ts"
import type { Limits } from "./config.ts"
import { type Failure, StatementInvalid, TimedOut, type TooManyQueries } from "./failures.ts"
import { Freshness } from "./Freshness.ts"
import { Gatekeeper } from "./Gatekeeper.ts"
import { ingestSource, type SourceRow } from "./ingestSource.ts"
import { applyStatement, conflictOf, quoted } from "./rows/statements.ts"
import { Sessions, type Work } from "./Sessions.ts"
import { SqlParser } from "./SqlParser.ts"

export type IngestFailure =
  | Failure
  | IngestRejected
  | InvalidInput
  | MalformedRequest
  | PayloadTooLarge
  | TooManyQueries

export interface IngestAsked {
  readonly schema: string
  readonly table: string
  readonly mode: "append" | "upsert" | "replace"
  /** Leave bad rows out rather than change nothing. */
  readonly skip: boolean
  readonly format: "csv" | "ndjson"
  /** A repetition with the same key and file gives the first one's answer and changes nothing. */
  readonly key: string | undefined
}

/** Rows of the file are bad, and nothing was changed; `errors` names the first hundred by line. */
export class IngestRejected extends Schema.TaggedError<IngestRejected>()(
  "IngestRejected",
  {
    read: Schema.Int,
    rejected: Schema.Int,
    errors: Schema.Array(Schema.Struct({ pointer: Schema.String, detail: Schema.String, line: Schema.Int }))
  },
  { httpApiStatus: 422 }
) {
  override get message() {
    return `${this.rejected} of ${this.read} rows are not acceptable; nothing was changed`
  }
}

export class Ingest extends Context.Service<
  Ingest,
  {
    /** Reads `body` to its end and applies it; a file of which any row is bad changes nothing, unless bad rows are skipped. */
    readonly run: (
      caller: Pick<Principal, "userId" | "roles">,
      asked: IngestAsked,
      body: ReadableStream<Uint8Array>
    ) => Effect.Effect<IngestAnswer, IngestFailure>
  }
>()("gatehouse/data/Ingest") {
  static readonly layer = (limits: Limits) => Layer.effect(Ingest, makeIngest(limits))
}

/** Rejects that are told; how many bad rows are looked for before a file is given up. */
const toldRejects = 100
const maxRejects = 200
/** Rows that one statement applies; a bad one among them is found by halves. */
const applyRows = 5000
const keptKeysDays = 7

const decodeAnswer = Schema.decodeUnknownEffect(Schema.fromJsonString(IngestAnswer))

const makeIngest = (limits: Limits) =>
  Effect.gen(function* () {
    const sessions = yield* Sessions
    const catalogue = yield* Catalogue
    const gatekeeper = yield* Gatekeeper
    const freshness = yield* Freshness
    const parser = yield* SqlParser

    /** Puts the file's rows, unjudged, into a table that only this session sees: no lock is held while the sender is slow. */
    const stage = Effect.fnUntraced(function* (work: Work, source: ReturnType<typeof ingestSource>, rejects: Rejects) {
      yield* work.rows("CREATE TEMP TABLE staged (line integer PRIMARY KEY, content json NOT NULL) ON COMMIT DROP")
      const rows = source.rows[Symbol.asyncIterator]()
      const next = Effect.tryPromise({
        try: () => rows.next(),
        catch: (error): unknown => error
      }).pipe(
        Effect.catch((error) =>
          error instanceof MalformedRequest || error instanceof PayloadTooLarge
            ? Effect.fail(error)
            : Effect.fail(new MalformedRequest({ detail: "the body ended before its end" }))
        )
      )
      let read = 0
      for (;;) {
        const { done, value } = yield* next
        if (done === true) break
        read += value.length
        yield* put(work, value, rejects)
      }
      return { read, columns: source.columns() }
    })

    const put = Effect.fnUntraced(function* (work: Work, rows: ReadonlyArray<SourceRow>, rejects: Rejects) {
      const good: Array<string> = []
      for (const { json, line, reason } of rows) {
        if (json === undefined) rejects.add(line, reason ?? "not a row")
        else good.push(`{"line":${line},"content":${json}}`)
      }
      if (good.length === 0) return
      yield* work.rows(
        `INSERT INTO staged SELECT line, content FROM json_to_recordset($1::text::json) AS t(line integer, content json)`,
        [`[${good.join(",")}]`]
      )
    })

    /** Applies lines from `from` to `to`; a failed part is halved until the bad lines stand alone. */
    const apply = Effect.fnUntraced(function* (
      work: Work,
      text: string,
      rejects: Rejects,
      lines: ReadonlyArray<number>
    ) {
      const waiting: Array<ReadonlyArray<number>> = [lines]
      let written = 0
      for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
        yield* work.rows("SAVEPOINT part")
        const outcome = yield* Effect.result(work.changed(text, [String(part[0]), String(part.at(-1))]))
        if (Result.isSuccess(outcome)) {
          yield* work.rows("RELEASE SAVEPOINT part")
          written += outcome.success
          continue
        }
        const error = outcome.failure
        if (!rejectable.has(error._tag)) return yield* error
        yield* work.rows("ROLLBACK TO SAVEPOINT part")
        if (part.length === 1) {
          rejects.add(part[0]!, error.message)
          if (rejects.count >= maxRejects) return written
        } else {
          const middle = part.length >> 1
          waiting.push(part.slice(middle), part.slice(0, middle))
        }
      }
      return written
    })

    const remembered = Effect.fnUntraced(function* (work: Work, userId: string, key: string, fingerprint: string) {
      const [row] = yield* work.rows(
        "SELECT fingerprint, answer::text AS answer FROM gw.ingest WHERE principal = $1 AND key = $2",
        [userId, key]
      )
      if (row === undefined) return undefined
      if (row["fingerprint"] !== fingerprint) {
        return yield* new Conflict({ detail: "this Idempotency-Key was used for another ingest" })
      }
      return yield* Effect.orDie(decodeAnswer(row["answer"]))
    })

    const run: Ingest["Service"]["run"] = Effect.fn("Ingest.run")(function* (caller, asked, body) {
      const dataset = yield* catalogue.published(asked.schema, asked.table)
      if (dataset.kind !== "table") return yield* refused("only the rows of a table can be written")
      if (asked.mode === "upsert" && dataset.primaryKey.length === 0) {
        return yield* refused("upsert needs a primary key, and the dataset has none")
      }
      const source = ingestSource(body, asked.format, limits.ingestBytes)
      const rejects = new Rejects()
      const answer = yield* Effect.gen(function* () {
        yield* parser.lean
        yield* gatekeeper.enter("long", caller.userId)
        const work = yield* sessions.open("write", caller, limits.ingestMillis)
        const { columns, read } = yield* stage(work, source, rejects)
        yield* checkColumns(dataset, columns)
        const fingerprint = `${asked.schema}.${asked.table} ${asked.mode} ${String(asked.skip)} ${source.digest()}`
        if (asked.key !== undefined) {
          // Two with the same key take turns, so that the second finds the first one's answer.
          yield* work.rows("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", [
            JSON.stringify([caller.userId, asked.key])
          ])
          const known = yield* remembered(work, caller.userId, asked.key, fingerprint)
          if (known !== undefined) return known
        }
        const target = `${quoted(dataset.schema)}.${quoted(dataset.name)}`
        if (asked.mode === "replace") {
          yield* work.rows(`LOCK TABLE ${target} IN SHARE ROW EXCLUSIVE MODE`)
          yield* work.rows(`DELETE FROM ${target}`)
        }
        const conflict = asked.mode === "upsert" ? conflictOf("merge", dataset.primaryKey, columns) : ""
        const text = applyStatement(dataset, columns, asked.format, conflict)
        let written = 0
        let last = 0
        while (rejects.count < maxRejects) {
          const [part] = yield* work.rows(
            `SELECT array_agg(line) AS lines FROM (
              SELECT line FROM staged WHERE line > $1::text::integer ORDER BY line LIMIT $2::text::integer) AS t`,
            [String(last), String(applyRows)]
          )
          const lines = Array.isArray(part?.["lines"]) ? part["lines"].map(Number) : []
          if (lines.length === 0) break
          written += yield* apply(work, text, rejects, lines)
          last = lines.at(-1)!
        }
        if (rejects.count > 0 && (!asked.skip || rejects.count >= maxRejects)) {
          return yield* new IngestRejected({ read, rejected: rejects.count, errors: rejects.told.map(faultOf) })
        }
        const found: IngestAnswer = {
          dataset: `${dataset.schema}.${dataset.name}`,
          mode: asked.mode,
          read,
          written,
          rejected: rejects.count,
          rejects: rejects.told,
          changed: written > 0 || asked.mode === "replace"
        }
        if (asked.key !== undefined) {
          yield* work.rows(`DELETE FROM gw.ingest WHERE at < now() - interval '${keptKeysDays} days'`)
          yield* work.rows(
            "INSERT INTO gw.ingest (principal, key, fingerprint, answer) VALUES ($1, $2, $3, $4::text::jsonb)",
            [caller.userId, asked.key, fingerprint, JSON.stringify(found)]
          )
        }
        yield* work.commit
        return found
      }).pipe(
        Effect.timeoutOrElse({
          duration: limits.ingestMillis + 500,
          orElse: () => Effect.fail(new TimedOut({ millis: limits.ingestMillis }))
        }),
        Effect.scoped
      )
      if (answer.changed) yield* freshness.written(dataset)
      return answer
    })

    return Ingest.of({ run })
  })

/** Failures that a row can be the cause of; all others are of the whole ingest. */
const rejectable: ReadonlySet<string> = new Set(["StatementInvalid", "Conflict", "Forbidden"])

/** Bad rows: all counted, the first told. */
class Rejects {
  count = 0
  readonly told: Array<Reject> = []
  add(line: number, reason: string) {
    this.count++
    if (this.told.length < toldRejects) this.told.push({ line, reason })
  }
}

const faultOf = ({ line, reason }: Reject) => ({ pointer: "", detail: reason, line })

const refused = (detail: string) => new InvalidInput({ errors: [{ pointer: "/query/mode", detail }] })

const checkColumns = Effect.fnUntraced(function* (dataset: Dataset, columns: ReadonlyArray<string>) {
  const errors = columns.flatMap((name) => {
    const column = dataset.columns.find((one) => one.name === name)
    if (column === undefined) return [{ pointer: `/${name}`.slice(0, 100), detail: "the dataset has no such column" }]
    return column.generated ? [{ pointer: `/${name}`, detail: "the column is generated: leave it out" }] : []
  })
  if (errors.length > 0) return yield* new InvalidInput({ errors })
  if (columns.length === 0) return yield* new StatementInvalid({ detail: "the file names no column", state: "" })
})
