/** The development identity provider over HTTP, as a browser, curl and a relying party see it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { createHash, randomBytes } from "node:crypto"
import { join } from "node:path"
import { Effect, Exit, Scope } from "effect"
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from "jose"
import { demoUsers } from "#dev/demoUsers.ts"
import { type IdentityProvider, type IdentityProviderOptions, startIdentityProvider } from "#dev/identityProvider.ts"

const client = {
  clientId: "gatehouse",
  clientSecret: "a-secret",
  redirectUris: ["http://localhost:8080/auth/callback/dev"]
}
const scope = Effect.runSync(Scope.make())
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
const start = (options: Partial<IdentityProviderOptions> = {}) =>
  Effect.runPromise(startIdentityProvider({ port: 0, clients: [client], ...options }).pipe(Scope.provide(scope)))

/** A browser without a screen: it keeps cookies by name and path, and follows redirects up to the client's own address. */
const makeBrowser = () => {
  const cookies = new Map<string, { readonly pair: string; readonly path: string }>()
  const visit = async (url: string, init: RequestInit = {}): Promise<{ response: Response; url: string }> => {
    const { pathname } = new URL(url)
    const cookie = [...cookies.values()]
      .filter(({ path }) => pathname.startsWith(path))
      .map(({ pair }) => pair)
      .join("; ")
    const response = await fetch(url, { ...init, redirect: "manual", headers: { ...init.headers, cookie } })
    for (const line of response.headers.getSetCookie()) {
      const [pair = "", ...attributes] = line.split("; ")
      const path = attributes.find((text) => text.toLowerCase().startsWith("path="))?.slice(5) ?? "/"
      const name = `${pair.split("=")[0]} ${path}`
      if (pair.endsWith("=")) cookies.delete(name)
      else cookies.set(name, { pair, path })
    }
    const location = response.headers.get("location")
    if (location === null) return { response, url }
    const target = new URL(location, url).href
    return target.startsWith("http://localhost:8080/") ? { response, url: target } : visit(target)
  }
  const choose = (page: { url: string }, account: string) =>
    visit(page.url, { method: "POST", body: new URLSearchParams({ account }) })
  return { visit, choose }
}

const verifier = randomBytes(32).toString("base64url")
const authorization = (idp: Pick<IdentityProvider, "issuer">, extra: Record<string, string> = {}) =>
  `${idp.issuer}/auth?${new URLSearchParams({
    client_id: client.clientId,
    response_type: "code",
    redirect_uri: client.redirectUris[0]!,
    scope: "openid profile email",
    state: "the-state",
    nonce: "the-nonce",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...extra
  })}`
