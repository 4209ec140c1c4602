/** Rows of an uploaded file: however its bytes come, they are made a few at a time. */
import { expect, test } from "bun:test"
import { ingestSource, type SourceRow } from "#data/ingestSource.ts"

/** All rows of a file that comes as one large chunk, and how many of them were made at once at most. */
const read = async (text: string, format: "csv" | "ndjson") => {
  const bytes = new TextEncoder().encode(text)
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(bytes)
      controller.close()
    }
  })
  const source = ingestSource(body, format, bytes.length)
  const rows: Array<SourceRow> = []
  let most = 0
  for await (const some of source.rows) {
    rows.push(...some)
    most = Math.max(most, some.length)
  }
  return { rows, most, columns: source.columns(), digest: source.digest() }
}

const many = 40_000

test("a file that comes at once is made rows of a piece at a time, with characters and lines across its pieces", async () => {
  const ndjson = await read(Array.from({ length: many }, (_, n) => `{"n":${n},"t":"ä€😀${n}"}\n`).join(""), "ndjson")
  const csv = await read(`n,t\n${Array.from({ length: many }, (_, n) => `${n},"ä€\n😀${n}"\n`).join("")}`, "csv")
  for (const { columns, most, rows } of [ndjson, csv]) {
    expect([rows.length, columns]).toEqual([many, ["n", "t"]])
    expect(most).toBeLessThan(3000)
  }
  expect(JSON.parse(ndjson.rows[many - 1]!.json!)).toEqual({ n: many - 1, t: `ä€😀${many - 1}` })
  expect(JSON.parse(csv.rows[many - 1]!.json!)).toEqual({ n: String(many - 1), t: `ä€\n😀${many - 1}` })
  expect([ndjson.rows[many - 1]!.line, csv.rows[many - 1]!.line]).toEqual([many, 2 * many])
})

test("the columns of NDJSON are the keys of all its rows, and its digest is of all its bytes", async () => {
  const text = '{"a":1}\n\n{"b":2,"a":3}\nnot json\n[1]\n{"c":null}'
  const { columns, digest, rows } = await read(text, "ndjson")
  expect(columns).toEqual(["a", "b", "c"])
  expect(rows.map(({ line, reason }) => [line, reason])).toEqual([
    [1, undefined],
    [3, undefined],
    [4, "the line is not valid JSON"],
    [5, "the line is not an object"],
    [6, undefined]
  ])
  expect(digest).toBe(new Bun.CryptoHasher("sha256").update(text).digest("hex"))
})

test("security: a line that others would read otherwise is refused alone, with what is wrong with it", async () => {
  const deep = `{"a":${"[".repeat(100)}${"]".repeat(100)}}`
  const { rows } = await read(
    `{"a":1,"a":2}\n{"a":{"b":1,"b":2}}\n{"a":"\\u0000"}\n{"a":"\\ud800"}\n${deep}\n{"a":"b:c"}\n`,
    "ndjson"
  )
  expect(rows.map(({ line, reason }) => [line, reason])).toEqual([
    [1, "the line names a key of an object twice"],
    [2, "the line names a key of an object twice"],
    [3, "the line contains a NUL character"],
    [4, "the line contains half of a character"],
    [5, "the line nests deeper than 64 levels"],
    [6, undefined]
  ])
  // What only looks like one of them is text.
  const escaped = String.raw`{"a":"\\u0000 \\ud800 \ud83d\ude00"}`
  expect((await read(escaped, "ndjson")).rows).toMatchObject([{ json: escaped }])
  const csv = await read(
    String.raw`a
\u0000
`,
    "csv"
  )
  expect(csv.rows).toMatchObject([{ reason: undefined }])
  expect((await read("a,b\n1,x\0y\n", "csv")).rows).toMatchObject([{ reason: "the line contains a NUL character" }])
})
