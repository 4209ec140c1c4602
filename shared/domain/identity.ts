/** Who a request is made for, as the gateway tells a service; pure, must not know how a token is signed or checked. */
import { Schema } from "effect"

const seconds = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/**
 * Claims of the identity token (RFC 9068 profile, `typ: at+jwt`, ES256) that the gateway sends to one service as
 * `X-Gatehouse-Identity`. `aud` is `<service>.<environment>`; times are seconds since the epoch; `scope` is the
 * space-separated list of `<service>:<action>` the user holds there; for a service that acts on further namespaces also
 * `<service>:<action>:<namespace>` for what they hold in each of those. An action may be `*`, and `!` before an entry denies
 * it. `htm` and `htu` (method, and path without query) are present for every method that can change something and bind the
 * token to that one request.
 */
export const IdentityClaims = Schema.Struct({
  iss: Schema.String,
  sub: Schema.String,
  aud: Schema.String,
  client_id: Schema.String,
  iat: seconds,
  exp: seconds,
  jti: Schema.String,
  scope: Schema.String,
  roles: Schema.Array(Schema.String),
  env: Schema.String,
  sid: Schema.String,
  auth_time: seconds,
  name: Schema.optionalKey(Schema.String),
  htm: Schema.optionalKey(Schema.String),
  htu: Schema.optionalKey(Schema.String)
})
export type IdentityClaims = typeof IdentityClaims.Type

/** The caller of a request, after its identity token was verified. */
export interface Principal {
  readonly userId: string
  readonly name: string
  readonly sessionId: string
  readonly environment: string
  readonly roles: ReadonlyArray<string>
  /** `<service>:<action>` and `<service>:<action>:<namespace>`; what `*` and `!` in them mean is for `may` to say. */
  readonly scopes: ReadonlySet<string>
  /** When the person last proved who they are, seconds since the epoch. */
  readonly authTime: number
}

/**
 * Whether the principal holds `action` on `service` in a namespace; without one, in the token's own environment. What is
 * held in one namespace says nothing about another.
 */
export const may = (
  { environment, scopes }: Pick<Principal, "environment" | "scopes">,
  service: string,
  action: string,
  namespace: string = environment
): boolean => {
  const there = namespace === environment ? "" : `:${namespace}`
  return (
    !scopes.has(`!${service}:${action}${there}`) &&
    (scopes.has(`${service}:${action}${there}`) || scopes.has(`${service}:*${there}`))
  )
}
