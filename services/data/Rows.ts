/** Rows of one dataset by PostgREST's grammar: read, insert, update, delete, under the caller's policies; must run no SQL of a caller's. */
import { Context, Effect, Layer, Stream } from "effect"
import type { Dataset } from "#shared/api/data.ts"
import { InvalidInput, type MalformedRequest } from "#shared/domain/errors.ts"
import type { Principal } from "#shared/domain/identity.ts"
import { Catalogue } from "./Catalogue.ts"
import type { Limits } from "./config.ts"
import { type Failure, LimitExceeded, TimedOut, type TooManyQueries } from "./failures.ts"
import { csvLine, type Format } from "./formats.ts"
import { Freshness } from "./Freshness.ts"
import { Gatekeeper } from "./Gatekeeper.ts"
import { planOf } from "./plan.ts"
import type { Collected } from "./results.ts"
import type { RowsRequest } from "./rows/grammar.ts"
import { readRowsBody } from "./rows/body.ts"
import {
  Builder,
  building,
  conflictOf,
  countRows,
  deleteRows,
  insertRows,
  planRows,
  selectRows,
  type Statement,
  updateRows
} from "./rows/statements.ts"
import { Sessions, type Work } from "./Sessions.ts"

export type RowsFailure = Failure | InvalidInput | MalformedRequest | TooManyQueries

type Caller = Pick<Principal, "userId" | "roles">

/** Which dataset, and what of it. */
export interface Asked {
  readonly schema: string
  readonly table: string
  readonly request: RowsRequest
}

/** What `Prefer` may ask (RFC 7240, with PostgREST's words). */
export interface Preferences {
  readonly count: "exact" | "planned" | "estimated" | undefined
  readonly representation: boolean
  readonly resolution: "merge" | "ignore" | undefined
}

export interface Page extends Collected {
  /** Asks for what comes after; undefined at the end, and where no key makes a row's place unique. */
  readonly cursor: string | undefined
  readonly count: number | undefined
}

export interface Written {
  readonly count: number
  /** The rows as they are now, if that was asked for. */
  readonly rows: ReadonlyArray<string>
}

/** Below so many rows an estimate is not worth its error: they are counted. */
const countedBelow = 10_000
const grace = 500

export class Rows extends Context.Service<
  Rows,
  {
    readonly read: (
      caller: Caller,
      asked: Asked,
      prefer: Preferences,
      format: Format
    ) => Effect.Effect<Page, RowsFailure>
    /** Inserts the rows of a JSON body, an object or an array of objects with the same keys; all or none. */
    readonly insert: (
      caller: Caller,
      asked: Asked,
      prefer: Preferences,
      body: string
    ) => Effect.Effect<Written, RowsFailure>
    /** Sets columns of the rows that the filters name; without a filter it is refused. */
    readonly update: (
      caller: Caller,
      asked: Asked,
      prefer: Preferences,
      body: string
    ) => Effect.Effect<Written, RowsFailure>
    /** Deletes the rows that the filters name; without a filter it is refused. */
    readonly remove: (caller: Caller, asked: Asked, prefer: Preferences) => Effect.Effect<Written, RowsFailure>
  }
>()("gatehouse/data/Rows") {
  static readonly layer = (limits: Limits) => Layer.effect(Rows, makeRows(limits))
}

const refused = (pointer: string, detail: string) => new InvalidInput({ errors: [{ pointer, detail }] })

