/** The one adapter around arctic: authorization URLs and code exchange with PKCE (RFC 7636); it verifies nothing, which is Providers' work. */
import {
  ArcticFetchError,
  CodeChallengeMethod,
  generateCodeVerifier,
  OAuth2Client,
  OAuth2RequestError,
  UnexpectedResponseError
} from "arctic"
import { type Duration, Effect, Schema } from "effect"

/** The exchange did not give tokens. `refused`: the provider said no, trying again needs a new login; else it was not to be had. */
export class ExchangeFailed extends Schema.TaggedError<ExchangeFailed>()("ExchangeFailed", {
  reason: Schema.Literals(["refused", "unreachable", "timeout", "format"])
}) {
  override get message() {
    return `the identity provider's token endpoint: ${this.reason}`
  }
}

export interface Client {
  readonly clientId: string
  readonly clientSecret: string
  readonly redirectUri: string
}

export { generateCodeVerifier }

/** Where the browser goes to log in; S256 always. */
export const authorizationUrl = (
  client: Client,
  endpoint: string,
  attempt: {
    readonly state: string
    readonly verifier: string
    readonly nonce: string
    readonly scopes: ReadonlyArray<string>
  },
  extra: Readonly<Record<string, string>>
): URL => {
  const url = new OAuth2Client(client.clientId, client.clientSecret, client.redirectUri).createAuthorizationURLWithPKCE(
    endpoint,
    attempt.state,
    CodeChallengeMethod.S256,
    attempt.verifier,
    [...attempt.scopes]
  )
  url.searchParams.set("nonce", attempt.nonce)
  for (const [name, value] of Object.entries(extra)) url.searchParams.set(name, value)
  return url
}

/** Exchanges a code; arctic has no deadline of its own. An answer without a token of the kind asked for is `format`. */
export const exchangeCode = Effect.fnUntraced(function* (
  client: Client,
  endpoint: string,
  code: string,
  verifier: string,
  timeout: Duration.Input
) {
  const tokens = yield* Effect.tryPromise({
    try: () =>
      new OAuth2Client(client.clientId, client.clientSecret, client.redirectUri).validateAuthorizationCode(
        endpoint,
        code,
        verifier
      ),
    catch: (error) => {
      if (error instanceof OAuth2RequestError) return new ExchangeFailed({ reason: "refused" })
      const away =
        error instanceof ArcticFetchError || (error instanceof UnexpectedResponseError && error.status >= 500)
      return new ExchangeFailed({ reason: away ? "unreachable" : "format" })
    }
  }).pipe(Effect.timeoutOrElse({ duration: timeout, orElse: () => new ExchangeFailed({ reason: "timeout" }) }))
  const read = (get: () => string) => Effect.try({ try: get, catch: () => new ExchangeFailed({ reason: "format" }) })
  return {
    accessToken: read(() => tokens.accessToken()),
    idToken: read(() => tokens.idToken())
  }
})
