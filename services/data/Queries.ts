/** Callers' own SQL: read-only, in a session of the caller's claims, within limits; must run no text that was not judged first. */
import { Context, Effect, Exit, Layer, Scope, Stream } from "effect"
import type { Query } from "#shared/api/data.ts"
import type { Principal } from "#shared/domain/identity.ts"
import type { Limits } from "./config.ts"
import { type Failure, LimitExceeded, StatementInvalid, TimedOut, type TooManyQueries } from "./failures.ts"
import { type Format, csvLine } from "./formats.ts"
import { Gatekeeper } from "./Gatekeeper.ts"
import { LineWriter } from "./LineWriter.ts"
import { planOf } from "./plan.ts"
import { type ReadStatement, readStatement, type StatementRefused } from "./readStatement.ts"
import { bodyOfLines, type Collected, collect, type Column, type Lines, type Source } from "./results.ts"
import { type Work, Sessions } from "./Sessions.ts"
import { SqlParser } from "./SqlParser.ts"

export type QueryFailure = Failure | StatementRefused | TooManyQueries

type Caller = Pick<Principal, "userId" | "roles">

export class Queries extends Context.Service<
  Queries,
  {
    /** Runs a query for at most the limits' rows and bytes; what is left out shows in `truncated`. */
    readonly run: (caller: Caller, query: Query, format: Format) => Effect.Effect<Collected, QueryFailure>
    /**
     * Runs a query to its end, however many rows: as fast as they are taken, holding no more than a few of them. What fails
     * before the first row fails here, and later the stream does. The session lives until the stream ends.
     */
    readonly export: (
      caller: Caller,
      query: Query,
      format: Exclude<Format, "json">
    ) => Effect.Effect<Stream.Stream<Uint8Array, Failure>, QueryFailure>
    /** What the planner expects of a query; nothing is run. */
    readonly explain: (
      caller: Caller,
      query: Query
    ) => Effect.Effect<{ readonly cost: number; readonly rows: number; readonly allowed: boolean }, QueryFailure>
  }
>()("gatehouse/data/Queries") {
  static readonly layer = (limits: Limits) => Layer.effect(Queries, makeQueries(limits))
}

/** The name under which a caller's statement stands in ours; a column of the same name does not hide it (`.*`). */
const alias = "gatehouse_row"

/** The statement as a part of one of ours: on lines of its own, so that a comment at its end ends there. */
const within = (text: string) => `(\n${text}\n) AS ${alias}`

/** A statement of ours for the rows of a caller's, each as `text[]`: its fields, or one text of JSON. */
const selected = (text: string, columns: ReadonlyArray<Column>, format: Format) => {
  if (format !== "csv") return `SELECT ARRAY[row_to_json(${alias}.*)::text] AS line FROM ${within(text)}`
  const names = columns.map((_, index) => `c${index}`)
  const fields = names.map((name) => `${name}::text`).join(", ")
  return `SELECT ARRAY[${fields}] AS line FROM ${within(text)} (${names.join(", ")})`
}

interface Lowered {
  readonly millis: number
  readonly rows: number
  readonly bytes: number
  readonly cost: number
}

const lowered = (own: Limits, { export: exporting = false, limits = {} }: Query): Lowered => ({
  millis: Math.min(exporting ? own.exportMillis : own.queryMillis, limits.timeoutMillis ?? Infinity),
  rows: Math.min(own.maxRows, limits.rows ?? Infinity),
  bytes: Math.min(own.maxBytes, limits.bytes ?? Infinity),
  cost: Math.min(own.maxCost, limits.cost ?? Infinity)
})

/** Milliseconds that a statement has beyond its limit to end by itself, before it is cancelled from here. */
const grace = 500

