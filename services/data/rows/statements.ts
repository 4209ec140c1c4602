/** Writes the SQL of a rows request: every name is one of the dataset's own columns and quoted, every value bound; must run nothing. */
import { Effect, Result, Schema } from "effect"
import type { Dataset } from "#shared/api/data.ts"
import { InvalidInput } from "#shared/domain/errors.ts"
import type { Comparison, Filter, Ordered, RowsRequest, Selected } from "./grammar.ts"

export interface Statement {
  readonly text: string
  readonly params: ReadonlyArray<string>
}

/** A name as SQL takes it whatever it holds. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Types that `column::type` may name: those whose input runs nothing of an author's. */
const castTypes = new Set([
  "text",
  "varchar",
  "int2",
  "int4",
  "int8",
  "smallint",
  "integer",
  "bigint",
  "numeric",
  "float4",
  "float8",
  "real",
  "boolean",
  "bool",
  "date",
  "time",
  "timestamp",
  "timestamptz",
  "interval",
  "uuid",
  "json",
  "jsonb"
])

const operators: Readonly<Record<Comparison, string>> = {
  eq: "=",
  neq: "<>",
  gt: ">",
  gte: ">=",
  lt: "<",
  lte: "<=",
  like: "LIKE",
  ilike: "ILIKE",
  match: "~",
  imatch: "~*",
  isdistinct: "IS DISTINCT FROM"
}

/** A cursor's content: the order that it continues, and the last row's place in it. */
const Cursor = Schema.fromJsonString(
  Schema.Struct({ order: Schema.String, values: Schema.Array(Schema.NullOr(Schema.String)) })
)
const decodeCursor = Schema.decodeUnknownResult(Cursor)

const invalid = (key: string, detail: string) => new InvalidInput({ errors: [{ pointer: `/query/${key}`, detail }] })

/** Builds the statements of one request; a name that the dataset does not have is InvalidInput. */
export class Builder {
  private readonly params: Array<string> = []
  private readonly dataset: Dataset
  private readonly request: RowsRequest
  constructor(dataset: Dataset, request: RowsRequest) {
    this.dataset = dataset
    this.request = request
  }

  /** The relation; `t` in every statement. */
  get target(): string {
    return `${quoted(this.dataset.schema)}.${quoted(this.dataset.name)}`
  }

  bind(value: string): string {
    this.params.push(value)
    return `$${this.params.length}`
  }

  /** `text` with everything that was bound so far. */
  statement(text: string): Statement {
    return { text, params: [...this.params] }
  }

  column(name: string, key: string): string {
    if (!this.dataset.columns.some((column) => column.name === name)) {
      throw invalid(key, `${this.dataset.schema}.${this.dataset.name} has no column of that name`)
    }
    return `t.${quoted(name)}`
  }

  /** What is selected, as the row `r` beside `t`. */
  selected(): string {
    const all: ReadonlyArray<Selected> = this.dataset.columns.map(({ name }) => ({
      column: name,
      alias: undefined,
      cast: undefined
    }))
    const chosen = this.request.select ?? all
    const names = chosen.map(({ alias, column }) => alias ?? column)
    if (new Set(names).size < names.length) throw invalid("select", "two columns have the same name")
    const list = chosen.map(({ cast, column }, index) => {
      if (cast !== undefined && !castTypes.has(cast.toLowerCase()))
        throw invalid("select", "cast to a type that is not taken")
      const value = this.column(column, "select")
      return `${cast === undefined ? value : `(${value})::${cast.toLowerCase()}`} AS ${quoted(names[index]!)}`
    })
    return `(SELECT ${list.join(", ")})`
  }

  /** Names of the selected columns, in their order. */
  names(): ReadonlyArray<string> {
    return (
      this.request.select?.map(({ alias, column }) => alias ?? column) ?? this.dataset.columns.map(({ name }) => name)
    )
  }

