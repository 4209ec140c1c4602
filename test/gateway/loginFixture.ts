/** What login tests need beside a gateway: a browser with cookies, and an OpenID Connect provider whose every answer a test chooses; must judge nothing. */
import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto"
import type { GatewayFixture } from "#test/gateway/fixture.ts"

/** A browser without a screen: it keeps the gateway's cookies, and follows no redirect. */
export interface Browser {
  readonly cookies: Map<string, string>
  readonly get: (path: string, headers?: Readonly<Record<string, string>>) => Promise<Response>
  /** From one of the gateway's own pages. */
  readonly send: (method: string, path: string, body?: BodyInit | object) => Promise<Response>
  /** The session's secret, if there is one. */
  readonly session: () => string | undefined
}

export const makeBrowser = (gateway: Pick<GatewayFixture, "ask" | "origin">): Browser => {
  const cookies = new Map<string, string>()
  const visit = async (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers)
    if (cookies.size > 0) headers.set("cookie", [...cookies].map(([name, value]) => `${name}=${value}`).join("; "))
    const response = await gateway.ask(path, { ...init, headers })
    for (const line of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/u.exec(line) ?? []
      if (/; Max-Age=0(?:;|$)/u.test(line)) cookies.delete(name)
      else cookies.set(name, value)
    }
    return response
  }
  return {
    cookies,
    get: (path, headers = {}) => visit(path, { headers: { accept: "text/html", ...headers } }),
    send: (method, path, body) => {
      const json = body !== undefined && Object.getPrototypeOf(body) === Object.prototype
      return visit(path, {
        method,
        headers: { origin: gateway.origin, ...(json ? { "content-type": "application/json" } : {}) },
        ...(body === undefined ? {} : { body: json ? JSON.stringify(body) : (body as BodyInit) })
      })
    },
    session: () => cookies.get("__Host-gatehouse")
  }
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

export interface SigningKey {
  /** Undefined: the provider gives its keys no ids. */
  readonly kid: string | undefined
  readonly publicJwk: object
  readonly privateKey: KeyObject
}

export const signingKey = (kid: string | undefined = randomUUID()): SigningKey => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const jwk = { ...publicKey.export({ format: "jwk" }), alg: "ES256", use: "sig" }
  return { kid, publicJwk: kid === undefined ? jwk : { ...jwk, kid }, privateKey }
}

type Claims = Record<string, unknown>

/** A compact JWS by ES256, whatever the header says. */
export const signed = (key: SigningKey, claims: object, header: object = {}): string => {
  const input = `${encode({ alg: "ES256", typ: "JWT", ...(key.kid === undefined ? {} : { kid: key.kid }), ...header })}.${encode(claims)}`
  const signature = sign("sha256", Buffer.from(input), { key: key.privateKey, dsaEncoding: "ieee-p1363" })
  return `${input}.${signature.toString("base64url")}`
}

/** How the answer to one code differs from a good one. */
export interface Edit {
  readonly claims?: Claims
  /** The ID token; undefined leaves it out. */
  readonly idToken?: (good: Claims, key: SigningKey) => string | undefined
  /** Runs before the token endpoint answers; what it returns is the answer. */
  readonly before?: () => Promise<Response | void> | Response | void
}

export interface FakeProvider {
  readonly issuer: string
  /** What signs, first; all are published. A test replaces them. */
  keys: ReadonlyArray<SigningKey>
  /** Answers discovery; a test takes it away and gives it back. */
  discovery: (() => Response) | undefined
  /** Further members of the discovery document. */
  metadata: object
  /** A code for the login that was sent to `authorization`. */
  readonly code: (authorization: URL, subject: string, edit?: Edit) => string
  /** How often each path was asked. */
  readonly asked: (path: string) => number
  readonly stop: () => Promise<void>
}

export const fakeClient = { id: "client-1", secret: "the client's secret, known to both" }

