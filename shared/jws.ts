/** Synchronous ES256 signing and verification of compact JWS (RFC 7515, RFC 8725) over node:crypto; must not know any claim's meaning. */
import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify } from "node:crypto"

export type { KeyObject }

/** A public key of a JWKS, as far as we use one. */
export interface PublicJwk {
  readonly kty: string
  readonly crv?: string
  readonly x?: string
  readonly y?: string
  readonly kid?: string
  readonly alg?: string
  readonly use?: string
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

/** SHA-256 as hex: what a token is remembered by, so that no cache or table holds the token itself. */
export const tokenHash = (token: string): string => hash("sha256", token, "hex")

/** The key of a private JWK (EC, P-256). */
export const privateKeyOf = (jwk: object): KeyObject => createPrivateKey({ key: jwk as never, format: "jwk" })

/** The key of a public JWK, or undefined if it is no ES256 key: another algorithm is never tried. */
export const publicKeyOf = (jwk: PublicJwk): KeyObject | undefined => {
  if (jwk.kty !== "EC" || jwk.crv !== "P-256" || (jwk.alg !== undefined && jwk.alg !== "ES256")) return undefined
  if (jwk.use !== undefined && jwk.use !== "sig") return undefined
  try {
    return createPublicKey({ key: jwk as never, format: "jwk" })
  } catch {
    return undefined
  }
}

interface EcMembers {
  readonly crv?: unknown
  readonly kty?: unknown
  readonly x?: unknown
  readonly y?: unknown
}

/** The thumbprint of an EC key (RFC 7638), public or private: its id where its JWK names none. */
export const thumbprintOf = ({ crv, kty, x, y }: EcMembers): string =>
  hash("sha256", JSON.stringify({ crv, kty, x, y }), "base64url")

/** A compact JWS of `claims` with the header `{ alg: "ES256", typ, kid }`. */
export const signJws = (typ: string, kid: string, key: KeyObject, claims: object): string => {
  const input = `${encode({ alg: "ES256", typ, kid })}.${encode(claims)}`
  return `${input}.${sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`
}

const compact = /^([A-Za-z0-9_-]{4,1024})\.([A-Za-z0-9_-]{4,8192})\.([A-Za-z0-9_-]{86})$/u

interface Header {
  readonly alg?: unknown
  readonly typ?: unknown
  readonly kid?: unknown
}

const parse = (part: string): Record<string, unknown> | undefined => {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"))
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}

/**
 * What a compact JWS claims, unverified, whatever its algorithm: enough to choose by whose rules it is to be checked, never
 * to believe. Undefined if it is no such token.
 */
export const unverifiedClaims = (token: string): Readonly<Record<string, unknown>> | undefined => {
  const payload = /^[A-Za-z0-9_-]{4,4096}\.([A-Za-z0-9_-]{4,16384})\.[A-Za-z0-9_-]{1,4096}$/u.exec(token)?.[1]
  return payload === undefined ? undefined : parse(payload)
}

export type Verified =
  | { readonly _tag: "Valid"; readonly claims: Record<string, unknown> }
  | { readonly _tag: "UnknownKey"; readonly kid: string }
  | { readonly _tag: "Invalid"; readonly reason: string }

const invalid = (reason: string): Verified => ({ _tag: "Invalid", reason })

/**
 * Checks form, header and signature, not the claims. The header holds exactly `alg` = ES256, `typ` as expected and a `kid`
 * of ours: `jku`, `x5u`, `jwk`, `crit` and anything else make the token invalid, so a token cannot choose its own key or rules.
 */
export const verifyJws = (token: string, typ: string, key: (kid: string) => KeyObject | undefined): Verified => {
  const parts = compact.exec(token)
  if (parts === null) return invalid("not a compact JWS")
  const header: Header | undefined = parse(parts[1]!)
  if (header === undefined) return invalid("unreadable header")
  if (header.alg !== "ES256") return invalid("algorithm is not ES256")
  if (header.typ !== typ) return invalid(`type is not ${typ}`)
  if (typeof header.kid !== "string" || header.kid.length > 128) return invalid("no key id")
  if (Object.keys(header).length !== 3) return invalid("unexpected header parameter")
  const publicKey = key(header.kid)
  if (publicKey === undefined) return { _tag: "UnknownKey", kid: header.kid }
  const signed = Buffer.from(`${parts[1]}.${parts[2]}`)
  const signature = Buffer.from(parts[3]!, "base64url")
  if (!verify("sha256", signed, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature)) {
    return invalid("signature does not match")
  }
  const claims = parse(parts[2]!)
  return claims === undefined ? invalid("unreadable claims") : { _tag: "Valid", claims }
}
