/** R1: one canonical path. Every way of writing a path that some parser could read as another is refused or decided alike. */
import { describe, expect, test } from "bun:test"
import { canonicalTarget, isWithin, maxTargetLength } from "#gateway/canonicalPath.ts"
import { actionOf, makeRouteTable } from "#gateway/routeTable.ts"

const origin = "http://gate.test"
const judge = (target: string) => canonicalTarget(origin + target, origin)
const refused = (target: string) => typeof judge(target) === "string"

describe("a path that can be read in two ways is refused", () => {
  const classes: Readonly<Record<string, ReadonlyArray<string>>> = {
    "dot segments as they are": ["/.", "/..", "/a/./b", "/a/../b", "/a/..", "/a/.", "/../a"],
    "dot segments encoded once": ["/%2e", "/%2E%2e/a", "/a/.%2e/b", "/a/%2e./b", "/a/%2e"],
    "dot segments encoded twice": ["/a/%252e%252e/b", "/a/.%252e/b", "/a/%252E", "/%25%32%65%25%32%65/a"],
    "dot segments encoded three times": ["/a/%25252e%25252e/b", "/a/%25252e./b"],
    "dot segments encoded deeper than any client does": [`/a/%${"25".repeat(9)}2e%2e`, `/%${"25".repeat(40)}41`],
    "dot segments of mixed encodings": ["/a/%2e%252e/b", "/a/%252e%2e/b", "/a/%25252e%2e/b"],
    "empty segments": ["//", "//a", "/a//b", "/a//", "///"],
    backslashes: ["/a\\b", "/\\a", "/a/..\\b", "\\a"],
    "encoded slashes": ["/a%2fb", "/a%2Fb", "/a%252fb", "/a%25252Fb", "/%2f%2fa", "/a%25%32%66b"],
    "encoded backslashes": ["/a%5cb", "/a%5Cb", "/a%255cb", "/a%25255Cb", "/a/..%5cb"],
    "encoded NUL": ["/a%00", "/%00/b", "/a%2500b", "/a%252500b"],
    "encoded control characters": ["/a%0d%0aSet-Cookie:x", "/a%0A", "/a%09b", "/a%7f", "/a%250d", "/a%1f"],
    "a fragment": ["/a#b", "/#", "/a%23b", "/a%2523b"],
    "an encoded question mark": ["/a%3fb", "/a%3Fb=c", "/a%253fb"],
    "broken escapes": ["/a%", "/a%2", "/a%zz", "/a%2/b", "/%%32%65", "/a%u002f", "/%g0"],
    "an escape of structure behind a broken one": ["/a%25zz%252fb", "/a/%25%252fb", "/a%25zz%2500"],
    "bytes outside printable ASCII": ["/ä", "/a b", "/a\tb", "/a\u0000b", "/a\u007f", "/\uff0f", "/a\r\nb"],
    "escapes that are no UTF-8": ["/%ff", "/%e4", "/%ed%a0%80", "/a%25ff"],
    "overlong slashes and dots": ["/%c0%af", "/%c0%ae%c0%ae/a", "/%e0%80%af", "/%f0%80%80%af", "/a%25c0%25af"],
    "fullwidth and small forms of structure": [
      "/a%ef%bc%8fb",
      "/%ef%bc%8e%ef%bc%8e/a",
      "/%e2%80%a5/a",
      "/%e2%80%a4%e2%80%a4/a",
      "/.%ef%bc%8e/a",
      "/a%ef%bc%bcb",
      "/a%ef%b9%a8b",
      "/a%ef%bc%9bb",
      "/a%ef%bc%83b",
      "/a%ef%bc%9fb",
      "/a%e2%84%80b",
      "/a%cd%beb"
    ],
    "fullwidth escapes": ["/a%ef%bc%852fb", "/a%ef%b9%aa2e", "/%ef%bc%85%ef%bc%92%ef%bd%86"],
    "an escape that folding would break": ["/a%252f%cc%87b"],
    "segments that are only parameters": ["/;/a", "/a/;x=1/b", "/a/;", "/a/%3bx"],
    "dot segments with parameters": ["/a/..;/b", "/a/..;x=1/b", "/a/.;/b", "/a/%2e%2e;/b", "/a/..%3b/b", "/a/..%253b"],
    "other forms than a path": ["", "a", "?x=1", "*", "admin:80"]
  }
  for (const [what, targets] of Object.entries(classes)) {
    test(what, () => {
      expect(targets.filter((target) => !refused(target))).toEqual([])
    })
  }
  test("a query with # or bytes outside printable ASCII", () => {
    expect(["/a?b#c", "/a?ä", "/a?b c", "/a?\u0000", "/a?b\r\n"].filter((target) => !refused(target))).toEqual([])
  })
  test("a target for another origin", () => {
    expect(typeof canonicalTarget("http://evil.test/a", origin)).toBe("string")
  })
  test("a target longer than 8 KiB, and none that is just as long", () => {
    const longest = `/${"a".repeat(maxTargetLength - 1)}`
    expect(refused(longest)).toBe(false)
    expect(refused(`${longest}a`)).toBe(true)
    expect(refused(`/a?${"b".repeat(maxTargetLength)}`)).toBe(true)
  })
})

