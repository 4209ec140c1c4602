/** A program's own access to the gateway: exchanges its Kubernetes or key identity for an access token (RFC 8693) and keeps it; must show that identity to nobody but the gateway. */
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { Clock, Config, Context, Deferred, Effect, Layer, Option, Redacted, Schema } from "effect"
import { accessTokenType, exchangeGrantType, jwtTokenType, TokenResponse } from "./api/auth.ts"
import { fetchJson, type PeerFailed } from "./client.ts"
import { ConfigInvalid } from "./config.ts"
import { Unavailable } from "./domain/errors.ts"
import { type KeyObject, privateKeyOf, signJws, thumbprintOf } from "./jws.ts"

/** `typ` of an assertion: no other token here has it. */
export const assertionType = "JWT"
/** Seconds an assertion may live at most. */
export const assertionLifetime = 300
/** Seconds ours live: they are used at once. */
const ownLifetime = 60
/** Seconds before its end at which an access token is replaced. */
const renewBefore = 60

/** A workload's own key; its public half is in the file that the gateway's settings name. */
export interface WorkloadKey {
  readonly kid: string
  readonly key: KeyObject
}

/** The key of a private JWK (EC, P-256), by its `kid` or its thumbprint; undefined if it is none. */
export const workloadKeyOf = (jwk: unknown): WorkloadKey | undefined => {
  const decoded = decodeKey(jwk)
  if (Option.isNone(decoded)) return undefined
  try {
    return { kid: decoded.value.kid ?? thumbprintOf(decoded.value), key: privateKeyOf(decoded.value) }
  } catch {
    return undefined
  }
}

const PrivateJwk = Schema.Struct({
  kty: Schema.Literal("EC"),
  crv: Schema.Literal("P-256"),
  x: Schema.String,
  y: Schema.String,
  d: Schema.String,
  kid: Schema.optionalKey(Schema.NonEmptyString)
})
const decodeKey = Schema.decodeUnknownOption(PrivateJwk)

/**
 * An assertion by which workload `id` proves itself to the gateway `audience` (its public origin) once, within a minute
 * from `now` (seconds since the epoch): RFC 7523 §3.
 */
export const makeAssertion = (
  { key, kid }: WorkloadKey,
  claims: { readonly id: string; readonly audience: string; readonly now: number }
): string =>
  signJws(assertionType, kid, key, {
    iss: claims.id,
    sub: claims.id,
    aud: claims.audience,
    iat: claims.now,
    exp: claims.now + ownLifetime,
    jti: randomUUID()
  })

/** Which gateway, and as whom: the settings of every service that calls another through it. */
export const workloadConfig = Config.all({
  /** Where the gateway is reached. */
  gatewayUrl: Config.URL("GATEWAY_URL"),
  /** Its public origin where that is another, the `aud` of assertions. */
  issuer: Config.String("IDENTITY_ISSUER").pipe(Config.withDefault(undefined)),
  id: Config.String("WORKLOAD_ID").pipe(Config.withDefault(undefined)),
  tokenFile: Config.String("WORKLOAD_TOKEN_FILE").pipe(Config.withDefault(undefined)),
  keyFile: Config.String("WORKLOAD_KEY_FILE").pipe(Config.withDefault(undefined))
})
type WorkloadConfig = Config.Success<typeof workloadConfig>

export class WorkloadIdentity extends Context.Service<
  WorkloadIdentity,
  {
    /** Where the gateway is reached: what this access token is for. */
    readonly gatewayUrl: URL
    /** An access token that is good for another minute at least. PeerFailed as the gateway answers; Unavailable without a proof to show. */
    readonly accessToken: Effect.Effect<Redacted.Redacted, PeerFailed | Unavailable>
    /** Forgets this token, after it was answered 401: the next is a new one. A newer one stays. */
    readonly forget: (token: Redacted.Redacted) => Effect.Effect<void>
  }
