/** Reads the rows of an uploaded file as they come, CSV or NDJSON, with the line each begins on; must hold no more than one chunk of them. */
import { createHash, type Hash } from "node:crypto"
import { pipeline, Readable } from "node:stream"
import { parse } from "csv-parse"
import { MalformedRequest, PayloadTooLarge } from "#shared/domain/errors.ts"
import { parseJson } from "#shared/json.ts"

/** One row: JSON text of an object, from CSV with text values; or why it is none. */
export interface SourceRow {
  readonly line: number
  readonly json: string | undefined
  readonly reason: string | undefined
}

export interface IngestSource {
  readonly rows: AsyncIterable<ReadonlyArray<SourceRow>>
  /** Names that the rows read so far use: the header of CSV, the keys of any row of NDJSON. */
  readonly columns: () => ReadonlyArray<string>
  /** SHA-256 of all that was read, hexadecimal; asked once, at the end. */
  readonly digest: () => string
}

/** Rows of a chunk at most, and characters of one row. */
const chunkRows = 1000
const maxRowLength = 1024 * 1024

/** Bytes that are parsed at a time: all rows of a piece are made at once, and what has waited for us comes as one large chunk. */
const pieceBytes = 32 * 1024

/** Counts and hashes the bytes on their way, and refuses more than `limit`. */
const measured = async function* (body: ReadableStream<Uint8Array>, limit: number, hash: Hash) {
  let size = 0
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength
    if (size > limit) throw new PayloadTooLarge({ limit })
    hash.update(chunk)
    for (let at = 0; at < chunk.byteLength; at += pieceBytes) yield chunk.subarray(at, at + pieceBytes)
  }
}

const utf8 = async function* (bytes: AsyncIterable<Uint8Array>) {
  const decoder = new TextDecoder("utf-8", { fatal: true })
  try {
    for await (const chunk of bytes) yield decoder.decode(chunk, { stream: true })
    yield decoder.decode()
  } catch (error) {
    if (error instanceof TypeError) throw new MalformedRequest({ detail: "the file is not valid UTF-8" })
    throw error
  }
}

const isText = (value: unknown): value is string => typeof value === "string"

/** RFC 4180 with a header. An empty field is null and a quoted empty one the empty text, as COPY reads it. */
const csvRows = async function* (
  text: AsyncIterable<string>,
  columns: Set<string>
): AsyncGenerator<ReadonlyArray<SourceRow>> {
  let header: ReadonlyArray<string> | undefined
  const parser = parse({
    bom: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: maxRowLength,
    info: true,
    cast: (value, { quoting }) => (value === "" && !quoting ? null : value)
  })
  // What goes wrong before the parser reaches whoever iterates it; the callback has nothing to add.
  pipeline(Readable.from(text), parser, () => {})
  let rows: Array<SourceRow> = []
  let previous = 0
  try {
    for await (const found of parser as AsyncIterable<{
      readonly record: ReadonlyArray<string | null>
      readonly info: { readonly lines: number }
    }>) {
      const { record } = found
      // The parser tells on which line a record ends; it began after the one before.
      const line = previous + 1
      previous = found.info.lines
      if (header === undefined) {
        const names = record.filter(isText).map((name) => name.trim())
        if (names.length < record.length || new Set(names).size < names.length) {
          throw new MalformedRequest({ detail: "the first line must name each column, once" })
        }
        header = names
        for (const name of names) columns.add(name)
        continue
      }
      if (record.length !== header.length) {
        rows.push({ line, json: undefined, reason: `${record.length} fields where the header has ${header.length}` })
      } else if (record.some((value) => value?.includes("\0"))) {
        // It cannot be stored as text, and one in a batch would fail all of it.
        rows.push({ line, json: undefined, reason: "the line contains a NUL character" })
      } else {
        const entries = header.map((name, index) => [name, record[index] ?? null])
        rows.push({ line, json: JSON.stringify(Object.fromEntries(entries)), reason: undefined })
      }
      if (rows.length >= chunkRows) {
        yield rows
        rows = []
      }
    }
  } catch (error) {
    if (error instanceof MalformedRequest || error instanceof PayloadTooLarge) throw error
    // Its messages quote the input.
    const code = error instanceof Error && "code" in error ? String(error.code) : "CSV_INVALID"
    if (!code.startsWith("CSV_")) throw error
    throw new MalformedRequest({ detail: `the file is not CSV: ${code} after line ${previous}` })
  }
  if (header === undefined)
    throw new MalformedRequest({ detail: "the file is empty: its first line names the columns" })
  if (rows.length > 0) yield rows
}

/** One JSON object a line; empty lines are passed over. */
const ndjsonRows = async function* (
  text: AsyncIterable<string>,
  names: Set<string>
): AsyncGenerator<ReadonlyArray<SourceRow>> {
  let rows: Array<SourceRow> = []
  let rest = ""
  let line = 0
  const row = (content: string): SourceRow | undefined => {
    line++
    if (content.trim() === "") return undefined
    try {
      const value = parseJson(content, "the line")
      if (typeof value === "object" && value !== null && !Array.isArray(value)) {
        for (const name in value) names.add(name)
        return { line, json: content, reason: undefined }
      }
      return { line, json: undefined, reason: "the line is not an object" }
    } catch (error) {
      if (!(error instanceof MalformedRequest)) throw error
      return { line, json: undefined, reason: error.detail }
    }
  }
  const push = (content: string) => {
    const found = row(content)
    if (found !== undefined) rows.push(found)
  }
  for await (const piece of text) {
    const parts = (rest + piece).split("\n")
    rest = parts.pop() ?? ""
    if (rest.length > maxRowLength)
      throw new MalformedRequest({ detail: `line ${line + 1} is longer than ${maxRowLength} characters` })
    for (const part of parts) push(part)
    if (rows.length >= chunkRows) {
      yield rows
      rows = []
    }
  }
  if (rest !== "") push(rest)
  if (rows.length > 0) yield rows
}

/** The rows of a body, read as the consumer asks for them. Iterating throws MalformedRequest or PayloadTooLarge. */
export const ingestSource = (
  body: ReadableStream<Uint8Array>,
  format: "csv" | "ndjson",
  limit: number
): IngestSource => {
  const hash = createHash("sha256")
  const names = new Set<string>()
  const text = utf8(measured(body, limit, hash))
  return {
    rows: format === "csv" ? csvRows(text, names) : ndjsonRows(text, names),
    columns: () => [...names],
    digest: () => hash.digest("hex")
  }
}
