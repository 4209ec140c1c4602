/** The gateway's own API (`/auth/*`): payloads that browsers and clients exchange with it; must not know how it is served. */
import { Schema } from "effect"
import { GrantId, SessionId, UserId } from "../domain/ids.ts"
import { EnvironmentPattern, Grant, Right, Role, RoleName } from "../domain/rights.ts"
import { page } from "./paging.ts"

const time = Schema.String.annotate({ format: "date-time" })

/** A person as shown to people. `email` is a label, present only if the provider says that it is verified. */
export const User = Schema.Struct({
  id: UserId,
  provider: Schema.String,
  issuer: Schema.String,
  subject: Schema.String,
  name: Schema.String,
  email: Schema.NullOr(Schema.String),
  disabled: Schema.Boolean,
  createdAt: time,
  lastLoginAt: Schema.NullOr(time)
})
export type User = typeof User.Type

/** How a session came about: a person's browser, a token family they gave to a client, or a workload's exchanged identity. */
export const SessionKind = Schema.Literals(["browser", "token", "workload"])
export type SessionKind = typeof SessionKind.Type

/** GET /auth/me: who am I and what may I do here; the browser shows only what `rights` allow. */
export const Me = Schema.Struct({
  user: User,
  environment: Schema.String,
  roles: Schema.Array(RoleName),
  rights: Schema.Array(Right),
  session: Schema.Struct({
    id: SessionId,
    kind: SessionKind,
    authTime: time,
    expiresAt: time
  })
})
export type Me = typeof Me.Type

/** One row of GET /auth/sessions: the caller's own, so one of kind `workload` only where a workload asks. */
export const Session = Schema.Struct({
  id: SessionId,
  kind: SessionKind,
  label: Schema.String,
  current: Schema.Boolean,
  createdAt: time,
  lastSeenAt: time,
  authTime: time,
  expiresAt: time,
  userAgent: Schema.NullOr(Schema.String),
  ip: Schema.NullOr(Schema.String)
})
export type Session = typeof Session.Type
export const SessionPage = page(Session)

/** The grant type by which a logged-in browser session gets a token for itself (an extension grant, RFC 6749 §4.5). */
export const sessionGrantType = "urn:gatehouse:grant-type:session"

/** The grant type by which a workload exchanges its Kubernetes or CI identity token for an access token (RFC 8693). */
export const exchangeGrantType = "urn:ietf:params:oauth:grant-type:token-exchange"
/** What a workload shows (RFC 8693 §3): a service account token, or an assertion signed with its own key. */
export const jwtTokenType = "urn:ietf:params:oauth:token-type:jwt"
/** What it gets for it. */
export const accessTokenType = "urn:ietf:params:oauth:token-type:access_token"

/**
 * Answer of POST /auth/token (RFC 6749 §5.1). `expires_in` in seconds, at most 600. `refresh_token` only where
 * `offline_access` was asked for, or a refresh token was used; each use returns a new one. `issued_token_type` only after
 * an exchange.
 */
export const TokenResponse = Schema.Struct({
  access_token: Schema.String,
  token_type: Schema.Literal("Bearer"),
  expires_in: Schema.Int,
  scope: Schema.String,
  env: Schema.String,
  refresh_token: Schema.optionalKey(Schema.String),
  issued_token_type: Schema.optionalKey(Schema.Literal(accessTokenType))
})
export type TokenResponse = typeof TokenResponse.Type

/** A user with the grants they hold: one row of GET /auth/users. */
export const UserWithGrants = Schema.Struct({ ...User.fields, grants: Schema.Array(Grant) })
export type UserWithGrants = typeof UserWithGrants.Type
export const UserPage = page(UserWithGrants)

/** PATCH /auth/users/:id */
export const UserPatch = Schema.Struct({ disabled: Schema.Boolean })
export type UserPatch = typeof UserPatch.Type

/** GET /auth/roles */
export const RoleList = Schema.Struct({ items: Schema.Array(Role) })

/** PUT /auth/roles/:name creates or replaces the role of that name. */
export const RoleInput = Schema.Struct({ description: Role.fields.description, rights: Role.fields.rights })
export type RoleInput = typeof RoleInput.Type

/** GET /auth/grants */
export const GrantPage = page(Grant)

/** POST /auth/grants; `expiresAt` must lie in the future. */
export const GrantInput = Schema.Struct({
  userId: UserId,
  role: RoleName,
  environment: EnvironmentPattern,
  expiresAt: Schema.optionalKey(Schema.NullOr(time)),
  reason: Schema.optionalKey(Schema.NullOr(Schema.String.check(Schema.isMaxLength(500))))
})
export type GrantInput = typeof GrantInput.Type

export { Grant, GrantId, Right, Role }
