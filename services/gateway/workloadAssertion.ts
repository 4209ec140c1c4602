/** The assertion by which a workload with a key of its own says who it is (RFC 7523 §3, RFC 8725): fixed algorithm, short, for this gateway alone; pure, must not know which were used already. */
import { Option, Schema } from "effect"
import { type KeyObject, verifyJws } from "#shared/jws.ts"
import { assertionLifetime, assertionType } from "#shared/workload.ts"

/** Seconds by which two clocks of one installation may differ. */
const clockSkew = 30

const seconds = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Claims = Schema.Struct({
  iss: Schema.String,
  sub: Schema.String,
  aud: Schema.String,
  iat: seconds,
  exp: seconds,
  nbf: Schema.optionalKey(seconds),
  jti: Schema.NonEmptyString.check(Schema.isMaxLength(200))
})
const decode = Schema.decodeUnknownOption(Claims)

/** What is left to check of a good assertion: that `jti` is new. `expires` in seconds since the epoch. */
export interface Assertion {
  readonly jti: string
  readonly expires: number
}

/** The assertion of `workload` if it is one, whole and for one of `audiences` now (seconds since the epoch), else why not. */
export const checkAssertion = (
  token: string,
  workload: { readonly id: string; readonly keys: ReadonlyMap<string, KeyObject> },
  audiences: ReadonlyArray<string>,
  now: number
): Assertion | string => {
  const verified = verifyJws(token, assertionType, (kid) => workload.keys.get(kid))
  if (verified._tag === "UnknownKey") return "unknown key"
  if (verified._tag === "Invalid") return verified.reason
  const claims = decode(verified.claims)
  if (Option.isNone(claims)) return "a claim is missing or malformed"
  const { aud, exp, iat, iss, jti, nbf, sub } = claims.value
  if (iss !== workload.id || sub !== workload.id) return "issuer and subject are not the workload"
  if (!audiences.includes(aud)) return "wrong audience"
  if (exp <= now) return "expired"
  if (exp - iat > assertionLifetime) return "lives too long"
  if (iat > now + clockSkew || (nbf !== undefined && nbf > now + clockSkew)) return "not yet valid"
  return { jti, expires: exp }
}
