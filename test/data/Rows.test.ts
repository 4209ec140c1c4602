/** Rows by PostgREST's grammar: what each filter, order and page gives, what a write changes, and that nobody gets past their policies. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Answered, type Running, startData } from "./callers.ts"

let data: Running
beforeAll(async () => {
  data = await startData()
})
afterAll(() => data.stop())

const orders = "/data/v1/rows/sales/orders"
const list = (answer: Answered) => {
  if (answer.status > 299) throw new Error(`${answer.status} ${answer.text}`)
  return JSON.parse(answer.text) as ReadonlyArray<Record<string, unknown>>
}
const ids = async (query: string, as = "north") =>
  list(await data.ask(`${orders}?select=id&order=id&${query}`, { as })).map(({ id }) => id)
const send = (
  method: string,
  path: string,
  json?: unknown,
  more: { prefer?: string; as?: string; scope?: string } = {}
) =>
  data.ask(path, {
    method,
    ...(json === undefined ? {} : { json }),
    headers: more.prefer === undefined ? {} : { prefer: more.prefer },
    ...(more.as === undefined ? {} : { as: more.as }),
    ...(more.scope === undefined ? {} : { scope: more.scope })
  })

describe("GET rows", () => {
  test("filters with every operator, each negated too", async () => {
    const cases: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
      ["amount=eq.4", [4]],
      ["amount=gt.36", [38, 40]],
      ["amount=gte.38", [38, 40]],
      ["amount=lt.4", [2]],
      ["amount=lte.4", [2, 4]],
      ["amount=neq.2&amount=lt.6", [4]],
      ["note=like.note 3*", [32, 34, 36, 38]],
      ["note=ilike.NOTE 3*", [32, 34, 36, 38]],
      ["note=match.^note [12]$", [2]],
      ["note=imatch.^NOTE 2$", [2]],
      ["amount=in.(2,4,5)", [2, 4]],
      ["amount=in.()", []],
      ['note=in.("note 2","note 4")', [2, 4]],
      ["note=is.null", [10, 20, 30, 40]],
      ["note=not.is.null&amount=lt.5", [2, 4]],
      ["note=is.not_null&amount=lt.5", [2, 4]],
      ["note=isdistinct.note 2&amount=lte.4", [4]],
      ["amount=not.gt.2", [2]],
      ["or=(amount.eq.2,and(amount.gt.30,amount.lt.34))", [2, 32]],
      ["not.or=(amount.lt.38,sku.eq.zzz)", [38, 40]],
      ["and=(amount.gt.2,not.or(amount.gt.6,sku.eq.a))", [4]],
      ['or=(note.eq."note 2",note.eq."x,\\"y")', [2]],
      ["sku=eq.a&amount=lt.20", [6, 12, 18]]
    ]
    for (const [query, expected] of cases) expect([query, await ids(query)]).toEqual([query, [...expected]])
  })

  test("selects, renames and casts columns, and keeps every digit", async () => {
    const [row] = list(await data.ask(`${orders}?select=pieces:amount,id::text,when:placed&id=eq.2`))
    expect(row).toEqual({ pieces: 2, id: "2", when: "2026-01-02T03:04:05+00:00" })
    const [price] = list(await data.ask("/data/v1/rows/sales/products?select=price&sku=eq.a"))
    expect(price).toEqual({ price: 1.5 })
  })

  test("orders with nulls where they are asked for", async () => {
    const notes = async (order: string) =>
      list(await data.ask(`${orders}?select=note&amount=in.(2,4,10)&order=${order}`)).map(({ note }) => note)
    expect(await notes("note")).toEqual(["note 2", "note 4", null])
    expect(await notes("note.nullsfirst")).toEqual([null, "note 2", "note 4"])
    expect(await notes("note.desc")).toEqual([null, "note 4", "note 2"])
    expect(await notes("note.desc.nullslast")).toEqual(["note 4", "note 2", null])
  })

  test("pages by cursor through every order, nulls included, each row once", async () => {
    for (const order of [
      "id",
      "id.desc",
      "note",
      "note.desc",
      "note.nullsfirst",
      "note.desc.nullslast",
      "sku,note.desc",
      "doubled.desc"
    ]) {
      const seen: Array<unknown> = []
      let cursor: string | null = null
      do {
        const next: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`
        const answer = await data.ask(`${orders}?select=id&limit=7&order=${order}${next}`)
        seen.push(...list(answer).map(({ id }) => id))
        cursor = answer.headers.get("x-next-cursor")
      } while (cursor !== null)
      const whole = list(await data.ask(`${orders}?select=id&order=${order},id`)).map(({ id }) => id)
      expect([order, seen]).toEqual([order, whole])
    }
  })

  test("pages by offset and counts as asked", async () => {
    const answer = await data.ask(`${orders}?select=id&order=id&limit=3&offset=6&amount=gt.4`, {
      headers: { prefer: "count=exact" }
    })
    expect(list(answer).map(({ id }) => id)).toEqual([18, 20, 22])
    expect(answer.headers.get("content-range")).toBe("6-8/18")
    const planned = await data.ask(`${orders}?limit=1`, { headers: { prefer: "count=planned" } })
    expect(planned.headers.get("content-range")).toMatch(/^0-0\/\d+$/u)
    expect((await data.ask(`${orders}?limit=1`)).headers.get("content-range")).toBe("0-0/*")
    expect((await data.ask(`${orders}?id=eq.0`)).headers.get("content-range")).toBe("*/*")
  })

  test("answers as CSV and as NDJSON with an end", async () => {
    const csv = await data.ask("/data/v1/rows/sales/products?order=sku", { headers: { accept: "text/csv" } })
    expect(csv.text).toBe('sku,name,price\r\na,Apple,1.50\r\nb,"Book, ""big""",20.00\r\nc,Cup,5.00\r\n')
    const ndjson = await data.ask("/data/v1/rows/sales/products?select=sku&order=sku", {
      headers: { accept: "application/x-ndjson" }
    })
    expect(ndjson.text.split("\n").slice(0, 3)).toEqual(['{"sku":"a"}', '{"sku":"b"}', '{"sku":"c"}'])
    expect(ndjson.text.split("\n")[3]).toStartWith('{"$end":{"rows":3,')
    const other = await data.ask(orders, { headers: { accept: "image/png" } })
    expect(other.status).toBe(406)
  })

  test("refuses what it does not know, names where, and shows no value", async () => {
    for (const [query, pointer] of [
      ["nothere=eq.1", "/query/nothere"],
      ["amount=foo.secret", "/query/amount"],
      ["amount=secret", "/query/amount"],
      ["select=id,nothere", "/query/select"],
      ["select=id::regclass", "/query/select"],
      ["select=id,id", "/query/select"],
      ["order=id.upwards", "/query/order"],
      ["order=nothere", "/query/order"],
      ["limit=-1", "/query/limit"],
      ["limit=1&limit=2", "/query/limit"],
      ["offset=x", "/query/offset"],
      ["cursor=secret", "/query/cursor"],
      ["or=(amount.eq.1", "/query/or"],
      ["or=amount.eq.1", "/query/or"],
      [`or=${"(and".repeat(12)}(amount.eq.1)${")".repeat(12)}`, "/query/or"]
    ] as const) {
      const answer = await data.ask(`${orders}?${query}`)
      const [fault] = (answer.json()["errors"] ?? []) as ReadonlyArray<{ pointer: string }>
      expect([query, answer.status, fault?.pointer]).toEqual([query, 422, pointer])
      expect(answer.text).not.toContain("secret")
    }
    expect((await data.ask(`${orders}?amount=eq.x`)).status).toBe(422)
    expect((await data.ask("/data/v1/rows/sales/nothere")).status).toBe(404)
    expect((await data.ask("/data/v1/rows/gw/signing_key")).status).toBe(404)
    expect((await data.ask("/data/v1/rows/pg_catalog/pg_authid")).status).toBe(404)
    expect((await data.ask("/data/v1/rows/sales/trap")).status).toBe(404)
  })

  test("security: names and values are never SQL", async () => {
    for (const query of [
      `${encodeURIComponent('id" = 1 OR true --')}=eq.1`,
      `select=${encodeURIComponent('id" FROM sales.orders --')}`,
      `order=${encodeURIComponent("id; DROP TABLE sales.orders")}`,
      `select=${encodeURIComponent("id::text FROM pg_authid")}`
    ]) {
      expect([query, (await data.ask(`${orders}?${query}`)).status]).toEqual([query, 422])
    }
    for (const value of ["' OR true --", "\\'; SELECT 1", "$1", "note 2' --"]) {
      expect(await ids(`note=eq.${encodeURIComponent(value)}`)).toEqual([])
    }
  })

  test("security: a tenant sees no row of another by any filter, order, count or cursor", async () => {
    expect(await ids("tenant=eq.south")).toEqual([])
    expect(await ids("or=(tenant.eq.south,id.eq.3)")).toEqual([])
    const counted = await data.ask(`${orders}?limit=1&tenant=eq.south`, { headers: { prefer: "count=exact" } })
    expect(counted.headers.get("content-range")).toBe("*/0")
    const cursor = (await data.ask(`${orders}?limit=1`, { as: "south" })).headers.get("x-next-cursor")!
    const next = list(await data.ask(`${orders}?select=tenant&cursor=${encodeURIComponent(cursor)}`))
    expect(new Set(next.map(({ tenant }) => tenant))).toEqual(new Set(["north"]))
    expect(list(await data.ask(orders, { as: "stranger" }))).toEqual([])
  })
})

