/** PostgREST's grammar of a rows request (a subset), read into a tree; must know no table and write no SQL. */
import { Effect, Result } from "effect"
import { InvalidInput } from "#shared/domain/errors.ts"

export const comparisons = [
  "eq",
  "neq",
  "gt",
  "gte",
  "lt",
  "lte",
  "like",
  "ilike",
  "match",
  "imatch",
  "isdistinct"
] as const
export type Comparison = (typeof comparisons)[number]

export type Filter =
  | { readonly kind: "compare"; readonly column: string; readonly operator: Comparison; readonly value: string }
  | { readonly kind: "in"; readonly column: string; readonly values: ReadonlyArray<string> }
  | { readonly kind: "is"; readonly column: string; readonly what: "null" | "not_null" | "true" | "false" | "unknown" }
  | { readonly kind: "not"; readonly filter: Filter }
  | { readonly kind: "and" | "or"; readonly filters: ReadonlyArray<Filter> }

export interface Selected {
  readonly column: string
  readonly alias: string | undefined
  readonly cast: string | undefined
}

export interface Ordered {
  readonly column: string
  readonly descending: boolean
  /** Undefined is the server's own: nulls last ascending, first descending. */
  readonly nullsFirst: boolean | undefined
}

export interface RowsRequest {
  /** Undefined is every column. */
  readonly select: ReadonlyArray<Selected> | undefined
  readonly filters: ReadonlyArray<Filter>
  readonly order: ReadonlyArray<Ordered>
  readonly limit: number | undefined
  readonly offset: number
  readonly cursor: string | undefined
  readonly onConflict: ReadonlyArray<string> | undefined
}

/** Filters in all, and one in another, at most: each is a parameter and a level of the server's parser. */
const maxFilters = 200
const maxDepth = 8
const maxOffset = 1_000_000

class Fault {
  readonly detail: string
  constructor(detail: string) {
    this.detail = detail
  }
}
const fault = (detail: string): never => {
  throw new Fault(detail)
}

const isComparison = (name: string): name is Comparison => comparisons.some((one) => one === name)

/** Walks over a text, one piece at a time. */
class Reader {
  private at = 0
  private readonly text: string
  constructor(text: string) {
    this.text = text
  }
  get ended() {
    return this.at >= this.text.length
  }
  take(piece: string): boolean {
    if (!this.text.startsWith(piece, this.at)) return false
    this.at += piece.length
    return true
  }
  expect(piece: string) {
    if (!this.take(piece)) fault(`expected ${piece} after "${this.text.slice(0, this.at).slice(-20)}"`)
  }
  /** A quoted value, with `\"` and `\\` in it, or one up to any of `ends`. */
  value(ends: string): string {
    if (this.take('"')) {
      let found = ""
      for (;;) {
        const char = this.text[this.at++]
        if (char === undefined) return fault("a quoted value does not end")
        if (char === '"') return found
        found += char === "\\" ? (this.text[this.at++] ?? "") : char
      }
    }
    const start = this.at
    while (!this.ended && !ends.includes(this.text[this.at]!)) this.at++
    return this.text.slice(start, this.at)
  }
  rest(): string {
    const found = this.text.slice(this.at)
    this.at = this.text.length
    return found
  }
}

const condition = (reader: Reader, column: string, nested: boolean): Filter => {
  if (reader.take("not.")) return { kind: "not", filter: condition(reader, column, nested) }
  const operator = reader.value(".")
  if (!reader.take(".")) return fault(`${column}: expected operator.value`)
  if (operator === "in") {
    reader.expect("(")
    const values: Array<string> = []
    if (!reader.take(")")) {
      do values.push(reader.value(",)"))
      while (reader.take(","))
      reader.expect(")")
    }
    if (values.length > 1000) fault(`${column}: more than 1000 values`)
    return { kind: "in", column, values }
  }
  const value = nested ? reader.value(",)") : reader.rest()
  if (operator === "is") {
    const what = value.toLowerCase()
    if (what === "null" || what === "not_null" || what === "true" || what === "false" || what === "unknown") {
      return { kind: "is", column, what }
    }
    return fault(`${column}: is takes null, not_null, true, false or unknown`)
  }
  if (!isComparison(operator)) return fault(`${column}: there is no operator ${operator.slice(0, 20)}`)
  return { kind: "compare", column, operator, value }
}

/** `a.eq.1,or(b.gt.2,c.is.null))`, after its bracket was opened. */
const group = (reader: Reader, kind: "and" | "or", depth: number): Filter => {
  if (depth > maxDepth) fault(`conditions nest deeper than ${maxDepth}`)
  const filters: Array<Filter> = []
  do filters.push(member(reader, depth))
  while (reader.take(","))
  reader.expect(")")
  return { kind, filters }
}

const member = (reader: Reader, depth: number): Filter => {
  for (const kind of ["and", "or"] as const) {
    if (reader.take(`not.${kind}(`)) return { kind: "not", filter: group(reader, kind, depth + 1) }
    if (reader.take(`${kind}(`)) return group(reader, kind, depth + 1)
  }
  const column = reader.value(".,)(")
  reader.expect(".")
  return condition(reader, column, true)
}

