/** Which workloads the list shows, and in which order. */
import { describe, expect, test } from "bun:test"
import { select } from "#dashboard/screens/workloads/select.ts"
import { makeWorkloads } from "#test/browser/demoCluster.ts"

const workloads = makeWorkloads("nightly")

describe("the list of workloads", () => {
  const filter = { q: "", namespace: "", kind: "", health: "", sort: "health" }
  const names = (more: Partial<typeof filter>) => select(workloads, { ...filter, ...more }).map(({ name }) => name)

  test("has the worst health first, and equals by name", () => {
    expect(names({}).slice(0, 5)).toEqual(["shop-api", "checkout", "search", "admin", "catalog"])
  })

  test("finds every word, in name, image or reason", () => {
    expect(names({ q: "exit CODE" })).toEqual(["shop-api"])
    expect(names({ q: "fluent" })).toEqual(["log-shipper"])
    expect(names({ q: "shop-api nowhere" })).toEqual([])
  })

  test("is sorted up and down, and by health if the order is unknown", () => {
    expect(names({ sort: "-restarts" })[0]).toBe("shop-api")
    expect(names({ sort: "name" })[0]).toBe("admin")
    expect(names({ sort: "constructor" })).toEqual(names({}))
  })
})
