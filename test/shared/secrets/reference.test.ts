/** References to secrets: what is one, and that none leads out of where secrets are. */
import { expect, test } from "bun:test"
import { parseReference, referenceText } from "#shared/secrets/reference.ts"

test("names a path and a key, and a version if it must be an old one", () => {
  expect(parseReference("secret://gateway#database-url")).toEqual({
    path: "gateway",
    key: "database-url",
    version: undefined
  })
  expect(parseReference("secret://prod/gateway?version=12#tls.key")).toEqual({
    path: "prod/gateway",
    key: "tls.key",
    version: 12
  })
  for (const text of ["secret://a#b", "secret://a/b/c?version=3#d_e"]) {
    expect(referenceText(parseReference(text)!)).toBe(text)
  }
})

test("security: is none if it leads up, to a hidden file, elsewhere, or says more", () => {
  for (const text of [
    "secret://../etc#shadow",
    "secret://a/../../etc#shadow",
    "secret://a#../b",
    "secret://..data#key",
    "secret://a/..data#key",
    "secret://a#..data",
    "secret://.a#b",
    "secret:///a#b",
    "secret://a/#b",
    "secret://a//b#c",
    "secret://a%2f..#b",
    "secret://a\0#b",
    "secret://a",
    "secret://a#",
    "secret://#b",
    "secret://a?version=0#b",
    "secret://a?version=1&x=2#b",
    "secret://a?list=true#b",
    "secret://user@host/a#b#c",
    "https://a#b",
    " secret://a#b",
    "secret://a#b\n",
    `secret://${"a".repeat(300)}#b`
  ]) {
    expect([text, parseReference(text)]).toEqual([text, undefined])
  }
})
