/** Queries of callers: what they give in each form, their limits, and how each failure is told. */
import { createHash } from "node:crypto"
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { until } from "#test/shared/until.ts"
import { type Running, rowsOf, startData } from "./callers.ts"

let data: Running
beforeAll(async () => {
  data = await startData({
    DATA_QUERY_PER_USER: "2",
    DATA_QUERY_TIMEOUT: "60 seconds",
    DATA_QUERY_MAX_COST: "1000000000"
  })
})
afterAll(() => data.stop())

const csv = { headers: { accept: "text/csv" } }
const ndjson = { headers: { accept: "application/x-ndjson" } }

/** Sessions of callers' SQL that the server has now. */
const running = async () =>
  Number(
    (
      await data.database.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'gatehouse-data-query' AND datname = '${data.database.name}'`
      )
    )[0]!["n"]
  )

describe("POST /data/v1/query", () => {
  test("gives a caller the rows of their tenant, and all to who belongs to all", async () => {
    const sql = "SELECT tenant, count(*) FROM sales.orders GROUP BY 1 ORDER BY 1"
    expect(rowsOf(await data.query(sql))).toEqual([{ tenant: "north", count: 20 }])
    expect(rowsOf(await data.query(sql, { as: "south" }))).toEqual([{ tenant: "south", count: 20 }])
    expect(rowsOf(await data.query(sql, { as: "somebody" }))).toEqual([])
    expect(rowsOf(await data.query(sql, { as: "somebody", roles: ["owner"] })).length).toBe(2)
    expect(rowsOf(await data.query("SELECT gw.claims()->'tenants' AS mine, gw.tenants() AS t"))).toEqual([
      { mine: ["north"], t: ["north"] }
    ])
  })

  test("keeps digits, types and names as the server has them", async () => {
    const answer = await data.query(
      `SELECT 9007199254740993::int8 AS big, 1.10::numeric AS n, ARRAY[1,2] AS a, NULL AS nothing, true AS yes,
        '{"k":1}'::jsonb AS j, '2026-01-02T03:04:05Z'::timestamptz AS t, 'NaN'::float8 AS nan, '"; ' AS gatehouse_row`
    )
    expect(answer.text).toContain('"big":9007199254740993,"n":1.10,"a":[1,2],"nothing":null,"yes":true,"j":{"k": 1}')
    expect(rowsOf(answer)[0]).toMatchObject({ t: "2026-01-02T03:04:05+00:00", nan: "NaN", gatehouse_row: '"; ' })
    const columns = answer.json()["columns"] as ReadonlyArray<{ type: string }>
    expect(columns.slice(0, 3).map(({ type }) => type)).toEqual(["bigint", "numeric", "integer[]"])
  })

  test("takes parameters, comments, an order of its own, VALUES, TABLE and EXPLAIN", async () => {
    const more = { params: ["north", 3, null, true] }
    const sql = "SELECT $1::text AS a, $2::int + 1 AS b, $3::text AS c, $4::bool AS d -- the end"
    expect(rowsOf(await data.query(sql, { more }))).toEqual([{ a: "north", b: 4, c: null, d: true }])
    const ordered = await data.query("SELECT amount FROM sales.orders ORDER BY amount DESC LIMIT 3;")
    expect(rowsOf(ordered).map(({ amount }) => amount)).toEqual([40, 38, 36])
    expect(rowsOf(await data.query("VALUES (1, 'x')"))).toEqual([{ column1: 1, column2: "x" }])
    expect(rowsOf(await data.query("TABLE sales.products")).length).toBe(3)
    expect(String(rowsOf(await data.query("EXPLAIN SELECT 1"))[0]!["QUERY PLAN"])).toContain("Result")
    expect(JSON.stringify(rowsOf(await data.query("EXPLAIN (FORMAT JSON) SELECT 1")))).toContain("Total Cost")
  })

  test("answers as CSV and NDJSON, whose end has the sum of what went before", async () => {
    const sql = `SELECT * FROM (VALUES (1, 'a,"b"'), (2, ''), (3, NULL)) AS t (n, text) ORDER BY n`
    expect((await data.query(sql, csv)).text).toBe('n,text\r\n1,"a,""b"""\r\n2,""\r\n3,\r\n')
    for (const more of [{}, { export: true }]) {
      const lines = (await data.query(sql, { ...ndjson, more })).text
      const end = lines.lastIndexOf("\n", lines.length - 2) + 1
      const sha256 = createHash("sha256").update(lines.slice(0, end)).digest("hex")
      expect(JSON.parse(lines.slice(end))).toEqual({ $end: { rows: 3, sha256, truncated: false } })
    }
  })

  test("tells each failure with its own status and the server's code", async () => {
    for (const [sql, status, state] of [
      ["SELECT * FROM sales.nothere", 404, "42P01"],
      ["SELECT * FROM nowhere.at_all", 404, "42P01"],
      ["SELECT nothere FROM sales.products", 422, "42703"],
      ["SELECT 1/0", 422, "22012"],
      ["SELECT 'x'::int", 422, "22P02"],
      ["SELECT * FROM pg_authid", 403, "42501"],
      ["SELECT $1::int", 422, "08P01"]
    ] as const) {
      const answer = await data.query(sql)
      expect([sql, answer.status]).toEqual([sql, status])
      if (state !== "08P01") expect(answer.text).toContain(`SQLSTATE ${state}`)
      expect(answer.headers.get("content-type")).toBe("application/problem+json")
    }
    expect((await data.query("SELECT 1 AS a, 2 AS a")).json()["detail"]).toContain("two columns are named a")
    expect((await data.query("SELECT")).status).toBe(422)
    expect((await data.query("SELECT 1", { more: { surprise: 1 } })).status).toBe(422)
    expect((await data.query("SELECT 1", { headers: { accept: "image/png" } })).status).toBe(406)
    expect(
      (await data.query("SELECT 1", { headers: { accept: "application/json" }, more: { export: true } })).status
    ).toBe(406)
  })

  test("lowers its limits as asked", async () => {
    const sql = "SELECT n FROM generate_series(1, 100) n ORDER BY n"
    const few = await data.query(sql, { more: { limits: { rows: 3 } } })
    expect([rowsOf(few).length, few.headers.get("x-data-truncated")]).toEqual([3, "true"])
    const all = await data.query(sql, { more: { limits: { rows: 100 } } })
    expect([rowsOf(all).length, all.headers.get("x-data-truncated")]).toEqual([100, "false"])
    expect((await data.query(sql, { more: { limits: { cost: 0.1 } } })).status).toBe(422)
  })

  test("security: a caller has so many queries at a time and no more, and a place is free when one ends", async () => {
    const slow = "SELECT count(*) FROM generate_series(1, 30000) a, generate_series(1, 30000) b WHERE a # b = -1"
    const leave = new AbortController()
    const held = [1, 2].map(() => data.query(slow, { signal: leave.signal }))
    await until("two queries run", async () => (await running()) === 2)
    const third = await data.query("SELECT 1")
    expect([third.status, third.json()["code"]]).toEqual([429, "too_many_queries"])
    expect((await data.query("SELECT 1 AS x", { as: "south" })).status).toBe(200)
    leave.abort()
    // Who has gone gets no answer that counts; the server stops working for them.
    await Promise.allSettled(held)
    await until("no session is left", async () => (await running()) === 0)
    expect((await data.query("SELECT 1 AS x")).status).toBe(200)
  })
})

describe("an export", () => {
  const many = "SELECT n, repeat('x', 200) AS x FROM generate_series(1, 60000) n"

  test("has no limit of rows, and ends whole", async () => {
    const answer = await data.query(many, { ...csv, more: { export: true } })
    expect(answer.text.split("\r\n").length).toBe(60_002)
    expect(answer.headers.get("x-data-truncated")).toBeNull()
  })

  test("runs no faster than it is read, and stops at the server when its reader goes", async () => {
    const endless = "SELECT n, repeat('x', 1000) AS x FROM generate_series(1, 2000000) n"
    const response = await data.raw("/data/v1/query", { json: { sql: endless, export: true }, ...ndjson })
    const reader = response.body!.getReader()
    await reader.read()
    // What does not fit between server and reader waits in the server: it is blocked in sending.
    await until("the server waits for the reader", async () => {
      const [row] = await data.database.query(
        `SELECT wait_event FROM pg_stat_activity WHERE application_name = 'gatehouse-data-query' AND datname = '${data.database.name}'`
      )
      return row?.["wait_event"] === "ClientWrite"
    })
    await reader.cancel()
    await until("no session is left", async () => (await running()) === 0)
  })

  test("that fails says so in its last line as NDJSON, and is cut as CSV", async () => {
    const sql = "SELECT 1 / (5000 - n) AS x FROM generate_series(1, 10000) n"
    const lines = (await data.query(sql, { ...ndjson, more: { export: true } })).text.trimEnd().split("\n")
    expect(JSON.parse(lines.at(-1)!)).toEqual({
      $error: { code: "statement_invalid", detail: "division by zero (SQLSTATE 22012)" }
    })
    const response = await data.raw("/data/v1/query", { json: { sql, export: true }, ...csv })
    expect(response.status).toBe(200)
    expect(
      await response.text().then(
        () => "whole",
        () => "cut"
      )
    ).toBe("cut")
    await until("no session is left", async () => (await running()) === 0)
  })

  test("that cannot begin is answered as any other query", async () => {
    const answer = await data.query("SELECT * FROM sales.nothere", { ...csv, more: { export: true } })
    expect([answer.status, answer.headers.get("content-type")]).toEqual([404, "application/problem+json"])
  })
})

describe("POST /data/v1/explain", () => {
  test("tells cost and rows, and whether it would be let through", async () => {
    const explain = (sql: string) => data.ask("/data/v1/explain", { json: { sql } })
    expect((await explain("SELECT * FROM sales.products")).json()).toMatchObject({ allowed: true })
    const dear = await explain("SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b")
    expect(dear.json()).toMatchObject({ allowed: false, rows: 1 })
    expect((await explain("EXPLAIN SELECT 1")).status).toBe(422)
    expect((await explain("DELETE FROM sales.products")).status).toBe(422)
  })
})