const exchange = (idp: IdentityProvider, callback: string, codeVerifier = verifier) =>
  fetch(`${idp.issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${client.clientId}:${client.clientSecret}`)}` },
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code: new URL(callback).searchParams.get("code") ?? "",
      redirect_uri: client.redirectUris[0]!,
      code_verifier: codeVerifier
    })
  })
const claimsOf = async (idp: IdentityProvider, tokens: Response) => {
  const { id_token: idToken } = (await tokens.json()) as { id_token: string }
  const keys = createRemoteJWKSet(new URL(`${idp.issuer}/jwks`))
  const { payload } = await jwtVerify(idToken, keys, {
    issuer: idp.issuer,
    audience: client.clientId,
    algorithms: ["ES256"]
  })
  return { idToken, payload }
}

describe("a login", () => {
  let idp: IdentityProvider
  beforeAll(async () => {
    idp = await start()
  })

  test("is described by discovery: code flow, S256, ES256 and nothing weaker", async () => {
    const discovery = (await (await fetch(`${idp.issuer}/.well-known/openid-configuration`)).json()) as Record<
      string,
      unknown
    >
    expect(discovery).toMatchObject({
      issuer: idp.issuer,
      response_types_supported: ["code"],
      code_challenge_methods_supported: ["S256"],
      token_endpoint: `${idp.issuer}/token`,
      end_session_endpoint: `${idp.issuer}/session/end`
    })
  })

  test("shows every user with what they may do, and gives the one chosen at once", async () => {
    const browser = makeBrowser()
    const page = await browser.visit(authorization(idp))
    const text = await page.response.text()
    expect(page.response.status).toBe(200)
    expect(page.response.headers.get("content-security-policy")).toContain("default-src 'none'")
    expect(text).toContain("anyone on this machine can log in as anyone")
    for (const user of demoUsers) expect(text).toContain(`value="${user.id}"`)
    expect(text).toContain("A viewer who decides on proposals")

    const back = await browser.choose(page, "owner")
    expect(new URL(back.url).searchParams.get("state")).toBe("the-state")
    expect(new URL(back.url).searchParams.get("iss")).toBe(idp.issuer)
    const { payload } = await claimsOf(idp, await exchange(idp, back.url))
    expect(payload).toMatchObject({
      sub: "owner",
      name: "Olga Owner",
      email: "owner@gatehouse.test",
      email_verified: true,
      nonce: "the-nonce",
      sid: expect.any(String),
      auth_time: expect.any(Number)
    })
  })

  test("with login_hint needs no page", async () => {
    const back = await makeBrowser().visit(authorization(idp, { login_hint: "developer" }))
    const { payload } = await claimsOf(idp, await exchange(idp, back.url))
    expect([payload.sub, payload["name"]]).toEqual(["developer", "Dev Developer"])
  })

  test("shows the page in spite of login_hint when a person is asked for, and for a stranger", async () => {
    for (const extra of [
      { login_hint: "owner", prompt: "login" },
      { login_hint: "owner", max_age: "0" },
      { login_hint: "nobody" }
    ]) {
      const page = await makeBrowser().visit(authorization(idp, extra as Record<string, string>))
      expect(page.url).toContain(`${idp.issuer}/interaction/`)
      expect(page.response.status).toBe(200)
    }
  })

  test("can be someone else's the next time in the same browser", async () => {
    const browser = makeBrowser()
    const sids = new Set<unknown>()
    for (const account of ["operator", "approver", "approver"]) {
      const page = await browser.visit(authorization(idp))
      expect(page.url).toContain("/interaction/")
      const { payload } = await claimsOf(idp, await exchange(idp, (await browser.choose(page, account)).url))
      expect(payload.sub).toBe(account)
      sids.add(payload["sid"])
    }
    expect(sids.size).toBe(3)
  })

  test("is refused without PKCE, with plain PKCE, with a wrong verifier, with a used code and for an unknown address", async () => {
    const browser = makeBrowser()
    const errorOf = async (extra: Record<string, string>) =>
      new URL((await browser.visit(authorization(idp, extra))).url).searchParams.get("error")
    expect(await errorOf({ code_challenge: "", code_challenge_method: "" })).toBe("invalid_request")
    expect(await errorOf({ code_challenge_method: "plain" })).toBe("invalid_request")
    expect(await errorOf({ prompt: "none" })).toBe("login_required")

    const wrong = await browser.visit(authorization(idp, { login_hint: "owner" }))
    const refused = await exchange(idp, wrong.url, randomBytes(32).toString("base64url"))
    expect([refused.status, await refused.json()]).toEqual([400, expect.objectContaining({ error: "invalid_grant" })])

    const back = await browser.visit(authorization(idp, { login_hint: "owner" }))
    expect((await exchange(idp, back.url)).status).toBe(200)
    expect((await exchange(idp, back.url)).status).toBe(400)

    const elsewhere = await browser.visit(authorization(idp, { redirect_uri: "http://localhost:8080/elsewhere" }))
    expect([elsewhere.response.status, elsewhere.url.startsWith(idp.issuer)]).toEqual([400, true])
  })

  test("for a user who is not on the list is asked again, and without its cookie is over", async () => {
    const browser = makeBrowser()
    const page = await browser.visit(authorization(idp))
    expect((await browser.choose(page, "mallory")).response.status).toBe(422)
    const foreign = await makeBrowser().choose(page, "owner")
    expect([foreign.response.status, await foreign.response.text()]).toEqual([400, expect.stringContaining("expired")])
  })

  test("ends where the client asked when it logs out with the ID token", async () => {
    const browser = makeBrowser()
    const back = await browser.visit(authorization(idp, { login_hint: "owner" }))
    const { idToken } = await claimsOf(idp, await exchange(idp, back.url))
    const query = new URLSearchParams({
      id_token_hint: idToken,
      post_logout_redirect_uri: "http://localhost:8080/",
      state: "bye"
    })
    const page = await browser.visit(`${idp.issuer}/session/end?${query}`)
    const text = await page.response.text()
    expect(page.response.status).toBe(200)
    expect(text).toContain("document.forms[0].submit()")
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(text)?.[1] ?? ""
    const body = new URLSearchParams({ xsrf, logout: "yes" })
    expect((await browser.visit(`${idp.issuer}/session/end/confirm`, { method: "POST", body })).url).toBe(
      "http://localhost:8080/?state=bye"
    )
  })

  test("is not offered under another host name", async () => {
    const response = await fetch(`http://127.0.0.1:${idp.port}/.well-known/openid-configuration`, {
      headers: { host: "evil.example" }
    })
    expect(response.status).toBe(421)
  })
})

