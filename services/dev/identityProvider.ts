/** A real OpenID Connect provider for development and tests, where anyone may be anyone; must never listen beyond this machine. */
import { generateKeyPairSync, randomUUID } from "node:crypto"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, Schema, type Scope } from "effect"
import { createMemoryAdapter } from "oidc-provider/lib/adapters/memory_adapter.js"
import { base, Check } from "oidc-provider/lib/helpers/interaction_policy/index.js"
import { type Context, type Interaction, Provider } from "oidc-provider/lib/provider.js"
import { type DemoUser, demoUsers } from "./demoUsers.ts"
import { loginPage, logoutPage, messagePage, pageHeaders } from "./identityProviderPages.ts"

/** The development identity provider cannot be had; `detail` names the port when that is taken. */
export class IdentityProviderFailed extends Schema.TaggedError<IdentityProviderFailed>()("IdentityProviderFailed", {
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `development identity provider: ${this.operation}: ${this.detail}`
  }
}

/** A relying party: a confidential client that authenticates with HTTP Basic, as RFC 6749 §2.3.1 wants it supported. */
export type IdentityProviderClient = {
  readonly clientId: string
  readonly clientSecret: string
  readonly redirectUris: ReadonlyArray<string>
  /** Where a logout may lead besides the root page of each redirect URI's origin. */
  readonly postLogoutRedirectUris?: ReadonlyArray<string>
}

export type IdentityProviderOptions = {
  /** 0: any free one. */
  readonly port: number
  readonly clients: ReadonlyArray<IdentityProviderClient>
  readonly users?: ReadonlyArray<DemoUser>
  /** The issuer that others know it by, where a proxy with TLS stands before it; `http://localhost:<port>` unless told. */
  readonly publicUrl?: string
  /** Runs before each request to the token endpoint: a test delays it, or rejects to have the endpoint answer 503. */
  readonly beforeToken?: () => Promise<void>
}

export type IdentityProvider = {
  readonly issuer: string
  readonly port: number
  readonly users: ReadonlyArray<DemoUser>
  /** Signs with a new key from now on; the old keys stay in the JWKS, so that what they signed stays valid. */
  readonly rotateKey: Effect.Effect<void>
}

/**
 * Serves the provider on 127.0.0.1 as `http://localhost:<port>` until the scope ends. Authorization code flow with PKCE (S256)
 * only, ES256 ID tokens with name, email, sid and auth_time. The login page lists the users; `login_hint=<user id>` logs that
 * user in without a page, which is what `curl -L` wants, unless `prompt=login` or `max_age` ask for a person.
 * Keys and sessions live in memory: a restart breaks no session of a client, only logins under way.
 */
export const startIdentityProvider = Effect.fn("startIdentityProvider")(function* (
  options: IdentityProviderOptions
): Effect.fn.Return<IdentityProvider, IdentityProviderFailed, Scope.Scope> {
  const users = options.users ?? demoUsers
  const logError = Effect.runForkWith(yield* Effect.context<never>())
  const adapter = createMemoryAdapter()
  let keys: ReadonlyArray<object> = [signingKey()]
  let handle: Handler = async (_, response) =>
    void send(response, 503, messagePage("Starting", "Try again in a moment."))

  // The port is part of the issuer, so it is taken before there is a provider to answer on it.
  const server = yield* Effect.acquireRelease(
    listen(options.port, (request, response) => void handle(request, response)),
    close
  )
  const { port } = server.address() as AddressInfo
  const issuer = options.publicUrl ?? `http://localhost:${port}`
  const renew = Effect.try({
    try: () => {
      const provider = new Provider(issuer, { ...configuration(options.clients, users, keys), adapter })
      // The proxy tells by which scheme it was asked.
      provider.proxy = options.publicUrl !== undefined
      provider.use(askForSid)
      // What a request did wrong is answered to it; only this provider's own faults are worth a line.
      provider.on("error", () => {})
      provider.on("server_error", (_, error) => void logError(Effect.logError("development identity provider", error)))
      handle = makeHandler(provider, issuer, users, options.beforeToken)
    },
    catch: (cause) => new IdentityProviderFailed({ operation: "configure", detail: String(cause) })
  })
  yield* renew
  const rotateKey = Effect.suspend(() => {
    keys = [signingKey(), ...keys]
    return Effect.orDie(renew)
  })
  return { issuer, port, users, rotateKey }
})

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

const signingKey = () => ({
  ...generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }),
  kid: randomUUID(),
  alg: "ES256",
  use: "sig"
})

const listen = (port: number, handler: (request: IncomingMessage, response: ServerResponse) => void) =>
  Effect.callback<Server, IdentityProviderFailed>((resume) => {
    const server = createServer(handler)
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const detail = cause.code === "EADDRINUSE" ? `port ${port} on 127.0.0.1 is taken` : cause.message
      resume(Effect.fail(new IdentityProviderFailed({ operation: "listen", detail })))
    })
    server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
  })

const close = (server: Server) =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })

/** How long a login page may stand open, in seconds. */
const loginLimit = 600

