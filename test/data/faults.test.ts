/** What becomes of exports and ingests under way when a client goes or a server stops: no half answer looks whole, nothing is half written, no session is left. */
import { connect } from "node:net"
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { listen, type Listener } from "#shared/bun.ts"
import type { PrivatePostgres } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"
import { rowsOf, type Running, startOnPrivatePostgres } from "./callers.ts"

const ndjson = { accept: "application/x-ndjson" }
const csv = { accept: "text/csv" }
const endless = "SELECT n, repeat('x', 1000) AS x FROM generate_series(1, 2000000) n"

let postgres: PrivatePostgres
let data: Running
let stop: () => Promise<void>
let listener: Listener
beforeAll(async () => {
  ;({ data, postgres, stop } = await startOnPrivatePostgres({ DATA_QUERY_PER_USER: "1" }))
  listener = listen(data.service, { hostname: "127.0.0.1", port: 0 })
})
afterAll(async () => {
  await listener.stop(0)
  await stop()
})

const exported = (headers: Record<string, string>) =>
  data.raw("/data/v1/query", { json: { sql: endless, export: true }, headers })
const products = async () => rowsOf(await data.query("SELECT count(*)::int AS n FROM sales.products"))[0]!["n"]

/** An ingest whose file the test writes on: what was sent so far, and the answer to all of it. */
const ingesting = () => {
  const channel = new TransformStream<Uint8Array, Uint8Array>()
  const writer = channel.writable.getWriter()
  const answer = data.ask("/data/v1/ingest/sales/products", {
    method: "POST",
    headers: { "content-type": "text/csv" },
    body: channel.readable
  })
  const encoder = new TextEncoder()
  return { answer, writer, send: (text: string) => writer.write(encoder.encode(text)) }
}

/** Rows of a file, so many that some of them are staged while more is awaited. */
const rowsFrom = (first: number) => Array.from({ length: 3000 }, (_, n) => `many ${first + n},what it is,1\n`).join("")

/** A place for one more export of the caller: none is left over. */
const placeIsFree = () =>
  until("the caller's place is free", async () => {
    const response = await exported(ndjson)
    await response.body?.cancel()
    return response.status === 200
  })

describe("a database that stops", () => {
  test("in an export ends NDJSON with an error and cuts CSV, and another export works when it is back", async () => {
    for (const [headers, ends] of [
      [ndjson, "unavailable"],
      [csv, "cut"]
    ] as const) {
      const response = await exported(headers)
      const reader = response.body!.getReader()
      await reader.read()
      await postgres.stop()
      let last = ""
      const outcome = await (async () => {
        for (;;) {
          const { done, value } = await reader.read()
          if (done) return JSON.parse(last.trimEnd().split("\n").at(-1)!)["$error"]["code"]
          last = new TextDecoder().decode(value)
        }
      })().catch(() => "cut")
      expect([headers, outcome]).toEqual([headers, ends])
      await postgres.start()
      await placeIsFree()
    }
  })

  test("in an ingest is 503 and nothing of the file is there when it is back", async () => {
    const before = await products()
    const { answer, send, writer } = ingesting()
    await send(`sku,name,price\n${rowsFrom(0)}`)
    await postgres.stop()
    // Nobody may be there to take them.
    void send(rowsFrom(3000)).catch(() => {})
    void writer.close().catch(() => {})
    const found = await answer
    expect([found.status, found.json()["code"], found.headers.get("retry-after")]).toEqual([503, "unavailable", "2"])
    await postgres.start()
    await until("the data service answers again", async () => (await data.query("SELECT 1 AS one")).status === 200)
    expect(await products()).toBe(before)
  })
})

describe("a client that goes", () => {
  const sessions = async () => {
    const [row] = await postgres.query(
      "data",
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name IN ('gatehouse-data-query', 'gatehouse-data-write')"
    )
    return row?.["n"]
  }

  test("in an export, having read nothing of it, leaves no session and no place taken", async () => {
    const path = "/data/v1/query"
    const body = JSON.stringify({ sql: endless, export: true })
    const socket = connect(listener.port, "127.0.0.1")
    socket.pause()
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: a.test\r\nAccept: text/csv\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nX-Gatehouse-Identity: ${data.tokenFor(path)}\r\n\r\n${body}`
    )
    await until("the export runs", async () => (await sessions()) === 1)
    socket.destroy()
    await until("no session is left", async () => (await sessions()) === 0)
    await placeIsFree()
  })

  test("in an ingest changes nothing, and leaves no session", async () => {
    const before = await products()
    const path = "/data/v1/ingest/sales/products"
    const socket = connect(listener.port, "127.0.0.1")
    const text = `sku,name,price\n${rowsFrom(0)}`
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: a.test\r\nContent-Type: text/csv\r\nContent-Length: ${text.length + 1000}\r\nX-Gatehouse-Identity: ${data.tokenFor(path)}\r\n\r\n${text}`
    )
    await until("the ingest runs", async () => (await sessions()) === 1)
    socket.destroy()
    await until("no session is left", async () => (await sessions()) === 0)
    expect(await products()).toBe(before)
  })
})
