/** Queries of callers: what they give in each form, their limits, and how each failure is told. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Running, rowsOf, startData } from "./callers.ts"

let data: Running
beforeAll(async () => {
  data = await startData()
})
afterAll(() => data.stop())

describe("POST /data/v1/query", () => {
  test("gives a caller the rows of their tenant, and all to who belongs to all", async () => {
    const sql = "SELECT tenant, count(*) FROM sales.orders GROUP BY 1 ORDER BY 1"
    expect(rowsOf(await data.query(sql))).toEqual([{ tenant: "north", count: 20 }])
    expect(rowsOf(await data.query(sql, { as: "south" }))).toEqual([{ tenant: "south", count: 20 }])
    expect(rowsOf(await data.query(sql, { as: "somebody" }))).toEqual([])
    expect(rowsOf(await data.query(sql, { as: "somebody", roles: ["owner"] })).length).toBe(2)
  })
  test("x", async () => {
    console.log(
      (await data.query("SELECT 9007199254740993::int8 AS big, now() AS t, ARRAY[1,2] a, null n, true b")).text
    )
    console.log((await data.ask("/data/v1/catalog")).text)
    console.log((await data.query("SELECT set_config('gw.claims','x',false)")).text)
    console.log(
      (await data.query("SELECT * FROM sales.orders", { headers: { accept: "text/csv" }, more: { export: true } })).text
    )
    console.log(
      (
        await data.query("SELECT id, 1/(id-30) FROM sales.orders", {
          headers: { accept: "application/x-ndjson" },
          more: { export: true }
        })
      ).text
    )
  })
})
