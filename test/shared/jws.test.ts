/** Signatures: only a compact ES256 JWS of a known key with exactly our header is valid (RFC 8725). */
import { describe, expect, test } from "bun:test"
import { createHmac, generateKeyPairSync, sign } from "node:crypto"
import { calculateJwkThumbprint } from "jose"
import {
  type KeyObject,
  privateKeyOf,
  publicKeyOf,
  signJws,
  thumbprintOf,
  tokenHash,
  unverifiedClaims,
  verifyJws
} from "#shared/jws.ts"

const pair = generateKeyPairSync("ec", { namedCurve: "P-256" })
const foreign = generateKeyPairSync("ec", { namedCurve: "P-256" })
const keys = new Map<string, KeyObject>([["one", pair.publicKey]])
const keyOf = (kid: string) => keys.get(kid)
const claims = { sub: "someone", exp: 2_000_000_000 }
const good = signJws("at+jwt", "one", pair.privateKey, claims)
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

/** A token with any header and payload text, rightly signed with our key. */
const signed = (header: unknown, payload = encode(claims), key: KeyObject = pair.privateKey) => {
  const input = `${encode(header)}.${payload}`
  return `${input}.${sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`
}
const header = { alg: "ES256", typ: "at+jwt", kid: "one" }
const verdict = (token: string, typ = "at+jwt") => {
  const result = verifyJws(token, typ, keyOf)
  return result._tag === "Invalid" ? result.reason : result._tag
}

test("verifies what it signed and gives its claims", () => {
  expect(verifyJws(good, "at+jwt", keyOf)).toEqual({ _tag: "Valid", claims })
  expect(verdict(signed(header))).toBe("Valid")
})

test("names the key id that it does not know, without looking at the signature", () => {
  expect(verifyJws(signed({ ...header, kid: "two" }), "at+jwt", keyOf)).toEqual({ _tag: "UnknownKey", kid: "two" })
})

describe("refuses", () => {
  const [head, body, signature] = good.split(".") as [string, string, string]
  const hmac = (alg: string, secret: string | Buffer) => {
    const input = `${encode({ ...header, alg })}.${body}`
    return `${input}.${createHmac("sha256", secret).update(input).digest("base64url").padEnd(86, "A")}`
  }
  const pem = pair.publicKey.export({ type: "spki", format: "pem" })
  const jwk = pair.publicKey.export({ format: "jwk" })
  const table: ReadonlyArray<readonly [what: string, token: string, reason: string]> = [
    ["alg none with a signature", signed({ ...header, alg: "none" }), "algorithm is not ES256"],
    ["alg none without a signature", `${encode({ ...header, alg: "none" })}.${body}.`, "not a compact JWS"],
    ["alg NONE", signed({ ...header, alg: "NONE" }), "algorithm is not ES256"],
    ["alg in a list", signed({ ...header, alg: ["ES256"] }), "algorithm is not ES256"],
    ["HS256 with the public key's PEM as the secret", hmac("HS256", pem), "algorithm is not ES256"],
    ["HS256 with the public key's JWK as the secret", hmac("HS256", JSON.stringify(jwk)), "algorithm is not ES256"],
    ["ES256 said of an HMAC with the public key", hmac("ES256", pem), "signature does not match"],
    ["another algorithm", signed({ ...header, alg: "ES384" }), "algorithm is not ES256"],
    ["a foreign key under our key id", signed(header, undefined, foreign.privateKey), "signature does not match"],
    ["jku", signed({ ...header, jku: "https://evil.test/jwks" }), "unexpected header parameter"],
    ["x5u", signed({ ...header, x5u: "https://evil.test/cert" }), "unexpected header parameter"],
    ["x5c", signed({ ...header, x5c: ["MII"] }), "unexpected header parameter"],
    ["jwk", signed({ ...header, jwk }, undefined, foreign.privateKey), "unexpected header parameter"],
    ["crit", signed({ ...header, crit: ["b64"], b64: false }), "unexpected header parameter"],
    ["any other parameter", signed({ ...header, cty: "JWT" }), "unexpected header parameter"],
    ["no kid", signed({ alg: "ES256", typ: "at+jwt" }), "no key id"],
    ["a kid that is no text", signed({ ...header, kid: 1 }), "no key id"],
    ["an endless kid", signed({ ...header, kid: "k".repeat(129) }), "no key id"],
    ["no typ", signed({ alg: "ES256", kid: "one" }), "type is not at+jwt"],
    ["typ JWT", signed({ ...header, typ: "JWT" }), "type is not at+jwt"],
    ["typ logout+jwt", signed({ ...header, typ: "logout+jwt" }), "type is not at+jwt"],
    ["typ in other letters", signed({ ...header, typ: "AT+JWT" }), "type is not at+jwt"],
    ["another token's signature", `${head}.${encode({ sub: "other" })}.${signature}`, "signature does not match"],
    ["a signature that is cut", good.slice(0, -1), "not a compact JWS"],
    ["a signature that is longer", `${good}A`, "not a compact JWS"],
    [
      "a DER signature",
      `${head}.${body}.${sign("sha256", Buffer.from(`${head}.${body}`), pair.privateKey).toString("base64url")}`,
      "not a compact JWS"
    ],
    ["an all-zero signature", `${head}.${body}.${Buffer.alloc(64).toString("base64url")}`, "signature does not match"],
    ["two parts", `${head}.${body}`, "not a compact JWS"],
    ["four parts", `${good}.${body}`, "not a compact JWS"],
    ["five parts (JWE)", `${good}.${body}.${body}`, "not a compact JWS"],
    ["white space around it", ` ${good}`, "not a compact JWS"],
    ["a line end behind it", `${good}\n`, "not a compact JWS"],
    ["padding", `${head}=.${body}.${signature}`, "not a compact JWS"],
    ["an empty text", "", "not a compact JWS"],
    [
      "a header that is no JSON",
      `${Buffer.from("nothing").toString("base64url")}.${body}.${signature}`,
      "unreadable header"
    ],
    ["a header that is a list", signed([header]), "unreadable header"],
    ["a header that is null", signed(null), "unreadable header"],
    ["claims that are no JSON", signed(header, Buffer.from("nothing").toString("base64url")), "unreadable claims"],
    ["claims that are a list", signed(header, encode([claims])), "unreadable claims"],
    ["an endless payload", signed(header, "A".repeat(8193)), "not a compact JWS"]
  ]
  for (const [what, token, reason] of table) {
    test(what, () => expect(verdict(token)).toBe(reason))
  }
  test("a good token where another type is expected", () => {
    expect(verdict(good, "logout+jwt")).toBe("type is not logout+jwt")
  })
  test("every change of a single character", () => {
    const passing = [...good].flatMap((char, at) => {
      const changed = good.slice(0, at) + (char === "A" ? "B" : "A") + good.slice(at + 1)
      return verdict(changed) === "Valid" ? [at] : []
    })
    // The last character of the signature carries two bits that stand for nothing.
    expect(passing.filter((at) => at !== good.length - 1)).toEqual([])
  })
})

