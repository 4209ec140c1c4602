/** Who a request is made for, as the gateway tells a service; pure, must not know how a token is signed or checked. */
import { Schema } from "effect"

const seconds = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/**
 * Claims of the identity token (RFC 9068 profile, `typ: at+jwt`, ES256) that the gateway sends to one service as
 * `X-Gatehouse-Identity`. `aud` is `<service>.<environment>`; times are seconds since the epoch; `scope` is the
 * space-separated list of `<service>:<action>` the user holds there. `htm` and `htu` (method, and path without query)
 * are present for every method that can change something and bind the token to that one request.
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
  /** `<service>:<action>`; an action `*` is already resolved by `may`. */
  readonly scopes: ReadonlySet<string>
  /** When the person last proved who they are, seconds since the epoch. */
  readonly authTime: number
}

/** Whether the principal holds `action` on `service` in the token's own environment. */
export const may = (principal: Principal, service: string, action: string): boolean =>
  !principal.scopes.has(`!${service}:${action}`) &&
  (principal.scopes.has(`${service}:${action}`) || principal.scopes.has(`${service}:*`))