  private filter(filter: Filter): string {
    switch (filter.kind) {
      case "and":
      case "or":
        return `(${filter.filters.map((one) => this.filter(one)).join(filter.kind === "and" ? " AND " : " OR ")})`
      case "not":
        return `(NOT ${this.filter(filter.filter)})`
      case "is":
        return `(${this.column(filter.column, filter.column)} IS ${filter.what === "not_null" ? "NOT NULL" : filter.what.toUpperCase()})`
      case "in": {
        const column = this.column(filter.column, filter.column)
        return filter.values.length === 0
          ? "false"
          : `(${column} IN (${filter.values.map((one) => this.bind(one)).join(", ")}))`
      }
      case "compare": {
        const column = this.column(filter.column, filter.column)
        const patterned = filter.operator === "like" || filter.operator === "ilike"
        const value = patterned ? filter.value.replaceAll("*", "%") : filter.value
        return `(${column} ${operators[filter.operator]} ${this.bind(value)})`
      }
    }
  }

  conditions(): ReadonlyArray<string> {
    return this.request.filters.map((filter) => this.filter(filter))
  }

  /** The order that is asked for, made total by the primary key where there is one. */
  private total(): ReadonlyArray<Ordered> {
    const asked = this.request.order
    const missing = this.dataset.primaryKey.filter((name) => !asked.some(({ column }) => column === name))
    return [...asked, ...missing.map((column) => ({ column, descending: false, nullsFirst: undefined }))]
  }

  order(): string {
    const terms = this.total().map(({ column, descending, nullsFirst }) => {
      const nulls = nullsFirst === undefined ? "" : nullsFirst ? " NULLS FIRST" : " NULLS LAST"
      return `${this.column(column, "order")}${descending ? " DESC" : ""}${nulls}`
    })
    return terms.length === 0 ? "" : ` ORDER BY ${terms.join(", ")}`
  }

  /** A row's place in the order, as an array of text; undefined where no key makes places unique. */
  place(): string | undefined {
    if (this.dataset.primaryKey.length === 0) return undefined
    return `ARRAY[${this.total()
      .map(({ column }) => `${this.column(column, "order")}::text`)
      .join(", ")}]`
  }

  private get signature(): string {
    return JSON.stringify(
      this.total().map(({ column, descending, nullsFirst }) => [column, descending, nullsFirst ?? null])
    )
  }

  cursorOf(values: ReadonlyArray<string | null>): string {
    return Buffer.from(JSON.stringify({ order: this.signature, values })).toString("base64url")
  }

  /** What rows after the cursor's place fulfil: equal in the first terms of the order, later in the next. */
  after(): ReadonlyArray<string> {
    const { cursor } = this.request
    if (cursor === undefined) return []
    const decoded = decodeCursor(Buffer.from(cursor, "base64url").toString())
    const terms = this.total()
    if (
      Result.isFailure(decoded) ||
      decoded.success.order !== this.signature ||
      decoded.success.values.length !== terms.length
    ) {
      throw invalid("cursor", "not a cursor of this request: keep dataset and order as they were")
    }
    const { values } = decoded.success
    const later = terms.map((_, index) => {
      const equal = terms.slice(0, index).map(({ column }, place) => {
        const value = values[place] ?? null
        const name = this.column(column, "order")
        return value === null ? `${name} IS NULL` : `${name} = ${this.bind(value)}`
      })
      return `(${[...equal, this.later(terms[index]!, values[index] ?? null)].join(" AND ")})`
    })
    return [`(${later.join(" OR ")})`]
  }

  private later({ column, descending, nullsFirst = descending }: Ordered, value: string | null): string {
    const name = this.column(column, "order")
    if (value === null) return nullsFirst ? `${name} IS NOT NULL` : "false"
    const beyond = `${name} ${descending ? "<" : ">"} ${this.bind(value)}`
    return nullsFirst ? beyond : `(${beyond} OR ${name} IS NULL)`
  }
}

/** Runs a builder's work; what it throws is the request's fault. */
export const building = <A>(build: () => A): Effect.Effect<A, InvalidInput> =>
  Effect.try({ try: build, catch: (error) => error }).pipe(
    Effect.catch((error) => (error instanceof InvalidInput ? Effect.fail(error) : Effect.die(error)))
  )

