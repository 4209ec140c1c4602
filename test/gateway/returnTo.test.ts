/** R7: where a login may lead. At least 200 open-redirect payloads end on this origin. */
import { describe, expect, test } from "bun:test"
import { safeReturnTo } from "#gateway/returnTo.ts"

const origin = "https://gate.test"

const hosts = [
  "evil.test",
  "evil.test/x",
  "gate.test.evil.test",
  "gate.test@evil.test",
  "3232235777",
  "[::1]",
  "evil.test:443"
]
const prefixes = [
  "//",
  "///",
  "////",
  "/\\",
  "\\/",
  "\\\\",
  "\\",
  "/\\/",
  "/\t/",
  "/\n/",
  "/\r/",
  "\t//",
  " //",
  "\u0000//",
  "/ /",
  "/%09/",
  "/%0a/",
  "/%2f",
  "/%2f/",
  "/%5c",
  "/%5c/",
  "/%252f",
  "/.//",
  "/..//",
  "/./",
  "/%2e//",
  "/x/..//",
  "/x//",
  "http://",
  "https://",
  "HTTPS://",
  "https:",
  "https:/",
  "https:///",
  "https:\\\\",
  "ht\ntps://",
  "javascript://",
  "data://",
  "ftp://",
  "//gate.test@",
  "/;//",
  "/\u2028/",
  "/\ufeff/",
  "\u200b//",
  "/\uff0f",
  "\uff0f\uff0f",
  "/%ef%bc%8f",
  "/%e3%80%82//",
  "/#//",
  "?//",
  "@",
  ".",
  ""
]
const scripts = [
  "javascript:alert(1)",
  "JaVaScRiPt:alert(1)",
  "java\tscript:alert(1)",
  "\u0001javascript:alert(1)",
  "javascript://%0aalert(1)",
  "data:text/html,<script>alert(1)</script>",
  "vbscript:x",
  "blob:https://gate.test/x",
  "view-source:https://evil.test",
  "/\r\nLocation: https://evil.test",
  "/%0d%0aLocation:%20https://evil.test",
  "/x\r\nSet-Cookie: a=b"
]
const payloads = [...prefixes.flatMap((prefix) => hosts.map((host) => prefix + host)), ...scripts]

/** Where a browser at the callback page goes for a Location header, told by the URL standard. */
const destination = (location: string) => new URL(location, `${origin}/auth/callback/hub?code=1&state=2`)

test(`none of ${payloads.length} open-redirect payloads leads off-site`, () => {
  expect(payloads.length).toBeGreaterThanOrEqual(200)
  const offSite = payloads.filter((payload) => destination(safeReturnTo(payload, origin)).origin !== origin)
  expect(offSite).toEqual([])
  // Without the check they do: the list is one of attacks.
  const dangerous = payloads.filter((payload) => {
    try {
      return destination(payload).origin !== origin
    } catch {
      return false
    }
  })
  expect(dangerous.length).toBeGreaterThan(100)
})

test("nor does one that only becomes an attack when it is decoded once more", () => {
  for (const payload of payloads) {
    const answer = safeReturnTo(payload, origin)
    for (const read of [answer, decode(answer), decode(decode(answer)), answer.normalize("NFKC")])
      expect([payload, destination(read.startsWith("/") ? read : `/${read}`).origin]).toEqual([payload, origin])
  }
})
const decode = (text: string) => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

describe("R7: accepts only a canonical path of this origin", () => {
  test("a path with its query stays", () => {
    for (const path of [
      "/",
      "/admin",
      "/admin/",
      "/jobs?page=2&sort=name",
      "/a%20b?x=%2f",
      "/svc/x/y.html?u=https://evil.test",
      "/authors"
    ])
      expect(safeReturnTo(path, origin)).toBe(path)
  })
  test("anything else is /", () => {
    for (const value of [
      undefined,
      null,
      "",
      "admin",
      "?x",
      "#x",
      "/a//b",
      "/a/../b",
      "/a#b",
      "/a;b",
      "/a b",
      `/${"a".repeat(9000)}`
    ])
      expect(safeReturnTo(value, origin)).toBe("/")
  })
  test("a login does not lead to the login or out of it", () => {
    for (const path of ["/auth", "/auth/login", "/auth/logout", "/auth/callback/hub?code=1", "/%61uth/login"])
      expect(safeReturnTo(path, origin)).toBe("/")
  })
  test("the same on a development origin with a port", () => {
    expect(safeReturnTo("/x", "http://localhost:8080")).toBe("/x")
    expect(safeReturnTo("//localhost:8080/x", "http://localhost:8080")).toBe("/")
    expect(safeReturnTo("http://localhost:8080/x", "http://localhost:8080")).toBe("/")
  })
})
