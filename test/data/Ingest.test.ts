/** Files into datasets: each mode and form, what a bad row does, repetitions, and faults in the middle. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Answered, type Running, rowsOf, startData } from "./callers.ts"

let data: Running
beforeAll(async () => {
  data = await startData({ DATA_INGEST_MAX_BYTES: "2000000" })
})
afterAll(() => data.stop())

const send = (body: BodyInit, query = "", headers: Record<string, string> = {}, table = "orders", as = "north") =>
  data.ask(`/data/v1/ingest/sales/${table}${query}`, {
    method: "POST",
    body,
    as,
    headers: { "content-type": "text/csv", ...headers }
  })
const ndjson = { "content-type": "application/x-ndjson" }
const orders = async (where: string, as = "north") =>
  rowsOf(await data.query(`SELECT id, amount, note FROM sales.orders WHERE ${where} ORDER BY id`, { as }))
const faults = (answer: Answered) => answer.json()["errors"] as ReadonlyArray<{ line: number; detail: string }>

describe("POST /data/v1/ingest", () => {
  test("appends CSV: quotes, line ends, a byte order mark, null and the empty text", async () => {
    const csv =
      '\uFEFFid,tenant,sku,amount,note\r\n1000,north,a,1,"two\r\nlines, ""quoted"""\r\n1001,north,b,2,\r\n1002,north,c,3,""\r\n'
    const answer = await send(csv)
    expect([answer.status, answer.json()]).toEqual([
      200,
      { dataset: "sales.orders", mode: "append", read: 3, written: 3, rejected: 0, rejects: [], changed: true }
    ])
    expect(await orders("id BETWEEN 1000 AND 1002")).toEqual([
      { id: 1000, amount: 1, note: 'two\r\nlines, "quoted"' },
      { id: 1001, amount: 2, note: null },
      { id: 1002, amount: 3, note: "" }
    ])
  })

  test("appends NDJSON, in whatever pieces it comes", async () => {
    const text =
      '{"tenant":"north","id":1100,"sku":"a","amount":1,"note":"ü 👋"}\n\n{"tenant":"north","id":1101,"sku":"b","amount":2,"note":null}'
    const bytes = new TextEncoder().encode(text)
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += 7) controller.enqueue(bytes.slice(at, at + 7))
        controller.close()
      }
    })
    const answer = await send(body, "", ndjson)
    expect([answer.status, answer.json()["written"]]).toEqual([200, 2])
    expect(await orders("id IN (1100, 1101)")).toEqual([
      { id: 1100, amount: 1, note: "ü 👋" },
      { id: 1101, amount: 2, note: null }
    ])
  })

  test("names every bad row with its line, and changes nothing", async () => {
    const before = await orders("true")
    const csv = [
      "id,tenant,sku,amount,note",
      "1200,north,a,1,fine",
      "1201,north,a,many,text for a number",
      '1202,north,a,2,"on',
      'two lines"',
      "1203,north,zzz,2,no such product",
      "1204,north,a,0,breaks a check",
      "1205,north,a",
      "1206,south,a,1,not mine",
      "2,north,a,1,taken",
      "1207,,a,1,no tenant",
      "1208,north,a,1,fine too"
    ].join("\n")
    const answer = await send(csv)
    expect([answer.status, answer.json()["code"]]).toEqual([422, "ingest_rejected"])
    expect(
      faults(answer)
        .map(({ line }) => line)
        .toSorted((a, b) => a - b)
    ).toEqual([3, 6, 7, 8, 9, 10, 11])
    expect(faults(answer).find(({ line }) => line === 6)!.detail).toContain("referred to")
    expect(answer.json()["detail"]).toContain("7 of 10 rows")
    expect(await orders("true")).toEqual(before)
    const lines = await send(
      '{"tenant":"north","sku":"a","amount":1}\nnot json\n[1]\n{"tenant":"north","sku":"a","amount":"x"}',
      "",
      ndjson
    )
    expect(
      faults(lines)
        .map(({ line }) => line)
        .toSorted()
    ).toEqual([2, 3, 4])
    expect(await orders("true")).toEqual(before)
  })

  test("leaves bad rows out if that is asked for", async () => {
    const answer = await send(
      "id,tenant,sku,amount\n1300,north,a,1\n1301,north,a,x\n1302,north,a,3\n",
      "?on_error=skip"
    )
    expect(answer.json()).toMatchObject({ read: 3, written: 2, rejected: 1, changed: true })
    expect(answer.json()["rejects"]).toMatchObject([{ line: 3 }])
    expect((await orders("id BETWEEN 1300 AND 1302")).map(({ id }) => id)).toEqual([1300, 1302])
  })

  test("upserts by the primary key, twice in one file too", async () => {
    const answer = await send("sku,name,price\na,Apple,2.50\nd,Dish,7\nd,Dish,8\n", "?mode=upsert", {}, "products")
    expect(answer.json()).toMatchObject({ read: 3, written: 3, rejected: 0 })
    expect(rowsOf(await data.query("SELECT sku, price::text FROM sales.products ORDER BY sku"))).toEqual([
      { sku: "a", price: "2.50" },
      { sku: "b", price: "20.00" },
      { sku: "c", price: "5.00" },
      { sku: "d", price: "8.00" }
    ])
  })

  test("replaces the caller's rows at once, and nobody else's", async () => {
    const others = await orders("true", "south")
    expect((await send("id,tenant,sku,amount\n1,north,a,bad\n", "?mode=replace")).status).toBe(422)
    expect((await orders("true")).length).toBeGreaterThan(10)
    const answer = await send("id,tenant,sku,amount\n5000,north,a,1\n5001,north,b,2\n", "?mode=replace")
    expect(answer.json()).toMatchObject({ mode: "replace", read: 2, written: 2 })
    expect((await orders("true")).map(({ id }) => id)).toEqual([5000, 5001])
    expect(await orders("true", "south")).toEqual(others)
  })

  test("does a repeated request with one key once, and refuses the key for another file", async () => {
    const csv = "id,tenant,sku,amount\n6000,north,a,1\n"
    const key = { "idempotency-key": "load-1" }
    const all = await Promise.all([send(csv, "", key), send(csv, "", key), send(csv, "", key)])
    expect(all.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(new Set(all.map(({ text }) => text)).size).toBe(1)
    expect((await orders("id = 6000")).length).toBe(1)
    expect((await send("id,tenant,sku,amount\n6001,north,a,1\n", "", key)).status).toBe(409)
    // A key is its caller's own.
    expect((await send("id,tenant,sku,amount\n6002,south,a,1\n", "", key, "orders", "south")).status).toBe(200)
  })

  test("refuses what it cannot read, and what is not there, with the right status", async () => {
    for (const [body, headers, table, status] of [
      ["", {}, "orders", 400],
      ["id,id\n1,2\n", {}, "orders", 400],
      ['id,tenant\n1,"open\n', {}, "orders", 400],
      ["nothere\n1\n", {}, "orders", 422],
      ["doubled\n1\n", {}, "orders", 422],
      ["a", { "content-type": "text/plain" }, "orders", 415],
      ["sku\nx\n", {}, "nothere", 404],
      ["sku\nx\n", {}, "totals", 422],
      ["one\n1\n", {}, "frozen", 404],
      [new Uint8Array([0x69, 0x64, 0x0a, 0xff]), {}, "orders", 400]
    ] as ReadonlyArray<readonly [BodyInit, Record<string, string>, string, number]>) {
      expect([body, (await send(body, "", headers, table)).status]).toEqual([body, status])
    }
    expect((await send("sku\nx\n", "?mode=merge")).status).toBe(422)
    expect((await send(`id,tenant,sku,amount\n${"9,north,a,1\n".repeat(200_000)}`)).status).toBe(413)
  })

  test("gives a file up that is bad throughout", async () => {
    const answer = await send(`id,tenant,sku,amount\n${"x,north,a,1\n".repeat(600)}`)
    expect([answer.status, faults(answer).length]).toEqual([422, 100])
  })

  test("a sender that breaks off changes nothing", async () => {
    const before = await orders("true")
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new TextEncoder().encode("id,tenant,sku,amount\n7000,north,a,1\n"))
        controller.error(new Error("gone"))
      }
    })
    expect((await send(body)).status).toBe(400)
    expect(await orders("true")).toEqual(before)
  })

  test("takes many rows", async () => {
    const rows = Array.from({ length: 5500 }, (_, n) => `${100_000 + n},north,a,1,bulk ${n}`).join("\n")
    const answer = await send(`id,tenant,sku,amount,note\n${rows}\n`)
    expect(answer.json()).toMatchObject({ read: 5500, written: 5500 })
  })
})
