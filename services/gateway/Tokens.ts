/** Access and refresh tokens for REST clients (spec R10, R15): short signed ones, and rotating opaque ones whose reuse ends the family. */
import { createHmac, hkdfSync, randomBytes } from "node:crypto"
import { Clock, Context, Effect, Layer, type Redacted, Redacted as Secret, Schema } from "effect"
import { BoundedMap } from "#shared/BoundedMap.ts"
import type { TokenResponse } from "#shared/api/auth.ts"
import { Unavailable } from "#shared/domain/errors.ts"
import { SessionId, UserId, uuidv7 } from "#shared/domain/ids.ts"
import { tokenHash, verifyJws } from "#shared/jws.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { Audit } from "./Audit.ts"
import { Keys } from "./Keys.ts"
import { type Session, Sessions } from "./Sessions.ts"

/** Seconds an access token lives. */
export const accessTokenLifetime = 600
/** Seconds in which a refresh token that was used gives the same successor again: a lost answer or a race is no theft. */
export const refreshGrace = 10

/** The refresh token (or grant) is not valid any more; RFC 6749 §5.2. */
export class InvalidGrant extends Schema.TaggedError<InvalidGrant>()(
  "InvalidGrant",
  { detail: Schema.String },
  { httpApiStatus: 400 }
) {
  override get message() {
    return this.detail
  }
}

/** What a verified access token says. Times are seconds since the epoch. */
export interface AccessToken {
  readonly userId: string
  readonly sessionId: string
  readonly scope: ReadonlySet<string>
  readonly authTime: number
  readonly expires: number
}

export class Tokens extends Context.Service<
  Tokens,
  {
    /** The token if it is ours, whole and not expired, else why not. Synchronous for the data path; the session it names is not looked at. */
    readonly verify: (token: string, nowSeconds: number) => AccessToken | string
    /** An access token for a live session. With `offline` a session of its own and a refresh token for it. */
    readonly issue: (input: {
      readonly session: Session
      readonly userId: UserId
      readonly scope: string
      readonly offline: boolean
      readonly label: string
      readonly userAgent: string | null
      readonly ip: string
    }) => Effect.Effect<TokenResponse, Unavailable>
    readonly refresh: (
      refreshToken: string,
      origin: { readonly ip: string; readonly requestId: string }
    ) => Effect.Effect<TokenResponse, InvalidGrant | Unavailable>
    /** Ends the family of a refresh token (RFC 7009); an unknown one is no error. */
    readonly revoke: (
      refreshToken: string,
      origin: { readonly ip: string; readonly requestId: string }
    ) => Effect.Effect<void, Unavailable>
  }
>()("gatehouse/gateway/Tokens") {
  static readonly layer = (options: {
    readonly issuer: string
    readonly environment: string
    readonly secret: Redacted.Redacted
  }) => Layer.effect(Tokens, makeTokens(options))
}

/** What an identity token never says of itself: a service that were called "gateway" could not use its own here. */
const accessClient = "gatehouse"

const AccessClaims = Schema.Struct({
  client_id: Schema.Literal(accessClient),
  iss: Schema.String,
  sub: UserId,
  aud: Schema.String,
  exp: Schema.Int,
  iat: Schema.Int,
  sid: SessionId,
  scope: Schema.String,
  auth_time: Schema.Int
})
const decodeClaims = Schema.decodeUnknownOption(AccessClaims)

interface FamilyRow {
  readonly sessionId: string
  readonly userId: string
  readonly scope: string
  readonly provider: string
  readonly authTime: Date
  readonly usedSecondsAgo: number | null
}

