/** What a service may conclude from a token's scopes: examples of each rule, and a naive reading of them on random scopes. */
import { describe, expect, test } from "bun:test"
import { may } from "#shared/domain/identity.ts"

const principal = (...scopes: ReadonlyArray<string>) => ({ environment: "prod", scopes: new Set(scopes) })

describe("in the token's own environment", () => {
  test("an action is held by its name or by *, and by nothing that is like it", () => {
    for (const scope of ["admin:undo", "admin:*"]) expect(may(principal(scope), "admin", "undo")).toBe(true)
    for (const scope of ["admin:und", "admin:undo2", "data:undo", "*:undo", "admin", "", "admin:undo:nightly"]) {
      expect([scope, may(principal(scope), "admin", "undo")]).toEqual([scope, false])
    }
  })
  test("a denied action is not held, whatever else is", () => {
    expect(may(principal("admin:*", "admin:undo", "!admin:undo"), "admin", "undo")).toBe(false)
    expect(may(principal("admin:*", "!admin:undo"), "admin", "apply")).toBe(true)
  })
  test("naming it is as not naming any", () => {
    for (const scopes of [["admin:undo"], ["admin:*"], ["!admin:undo", "admin:*"], []]) {
      expect(may(principal(...scopes), "admin", "undo", "prod")).toBe(may(principal(...scopes), "admin", "undo"))
    }
  })
})

describe("in another namespace", () => {
  test("an action is held by the scope that names the namespace, or by * there", () => {
    for (const scope of ["admin:undo:nightly", "admin:*:nightly"]) {
      expect(may(principal(scope), "admin", "undo", "nightly")).toBe(true)
    }
  })
  test("what is held in the own environment, everywhere in words, or in a third namespace says nothing", () => {
    for (const scope of ["admin:undo", "admin:*", "admin:undo:prod", "admin:undo:*", "admin:*:*", "admin:undo:dev"]) {
      expect([scope, may(principal(scope), "admin", "undo", "nightly")]).toEqual([scope, false])
    }
  })
  test("a denial is for its namespace alone", () => {
    const both = principal("admin:*", "admin:*:nightly", "!admin:undo:nightly")
    expect(may(both, "admin", "undo", "nightly")).toBe(false)
    expect(may(both, "admin", "undo")).toBe(true)
    const here = principal("admin:*", "admin:*:nightly", "!admin:undo")
    expect(may(here, "admin", "undo", "nightly")).toBe(true)
    expect(may(here, "admin", "undo")).toBe(false)
  })
})

test("agrees with a naive reading of 20,000 random scopes", () => {
  let seed = 20261126
  const next = () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(next() * from.length)]!
  const namespaces = ["prod", "nightly", "dev"]
  const seen = { yes: 0, no: 0 }
  for (let round = 0; round < 20_000; round++) {
    const entries = Array.from({ length: Math.floor(next() * 6) }, () => ({
      deny: next() < 0.25,
      service: pick(["admin", "data"]),
      action: pick(["undo", "apply", "*"]),
      namespace: pick(namespaces)
    }))
    const scopes = entries.map(
      ({ action, deny, namespace, service }) =>
        `${deny ? "!" : ""}${service}:${action}${namespace === "prod" ? "" : `:${namespace}`}`
    )
    const service = pick(["admin", "data"])
    const action = pick(["undo", "apply"])
    const namespace = pick(namespaces)
    const there = entries.filter((one) => one.service === service && one.namespace === namespace)
    const expected =
      there.some((one) => !one.deny && (one.action === "*" || one.action === action)) &&
      !there.some((one) => one.deny && one.action === action)
    const found = may(principal(...scopes), service, action, namespace)
    expect([scopes, service, action, namespace, found]).toEqual([scopes, service, action, namespace, expected])
    seen[found ? "yes" : "no"]++
  }
  expect(Math.min(seen.yes, seen.no)).toBeGreaterThan(2000)
})
