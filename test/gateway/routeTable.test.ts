/** R5, as far as it is configuration: which route and which action a request is. */
import { describe, expect, test } from "bun:test"
import { actionOf, makeRouteTable } from "#gateway/routeTable.ts"
import type { RouteSettings } from "#gateway/settingsFile.ts"

const route = (id: string, path: string, more: Partial<RouteSettings> = {}): RouteSettings => ({
  id,
  path,
  upstream: "http://up.test:81/",
  service: id,
  rules: [{ action: "read" }],
  ...more
})

test("a route's namespaces are the others it acts on, beside its own environment", () => {
  const table = makeRouteTable(
    [
      route("a", "/a"),
      route("b", "/b", { namespaces: ["test", "prod", "dev"] }),
      route("c", "/c", { environment: "prod", namespaces: ["test", "prod"] })
    ],
    "test",
    ["one.test"]
  )
  expect(table.routes.map(({ audience, namespaces }) => [audience, namespaces])).toEqual([
    ["a.test", []],
    ["b.test", ["prod", "dev"]],
    ["c.prod", ["test"]]
  ])
})

describe("the most specific route of the host decides", () => {
  const table = makeRouteTable(
    [
      route("start", "/"),
      route("a", "/a"),
      route("ab", "/a/b"),
      route("abHere", "/a/b", { hosts: ["Two.test"] }),
      route("two", "/two", { hosts: ["two.test"] })
    ],
    "test",
    ["one.test", "two.test"]
  )
  const found = (host: string, path: string) => table.find(host, path)?.id
  test("the longest path", () => {
    expect(found("one.test", "/a/b/c")).toBe("ab")
    expect(found("one.test", "/a/bc")).toBe("a")
    expect(found("one.test", "/x")).toBe("start")
  })
  test("one for this host before one for every host, whatever the case of its name", () => {
    expect(found("two.test", "/a/b")).toBe("abHere")
    expect(found("one.test", "/a/b")).toBe("ab")
  })
  test("one for another host never", () => {
    expect(found("two.test", "/two")).toBe("two")
    expect(found("one.test", "/two")).toBe("start")
  })
  test("none for a host that is not public", () => expect(found("three.test", "/a")).toBeUndefined())
})

test("audience, environment and upstream are the settings'", () => {
  const [here, there] = makeRouteTable(
    [
      route("a", "/a"),
      route("b", "/b", { environment: "prod", upstream: "https://up.test/mounted/", stripPrefix: true })
    ],
    "test",
    ["x"]
  ).routes
  expect(here).toMatchObject({ environment: "test", audience: "a.test", upstream: "http://up.test:81", strip: 0 })
  expect(there).toMatchObject({
    environment: "prod",
    audience: "b.prod",
    upstream: "https://up.test/mounted",
    strip: 2
  })
})

describe("the rules of the longest path decide alone", () => {
  const [one] = makeRouteTable(
    [
      route("a", "/a", {
        rules: [
          { methods: ["GET"], action: "read" },
          { methods: ["POST", "PUT"], action: "write" },
          { path: "/a/secret", methods: ["GET"], action: "open" },
          { path: "/a/secret/part", action: "part" }
        ]
      })
    ],
    "test",
    ["x"]
  ).routes
  const action = (method: string, path: string) => actionOf(one!, method, path)
  test("by method", () => {
    expect(action("GET", "/a/x")).toBe("read")
    expect(action("POST", "/a")).toBe("write")
    expect(action("PUT", "/a/x/y")).toBe("write")
  })
  test("HEAD is as GET", () => {
    expect(action("HEAD", "/a/x")).toBe("read")
    expect(action("HEAD", "/a/secret")).toBe("open")
  })
  test("a method that no rule names is refused", () => {
    expect(action("DELETE", "/a/x")).toBeUndefined()
    expect(action("OPTIONS", "/a/x")).toBeUndefined()
  })
  test("a part of the route is not widened by the rule for all of it", () => {
    expect(action("GET", "/a/secret/x")).toBe("open")
    expect(action("POST", "/a/secret")).toBeUndefined()
    expect(action("DELETE", "/a/secret/part")).toBe("part")
    expect(action("GET", "/a/secretary")).toBe("read")
  })
})