const makeTokens = (options: {
  readonly issuer: string
  readonly environment: string
  readonly secret: Redacted.Redacted
}) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const audit = yield* Audit
    const keys = yield* Keys
    const sessions = yield* Sessions
    // No service is called "gateway": an access token is good at the gateway alone, an identity token never.
    const audience = `gateway.${options.environment}`
    const derive = Buffer.from(hkdfSync("sha256", Secret.value(options.secret), "", "gatehouse refresh tokens", 32))
    const verified = new BoundedMap<AccessToken>(20_000)
    let generation = ""

    /** Each token determines its successor, so that concurrent uses agree on it without the DB ever holding it. */
    const successor = (token: string) => `gtr_${createHmac("sha256", derive).update(token).digest("base64url")}`

    const check = (token: string, now: number): AccessToken | string => {
      const result = verifyJws(token, "at+jwt", keys.verifying)
      if (result._tag === "UnknownKey") return "unknown key"
      if (result._tag === "Invalid") return result.reason
      const claims = decodeClaims(result.claims)
      if (claims._tag === "None") return "a claim is missing or malformed"
      const { aud, auth_time, exp, iat, iss, scope, sid, sub } = claims.value
      if (iss !== options.issuer) return "wrong issuer"
      if (aud !== audience) return "wrong audience"
      if (exp <= now) return "expired"
      if (exp - iat > accessTokenLifetime || iat > now + 30) return "not a lifetime of ours"
      return { userId: sub, sessionId: sid, scope: new Set(scope.split(" ")), authTime: auth_time, expires: exp }
    }

    const verify = (token: string, now: number): AccessToken | string => {
      // Keys may have gone with an emergency rotation: what they signed goes with them.
      if (keys.generation() !== generation) {
        verified.clear()
        generation = keys.generation()
      }
      const hash = tokenHash(token)
      const known = verified.get(hash)
      if (known !== undefined) return known.expires > now ? known : "expired"
      const found = check(token, now)
      if (typeof found !== "string") verified.set(hash, found)
      return found
    }

    const accessToken = Effect.fnUntraced(function* (
      subject: { readonly userId: string; readonly sessionId: string; readonly authTime: number },
      scope: string
    ) {
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
      yield* keys.ready
      const token = keys.sign("at+jwt", {
        iss: options.issuer,
        sub: subject.userId,
        aud: audience,
        client_id: accessClient,
        iat: now,
        exp: now + accessTokenLifetime,
        jti: uuidv7(now * 1000),
        scope,
        env: options.environment,
        sid: subject.sessionId,
        auth_time: Math.floor(subject.authTime / 1000)
      })
      if (token === undefined) return yield* new Unavailable({ dependency: "the signing keys", retryAfterSeconds: 2 })
      return {
        access_token: token,
        token_type: "Bearer" as const,
        expires_in: accessTokenLifetime,
        scope,
        env: options.environment
      }
    })

    const issue = Effect.fn("Tokens.issue")(function* (input: Parameters<Tokens["Service"]["issue"]>[0]) {
      if (!input.offline) {
        return yield* accessToken(
          { userId: input.userId, sessionId: input.session.id, authTime: input.session.authTime },
          input.scope
        )
      }
      // Without keys nothing can be issued: then no session is left behind either.
      yield* keys.ready
      const refreshToken = `gtr_${randomBytes(32).toString("base64url")}`
      const family = yield* sessions.create({
        kind: "token",
        label: input.label,
        userId: input.userId,
        provider: input.session.provider,
        idpSid: undefined,
        authTime: input.session.authTime,
        userAgent: input.userAgent,
        ip: input.ip
      })
      yield* database.transaction(
        Effect.gen(function* () {
          yield* sql`INSERT INTO refresh_tokens (hash, session_id, scope) VALUES (${tokenHash(refreshToken)}, ${family.id}, ${input.scope})`
          yield* audit.record({
            event: "token.issued",
            actor: input.userId,
            sessionId: family.id,
            ip: input.ip,
            detail: { label: input.label }
          })
        })
      )
      const access = yield* accessToken(
        { userId: input.userId, sessionId: family.id, authTime: input.session.authTime },
        input.scope
      )
      return { ...access, refresh_token: refreshToken }
    })

    const rotate = (token: string, origin: { readonly ip: string; readonly requestId: string }) =>
      Effect.gen(function* () {
        const rows = yield* sql<FamilyRow>`
          SELECT r.session_id AS "sessionId", s.user_id AS "userId", r.scope, s.provider, s.auth_time AS "authTime",
            extract(epoch FROM now() - r.used_at)::float8 AS "usedSecondsAgo"
          FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id
          WHERE r.hash = ${tokenHash(token)} AND s.expires_at > now()
            AND s.last_seen_at > now() - make_interval(secs => ${sessions.idleSeconds}) FOR UPDATE OF r`
        const family = rows[0]
        if (family === undefined) return undefined
        const next = successor(token)
        if (family.usedSecondsAgo === null) {
          yield* sql`UPDATE refresh_tokens SET used_at = clock_timestamp() WHERE hash = ${tokenHash(token)}`
          yield* sql`INSERT INTO refresh_tokens (hash, session_id, scope) VALUES (${tokenHash(next)}, ${family.sessionId}, ${family.scope})`
          yield* sql`UPDATE sessions SET last_seen_at = now() WHERE id = ${family.sessionId}`
          return { family, next }
        }
        if (family.usedSecondsAgo <= refreshGrace) return { family, next }
        // Somebody has used a token twice: the client or a thief, and nobody can tell which. Both are out.
        yield* sql`DELETE FROM sessions WHERE id = ${family.sessionId}`
        yield* audit.record({
          event: "refresh.reused",
          subject: family.userId,
          sessionId: family.sessionId,
          ip: origin.ip,
          requestId: origin.requestId
        })
        return undefined
      })

    return Tokens.of({
      verify,
      issue,
      refresh: Effect.fn("Tokens.refresh")(function* (token, origin) {
        const refused = new InvalidGrant({ detail: "the refresh token is not valid" })
        if (!/^gtr_[A-Za-z0-9_-]{43}$/u.test(token)) return yield* refused
        const rotated = yield* database.transaction(rotate(token, origin))
        if (rotated === undefined) return yield* refused
        const { family, next } = rotated
        const access = yield* accessToken(
          { userId: family.userId, sessionId: family.sessionId, authTime: family.authTime.getTime() },
          family.scope
        )
        return { ...access, refresh_token: next }
      }),
      revoke: Effect.fn("Tokens.revoke")(function* (token, origin) {
        yield* database.transaction(
          Effect.gen(function* () {
            const ended = yield* sql<{ id: string; userId: string }>`DELETE FROM sessions
              WHERE id = (SELECT session_id FROM refresh_tokens WHERE hash = ${tokenHash(token)})
              RETURNING id, user_id AS "userId"`
            for (const { id, userId } of ended) {
              yield* audit.record({ event: "token.revoked", subject: userId, sessionId: id, ...origin })
            }
          })
        )
      })
    })
  })