describe("a key set's keys", () => {
  const jwk = pair.publicKey.export({ format: "jwk" }) as { kty: string; crv: string; x: string; y: string }
  test("are taken only if they are for ES256 signatures", () => {
    expect(publicKeyOf(jwk)?.equals(pair.publicKey)).toBe(true)
    expect(publicKeyOf({ ...jwk, alg: "ES256", use: "sig" })?.equals(pair.publicKey)).toBe(true)
    for (const odd of [
      { alg: "ES384" },
      { use: "enc" },
      { kty: "RSA" },
      { kty: "oct" },
      { crv: "P-384" },
      { x: "AA" }
    ]) {
      expect(publicKeyOf({ ...jwk, ...odd })).toBeUndefined()
    }
    const other = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({ format: "jwk" })
    expect(publicKeyOf(other as never)).toBeUndefined()
  })
  test("and private ones survive a round trip", () => {
    const again = privateKeyOf(pair.privateKey.export({ format: "jwk" }))
    expect(verdict(signJws("at+jwt", "one", again, claims))).toBe("Valid")
  })
})

test("remembers a token by a hash that is not the token", () => {
  expect(good).not.toContain(tokenHash(good))
  expect(tokenHash(good).length).toBeGreaterThanOrEqual(43)
  expect(tokenHash(good)).toBe(tokenHash(`${good}`))
  expect(tokenHash(good)).not.toBe(tokenHash(`${good}A`))
})

test("names a key by its RFC 7638 thumbprint, the same for both halves and whatever else its JWK says", async () => {
  const jwk = pair.publicKey.export({ format: "jwk" })
  const expected = await calculateJwkThumbprint(jwk as never, "sha256")
  for (const one of [jwk, pair.privateKey.export({ format: "jwk" }), { ...jwk, kid: "x", use: "sig" }]) {
    expect(thumbprintOf(one)).toBe(expected)
  }
})

test("reads what a token of any algorithm claims, and nothing of what is none", () => {
  expect(unverifiedClaims(good)).toEqual(claims)
  expect(unverifiedClaims(`${encode({ alg: "RS256" })}.${encode({ iss: "x" })}.${"A".repeat(342)}`)).toEqual({
    iss: "x"
  })
  for (const bad of [
    "",
    "nonsense",
    `${encode({})}.${encode({})}`,
    `${encode({})}.${encode({})}.`,
    `${good}.x`,
    `${good}=`,
    ` ${good}`,
    `${encode({})}.${encode([])}.AAAA`,
    `${encode({})}.${encode("x")}.AAAA`,
    `${encode({})}.AAAA.AAAA`
  ]) {
    expect([bad, unverifiedClaims(bad)]).toEqual([bad, undefined])
  }
})