const makeQueries = (own: Limits) =>
  Effect.gen(function* () {
    const sessions = yield* Sessions
    const gatekeeper = yield* Gatekeeper
    const parser = yield* SqlParser
    const judge = (sql: string) => Effect.provideService(readStatement(sql), SqlParser, parser)

    /** Bound as text or as what JSON made of them; the server takes their types from the statement. */
    const paramsOf = (query: Query) => query.params ?? []

    const expected = Effect.fnUntraced(function* (work: Work, text: string, query: Query) {
      return planOf(yield* work.rows(`EXPLAIN (FORMAT JSON) SELECT * FROM ${within(text)}`, paramsOf(query)))
    })

    const columnsOf = Effect.fnUntraced(function* (work: Work, text: string, query: Query) {
      const { fields } = yield* work.session
        .query(`SELECT * FROM ${within(text)} LIMIT 0`, paramsOf(query), false)
        .pipe(Effect.mapError(work.failure))
      const types = yield* work.rows(
        `SELECT format_type(t.type::oid, NULL) AS type
         FROM unnest(string_to_array($1, ',')) WITH ORDINALITY AS t(type, place) ORDER BY t.place`,
        [fields.map(({ dataTypeId }) => dataTypeId).join(",")]
      )
      const columns = fields.map(({ name }, index): Column => ({ name, type: String(types[index]?.["type"] ?? "") }))
      if (columns.length === 0) {
        return yield* new StatementInvalid({ detail: "the statement gives no column", state: "" })
      }
      const twice = columns.find(({ name }, index) => columns.findIndex((one) => one.name === name) !== index)
      if (twice !== undefined) {
        return yield* new StatementInvalid({
          detail: `two columns are named ${twice.name}: rename one with AS`,
          state: "42701"
        })
      }
      return columns
    })

    /** What a statement of EXPLAIN shows: lines of text, or one JSON document. */
    const planOfOwn = Effect.fnUntraced(function* (work: Work, text: string, query: Query, format: Format) {
      const shown = yield* work.rows(text, paramsOf(query))
      const name = "QUERY PLAN"
      const cells = shown
        .map((row) => Object.values(row)[0])
        .map((cell) => (typeof cell === "string" ? cell : JSON.stringify(cell)))
      const rows = cells.map((cell) => (format === "csv" ? csvLine([cell]) : JSON.stringify({ [name]: cell })))
      return { columns: [{ name, type: "text" }], rows: Stream.fromIterable(rows) } satisfies Source
    })

    const checkCost = Effect.fnUntraced(function* (work: Work, text: string, query: Query, limit: number) {
      const { cost } = yield* expected(work, text, query)
      if (cost <= limit) return
      const detail = `the plan's cost is ${Math.round(cost)}, above the limit of ${Math.round(limit)}`
      return yield* new LimitExceeded({ detail, state: "" })
    })

    /** The rows of a judged statement, each as `format` shows it. */
    const sourceOf = Effect.fnUntraced(function* (
      work: Work,
      { kind, text }: ReadStatement,
      query: Query,
      format: Format,
      limits: Lowered
    ) {
      if (kind === "explain") return yield* planOfOwn(work, text, query, format)
      yield* checkCost(work, text, query, limits.cost)
      const columns = yield* columnsOf(work, text, query)
      const statement = `${selected(text, columns, format)} LIMIT ${limits.rows + 1}`
      const rows = work.records(statement, paramsOf(query)).pipe(
        Stream.map(({ line }) => (Array.isArray(line) ? line : [])),
        Stream.map((fields) => (format === "csv" ? csvLine(fields) : String(fields[0])))
      )
      return { columns, rows } satisfies Source
    })

    /** The same without a limit of rows, as bytes. */
    const linesOf = Effect.fnUntraced(function* (
      work: Work,
      writer: LineWriter,
      { kind, text }: ReadStatement,
      query: Query,
      format: Exclude<Format, "json">,
      limits: Lowered
    ): Effect.fn.Return<Lines, QueryFailure> {
      if (kind === "explain") {
        const { columns, rows } = yield* planOfOwn(work, text, query, format)
        const ended = format === "csv" ? rows : rows.pipe(Stream.map((row) => `${row}\n`))
        return { columns, lines: Stream.encodeText(ended), count: () => 1 }
      }
      yield* checkCost(work, text, query, limits.cost)
      const columns = yield* columnsOf(work, text, query)
      const lines = work.records(selected(text, columns, format), paramsOf(query)).pipe(
        Stream.mapArray(() => [writer.take()]),
        Stream.filter((some) => some.length > 0)
      )
      return { columns, lines, count: () => writer.rows }
    })

    const begin = Effect.fnUntraced(function* (
      caller: Caller,
      query: Query,
      limits: Lowered,
      kind: "query" | "long" = "query",
      writer?: LineWriter
    ) {
      const statement = yield* judge(query.sql)
      yield* gatekeeper.enter(kind, caller.userId)
      const work = yield* sessions.open("query", caller, limits.millis, writer?.write)
      return { statement, work }
    })

    const late = (millis: number) => Effect.fail(new TimedOut({ millis }))
    const inTime = <A, E, R>(millis: number, effect: Effect.Effect<A, E, R>) =>
      effect.pipe(Effect.timeoutOrElse({ duration: millis + grace, orElse: () => late(millis) }))

    return Queries.of({
      run: Effect.fn("Queries.run")(function* (caller, query, format) {
        const limits = lowered(own, query)
        return yield* Effect.gen(function* () {
          const { statement, work } = yield* begin(caller, query, limits)
          return yield* collect(yield* sourceOf(work, statement, query, format, limits), format, limits)
        }).pipe((effect) => inTime(limits.millis, effect), Effect.scoped)
      }),
      export: Effect.fn("Queries.export")(function* (caller, query, format) {
        const limits = lowered(own, { ...query, export: true })
        const scope = yield* Scope.make()
        const writer = new LineWriter(format)
        const source = yield* Effect.gen(function* () {
          yield* parser.lean
          const { statement, work } = yield* begin(caller, query, limits, "long", writer)
          return yield* linesOf(work, writer, statement, query, format, limits)
        }).pipe(
          (effect) => inTime(limits.millis, effect),
          Scope.provide(scope),
          Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void))
        )
        return bodyOfLines(source, format).pipe(
          Stream.interruptWhen(Effect.andThen(Effect.sleep(limits.millis + grace), late(limits.millis))),
          Stream.onExit((exit) => Scope.close(scope, exit))
        )
      }),
      explain: Effect.fn("Queries.explain")(function* (caller, query) {
        const limits = lowered(own, query)
        return yield* Effect.gen(function* () {
          const { statement, work } = yield* begin(caller, query, limits)
          if (statement.kind === "explain") {
            return yield* new StatementInvalid({ detail: "send the statement without EXPLAIN", state: "" })
          }
          const found = yield* expected(work, statement.text, query)
          return { ...found, allowed: found.cost <= limits.cost }
        }).pipe((effect) => inTime(limits.millis, effect), Effect.scoped)
      })
    })
  })