describe("writes of rows", () => {
  const mine = (n: number) => ({ id: n, tenant: "north", sku: "a", amount: 1, note: `new ${n}` })

  test("inserts one or many, gives them back if asked, and notes the write", async () => {
    const one = await send("POST", orders, mine(1000), { prefer: "return=representation" })
    expect([one.status, list(one)[0]!["doubled"], one.headers.get("content-range")]).toEqual([201, 2, "*/1"])
    const many = await send("POST", `${orders}?select=id`, [mine(1001), mine(1002)], {
      prefer: "return=representation"
    })
    expect(list(many)).toEqual([{ id: 1001 }, { id: 1002 }])
    const quiet = await send("POST", orders, { tenant: "north", sku: "b", amount: 3 })
    expect([quiet.status, quiet.text]).toEqual([201, ""])
    const described = (await data.ask("/data/v1/catalog/sales.orders")).json()
    expect(Date.parse(String(described["lastWrite"]))).toBeGreaterThan(Date.now() - 60_000)
  })

  test("updates and deletes what the filters name, and refuses to do it to all", async () => {
    await send("POST", orders, [mine(1100), mine(1101)])
    const updated = await send(
      "PATCH",
      `${orders}?id=in.(1100,1101)&select=id,amount`,
      { amount: 9 },
      { prefer: "return=representation" }
    )
    expect(list(updated)).toEqual([
      { id: 1100, amount: 9 },
      { id: 1101, amount: 9 }
    ])
    expect((await send("PATCH", `${orders}?id=eq.1100`, { amount: 8 })).status).toBe(204)
    const gone = await send("DELETE", `${orders}?id=in.(1100,1101)`)
    expect([gone.status, gone.headers.get("content-range")]).toEqual([204, "*/2"])
    for (const [method, body] of [
      ["PATCH", { amount: 1 }],
      ["DELETE", undefined]
    ] as const) {
      const refused = await send(method, orders, body)
      expect([method, refused.status]).toEqual([method, 422])
      expect((await send(method, `${orders}?limit=1&id=eq.2`, body)).status).toBe(422)
    }
    expect((await ids("amount=lt.5")).length).toBeGreaterThan(1)
  })

  test("merges or ignores rows of the same key", async () => {
    await send("POST", orders, mine(1200))
    expect((await send("POST", orders, mine(1200))).status).toBe(409)
    await send("POST", orders, { ...mine(1200), amount: 5 }, { prefer: "resolution=ignore-duplicates" })
    expect(await ids("id=eq.1200&amount=eq.1")).toEqual([1200])
    await send("POST", orders, { ...mine(1200), amount: 6 }, { prefer: "resolution=merge-duplicates" })
    expect(await ids("id=eq.1200&amount=eq.6")).toEqual([1200])
    await send(
      "POST",
      `${orders}?on_conflict=tenant,note`,
      { tenant: "north", note: "new 1200", sku: "b", amount: 7 },
      {
        prefer: "resolution=merge-duplicates"
      }
    )
    expect(await ids("id=eq.1200&amount=eq.7&sku=eq.b")).toEqual([1200])
  })

  test("says what is wrong with a body, in its own words, and changes nothing", async () => {
    const before = await ids("")
    for (const [body, status] of [
      [{ nothere: 1 }, 422],
      [{ doubled: 1 }, 422],
      [[], 422],
      [[{ amount: 1 }, { sku: "a" }], 422],
      [[1], 422],
      [{}, 422],
      [{ tenant: "north", sku: "a", amount: 0 }, 422],
      [{ tenant: "north", sku: "a", amount: "many" }, 422],
      [{ tenant: "north", sku: "zzz", amount: 1 }, 409],
      [{ tenant: "north", amount: 1 }, 422],
      [[mine(1300), { ...mine(1301), amount: -1 }], 422]
    ] as const) {
      expect([body, (await send("POST", orders, body)).status]).toEqual([body, status])
    }
    const text = await data.ask(orders, { method: "POST", body: "{", headers: { "content-type": "application/json" } })
    expect(text.status).toBe(400)
    expect(
      (await data.ask(orders, { method: "POST", body: "a=1", headers: { "content-type": "text/plain" } })).status
    ).toBe(415)
    expect((await send("POST", "/data/v1/rows/sales/totals", { sku: "x" })).status).toBe(422)
    expect(await ids("")).toEqual(before)
  })

  test("security: a tenant cannot write, move, update or delete a row of another, nor learn of its key", async () => {
    expect((await send("POST", orders, { tenant: "south", sku: "a", amount: 1 })).status).toBe(403)
    expect((await send("PATCH", `${orders}?id=eq.2`, { tenant: "south" })).status).toBe(403)
    expect((await send("PATCH", `${orders}?id=eq.1`, { amount: 1 })).headers.get("content-range")).toBe("*/0")
    expect((await send("DELETE", `${orders}?tenant=eq.south`)).headers.get("content-range")).toBe("*/0")
    expect((await ids("", "south")).length).toBe(20)
    const taken = await send("POST", orders, { id: 1, tenant: "north", sku: "a", amount: 1 })
    expect([taken.status, taken.text.includes("south"), taken.text.includes("note 1")]).toEqual([409, false, false])
    const merged = await send(
      "POST",
      orders,
      { id: 1, tenant: "north", sku: "a", amount: 99 },
      { prefer: "resolution=merge-duplicates" }
    )
    expect(merged.status).toBe(403)
    expect(await ids("id=eq.1&amount=eq.1", "south")).toEqual([1])
  })
})

