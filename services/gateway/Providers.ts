/** Identity providers (spec R6, R20): discovery that retries for ever, and the verified person behind an authorization code; must keep no session and no token. */
import { Clock, Context, Effect, Layer, Redacted, Ref, Schedule, Schema } from "effect"
import { createRemoteJWKSet, customFetch, decodeProtectedHeader, errors as joseErrors, jwtVerify } from "jose"
import { fetchJson } from "#shared/client.ts"
import { NotFound, Unavailable } from "#shared/domain/errors.ts"
import { type Followed, follow } from "#shared/secrets/rotation.ts"
import { authorizationUrl, type Client, exchangeCode, ExchangeFailed } from "./authorizationCode.ts"
import type { Vouched } from "./Directory.ts"
import type { ProviderSettings } from "./settingsFile.ts"

/** Seconds by which a provider's clock may differ from ours. */
const clockSkew = 30
const exchangeTimeout = "5 seconds"
const maxName = 200
const maxEmail = 320

/** Signature algorithms an ID token may use: asymmetric ones only, so that a client secret never becomes a signing key. */
const idTokenAlgorithms = ["ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512", "EdDSA"]

/** The ID token is not acceptable; `reason` names the check, never the content. */
export class IdTokenRefused extends Schema.TaggedError<IdTokenRefused>()("IdTokenRefused", { reason: Schema.String }) {
  override get message() {
    return `the ID token is refused: ${this.reason}`
  }
}

/** A provider with the secrets it needs, as configuration gives it. */
export interface ProviderConfig {
  readonly settings: ProviderSettings
  /** Followed, where it comes from a file or a store: a new one is used from the next login on. */
  readonly clientSecret: Redacted.Redacted
}

/** What a login attempt remembers until the browser comes back. */
export interface Attempt {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
}

/** Who logged in, when (milliseconds, as the provider says), and the provider's own session. */
export interface Authentication {
  readonly person: Vouched
  readonly authTime: number | undefined
  readonly idpSid: string | undefined
}

export class Providers extends Context.Service<
  Providers,
  {
    readonly list: ReadonlyArray<{
      readonly id: string
      readonly label: string
      readonly available: Effect.Effect<boolean>
    }>
    /** The URL to send the browser to; 404 for an unknown provider, 503 while its discovery is pending. */
    readonly authorizationUrl: (
      id: string,
      attempt: Attempt,
      hints: Readonly<Record<string, string>>
    ) => Effect.Effect<URL, NotFound | Unavailable>
    /** Exchanges the code and verifies what comes. `iss` is the callback's parameter (RFC 9207). */
    readonly authenticate: (
      id: string,
      attempt: Omit<Attempt, "state">,
      callback: { readonly code: string; readonly iss: string | undefined }
    ) => Effect.Effect<Authentication, NotFound | Unavailable | ExchangeFailed | IdTokenRefused>
  }
>()("gatehouse/gateway/Providers") {
  static readonly layer = (options: {
    readonly providers: ReadonlyArray<ProviderConfig>
    readonly publicUrl: string
  }) => Layer.effect(Providers, makeProviders(options.providers, options.publicUrl))
}

const Discovery = Schema.Struct({
  issuer: Schema.String,
  authorization_endpoint: Schema.String,
  token_endpoint: Schema.String,
  jwks_uri: Schema.String,
  authorization_response_iss_parameter_supported: Schema.optionalKey(Schema.Boolean)
})

/** What identifies somebody is taken as it is or not at all. */
const identifier = Schema.String.check(
  Schema.isPattern(/^[^\p{Cc}]{1,255}$/u, { expected: "1 to 255 characters without control characters" })
)
/** What is only shown loses what cannot be. */
const shown = (text: string, length: number) => text.replaceAll(/\p{Cc}/gu, "").slice(0, length)

const IdClaims = Schema.Struct({
  sub: identifier,
  nonce: Schema.optionalKey(Schema.String),
  azp: Schema.optionalKey(Schema.String),
  auth_time: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
  sid: Schema.optionalKey(identifier),
  name: Schema.optionalKey(Schema.String),
  preferred_username: Schema.optionalKey(Schema.String),
  email: Schema.optionalKey(Schema.String),
  email_verified: Schema.optionalKey(Schema.Unknown)
})

interface Endpoints {
  readonly issuer: string
  readonly authorize: string
  readonly token: string
  /** Whether it announces that its answers name it (RFC 9207 §3): then one without a name is not its. */
  readonly namesItself: boolean
  readonly keys: ReturnType<typeof createRemoteJWKSet> | undefined
}

const labels: Readonly<Record<ProviderSettings["kind"], string>> = {
  oidc: "single sign-on",
  google: "Google",
  gitlab: "GitLab",
  github: "GitHub"
}

