/** How a service knows its caller: verifies the gateway's identity token by the gateway's JWKS; must trust no other header. */
import { Clock, Config, Context, Effect, Layer, Result, Schedule, Schema, Semaphore } from "effect"
import { BoundedMap } from "./BoundedMap.ts"
import { fetchJson } from "./client.ts"
import { Forbidden, Unauthorized, Unavailable } from "./domain/errors.ts"
import { IdentityClaims, may, type Principal } from "./domain/identity.ts"
import { type KeyObject, publicKeyOf, tokenHash, verifyJws } from "./jws.ts"

export const identityHeader = "x-gatehouse-identity"

/** Seconds by which two clocks of one installation may differ. */
const clockSkew = 30

/** Seconds an identity token may live at most; a longer one is not ours. */
const maxLifetime = 60

const Jwks = Schema.Struct({ keys: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })

/** Settings of every service behind the gateway. */
export const identityConfig = Config.all({
  environment: Config.String("ENVIRONMENT"),
  issuer: Config.String("IDENTITY_ISSUER"),
  jwksUrl: Config.URL("IDENTITY_JWKS_URL")
})

interface IdentityOptions {
  /** This service's name: with the environment it is the only audience accepted, `<service>.<environment>`. */
  readonly service: string
  readonly environment: string
  /** The gateway's public origin, the `iss` of its tokens. */
  readonly issuer: string
  /** Where the gateway serves its public keys to services. */
  readonly jwksUrl: URL
}

interface Known {
  readonly principal: Principal
  readonly expires: number
  readonly htm: string | undefined
  readonly htu: string | undefined
}

const unauthorized = (detail: string) =>
  new Unauthorized({ detail, challenge: `Bearer error="invalid_token", error_description="${detail}"` })

/** Path of a request without its query: what `htu` binds to. Byte-equal to what the gateway routed and forwarded. */
const pathOf = (request: Request): string => {
  const url = request.url
  const start = url.indexOf("/", url.indexOf("//") + 2)
  const end = url.indexOf("?", start)
  return start === -1 ? "/" : url.slice(start, end === -1 ? undefined : end)
}

const decodeClaims = Schema.decodeUnknownResult(IdentityClaims)

/** The caller of each request, proved by the token that the gateway made for this service, environment and (for writes) request. */
export class Identity extends Context.Service<
  Identity,
  {
    /** The caller, or 401. 503 if the gateway's keys were never seen and cannot be had now. */
    readonly verify: (request: Request) => Effect.Effect<Principal, Unauthorized | Unavailable>
    /** Succeeds once the gateway's keys are known: before, no caller can be. */
    readonly ready: Effect.Effect<void, Unavailable>
    /** The caller if they hold `action` on this service in `namespace` (this environment if it is not named), else 403. */
    readonly authorize: (
      request: Request,
      action: string,
      namespace?: string
    ) => Effect.Effect<Principal, Unauthorized | Forbidden | Unavailable>
  }
>()("gatehouse/shared/Identity") {
  static readonly layer = (options: IdentityOptions) => Layer.effect(Identity, makeIdentity(options))
}