test("every other path is taken byte by byte, its query too", () => {
  const paths = [
    "/",
    "/a",
    "/a/",
    "/a/b.c/d",
    "/...",
    "/..a/b..",
    "/.well-known/x",
    "/a%20b",
    "/%c3%a4",
    "/%E6%97%A5%E6%9C%AC",
    "/a@b:c,d+e=f&g",
    "/~user/-_.!$'()*",
    "/100%25",
    "/100%25%20of%20it",
    "/a|b",
    "/%7Bid%7D"
  ]
  for (const path of paths) {
    expect(judge(path)).toMatchObject({ path, query: "", needs: [] })
    expect(judge(`${path}?a=%2f..//\\;&b=%00`)).toMatchObject({ path, query: "?a=%2f..//\\;&b=%00" })
  }
  expect(judge("/?")).toMatchObject({ path: "/", query: "?" })
})

test("; and %3b are told to the caller, for whose route they may be", () => {
  for (const path of ["/a;v=1", "/a%3bv", "/a%253Bv", "/a;b;c/d"])
    expect(judge(path)).toMatchObject({ path, needs: [";"] })
})

test("a path that decodes to another one says to which", () => {
  const readings = {
    "/%61dmin": "/admin",
    "/%2561dmin": "/admin",
    "/%ef%bd%81dmin": "/admin",
    "/admin;x/undo": "/admin/undo",
    "/a%20b": "/a b",
    "/100%25": "/100%"
  }
  for (const [path, reading] of Object.entries(readings)) expect(judge(path)).toMatchObject({ path, reading })
  expect(judge("/admin/undo")).toMatchObject({ reading: undefined })
})

test("a prefix holds whole segments, by case", () => {
  for (const path of ["/admin", "/admin/", "/admin/x", "/admin/x/y"]) expect(isWithin(path, "/admin")).toBe(true)
  for (const path of ["/administer", "/admin.x", "/admin-", "/Admin", "/ADMIN/x", "/", "/adm"])
    expect(isWithin(path, "/admin")).toBe(false)
  for (const path of ["/", "/a", "/a/b"]) expect(isWithin(path, "/")).toBe(true)
})

/** A small generator with a seed, so that a failure can be repeated. */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
}