const issuerOf = (settings: ProviderSettings): string | undefined => {
  switch (settings.kind) {
    case "oidc":
      return settings.issuer
    case "google":
      return "https://accounts.google.com"
    case "gitlab":
      return settings.issuer ?? "https://gitlab.com"
    case "github":
      return undefined
  }
}

/** GitHub speaks no OpenID Connect: its endpoints are known and the person comes from its REST API. */
const githubEndpoints = (settings: ProviderSettings & { kind: "github" }): Endpoints => {
  const base = (settings.baseUrl ?? "https://github.com").replace(/\/$/u, "")
  return {
    issuer: base,
    authorize: `${base}/login/oauth/authorize`,
    token: `${base}/login/oauth/access_token`,
    namesItself: false,
    keys: undefined
  }
}

const scopesOf = (settings: ProviderSettings): ReadonlyArray<string> =>
  settings.scopes ?? (settings.kind === "github" ? ["read:user", "user:email"] : ["openid", "profile", "email"])

const sameIssuer = (one: string, other: string) => one.replace(/\/$/u, "") === other.replace(/\/$/u, "")

/** OpenID Connect Discovery 1.0 §4: the document's issuer must be the configured one, or another provider could pose as it. */
const discover = Effect.fnUntraced(function* (issuer: string) {
  const url = new URL(`${issuer.replace(/\/$/u, "")}/.well-known/openid-configuration`)
  const found = yield* fetchJson(url, Discovery, { timeout: "5 seconds" })
  if (!sameIssuer(found.issuer, issuer))
    return yield* Effect.fail(new Error("the discovery document names another issuer"))
  const keys = createRemoteJWKSet(new URL(found.jwks_uri), {
    timeoutDuration: 5000,
    // A provider may sign with a key it published a moment ago. No stranger can make us ask: ID tokens come from it alone.
    cooldownDuration: 0,
    [customFetch]: (target: string, init: RequestInit) => fetch(target, { ...init, redirect: "error" })
  })
  return {
    issuer: found.issuer,
    authorize: found.authorization_endpoint,
    token: found.token_endpoint,
    namesItself: found.authorization_response_iss_parameter_supported === true,
    keys
  }
})

const makeProviders = (configs: ReadonlyArray<ProviderConfig>, publicUrl: string) =>
  Effect.gen(function* () {
    const providers = new Map<
      string,
      {
        readonly config: ProviderConfig
        readonly clientSecret: Followed
        readonly endpoints: Ref.Ref<Endpoints | undefined>
      }
    >()
    for (const config of configs) {
      const { settings } = config
      const endpoints = yield* Ref.make<Endpoints | undefined>(
        settings.kind === "github" ? githubEndpoints(settings) : undefined
      )
      providers.set(settings.id, { config, clientSecret: yield* follow(config.clientSecret), endpoints })
      const issuer = issuerOf(settings)
      if (issuer === undefined) continue
      yield* discover(issuer).pipe(
        Effect.flatMap((found) => Ref.set(endpoints, found)),
        Effect.tapError((error) =>
          Effect.logWarning("identity provider is not available, retrying").pipe(
            Effect.annotateLogs({ provider: settings.id, reason: error.message })
          )
        ),
        Effect.retry(Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("60 seconds")])),
        Effect.tap(() =>
          Effect.logInfo("identity provider is available").pipe(Effect.annotateLogs({ provider: settings.id }))
        ),
        Effect.ignore,
        Effect.forkScoped
      )
    }

    const resolve = Effect.fnUntraced(function* (id: string) {
      const provider = providers.get(id)
      if (provider === undefined) return yield* new NotFound({ resource: "identity provider" })
      const endpoints = yield* Ref.get(provider.endpoints)
      if (endpoints === undefined) {
        return yield* new Unavailable({ dependency: `the identity provider "${id}"`, retryAfterSeconds: 5 })
      }
      const { settings } = provider.config
      const clientSecret = Redacted.value(provider.clientSecret.current())
      const client: Client = {
        clientId: settings.clientId,
        clientSecret,
        redirectUri: `${publicUrl}/auth/callback/${id}`
      }
      return { client, endpoints, settings }
    })

    return Providers.of({
      list: [...providers].map(([id, { config, endpoints }]) => ({
        id,
        label: config.settings.label ?? labels[config.settings.kind],
        available: Effect.map(Ref.get(endpoints), (found) => found !== undefined)
      })),
      authorizationUrl: Effect.fn("Providers.authorizationUrl")(function* (id, attempt, hints) {
        const { client, endpoints, settings } = yield* resolve(id)
        return authorizationUrl(client, endpoints.authorize, { ...attempt, scopes: scopesOf(settings) }, hints)
      }),
      authenticate: Effect.fn("Providers.authenticate")(function* (id, attempt, { code, iss }) {
        const { client, endpoints, settings } = yield* resolve(id)
        if (iss === undefined ? endpoints.namesItself : !sameIssuer(iss, endpoints.issuer)) {
          return yield* new IdTokenRefused({ reason: "the answer comes from another issuer" })
        }
        const tokens = yield* exchangeCode(client, endpoints.token, code, attempt.verifier, exchangeTimeout)
        if (endpoints.keys === undefined) {
          const api = settings.kind === "github" ? settings.apiUrl : undefined
          const person = yield* githubPerson(yield* tokens.accessToken, api ?? "https://api.github.com")
          return {
            person: { ...person, provider: id, issuer: endpoints.issuer },
            authTime: undefined,
            idpSid: undefined
          }
        }
        const claims = yield* verifyIdToken(yield* tokens.idToken, client.clientId, attempt.nonce, {
          issuer: endpoints.issuer,
          keys: endpoints.keys
        })
        const verified = claims.email_verified === true || claims.email_verified === "true"
        return {
          person: {
            provider: id,
            issuer: endpoints.issuer,
            subject: claims.sub,
            name: shown(claims.name ?? claims.preferred_username ?? "", maxName) || claims.sub,
            email: verified && claims.email !== undefined ? shown(claims.email, maxEmail) : undefined
          },
          authTime: claims.auth_time === undefined ? undefined : claims.auth_time * 1000,
          idpSid: claims.sid
        }
      })
    })
  })