describe("rights", () => {
  test("security: each route asks for its own right, and a stranger is 401", async () => {
    const product = { sku: "zz", name: "z", price: 1 }
    for (const [method, path, body, right] of [
      ["GET", "/data/v1/catalog", undefined, "read"],
      ["GET", "/data/v1/catalog/sales.orders", undefined, "read"],
      ["GET", orders, undefined, "read"],
      ["POST", "/data/v1/rows/sales/products", product, "write"],
      ["PATCH", "/data/v1/rows/sales/products?sku=eq.zz", { price: 2 }, "write"],
      ["DELETE", "/data/v1/rows/sales/products?sku=eq.zz", undefined, "write"],
      ["POST", "/data/v1/query", { sql: "SELECT 1" }, "query"],
      ["POST", "/data/v1/explain", { sql: "SELECT 1" }, "query"],
      ["POST", "/data/v1/query", { sql: "SELECT 1", export: true }, "export"],
      ["GET", "/data/v1/memberships", undefined, "manage"],
      ["PUT", "/data/v1/memberships", { kind: "user", name: "x", tenants: [] }, "manage"]
    ] as const) {
      const asked = (scope: string | null) =>
        data.ask(path, { method, scope, ...(body === undefined ? {} : { json: body }) })
      const others = ["read", "write", "query", "export", "manage"]
        .filter((one) => one !== right)
        .map((one) => `data:${one}`)
      const [stranger, other, own] = [await asked(null), await asked(others.join(" ")), await asked(`data:${right}`)]
      expect([method, path, stranger.status, other.status, own.status < 300]).toEqual([method, path, 401, 403, true])
    }
  })
})