test("no parser reads a path that is taken as one that is decided otherwise", () => {
  const table = makeRouteTable(
    [
      { id: "start", path: "/", upstream: "http://up", service: "start", rules: [{ action: "read" }] },
      {
        id: "admin",
        path: "/admin",
        upstream: "http://up",
        service: "admin",
        allowCharacters: [";"],
        rules: [{ action: "read" }, { path: "/admin/undo", action: "undo" }, { path: "/admin/a/b", action: "other" }]
      },
      { id: "open", path: "/admin/public", upstream: "http://up", service: "open", public: true }
    ],
    "test",
    ["gate.test"]
  )
  const decision = (path: string) => {
    const route = table.find("gate.test", path)
    return route === undefined ? "none" : `${route.id} ${actionOf(route, "GET", path)}`
  }
  const lenient = (text: string): string => {
    const bytes: Array<number> = []
    const source = new TextEncoder().encode(text)
    for (let index = 0; index < source.length; index++) {
      const hex = String.fromCharCode(source[index + 1] ?? 0, source[index + 2] ?? 0)
      if (source[index] === 37 && /^[0-9a-f]{2}$/iu.test(hex)) {
        bytes.push(Number.parseInt(hex, 16))
        index += 2
      } else bytes.push(source[index]!)
    }
    return new TextDecoder().decode(new Uint8Array(bytes))
  }
  const steps: Readonly<Record<string, (path: string) => string>> = {
    decode: lenient,
    "backslash to slash": (path) => path.replaceAll("\\", "/"),
    "collapse slashes": (path) => path.replaceAll(/\/+/gu, "/"),
    "strip parameters": (path) => path.replaceAll(/;[^/]*/gu, ""),
    "strip after ;": (path) => path.split(";")[0] || "/",
    "end at NUL": (path) => path.split("\0")[0] || "/",
    "end at # or ?": (path) => path.split(/[#?]/u)[0] || "/",
    NFKC: (path) => path.normalize("NFKC"),
    "resolve dots": (path) => new URL(`http://x${path.replaceAll(/[?#]/gu, "_")}`).pathname
  }
  const alphabet = [
    ..."/./.;%a\\",
    "admin",
    "undo",
    "public",
    "/admin",
    "/admin/",
    "/admin/undo",
    "/admin/public",
    "/..",
    "/../",
    "..",
    "%2e",
    "%2f",
    "%5c",
    "%252e",
    "%252f",
    "%25",
    "%32%66",
    "%00",
    "%3b",
    "%23",
    "%3f",
    "%c0%af",
    "%ef%bc%8f",
    "%ef%bc%8e",
    "%ef%bc%85",
    "%61",
    "%2561",
    "%75",
    "%ef%bd%81",
    "%cc%87",
    "%zz",
    "#",
    "?",
    "A",
    "\u00e4",
    "%c3%a4"
  ]
  const seed = Number(Bun.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31))
  const next = random(seed)
  const pick = <A>(list: ReadonlyArray<A>): A => list[Math.floor(next() * list.length)]!
  const names = Object.keys(steps)
  let taken = 0
  for (let round = 0; round < 20_000; round++) {
    let path = next() < 0.9 ? "/" : ""
    const length = 1 + Math.floor(next() * 8)
    for (let index = 0; index < length; index++) path += pick(alphabet)
    const target = judge(path)
    if (typeof target === "string") continue
    const decided = decision(target.path)
    // What the data path refuses: an optional character the route does not allow, or a reading that is decided otherwise.
    const allowed = table.find("gate.test", target.path)?.allowed
    if (target.needs.some((needed) => allowed?.has(needed) !== true)) continue
    if (target.reading !== undefined && decision(target.reading) !== decided) continue
    taken++
    for (let parser = 0; parser < 6; parser++) {
      const chosen = Array.from({ length: 1 + Math.floor(next() * 5) }, () => pick(names))
      const read = chosen.reduce((text, name) => steps[name]!(text), target.path)
      if (decision(read) !== decided) {
        throw new Error(
          `SEED=${seed}: ${JSON.stringify(path)} is ${decided}, but ${JSON.stringify(read)} after ${chosen.join(", ")} is ${decision(read)}`
        )
      }
    }
  }
  console.log(`canonical path property: SEED=${seed}, ${taken} of 20000 paths taken`)
  expect(taken).toBeGreaterThan(1000)
})