>()("gatehouse/shared/WorkloadIdentity") {
  /** By the service account token that the kubelet keeps fresh in `file`; it is read each time. */
  static readonly layerTokenFile = (options: { readonly gatewayUrl: URL; readonly file: string }) =>
    Layer.effect(
      WorkloadIdentity,
      makeWorkloadIdentity(
        options.gatewayUrl,
        Effect.try({
          try: () => readFileSync(options.file, "utf8").trim(),
          catch: () => new Unavailable({ dependency: "the service account token", retryAfterSeconds: 5 })
        })
      )
    )
  /** By assertions signed with the workload's own key; `audience` is the gateway's public origin. */
  static readonly layerKey = (options: {
    readonly gatewayUrl: URL
    readonly audience: string
    readonly id: string
    readonly key: WorkloadKey
  }) =>
    Layer.effect(
      WorkloadIdentity,
      makeWorkloadIdentity(
        options.gatewayUrl,
        Effect.map(Clock.currentTimeMillis, (now) =>
          makeAssertion(options.key, { id: options.id, audience: options.audience, now: Math.floor(now / 1000) })
        )
      )
    )
  /** By whichever the settings name; fails naming the key that is wrong. */
  static readonly layer = (config: WorkloadConfig) => Layer.unwrap(choose(config))
}

const choose = Effect.fnUntraced(function* ({ gatewayUrl, id, issuer, keyFile, tokenFile }: WorkloadConfig) {
  if ((keyFile === undefined) === (tokenFile === undefined)) {
    return yield* new ConfigInvalid({ key: "WORKLOAD_TOKEN_FILE", detail: "set it or WORKLOAD_KEY_FILE, and not both" })
  }
  if (tokenFile !== undefined) return WorkloadIdentity.layerTokenFile({ gatewayUrl, file: tokenFile })
  if (id === undefined)
    return yield* new ConfigInvalid({ key: "WORKLOAD_ID", detail: "is needed with WORKLOAD_KEY_FILE" })
  const invalid = new ConfigInvalid({ key: "WORKLOAD_KEY_FILE", detail: "must be a readable private JWK (EC, P-256)" })
  const jwk = yield* Effect.try({
    try: (): unknown => JSON.parse(readFileSync(keyFile ?? "", "utf8")),
    catch: () => invalid
  })
  const key = workloadKeyOf(jwk)
  if (key === undefined) return yield* invalid
  return WorkloadIdentity.layerKey({ gatewayUrl, audience: issuer ?? gatewayUrl.origin, id, key })
})

interface Held {
  readonly token: Redacted.Redacted
  /** Milliseconds since the epoch. */
  readonly renewAt: number
}

const makeWorkloadIdentity = (gatewayUrl: URL, proof: Effect.Effect<string, Unavailable>) =>
  Effect.sync(() => {
    type Failure = PeerFailed | Unavailable
    let held: Held | undefined
    let asking: Deferred.Deferred<Redacted.Redacted, Failure> | undefined

    const exchange = Effect.gen(function* () {
      const asked = yield* Clock.currentTimeMillis
      const body = new URLSearchParams({
        grant_type: exchangeGrantType,
        subject_token: yield* proof,
        subject_token_type: jwtTokenType,
        requested_token_type: accessTokenType
      })
      const answer = yield* fetchJson(new URL("/auth/token", gatewayUrl), TokenResponse, {
        timeout: "10 seconds",
        init: { method: "POST", body }
      })
      const token = Redacted.make(answer.access_token)
      held = { token, renewAt: asked + (answer.expires_in - renewBefore) * 1000 }
      return token
    })

    /** One exchange, however many wait for it, and whether or not the first of them is gone. */
    const ask = Effect.suspend(() => {
      if (asking !== undefined) return Deferred.await(asking)
      const answer = Deferred.makeUnsafe<Redacted.Redacted, Failure>()
      asking = answer
      return exchange.pipe(
        Effect.onExit((exit) => {
          asking = undefined
          return Deferred.done(answer, exit)
        }),
        Effect.ignore,
        Effect.forkDetach,
        Effect.andThen(Deferred.await(answer))
      )
    })

    return WorkloadIdentity.of({
      gatewayUrl,
      accessToken: Effect.flatMap(Clock.currentTimeMillis, (now) =>
        held !== undefined && now < held.renewAt ? Effect.succeed(held.token) : ask
      ),
      forget: (token) =>
        Effect.sync(() => {
          if (held !== undefined && Redacted.value(held.token) === Redacted.value(token)) held = undefined
        })
    })
  })