const where = (conditions: ReadonlyArray<string>) =>
  conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`

/** Reads rows: each a `line` (JSON, or an array of text for CSV) and its `place`. One more than `limit`, to know of more. */
export const selectRows = (builder: Builder, { offset }: RowsRequest, csv: boolean, limit: number): Statement => {
  const row = builder.selected()
  const names = builder.names()
  const line = csv ? `ARRAY[${names.map((name) => `r.${quoted(name)}::text`).join(", ")}]` : "row_to_json(r.*)::text"
  const conditions = where([...builder.conditions(), ...builder.after()])
  return builder.statement(
    `SELECT ${line} AS line, ${builder.place() ?? "NULL::text[]"} AS place FROM ${builder.target} AS t CROSS JOIN LATERAL ${row} AS r` +
      `${conditions}${builder.order()} LIMIT ${limit + 1}${offset === 0 ? "" : ` OFFSET ${offset}`}`
  )
}

/** Counts what the filters leave, wherever the page begins. */
export const countRows = (builder: Builder): Statement =>
  builder.statement(`SELECT count(*)::text AS count FROM ${builder.target} AS t${where(builder.conditions())}`)

export const planRows = (builder: Builder): Statement =>
  builder.statement(`EXPLAIN (FORMAT JSON) SELECT 1 FROM ${builder.target} AS t${where(builder.conditions())}`)

const returning = (builder: Builder, wanted: boolean) =>
  wanted
    ? ` RETURNING (SELECT row_to_json(r.*)::text FROM ${builder.selected()} AS r) AS line`
    : " RETURNING NULL::text AS line"

export interface WriteOptions {
  /** Columns that the body names. */
  readonly columns: ReadonlyArray<string>
  /** The body, as it came. */
  readonly json: string
  readonly representation: boolean
}

const listed = (columns: ReadonlyArray<string>, prefix = "") => columns.map((name) => prefix + quoted(name)).join(", ")

/** `ON CONFLICT`: rows of the same key are replaced in the columns that are given, or left. */
export const conflictOf = (
  resolution: "merge" | "ignore" | undefined,
  key: ReadonlyArray<string>,
  columns: ReadonlyArray<string>
): string => {
  if (resolution === undefined) return ""
  const changed = columns.filter((name) => !key.includes(name))
  if (resolution === "ignore" || changed.length === 0) return ` ON CONFLICT (${listed(key)}) DO NOTHING`
  return ` ON CONFLICT (${listed(key)}) DO UPDATE SET ${changed.map((name) => `${quoted(name)} = EXCLUDED.${quoted(name)}`).join(", ")}`
}

export const insertRows = (
  builder: Builder,
  { columns, json, representation }: WriteOptions,
  conflict: string
): Statement => {
  const body = builder.bind(json)
  return builder.statement(
    `INSERT INTO ${builder.target} AS t (${listed(columns)}) SELECT ${listed(columns, "u.")}
     FROM json_populate_recordset(NULL::${builder.target}, ${body}::text::json) AS u${conflict}${returning(builder, representation)}`
  )
}

export const updateRows = (builder: Builder, { columns, json, representation }: WriteOptions): Statement => {
  const body = builder.bind(json)
  return builder.statement(
    `UPDATE ${builder.target} AS t SET (${listed(columns)}) = ROW(${listed(columns, "u.")})
     FROM json_populate_record(NULL::${builder.target}, ${body}::text::json) AS u${where(builder.conditions())}${returning(builder, representation)}`
  )
}

export const deleteRows = (builder: Builder, representation: boolean): Statement =>
  builder.statement(
    `DELETE FROM ${builder.target} AS t${where(builder.conditions())}${returning(builder, representation)}`
  )

/**
 * Applies staged lines `$1` to `$2` to the dataset. JSON values are read as the row's own types; those of CSV are text, which
 * each column's type reads for itself (a JSON column then takes the text as JSON, not as a JSON string). A column that a row
 * of NDJSON leaves out is null.
 */
export const applyStatement = (
  dataset: Dataset,
  columns: ReadonlyArray<string>,
  format: "csv" | "ndjson",
  conflict: string
): string => {
  const target = `${quoted(dataset.schema)}.${quoted(dataset.name)}`
  const typeOf = (name: string) => dataset.columns.find((column) => column.name === name)?.type ?? "text"
  const row =
    format === "csv"
      ? `json_to_record(s.content) AS u(${columns.map((name) => `${quoted(name)} text`).join(", ")})`
      : `json_populate_record(NULL::${target}, s.content) AS u`
  const values = columns.map((name) => `u.${quoted(name)}${format === "csv" ? `::${typeOf(name)}` : ""}`)
  return `INSERT INTO ${target} (${listed(columns)}) SELECT ${values.join(", ")} FROM staged s CROSS JOIN LATERAL ${row}
    WHERE s.line BETWEEN $1::text::integer AND $2::text::integer ORDER BY s.line${conflict}`
}
