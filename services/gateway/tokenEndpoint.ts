/** The OAuth endpoints for programs (RFC 6749, 7009, 7517, 8414): `/auth/token`, `/auth/revoke`, keys and metadata; must not set a cookie. */
import { Effect, Option, Schema } from "effect"
import { accessTokenType, exchangeGrantType, jwtTokenType } from "#shared/api/auth.ts"
import { type Forbidden, PayloadTooLarge, type Unauthorized, type Unavailable } from "#shared/domain/errors.ts"
import { UserId } from "#shared/domain/ids.ts"
import { problemOf } from "#shared/problem.ts"
import type { Visit } from "./dataPath.ts"
import type { Caller, Gate } from "./Gate.ts"
import { Keys } from "./Keys.ts"
import { Sessions } from "./Sessions.ts"
import { Tokens } from "./Tokens.ts"
import { Workloads } from "./Workloads.ts"

interface Options {
  readonly publicUrl: string
  readonly environment: string
  readonly sessionGrantType: string
  readonly callerOf: (request: Request) => Effect.Effect<Caller, Unauthorized | Forbidden | Unavailable, Gate>
  readonly readForm: (request: Request) => Promise<string>
}

/** A refusal in the words of RFC 6749 §5.2, in a body that is also a problem. */
class OAuthRefusal extends Schema.TaggedError<OAuthRefusal>()("OAuthRefusal", {
  error: Schema.Literals([
    "invalid_request",
    "invalid_grant",
    "invalid_scope",
    "unsupported_grant_type",
    "invalid_client",
    "invalid_target"
  ]),
  detail: Schema.String,
  status: Schema.Int
}) {}

const refuse = (error: OAuthRefusal["error"], detail: string, status = error === "invalid_client" ? 401 : 400) =>
  new OAuthRefusal({ error, detail, status })

const scopeToken = /^(?:\*|[a-z][-a-z0-9]{0,62}):(?:\*|[a-z][-a-z0-9_.]{0,62})$/u

/** The scope an access token is confined to, and whether a refresh token is wanted. Nothing asked means all the user may do. */
const readScope = (text: string | undefined) => {
  const asked = (text ?? "").split(" ").filter((one) => one !== "")
  const scopes = [...new Set(asked.filter((one) => one !== "offline_access"))].sort()
  if (scopes.some((one) => !scopeToken.test(one)) || scopes.length > 100) {
    return refuse("invalid_scope", "a scope is <service>:<action>, or offline_access")
  }
  return Effect.succeed({
    scope: scopes.length === 0 ? "*:*" : scopes.join(" "),
    offline: asked.includes("offline_access")
  })
}

/** If-None-Match (RFC 9110 §13.1.2): a list of ETags, compared weakly, or `*`. */
const matches = (header: string | null, etag: string): boolean =>
  (header ?? "").split(",").some((one) => [etag, `W/${etag}`, "*"].includes(one.trim()))