test("escapes what the pages show", async () => {
  const idp = await start({
    clients: [{ ...client, clientId: `<img src=x>&"'` }],
    users: [{ id: `"><script>`, name: "<b>Bobby</b>", email: "b@gatehouse.test", role: "<i>" }]
  })
  const page = await makeBrowser().visit(authorization(idp, { client_id: `<img src=x>&"'` }))
  const text = await page.response.text()
  expect(text).toContain("&lt;b&gt;Bobby&lt;/b&gt;")
  expect(text).toContain("&quot;&gt;&lt;script&gt;")
  expect(text).toContain("&lt;img src=x&gt;&amp;&quot;&#39;")
  expect(text).not.toMatch(/<b>|<script>|<img|<i>/)
})

test("signs with a new key after a rotation, and the old key's tokens stay valid", async () => {
  const idp = await start()
  const login = async () => {
    const back = await makeBrowser().visit(authorization(idp, { login_hint: "viewer" }))
    return claimsOf(idp, await exchange(idp, back.url))
  }
  const before = await login()
  const underWay = makeBrowser()
  const page = await underWay.visit(authorization(idp))
  await Effect.runPromise(idp.rotateKey)
  const after = await login()
  expect(decodeProtectedHeader(after.idToken).kid).not.toBe(decodeProtectedHeader(before.idToken).kid)
  await jwtVerify(before.idToken, createRemoteJWKSet(new URL(`${idp.issuer}/jwks`)))
  expect((await exchange(idp, (await underWay.choose(page, "owner")).url)).status).toBe(200)
})

test("lets a test hold back the token endpoint, and close it", async () => {
  const gate = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const idp = await start({
    beforeToken: () => {
      reached.resolve()
      return gate.promise
    }
  })
  const back = await makeBrowser().visit(authorization(idp, { login_hint: "viewer" }))
  const pending = exchange(idp, back.url)
  await reached.promise
  expect(Bun.peek.status(pending)).toBe("pending")
  gate.resolve()
  expect((await pending).status).toBe(200)
  const closed = await start({ beforeToken: () => Promise.reject(new Error("closed")) })
  expect((await exchange(closed, back.url)).status).toBe(503)
})

test("names the port that is taken, and gives it back with its scope", async () => {
  const open = await Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const idp = yield* startIdentityProvider({ port: 0, clients: [client] })
        const error = yield* startIdentityProvider({ port: idp.port, clients: [client] }).pipe(Effect.flip)
        expect([error._tag, error.message]).toEqual([
          "IdentityProviderFailed",
          expect.stringContaining(`port ${idp.port}`)
        ])
        return idp
      })
    )
  )
  const again = await start({ port: open.port })
  expect(again.port).toBe(open.port)
})

test("says nothing on standard output or error", async () => {
  const script = `import { Effect } from "effect"; import { startIdentityProvider } from "#dev/identityProvider.ts"
    const visit = async (url, init) => fetch(url, { ...init, redirect: "manual" })
    await Effect.runPromise(Effect.scoped(Effect.flatMap(startIdentityProvider({ port: 0, clients: [${JSON.stringify(client)}] }), (idp) =>
      Effect.promise(async () => {
        await visit(idp.issuer + "/jwks", { headers: { origin: "http://x.test" } })
        await visit(idp.issuer + "/auth?client_id=unknown")
        const begun = await visit(process.argv.at(-1).replace("ISSUER", idp.issuer))
        const cookie = begun.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ")
        const hinted = await visit(idp.issuer + begun.headers.get("location"), { headers: { cookie } })
        const back = await visit(hinted.headers.get("location"), { headers: { cookie } })
        if (!back.headers.get("location").includes("code=")) throw new Error("no code")
      }))))`
  const url = authorization({ issuer: "ISSUER" }, { login_hint: "owner" })
  const child = Bun.spawn([process.execPath, "-e", script, url], {
    cwd: join(import.meta.dir, "../.."),
    stdout: "pipe",
    stderr: "pipe"
  })
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  expect([out, error, await child.exited]).toEqual(["", "", 0])
})

test("behind a proxy with TLS it is known by the proxy's name, and by no other", async () => {
  const provider = await start({ publicUrl: "https://sso.example" })
  const ask = (host: string) =>
    fetch(`http://127.0.0.1:${provider.port}/.well-known/openid-configuration`, {
      headers: { host, "x-forwarded-proto": "https", "x-forwarded-host": host }
    })
  expect(await (await ask("sso.example")).json()).toMatchObject({
    issuer: "https://sso.example",
    authorization_endpoint: "https://sso.example/auth",
    token_endpoint: "https://sso.example/token"
  })
  expect((await ask(`localhost:${provider.port}`)).status).toBe(421)
})
