/** Rows on their way to the client: collected within limits, or as a stream of text; must know nothing of SQL. */
import { createHash } from "node:crypto"
import { Effect, Stream } from "effect"
import type { Failure } from "./failures.ts"
import { csvLine, type Format } from "./formats.ts"

export interface Column {
  readonly name: string
  /** As SQL writes it. */
  readonly type: string
}

/** Rows, each already as its format shows it: JSON of an object, or a line of CSV. */
export interface Source {
  readonly columns: ReadonlyArray<Column>
  readonly rows: Stream.Stream<string, Failure>
}

/** A whole answer. */
export interface Collected {
  readonly columns: ReadonlyArray<Column>
  readonly rows: ReadonlyArray<string>
  readonly truncated: boolean
}

/** Takes rows until one is too many; the rest is not read, and its statement cancelled. */
export const collect = Effect.fnUntraced(function* (
  { columns, rows }: Source,
  _format: Format,
  limits: { readonly rows: number; readonly bytes: number }
): Effect.fn.Return<Collected, Failure> {
  const taken: Array<string> = []
  let bytes = 0
  let truncated = false
  yield* Stream.runForEachWhile(rows, (row) =>
    Effect.sync(() => {
      bytes += Buffer.byteLength(row)
      truncated = taken.length >= limits.rows || bytes > limits.bytes
      if (!truncated) taken.push(row)
      return !truncated
    })
  )
  return { columns, rows: taken, truncated }
})

const encoder = new TextEncoder()
const encode = (text: string) => encoder.encode(text)

const header = (columns: ReadonlyArray<Column>) => csvLine(columns.map(({ name }) => name))

/** The last line of NDJSON that is whole; what went before is `sha256` of. */
const endLine = (rows: number, sha256: string, truncated: boolean) =>
  `${JSON.stringify({ $end: { rows, sha256, truncated } })}\n`

/** A whole answer's body. */
export const bodyOf = ({ columns, rows, truncated }: Collected, format: Format): string => {
  if (format === "csv") return header(columns) + rows.join("")
  if (format === "json") {
    return `{"columns":${JSON.stringify(columns)},"rows":[${rows.join(",")}],"truncated":${String(truncated)}}`
  }
  const text = rows.map((row) => `${row}\n`).join("")
  return text + endLine(rows.length, createHash("sha256").update(text).digest("hex"), truncated)
}

/** The rows alone, as PostgREST gives them. */
export const rowsBodyOf = (collected: Collected, format: Format): string =>
  format === "json" ? `[${collected.rows.join(",")}]` : bodyOf(collected, format)

/** Rows of an export: lines as bytes, each with its end, and how many of them there were so far. */
export interface Lines {
  readonly columns: ReadonlyArray<Column>
  readonly lines: Stream.Stream<Uint8Array, Failure>
  readonly count: () => number
}

/**
 * A stream's body, a chunk of rows at a time. NDJSON ends with `$end`, or with `$error` if it fails; CSV that fails does
 * not end, so that the client sees its connection cut.
 */
export const bodyOfLines = (
  { columns, count, lines }: Lines,
  format: Exclude<Format, "json">
): Stream.Stream<Uint8Array, Failure> => {
  if (format === "csv") return Stream.concat(Stream.succeed(encode(header(columns))), lines)
  return Stream.suspend(() => {
    const hash = createHash("sha256")
    return Stream.concat(
      lines.pipe(Stream.tap((some) => Effect.sync(() => hash.update(some)))),
      Stream.suspend(() => Stream.succeed(encode(endLine(count(), hash.digest("hex"), false))))
    )
  })
}

/** The line that stands for the end of NDJSON that failed. */
export const errorLine = (code: string, detail: string): Uint8Array =>
  encode(`${JSON.stringify({ $error: { code, detail } })}\n`)