/** OpenID Connect Core 1.0 §3.1.3.7, with algorithms pinned (RFC 8725). */
export const verifyIdToken = Effect.fnUntraced(function* (
  idToken: string,
  clientId: string,
  nonce: string,
  trust: { readonly issuer: string; readonly keys: ReturnType<typeof createRemoteJWKSet> }
) {
  const now = yield* Clock.currentTimeMillis
  const { payload } = yield* Effect.tryPromise({
    try: async () => {
      // Without a key's id only the present set tells which one is meant, and whether that is certain.
      if (decodeProtectedHeader(idToken).kid === undefined) await trust.keys.reload()
      return jwtVerify(idToken, trust.keys, {
        algorithms: idTokenAlgorithms,
        issuer: trust.issuer,
        audience: clientId,
        clockTolerance: clockSkew,
        requiredClaims: ["iss", "aud", "exp", "iat", "sub", "nonce"],
        currentDate: new Date(now)
      })
    },
    catch: (error) =>
      new IdTokenRefused({
        reason: error instanceof joseErrors.JOSEError ? error.code : "unreadable, or keys unavailable"
      })
  })
  const claims = yield* Schema.decodeUnknownEffect(IdClaims)(payload).pipe(
    Effect.mapError(() => new IdTokenRefused({ reason: "a claim is missing or malformed" }))
  )
  if (claims.nonce !== nonce) return yield* new IdTokenRefused({ reason: "nonce" })
  if (payload.iat! > now / 1000 + clockSkew) return yield* new IdTokenRefused({ reason: "issued in the future" })
  const audiences = Array.isArray(payload.aud) ? payload.aud : [payload.aud]
  if (audiences.length > 1 && claims.azp === undefined)
    return yield* new IdTokenRefused({ reason: "several audiences and no azp" })
  if (claims.azp !== undefined && claims.azp !== clientId) return yield* new IdTokenRefused({ reason: "azp" })
  return claims
})

const GithubUser = Schema.Struct({ id: Schema.Int, login: Schema.String, name: Schema.NullOr(Schema.String) })
const GithubEmails = Schema.Array(
  Schema.Struct({ email: Schema.String, primary: Schema.Boolean, verified: Schema.Boolean })
)

/** GitHub's numeric id is the subject: a login name can be given up and taken by somebody else. */
const githubPerson = Effect.fnUntraced(function* (accessToken: string, apiUrl: string) {
  const init = {
    headers: {
      authorization: `Bearer ${accessToken}`,
      accept: "application/vnd.github+json",
      "user-agent": "gatehouse"
    }
  }
  const get = <S extends Schema.ConstraintDecoder<unknown>>(path: string, schema: S) =>
    fetchJson(new URL(`${apiUrl.replace(/\/$/u, "")}${path}`), schema, { timeout: exchangeTimeout, init })
  const user = yield* get("/user", GithubUser).pipe(
    Effect.mapError((error) => new ExchangeFailed({ reason: error.retryable ? "unreachable" : "format" }))
  )
  const emails = yield* get("/user/emails", GithubEmails).pipe(Effect.orElseSucceed(() => []))
  const email = emails.find((one) => one.primary && one.verified)?.email
  return {
    subject: String(user.id),
    name: shown(user.name ?? "", maxName) || user.login,
    email: email === undefined ? undefined : shown(email, maxEmail)
  }
})