const makeIdentity = (options: IdentityOptions) =>
  Effect.gen(function* () {
    const audience = `${options.service}.${options.environment}`
    const verified = new BoundedMap<Known>(10_000)
    let keys = new Map<string, KeyObject>()
    let askedAt = Number.NEGATIVE_INFINITY
    const one = yield* Semaphore.make(1)

    const refresh = Effect.gen(function* () {
      askedAt = yield* Clock.currentTimeMillis
      const jwks = yield* fetchJson(options.jwksUrl, Jwks, { timeout: "2 seconds" }).pipe(
        // A caller that went away has not asked for the others who wait.
        Effect.onInterrupt(() => Effect.sync(() => (askedAt = Number.NEGATIVE_INFINITY)))
      )
      const next = new Map<string, KeyObject>()
      for (const jwk of jwks.keys) {
        const key = publicKeyOf(jwk as never)
        if (key !== undefined && typeof jwk["kid"] === "string") next.set(jwk["kid"], key)
      }
      // A key that left the set (an emergency rotation) takes every token that was verified with it along.
      if ([...keys.keys()].some((kid) => !next.has(kid))) verified.clear()
      keys = next
    })
    /** At most one fetch a second, however many tokens with unknown key ids ask for it and however it ends. */
    const refreshOnce = one.withPermit(
      Effect.gen(function* () {
        if ((yield* Clock.currentTimeMillis) - askedAt >= 1000) yield* refresh
      })
    )
    // With the second that may have passed since the last fetch, no set is older than 5 s.
    yield* refreshOnce.pipe(
      Effect.catch((error) => Effect.logDebug("the gateway's keys cannot be had", error)),
      Effect.repeat(Schedule.spaced("4 seconds")),
      Effect.forkScoped
    )

    const bound = (known: Known, request: Request): Effect.Effect<Principal, Unauthorized> => {
      const method = request.method
      const safe = method === "GET" || method === "HEAD" || method === "OPTIONS"
      if (known.htm === undefined && known.htu === undefined && safe) return Effect.succeed(known.principal)
      if (known.htm === method && known.htu === pathOf(request)) return Effect.succeed(known.principal)
      return Effect.fail(unauthorized("the identity token is bound to another request"))
    }

    const check = (token: string, hash: string, request: Request, now: number) => {
      const result = verifyJws(token, "at+jwt", (kid) => keys.get(kid))
      if (result._tag === "UnknownKey") return undefined
      if (result._tag === "Invalid") return Effect.fail(unauthorized(result.reason))
      const decoded = decodeClaims(result.claims)
      if (Result.isFailure(decoded)) return Effect.fail(unauthorized("a claim is missing or malformed"))
      const claims = decoded.success
      const notBefore = result.claims["nbf"]
      if (claims.iss !== options.issuer) return Effect.fail(unauthorized("wrong issuer"))
      if (claims.aud !== audience) return Effect.fail(unauthorized("wrong audience"))
      if (claims.env !== options.environment) return Effect.fail(unauthorized("wrong environment"))
      if (claims.exp <= now) return Effect.fail(unauthorized("expired"))
      if (claims.exp - claims.iat > maxLifetime) return Effect.fail(unauthorized("lives too long"))
      if (claims.iat > now + clockSkew) return Effect.fail(unauthorized("not yet valid"))
      if (notBefore !== undefined && !(typeof notBefore === "number" && notBefore <= now + clockSkew)) {
        return Effect.fail(unauthorized("not yet valid"))
      }
      const known: Known = {
        principal: {
          userId: claims.sub,
          name: claims.name ?? claims.sub,
          sessionId: claims.sid,
          environment: claims.env,
          roles: claims.roles,
          scopes: new Set(claims.scope.split(" ")),
          authTime: claims.auth_time
        },
        expires: claims.exp,
        htm: claims.htm,
        htu: claims.htu
      }
      // A token that is bound to one request is not seen again: remembering it would only push out those that are.
      if (known.htm === undefined) verified.set(hash, known)
      return bound(known, request)
    }

    const keyless = new Unavailable({ dependency: "the gateway's key set", retryAfterSeconds: 2 })
    const ready = Effect.suspend(() => (keys.size === 0 ? keyless : Effect.void))

    const verify = Effect.fnUntraced(function* (request: Request) {
      const token = request.headers.get(identityHeader)
      if (token === null) {
        return yield* new Unauthorized({ detail: "this service is reached through the gateway", challenge: "Bearer" })
      }
      const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
      const hash = tokenHash(token)
      const known = verified.get(hash)
      if (known !== undefined && known.expires > now) return yield* bound(known, request)
      const first = check(token, hash, request, now)
      if (first !== undefined) return yield* first
      yield* Effect.ignore(refreshOnce)
      yield* ready
      const second = check(token, hash, request, now)
      return yield* second ?? Effect.fail(unauthorized("unknown key"))
    })

    return Identity.of({
      ready,
      verify,
      authorize: Effect.fnUntraced(function* (request, action, namespace) {
        const principal = yield* verify(request)
        if (!may(principal, options.service, action, namespace)) {
          const there = namespace === undefined ? "" : ` in ${namespace}`
          return yield* new Forbidden({ detail: `needs the right ${options.service}:${action}${there}` })
        }
        return principal
      })
    })
  })

/** `answer` for whoever may do anything in this service: what it says of itself. */
export const forAnyCaller = <A>(request: Request, answer: A) =>
  Effect.as(
    Identity.use((identity) => identity.verify(request)),
    answer
  )