const makeRows = (limits: Limits) =>
  Effect.gen(function* () {
    const sessions = yield* Sessions
    const catalogue = yield* Catalogue
    const gatekeeper = yield* Gatekeeper
    const freshness = yield* Freshness

    const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      effect.pipe(
        Effect.timeoutOrElse({
          duration: limits.queryMillis + grace,
          orElse: () => Effect.fail(new TimedOut({ millis: limits.queryMillis }))
        }),
        Effect.scoped
      )

    const begin = Effect.fnUntraced(function* (profile: "query" | "write", caller: Caller) {
      yield* gatekeeper.enter("query", caller.userId)
      return yield* sessions.open(profile, caller, limits.queryMillis)
    })

    const countOf = Effect.fnUntraced(function* (
      work: Work,
      dataset: Dataset,
      request: RowsRequest,
      how: NonNullable<Preferences["count"]>
    ) {
      if (how !== "exact") {
        const statement = yield* building(() => planRows(new Builder(dataset, request)))
        const { rows } = planOf(yield* work.rows(statement.text, statement.params))
        if (how === "planned" || rows > countedBelow) return Math.round(rows)
      }
      const statement = yield* building(() => countRows(new Builder(dataset, request)))
      const [row] = yield* work.rows(statement.text, statement.params)
      return Number(row?.["count"])
    })

    const read: Rows["Service"]["read"] = Effect.fn("Rows.read")(function* (caller, asked, prefer, format) {
      const { request } = asked
      const dataset = yield* catalogue.published(asked.schema, asked.table)
      const limit = Math.min(request.limit ?? Infinity, limits.maxRows)
      const builder = new Builder(dataset, request)
      const statement = yield* building(() => selectRows(builder, request, format === "csv", limit))
      return yield* inTime(
        Effect.gen(function* () {
          const work = yield* begin("query", caller)
          const rows: Array<string> = []
          let place: ReadonlyArray<string | null> | undefined
          let bytes = 0
          let more = false
          yield* Stream.runForEachWhile(work.records(statement.text, statement.params), (record) =>
            Effect.sync(() => {
              const { line } = record
              const text = Array.isArray(line) ? csvLine(line) : String(line)
              bytes += Buffer.byteLength(text)
              more = rows.length >= limit || bytes > limits.maxBytes
              if (more) return false
              rows.push(text)
              place = Array.isArray(record["place"]) ? record["place"] : undefined
              return true
            })
          )
          const count = prefer.count === undefined ? undefined : yield* countOf(work, dataset, request, prefer.count)
          const columns = builder.names().map((name) => ({ name, type: "" }))
          const truncated = more && rows.length < (request.limit ?? Infinity)
          return {
            columns,
            rows,
            truncated,
            count,
            cursor: more && place !== undefined ? builder.cursorOf(place) : undefined
          }
        })
      )
    })

    const writable = Effect.fnUntraced(function* ({ request, schema, table }: Asked) {
      const dataset = yield* catalogue.published(schema, table)
      if (dataset.kind !== "table") return yield* refused("", "only the rows of a table can be written")
      for (const [key, given] of [
        ["order", request.order.length > 0],
        ["limit", request.limit !== undefined],
        ["offset", request.offset > 0],
        ["cursor", request.cursor !== undefined]
      ] as const) {
        if (given) return yield* refused(`/query/${key}`, "not taken with a write")
      }
      return dataset
    })

    const write = Effect.fnUntraced(function* (
      caller: Caller,
      dataset: Dataset,
      statement: Statement,
      representation: boolean
    ) {
      const written = yield* inTime(
        Effect.gen(function* () {
          const work = yield* begin("write", caller)
          const lines = (yield* work.rows(statement.text, statement.params)).map(({ line }) => line)
          const rows = representation ? lines.map(String) : []
          const bytes = rows.reduce((sum, row) => sum + Buffer.byteLength(row), 0)
          if (bytes > limits.maxBytes) {
            return yield* new LimitExceeded({
              detail: "the rows are more than an answer holds; nothing was changed",
              state: ""
            })
          }
          yield* work.commit
          return { count: lines.length, rows }
        })
      )
      if (written.count > 0) yield* freshness.written(dataset)
      return written
    })

    return Rows.of({
      read,
      insert: Effect.fn("Rows.insert")(function* (caller, asked, prefer, body) {
        const dataset = yield* writable(asked)
        if (asked.request.filters.length > 0) return yield* refused("/query", "an insert has no filter")
        const columns = yield* readRowsBody(body, dataset, "many")
        const key = asked.request.onConflict ?? dataset.primaryKey
        if (prefer.resolution !== undefined && key.length === 0) {
          return yield* refused(
            "/query/on_conflict",
            "the dataset has no primary key: name the columns that make a row unique"
          )
        }
        const statement = yield* building(() => {
          const builder = new Builder(dataset, asked.request)
          for (const name of asked.request.onConflict ?? []) builder.column(name, "on_conflict")
          const options = { columns, json: bodyAsArray(body), representation: prefer.representation }
          return insertRows(builder, options, conflictOf(prefer.resolution, key, columns))
        })
        return yield* write(caller, dataset, statement, prefer.representation)
      }),
      update: Effect.fn("Rows.update")(function* (caller, asked, prefer, body) {
        const dataset = yield* writable(asked)
        if (asked.request.filters.length === 0) return yield* refused("/query", "an update needs a filter")
        const columns = yield* readRowsBody(body, dataset, "one")
        const statement = yield* building(() =>
          updateRows(new Builder(dataset, asked.request), {
            columns,
            json: body,
            representation: prefer.representation
          })
        )
        return yield* write(caller, dataset, statement, prefer.representation)
      }),
      remove: Effect.fn("Rows.remove")(function* (caller, asked, prefer) {
        const dataset = yield* writable(asked)
        if (asked.request.filters.length === 0) return yield* refused("/query", "a delete needs a filter")
        const statement = yield* building(() => deleteRows(new Builder(dataset, asked.request), prefer.representation))
        return yield* write(caller, dataset, statement, prefer.representation)
      })
    })
  })

/** Its own text, so that no number loses digits on the way. */
const bodyAsArray = (body: string) => (body.trimStart().startsWith("[") ? body : `[${body}]`)