const whole = (key: string, text: string, most: number): number =>
  /^\d{1,10}$/u.test(text) && Number(text) <= most ? Number(text) : fault(`${key}: not a whole number up to ${most}`)

/** Parts of a list at its own commas; those in quotes are a value's. */
const parts = (text: string, ends: string): ReadonlyArray<ReadonlyArray<string>> => {
  const reader = new Reader(text)
  const found: Array<ReadonlyArray<string>> = []
  do {
    const words = [reader.value(`${ends},`)]
    while (ends.split("").some((end) => reader.take(end))) words.push(reader.value(`${ends},`))
    found.push(words)
  } while (reader.take(","))
  if (!reader.ended) fault("expected a comma")
  return found
}

/** `name`, `alias:name`, `name::type`, `alias:name::type`; `*` alone is every column. */
const selection = (text: string): ReadonlyArray<Selected> | undefined => {
  if (text.trim() === "*" || text === "") return undefined
  return parts(text, ":").map((words) => {
    const [first = "", second, third, fourth, ...more] = words
    if (more.length > 0 || first === "") return fault("expected alias:column::type")
    // `a::b` leaves an empty word between its two colons.
    if (second === undefined) return { alias: undefined, column: first, cast: undefined }
    if (second === "")
      return fourth === undefined && third !== undefined
        ? { alias: undefined, column: first, cast: third }
        : fault("expected column::type")
    if (third === undefined) return { alias: first, column: second, cast: undefined }
    return third === "" && fourth !== undefined
      ? { alias: first, column: second, cast: fourth }
      : fault("expected alias:column::type")
  })
}

const ordering = (text: string): ReadonlyArray<Ordered> =>
  parts(text, ".").map(([column = "", ...words]) => {
    let descending = false
    let nullsFirst: boolean | undefined
    for (const word of words) {
      if (word === "asc" || word === "desc") descending = word === "desc"
      else if (word === "nullsfirst" || word === "nullslast") nullsFirst = word === "nullsfirst"
      else fault(`${column}: order takes asc, desc, nullsfirst and nullslast`)
    }
    return { column, descending, nullsFirst }
  })

const count = (filters: ReadonlyArray<Filter>): number =>
  filters.reduce((sum, filter) => {
    if (filter.kind === "not") return sum + count([filter.filter])
    return sum + (filter.kind === "and" || filter.kind === "or" ? count(filter.filters) : 1)
  }, 0)

const single = ["select", "order", "limit", "offset", "cursor", "on_conflict"]

/** Reads the query of a URL; every fault is named with the parameter it is in. */
export const readRowsRequest = (params: URLSearchParams): Effect.Effect<RowsRequest, InvalidInput> => {
  const errors: Array<{ readonly pointer: string; readonly detail: string }> = []
  const attempt = <A>(key: string, read: () => A, otherwise: A): A => {
    const result = Result.try({ try: read, catch: (error) => error })
    if (Result.isSuccess(result)) return result.success
    if (!(result.failure instanceof Fault)) throw result.failure
    errors.push({ pointer: `/query/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, detail: result.failure.detail })
    return otherwise
  }
  const value = (key: string) => params.get(key) ?? undefined
  const read = <A>(key: string, of: (text: string) => A, otherwise: A): A => {
    const text = value(key)
    return text === undefined ? otherwise : attempt(key, () => of(text), otherwise)
  }
  for (const key of single) {
    if (params.getAll(key).length > 1) errors.push({ pointer: `/query/${key}`, detail: "given more than once" })
  }
  const filters: Array<Filter> = []
  for (const [key, text] of params) {
    if (single.includes(key)) continue
    const filter = attempt(
      key,
      (): Filter => {
        const reader = new Reader(text)
        const logical = /^(not\.)?(and|or)$/u.exec(key)
        if (logical !== null) reader.expect("(")
        const found =
          logical === null ? condition(reader, key, false) : group(reader, logical[2] === "and" ? "and" : "or", 1)
        if (!reader.ended) fault("more text than a condition")
        return logical?.[1] === undefined ? found : { kind: "not", filter: found }
      },
      undefined
    )
    if (filter !== undefined) filters.push(filter)
  }
  if (count(filters) > maxFilters) errors.push({ pointer: "/query", detail: `more than ${maxFilters} conditions` })
  const request: RowsRequest = {
    select: read("select", selection, undefined),
    filters,
    order: read("order", ordering, []),
    limit: read("limit", (text) => whole("limit", text, 10_000_000), undefined),
    offset: read("offset", (text) => whole("offset", text, maxOffset), 0),
    cursor: value("cursor"),
    onConflict: read("on_conflict", (text) => parts(text, "").map(([column = ""]) => column), undefined)
  }
  return errors.length > 0 ? Effect.fail(new InvalidInput({ errors })) : Effect.succeed(request)
}