export const tokenRoutes = (options: Options) => {
  /** A form whose parameters each occur once; one without a value is as if it were not there (RFC 6749 §3.2). */
  const readForm = (request: Request) =>
    Effect.gen(function* () {
      const type = (request.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase()
      if (type !== "application/x-www-form-urlencoded") {
        return yield* refuse("invalid_request", "the body must be application/x-www-form-urlencoded")
      }
      const text = yield* Effect.tryPromise({
        try: () => options.readForm(request),
        catch: (error) =>
          error instanceof PayloadTooLarge
            ? refuse("invalid_request", error.message, 413)
            : refuse("invalid_request", "the body cannot be read")
      })
      const form = new URLSearchParams(text)
      for (const name of form.keys()) {
        if (form.getAll(name).length > 1) return yield* refuse("invalid_request", "a parameter occurs twice")
      }
      return (name: string) => form.get(name) || undefined
    })

  const bySession = Effect.fnUntraced(function* (
    request: Request,
    visit: Visit,
    form: (name: string) => string | undefined
  ) {
    const caller = yield* options.callerOf(request)
    if (caller.via !== "cookie") return yield* refuse("invalid_client", "this grant is for a browser session")
    const session = yield* Sessions.use((sessions) => sessions.findById(caller.sessionId))
    if (Option.isNone(session)) return yield* refuse("invalid_client", "the session has ended")
    const { offline, scope } = yield* readScope(form("scope"))
    const label = form("label") ?? "token"
    if (!/^[\p{L}\p{N}\p{P}\p{S} ]{1,100}$/u.test(label))
      return yield* refuse("invalid_request", "label: 1 to 100 printable characters")
    return yield* Tokens.use((tokens) =>
      tokens.issue({
        session: session.value,
        userId: UserId.make(caller.userId),
        scope,
        offline,
        label,
        userAgent: request.headers.get("user-agent"),
        ip: visit.clientAddress
      })
    )
  })

  const byRefresh = Effect.fnUntraced(function* (visit: Visit, form: (name: string) => string | undefined) {
    const token = form("refresh_token")
    if (token === undefined) return yield* refuse("invalid_request", "refresh_token is missing")
    return yield* Tokens.use((tokens) =>
      tokens.refresh(token, { ip: visit.clientAddress, requestId: visit.requestId })
    ).pipe(Effect.catchTag("InvalidGrant", (error) => refuse("invalid_grant", error.detail)))
  })

  /** RFC 8693 §2.1, for workloads: no delegation, and nothing but an access token for this gateway. */
  const byExchange = Effect.fnUntraced(function* (
    request: Request,
    visit: Visit,
    form: (name: string) => string | undefined
  ) {
    const subjectToken = form("subject_token")
    if (subjectToken === undefined) return yield* refuse("invalid_request", "subject_token is missing")
    if (form("subject_token_type") !== jwtTokenType) {
      return yield* refuse("invalid_request", `subject_token_type must be ${jwtTokenType}`)
    }
    if ((form("requested_token_type") ?? accessTokenType) !== accessTokenType) {
      return yield* refuse("invalid_request", `requested_token_type can only be ${accessTokenType}`)
    }
    if (form("actor_token") !== undefined || form("actor_token_type") !== undefined) {
      return yield* refuse("invalid_request", "nobody acts for another here: no actor_token is taken")
    }
    const targets = [options.publicUrl, `gateway.${options.environment}`]
    for (const target of [form("audience"), form("resource")]) {
      if (target !== undefined && !targets.includes(target)) {
        return yield* refuse("invalid_target", "the access token is for this gateway alone")
      }
    }
    const { offline, scope } = yield* readScope(form("scope"))
    if (offline) return yield* refuse("invalid_scope", "a workload shows its identity again: it gets no refresh token")
    const answer = yield* Workloads.use((workloads) =>
      workloads.exchange({
        subjectToken,
        scope,
        userAgent: request.headers.get("user-agent"),
        ip: visit.clientAddress,
        requestId: visit.requestId
      })
    ).pipe(Effect.catchTag("InvalidGrant", (error) => refuse("invalid_grant", error.detail)))
    return { ...answer, issued_token_type: accessTokenType }
  })

  const headers = { "cache-control": "no-store" }
  const settled = <R>(
    visit: Visit,
    answer: Effect.Effect<Response, OAuthRefusal | Unauthorized | Forbidden | Unavailable, R>
  ) =>
    Effect.catchTag(answer, "OAuthRefusal", ({ detail, error, status }) => {
      const body = { error, error_description: detail, ...problemOf(status, error, detail), instance: visit.requestId }
      return Effect.succeed(
        Response.json(body, {
          status,
          headers: status === 401 ? { ...headers, "www-authenticate": "Bearer" } : headers
        })
      )
    })

  return {
    token: (request: Request, visit: Visit) =>
      settled(
        visit,
        Effect.gen(function* () {
          const form = yield* readForm(request)
          const grant = form("grant_type")
          if (grant === undefined) return yield* refuse("invalid_request", "grant_type is missing")
          switch (grant) {
            case "refresh_token":
              return Response.json(yield* byRefresh(visit, form), { headers })
            case options.sessionGrantType:
              return Response.json(yield* bySession(request, visit, form), { headers })
            case exchangeGrantType:
              return Response.json(yield* byExchange(request, visit, form), { headers })
            default:
              return yield* refuse("unsupported_grant_type", "this grant type is not supported")
          }
        })
      ),
    revoke: (request: Request, visit: Visit) =>
      settled(
        visit,
        Effect.gen(function* () {
          const form = yield* readForm(request)
          const token = form("token")
          if (token === undefined) return yield* refuse("invalid_request", "token is missing")
          yield* Tokens.use((tokens) => tokens.revoke(token, { ip: visit.clientAddress, requestId: visit.requestId }))
          return new Response(null, { status: 200, headers })
        })
      ),
    jwks: (request: Request) =>
      Effect.map(
        Keys.use((keys) => keys.published),
        ({ body, etag }) => {
          const caching = { etag, "cache-control": "public, max-age=300" }
          if (matches(request.headers.get("if-none-match"), etag))
            return new Response(null, { status: 304, headers: caching })
          return new Response(body, { headers: { "content-type": "application/json", ...caching } })
        }
      ),
    metadata: {
      issuer: options.publicUrl,
      token_endpoint: `${options.publicUrl}/auth/token`,
      revocation_endpoint: `${options.publicUrl}/auth/revoke`,
      jwks_uri: `${options.publicUrl}/.well-known/jwks.json`,
      grant_types_supported: ["refresh_token", options.sessionGrantType, exchangeGrantType],
      response_types_supported: [],
      token_endpoint_auth_methods_supported: ["none"]
    }
  }
}
