/** The rules of a workload's assertion at their very edges, by a clock of the test's own. */
import { expect, test } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import { checkAssertion } from "#gateway/workloadAssertion.ts"
import { signJws } from "#shared/jws.ts"

const now = 1_800_000_000
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" })
const workload = { id: "ci", keys: new Map([["one", pair.publicKey]]) }
const claims = { iss: "ci", sub: "ci", aud: "https://gate.test", iat: now, exp: now + 60, jti: "x" }
const check = (changes: object = {}, typ = "JWT", kid = "one") =>
  checkAssertion(
    signJws(typ, kid, pair.privateKey, { ...claims, ...changes }),
    workload,
    ["https://gate.test", "gateway.test"],
    now
  )

test("a good one leaves its jti and its end to be remembered", () => {
  expect(check()).toEqual({ jti: "x", expires: now + 60 })
  expect(check({ aud: "gateway.test", nbf: now, azp: "ignored" })).toEqual({ jti: "x", expires: now + 60 })
})
test("it lives to its last second, five minutes at most, and may come from a clock that is 30 s ahead", () => {
  expect(check({ iat: now - 60, exp: now + 1 })).toEqual({ jti: "x", expires: now + 1 })
  expect(check({ iat: now - 60, exp: now })).toBe("expired")
  expect(check({ exp: now + 300 })).toEqual({ jti: "x", expires: now + 300 })
  expect(check({ exp: now + 301 })).toBe("lives too long")
  expect(check({ iat: now + 30, exp: now + 90 })).toEqual({ jti: "x", expires: now + 90 })
  expect(check({ iat: now + 31, exp: now + 90 })).toBe("not yet valid")
  expect(check({ nbf: now + 31 })).toBe("not yet valid")
})
test("it is the workload's own word about itself", () => {
  for (const changes of [{ iss: "other" }, { sub: "other" }, { iss: "other", sub: "other" }]) {
    expect(check(changes)).toBe("issuer and subject are not the workload")
  }
})
test("another type, key or audience is none", () => {
  expect(check({}, "at+jwt")).toBe("type is not JWT")
  expect(check({}, "JWT", "two")).toBe("unknown key")
  expect(check({ aud: "https://gate.test/" })).toBe("wrong audience")
  expect(check({ aud: ["https://gate.test"] })).toBe("a claim is missing or malformed")
})
