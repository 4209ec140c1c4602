/** Lines of an export from the bytes of `text[]`: the same as those made of strings, however fields and buffers fall. */
import { describe, expect, test } from "bun:test"
import { PgTypes } from "@effect/sql-pg"
import { Result } from "effect"
import { csvLine } from "#data/formats.ts"
import { LineWriter } from "#data/LineWriter.ts"

/** What the server sends for an array of texts, amid bytes that are none of it. */
const sent = (fields: ReadonlyArray<string | null>) => {
  const array = Result.getOrThrow(PgTypes.encode(fields, 1009))
  const bytes = new Uint8Array(array.length + 14).fill(34)
  bytes.set(array, 7)
  return { bytes, start: 7, size: array.length }
}

const written = (format: "csv" | "ndjson", rows: ReadonlyArray<ReadonlyArray<string | null>>) => {
  const writer = new LineWriter(format)
  for (const row of rows) {
    const { bytes, size, start } = sent(row)
    writer.write(bytes, start, size)
  }
  return { text: new TextDecoder().decode(writer.take()), writer }
}

describe("LineWriter", () => {
  test("writes CSV as csvLine does: nothing, empty, quoted, blank at an end, beyond ASCII", () => {
    const rows = [
      ["1", null, "", "a"],
      [null, null],
      [""],
      ['"', '""', 'say "x"', "a,b"],
      ["a\nb", "a\rb", "\r\n", ","],
      [" a", "a ", "\ta", "a\t", "a b", " "],
      ["ä,é", "日本", "🙂\n", "\u00a0x", "plain"],
      ["x".repeat(2000), '"'.repeat(2000), `${"y".repeat(700)},`]
    ]
    expect(written("csv", rows).text).toBe(rows.map(csvLine).join(""))
  })

  test("writes NDJSON untouched, short rows and long", () => {
    const rows = ['{"a":"x, \\"y\\""}', `{"a":"${"ü".repeat(3000)}"}`, "{}"]
    expect(
      written(
        "ndjson",
        rows.map((row) => [row])
      ).text
    ).toBe(`${rows.join("\n")}\n`)
  })

  test("takes any number of rows and a row of any size, and holds nothing of what was taken", () => {
    const writer = new LineWriter("csv")
    const line = csvLine(["a".repeat(500), "b"])
    const { bytes, size, start } = sent(["a".repeat(500), "b"])
    for (let n = 0; n < 1000; n++) writer.write(bytes, start, size)
    const first = writer.take()
    const huge = sent(['"'.repeat(3 * 1024 * 1024)])
    writer.write(huge.bytes, huge.start, huge.size)
    expect(new TextDecoder().decode(first)).toBe(line.repeat(1000))
    expect(writer.take().length).toBe(6 * 1024 * 1024 + 4)
    expect([writer.take().length, writer.rows]).toEqual([0, 1001])
    writer.write(bytes, start, size)
    expect(new TextDecoder().decode(writer.take())).toBe(line)
  })
})