export const startFakeProvider = (): FakeProvider => {
  interface Issued {
    readonly challenge: string
    readonly redirectUri: string
    readonly claims: Claims
    readonly edit: Edit
  }
  const codes = new Map<string, Issued>()
  const counts = new Map<string, number>()

  const token = async (request: Request): Promise<Response> => {
    const form = new URLSearchParams(await request.text())
    const no = (error: string) => Response.json({ error }, { status: 400 })
    if (request.headers.get("authorization") !== `Basic ${btoa(`${fakeClient.id}:${fakeClient.secret}`)}`)
      return Response.json({ error: "invalid_client" }, { status: 401 })
    const issued = codes.get(form.get("code") ?? "")
    codes.delete(form.get("code") ?? "")
    if (issued === undefined) return no("invalid_grant")
    const other = await issued.edit.before?.()
    if (other !== undefined) return other
    const challenge = createHash("sha256")
      .update(form.get("code_verifier") ?? "")
      .digest("base64url")
    if (challenge !== issued.challenge || form.get("redirect_uri") !== issued.redirectUri) return no("invalid_grant")
    const key = fake.keys[0]!
    const idToken = (issued.edit.idToken ?? ((good, by) => signed(by, good)))(issued.claims, key)
    return Response.json({
      access_token: randomUUID(),
      token_type: "Bearer",
      ...(idToken === undefined ? {} : { id_token: idToken })
    })
  }

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    fetch: async (request) => {
      const { pathname } = new URL(request.url)
      counts.set(pathname, (counts.get(pathname) ?? 0) + 1)
      switch (pathname) {
        case "/.well-known/openid-configuration":
          return fake.discovery?.() ?? new Response(null, { status: 503 })
        case "/jwks":
          return Response.json({ keys: fake.keys.map((key) => key.publicJwk) })
        case "/token":
          return token(request)
        default:
          return new Response(null, { status: 404 })
      }
    }
  })
  const issuer = `http://127.0.0.1:${server.port}`
  const fake: FakeProvider = {
    issuer,
    keys: [signingKey()],
    metadata: {},
    discovery: () =>
      Response.json({
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/jwks`,
        ...fake.metadata
      }),
    code: (authorization, subject, edit = {}) => {
      const asked = authorization.searchParams
      const now = Math.floor(Date.now() / 1000)
      const code = randomUUID()
      codes.set(code, {
        challenge: asked.get("code_challenge") ?? "",
        redirectUri: asked.get("redirect_uri") ?? "",
        edit,
        claims: {
          iss: issuer,
          sub: subject,
          aud: fakeClient.id,
          iat: now,
          exp: now + 300,
          nonce: asked.get("nonce"),
          name: `Name of ${subject}`,
          ...edit.claims
        }
      })
      return code
    },
    asked: (path) => counts.get(path) ?? 0,
    stop: () => server.stop(true)
  }
  return fake
}

/** The settings of a fake provider. */
export const fakeSettings = (fake: FakeProvider, id = "fake") => ({
  id,
  kind: "oidc",
  issuer: fake.issuer,
  clientId: fakeClient.id,
  clientSecret: { env: "FAKE_CLIENT_SECRET" }
})
export const fakeEnv = { FAKE_CLIENT_SECRET: fakeClient.secret }

/** Begins a login and gives where the browser is sent. */
export const begin = async (browser: Browser, query = "provider=fake"): Promise<URL> => {
  const answer = await browser.get(`/auth/login?${query}`)
  if (answer.status !== 302) throw new Error(`no login begun: ${answer.status} ${await answer.text()}`)
  return new URL(answer.headers.get("location")!)
}

/** The callback's path for a login that was sent to `authorization`; `parameters` replace or (undefined) remove some. */
export const callback = (
  authorization: URL,
  code: string,
  parameters: Readonly<Record<string, string | undefined>> = {},
  provider = "fake"
): string => {
  const query = new URLSearchParams()
  const all = { state: authorization.searchParams.get("state")!, code, ...parameters }
  for (const [name, value] of Object.entries(all)) if (value !== undefined) query.set(name, value)
  return `/auth/callback/${provider}?${query}`
}

/** A whole login at the fake provider; its answer is the callback's. */
export const logIn = async (browser: Browser, fake: FakeProvider, subject: string, edit: Edit = {}) => {
  const authorization = await begin(browser)
  return browser.get(callback(authorization, fake.code(authorization, subject, edit)))
}