const configuration = (
  clients: ReadonlyArray<IdentityProviderClient>,
  users: ReadonlyArray<DemoUser>,
  keys: ReadonlyArray<object>
) => ({
  clients: clients.map((client) => ({
    client_id: client.clientId,
    client_secret: client.clientSecret,
    redirect_uris: client.redirectUris,
    post_logout_redirect_uris: [
      ...new Set([
        ...client.redirectUris.map((uri) => new URL("/", uri).href),
        ...(client.postLogoutRedirectUris ?? [])
      ])
    ],
    id_token_signed_response_alg: "ES256",
    require_auth_time: true
  })),
  jwks: { keys },
  // Without keys, so unsigned: the cookies are random ids anyway, and the comparison of signatures calls something that Bun
  // announces as deprecated on standard error.
  cookies: { keys: [] },
  pkce: { required: () => true },
  responseTypes: ["code"],
  scopes: ["openid", "profile", "email", "offline_access"],
  claims: {
    acr: null,
    auth_time: null,
    iss: null,
    sid: null,
    openid: ["sub"],
    profile: ["name"],
    email: ["email", "email_verified"]
  },
  conformIdTokenClaims: false,
  clientBasedCORS: () => false,
  // Set, because the defaults announce themselves on standard output. In seconds.
  ttl: {
    AccessToken: 600,
    AuthorizationCode: 60,
    Grant: 86_400,
    IdToken: 600,
    Interaction: loginLimit,
    RefreshToken: 86_400,
    Session: 86_400
  },
  features: {
    devInteractions: { enabled: false },
    claimsParameter: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: async (context: Context, form: string) =>
        // A valid id_token_hint shows that the client asks for its own session, so there is nothing to confirm.
        html(context, logoutPage(form, context.oidc.entities.IdTokenHint !== undefined)),
      postLogoutSuccessSource: async (context: Context) =>
        html(context, messagePage("Logged out", "You can close this page."))
    }
  },
  interactions: {
    url: (_: Context, interaction: Interaction) => `/interaction/${interaction.uid}`,
    policy: alwaysAsk()
  },
  findAccount: (_: Context, id: string) => {
    const user = users.find((user) => user.id === id)
    return (
      user && { accountId: id, claims: () => ({ sub: id, name: user.name, email: user.email, email_verified: true }) }
    )
  },
  /** The clients are our own: whoever logs in has consented. */
  loadExistingGrant: async ({ oidc }: Context) => {
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId })
    grant.addOIDCScope("openid profile email offline_access")
    await grant.save()
    return grant
  },
  renderError: async (context: Context, out: { error: string; error_description?: string }) =>
    html(context, messagePage("This login cannot go on", out.error_description ?? out.error))
})

/**
 * Every authorization is a new choice of who to be. Single sign-on, the provider remembering the browser, would be right anywhere
 * else; here the next login must be able to be someone else's, to see a proposal with one role and approve it with another.
 */
const alwaysAsk = () => {
  const policy = base()
  const check = new Check("choose_user", "a user has to be chosen", ({ oidc }) =>
    oidc.result?.login === undefined ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT
  )
  policy.get("login").checks.add(check)
  return policy
}

/** oidc-provider puts `sid` into the ID tokens of clients with back-channel logout, or where the request asks: here each does. */
const askForSid = async (context: Context, next: () => Promise<void>) => {
  if (context.method === "GET" && context.path === "/auth" && context.query["claims"] === undefined) {
    context.query = { ...context.query, claims: JSON.stringify({ id_token: { sid: null } }) }
  }
  await next()
}

const makeHandler = (
  provider: Provider,
  issuer: string,
  users: ReadonlyArray<DemoUser>,
  beforeToken: IdentityProviderOptions["beforeToken"]
): Handler => {
  const serve = provider.callback()
  return async (request, response) => {
    // A page elsewhere can point a name of its own at 127.0.0.1, and would then be this origin's equal.
    if (request.headers.host !== new URL(issuer).host) {
      return send(response, 421, messagePage("Misdirected request", `This is ${issuer}.`))
    }
    const { pathname } = new URL(request.url ?? "/", "http://localhost")
    if (pathname.startsWith("/interaction/")) return interact(provider, users, request, response)
    if (pathname === "/token" && beforeToken !== undefined) {
      try {
        await beforeToken()
      } catch {
        return send(response, 503, messagePage("Unavailable", "The token endpoint is closed."))
      }
    }
    return serve(request, response)
  }
}

const interact = async (
  provider: Provider,
  users: ReadonlyArray<DemoUser>,
  request: IncomingMessage,
  response: ServerResponse
) => {
  try {
    const interaction = await provider.interactionDetails(request, response)
    const { login_hint: hint, prompt, max_age: maxAge, client_id: client } = interaction.params
    // `prompt=consent` is the only other thing the provider can ask for, and is given.
    if (interaction.prompt.name !== "login") {
      return await provider.interactionFinished(request, response, { consent: {} })
    }
    const person =
      String(prompt ?? "")
        .split(" ")
        .includes("login") || maxAge !== undefined
    const account = request.method === "POST" ? (await form(request)).get("account") : person ? undefined : hint
    const user = users.find((user) => user.id === account)
    if (user === undefined)
      return send(response, request.method === "POST" ? 422 : 200, loginPage(String(client), users))
    await forgetSession(provider, interaction)
    return await provider.interactionFinished(request, response, { login: { accountId: user.id, remember: false } })
  } catch {
    return send(
      response,
      400,
      messagePage("This login has expired", "Go back to where you came from and log in again.")
    )
  }
}

/** The login before this one ends here: the provider would otherwise put a logout form between two different users. */
const forgetSession = async (provider: Provider, interaction: Interaction) => {
  if (interaction.session === undefined) return
  await (await provider.Session.findByUid(interaction.session.uid))?.destroy()
  interaction.session = undefined
  await interaction.save(loginLimit)
}

const form = async (request: IncomingMessage) => {
  let text = ""
  for await (const chunk of request) {
    text += chunk
    if (text.length > 10_000) break
  }
  return new URLSearchParams(text)
}

const html = (context: Context, body: string) => {
  context.set(pageHeaders)
  context.body = body
}

const send = (response: ServerResponse, status: number, body: string) => {
  response.writeHead(status, pageHeaders).end(body)
}
