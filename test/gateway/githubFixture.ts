/** A GitHub in miniature for login tests: authorization codes with PKCE, and the two answers of its API that a login reads. */
import { createHash, randomUUID } from "node:crypto"

interface Email {
  readonly email: string
  readonly primary: boolean
  readonly verified: boolean
}

export interface FakeGithub {
  readonly url: string
  /** What the gateway's file says of it. */
  readonly settings: object
  /** The person of every code; undefined: the API is down. */
  user: object | undefined
  /** Undefined: not to be read. */
  emails: ReadonlyArray<Email> | undefined
  readonly reset: () => void
  readonly code: (authorization: URL) => string
  readonly stop: () => Promise<void>
}

const octocat = { id: 4711, login: "octocat", name: "Octo Cat", company: "unknown fields are GitHub's right" }
const mails = [
  { email: "second@cat.test", primary: false, verified: true },
  { email: "octo@cat.test", primary: true, verified: true }
]

export const startFakeGithub = (): FakeGithub => {
  const challenges = new Map<string, string>()
  const tokens = new Set<string>()
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    fetch: async (request) => {
      const { pathname } = new URL(request.url)
      if (pathname === "/login/oauth/access_token") {
        const form = new URLSearchParams(await request.text())
        const challenge = challenges.get(form.get("code") ?? "")
        challenges.delete(form.get("code") ?? "")
        const shown = createHash("sha256")
          .update(form.get("code_verifier") ?? "")
          .digest("base64url")
        // GitHub reports errors with status 200.
        if (challenge !== shown) return Response.json({ error: "bad_verification_code" })
        const token = `gho_${randomUUID()}`
        tokens.add(token)
        return Response.json({ access_token: token, token_type: "bearer", scope: "read:user,user:email" })
      }
      if (!tokens.has(request.headers.get("authorization")?.replace("Bearer ", "") ?? ""))
        return Response.json({ message: "Bad credentials" }, { status: 401 })
      if (pathname === "/api/user")
        return github.user ? Response.json(github.user) : new Response(null, { status: 503 })
      if (pathname === "/api/user/emails")
        return github.emails ? Response.json(github.emails) : Response.json({ message: "Not Found" }, { status: 404 })
      return new Response(null, { status: 404 })
    }
  })
  const url = `http://127.0.0.1:${server.port}`
  const github: FakeGithub = {
    url,
    settings: {
      id: "hub",
      kind: "github",
      clientId: "hub-client",
      clientSecret: { env: "FAKE_CLIENT_SECRET" },
      baseUrl: url,
      apiUrl: `${url}/api`
    },
    user: octocat,
    emails: mails,
    reset: () => {
      github.user = octocat
      github.emails = mails
    },
    code: (authorization) => {
      const code = randomUUID()
      challenges.set(code, authorization.searchParams.get("code_challenge") ?? "")
      return code
    },
    stop: () => server.stop(true)
  }
  return github
}
