/** Shared data through the public door, as the README tells it: what is there, a query by tenant, rows, a file in, a file out. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { logInAs } from "./browserJar.ts"
import { dataFolder, type PlatformProcess, startPlatformProcess } from "./platformProcess.ts"

describe("the data service behind the gateway", () => {
  const folder = dataFolder()
  let platform: PlatformProcess
  beforeAll(async () => {
    platform = await startPlatformProcess(folder.path)
  })
  afterAll(async () => {
    platform.signal("SIGTERM")
    await platform.exited
    folder.remove()
  })

  const as = async (user: string) => {
    const { token } = await logInAs(platform.origin, user)
    return async (path: string, init: RequestInit = {}) => {
      const headers = new Headers(init.headers)
      headers.set("authorization", `Bearer ${token}`)
      return fetch(`${platform.origin}/data/v1${path}`, { ...init, headers })
    }
  }
  const json = { "content-type": "application/json" }
  const query = (sql: string, more: object = {}) => ({
    method: "POST",
    headers: json,
    body: JSON.stringify({ sql, ...more })
  })

  test("shows each caller the rows of their tenants, and refuses what their role has no right to", async () => {
    const [viewer, developer, operator] = [await as("viewer"), await as("developer"), await as("operator")]
    expect((await viewer("/catalog")).status).toBe(403)
    const { datasets } = (await (await developer("/catalog")).json()) as { datasets: ReadonlyArray<{ name: string }> }
    expect(datasets.map(({ name }) => name)).toEqual(["orders", "products", "sales"])
    const tenants = async (ask: typeof developer) =>
      (
        (await (await ask("/query", query("SELECT DISTINCT tenant FROM shop.orders ORDER BY 1"))).json()) as {
          rows: ReadonlyArray<{ tenant: string }>
        }
      ).rows.map(({ tenant }) => tenant)
    expect(await tenants(developer)).toEqual(["north"])
    expect(await tenants(operator)).toEqual(["north", "south"])
    expect((await developer("/query", query("SELECT 1", { export: true }))).status).toBe(403)
    const product = { method: "POST", headers: json, body: '{"sku":"x","name":"X","price":1}' }
    expect((await developer("/rows/shop/products", product)).status).toBe(403)
    expect((await developer("/query", query("COMMIT"))).status).toBe(422)
  })

  test("takes a file in and gives one out", async () => {
    const operator = await as("operator")
    const file = "id,tenant,sku,amount\n9001,north,tea,1\n9002,south,cup,2\n"
    const taken = await operator("/ingest/shop/orders", {
      method: "POST",
      headers: { "content-type": "text/csv" },
      body: file
    })
    expect([taken.status, ((await taken.json()) as { written: number }).written]).toEqual([200, 2])
    const rows = await operator("/rows/shop/orders?select=id,tenant&id=gte.9001&order=id")
    expect(await rows.json()).toEqual([
      { id: 9001, tenant: "north" },
      { id: 9002, tenant: "south" }
    ])
    const filtered = await operator(
      "/rows/shop/orders?select=n:amount&or=(id.eq.9001,id.eq.9002)&order=id.desc&limit=1"
    )
    expect([await filtered.json(), filtered.headers.get("x-next-cursor") !== null]).toEqual([[{ n: 2 }], true])
    const given = await operator("/query", {
      ...query("SELECT id, tenant, sku, amount FROM shop.orders WHERE id > 9000 ORDER BY id", { export: true }),
      headers: { ...json, accept: "text/csv" }
    })
    expect((await given.text()).replaceAll("\r\n", "\n")).toBe(file)
  })
})
