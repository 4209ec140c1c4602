/** Addresses of pages: what they name, and that each key and place in the navigation is given once. */
import { describe, expect, test } from "bun:test"
import { findPage, match, pages } from "#dashboard/pages.ts"

describe("an address", () => {
  test("gives the pattern's names, decoded, and is another page if a part is missing", () => {
    expect(match("/workloads/:namespace/:kind/:name", "/workloads/dev/Deployment/a%2Eb")).toEqual({
      namespace: "dev",
      kind: "Deployment",
      name: "a.b"
    })
    expect(match("/workloads/:namespace/:kind/:name", "/workloads/dev/Deployment")).toBeUndefined()
    expect(match("/proposals/:id", "/proposals/")).toBeUndefined()
    expect(match("/proposals/:id", "/proposals/%zz")).toBeUndefined()
  })
})

describe("the navigation", () => {
  const items = pages.flatMap(({ nav }) => (typeof nav === "string" ? [] : [nav]))

  test("gives each page a key and an address of its own", () => {
    expect(new Set(items.map(({ key }) => key)).size).toBe(items.length)
    expect(new Set(pages.map(({ pattern }) => pattern)).size).toBe(pages.length)
  })

  test("holds the page that a deeper one belongs to", () => {
    const paths = items.map(({ path }) => path)
    for (const { nav } of pages) if (typeof nav === "string") expect(paths).toContain(nav)
  })

  test("has no page where the gateway answers with a service's API", () => {
    for (const service of ["admin", "jobs", "monitor", "data", "auth", "svc"]) {
      expect(pages.filter(({ pattern }) => pattern.split("/")[1] === service)).toEqual([])
    }
    expect(findPage("/jobs")).toBeUndefined()
  })
})
