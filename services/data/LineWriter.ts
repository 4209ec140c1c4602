/** Rows of an export, written as CSV or NDJSON from the bytes in which they come, without a string or an object for any of them; must keep nothing that it is shown. */
import type { Format } from "./formats.ts"

const comma = 44
const quote = 34
const carriageReturn = 13
const lineFeed = 10
const space = 32
const tab = 9

/** Bytes that are held ready for lines; after a row that needs more they are given back. */
const ready = 64 * 1024
/** Bytes of an array's head before its elements: dimensions, flags, type of the elements, length and lower bound. */
const headBytes = 20

const int32 = (bytes: Uint8Array, at: number) =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!

export class LineWriter {
  /** Rows that were written so far, taken or not. */
  rows = 0
  private lines = new Uint8Array(ready)
  private used = 0
  private readonly csv: boolean

  constructor(format: Exclude<Format, "json">) {
    this.csv = format === "csv"
  }

  /**
   * Writes one row: a `text[]` of one dimension in PostgreSQL's binary form (`array_send`), whose elements are the fields of a
   * line of CSV, or which holds the text of one JSON object.
   */
  readonly write = (bytes: Uint8Array, start: number, size: number): void => {
    // Quoted, a field has each of its bytes twice at most, and two quotes more than the four bytes of its length and a comma.
    this.reserve(2 * size)
    const end = start + size
    for (let at = start + headBytes; at < end;) {
      const length = int32(bytes, at)
      at += 4
      if (this.csv && at > start + headBytes + 4) this.lines[this.used++] = comma
      if (length < 0) continue
      if (this.csv) this.field(bytes, at, at + length)
      else this.copy(bytes, at, at + length)
      at += length
    }
    if (this.csv) this.lines[this.used++] = carriageReturn
    this.lines[this.used++] = lineFeed
    this.rows++
  }

  /** The lines since the last time, which may be none. */
  readonly take = (): Uint8Array<ArrayBuffer> => {
    const lines = this.lines.slice(0, this.used)
    if (this.lines.length > 16 * ready) this.lines = new Uint8Array(ready)
    this.used = 0
    return lines
  }

  private reserve(bytes: number) {
    if (this.used + bytes <= this.lines.length) return
    let length = this.lines.length
    while (length < this.used + bytes) length *= 2
    const lines = new Uint8Array(length)
    lines.set(this.lines.subarray(0, this.used))
    this.lines = lines
  }

  private copy(bytes: Uint8Array, from: number, to: number) {
    const { lines } = this
    let { used } = this
    // A view for each of many short rows would be more garbage than the loop costs.
    if (to - from > 512) lines.set(bytes.subarray(from, to), used)
    else for (let at = from, into = used; at < to;) lines[into++] = bytes[at++]!
    used += to - from
    this.used = used
  }

  /** As `csvLine` does: the empty text is quoted, and what holds a separator, a quote or a line's end, or begins or ends blank. */
  private field(bytes: Uint8Array, from: number, to: number) {
    const { lines } = this
    let used = this.used
    let special = from === to || blank(bytes[from]!) || blank(bytes[to - 1]!)
    for (let at = from; !special && at < to; at++) {
      const byte = bytes[at]!
      special = byte === comma || byte === quote || byte === carriageReturn || byte === lineFeed
      lines[used++] = byte
    }
    if (special) {
      used = this.used
      lines[used++] = quote
      for (let at = from; at < to; at++) {
        const byte = bytes[at]!
        if (byte === quote) lines[used++] = quote
        lines[used++] = byte
      }
      lines[used++] = quote
    }
    this.used = used
  }
}

const blank = (byte: number) => byte === space || (byte >= tab && byte <= carriageReturn)
