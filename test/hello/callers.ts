/** A running sample service beside what stands for a gateway: its key set, its token endpoint and the scheduler behind it; callers have identity tokens of that gateway. */
import { generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { make } from "#hello/service.ts"
import type { Env } from "#shared/config.ts"
import { signJws } from "#shared/jws.ts"
import type { Service } from "#shared/service.ts"

const issuer = "https://gate.test"

interface Caller {
  readonly user?: string
  /** `hello:read` unless told; null sends no token. */
  readonly scope?: string | null
}

export interface Running {
  readonly service: Service
  readonly ask: (path: string, init?: RequestInit & Caller) => Promise<Response>
  /** Sends JSON. */
  readonly post: (path: string, body: unknown, init?: RequestInit & Caller) => Promise<Response>
  /** What the scheduler was asked, and what it answers from now on. */
  readonly scheduler: { readonly asked: Array<{ headers: Headers; body: unknown }>; status: number }
  readonly stop: () => Promise<void>
}

const jobOf = (runAt: string) => ({
  id: crypto.randomUUID(),
  kind: "http.call",
  state: "scheduled",
  priority: 0,
  attempt: 0,
  maxAttempts: 5,
  runAt,
  createdAt: runAt,
  startedAt: null,
  finishedAt: null,
  schedule: null,
  retryOf: null,
  target: null,
  reason: ""
})

export const startHello = async (env: Env): Promise<Running> => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-hello-"))
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "one", alg: "ES256", use: "sig" }
  writeFileSync(join(folder, "token"), "the service account token")
  const scheduler: Running["scheduler"] = { asked: [], status: 201 }
  const gateway = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    routes: {
      "/keys": () => Response.json({ keys: [jwk] }),
      "/auth/token": () =>
        Response.json({ access_token: "mine", token_type: "Bearer", expires_in: 600, scope: "", env: "dev" }),
      "/jobs": async (request) => {
        const body = (await request.json()) as { readonly runAt: string }
        scheduler.asked.push({ headers: request.headers, body })
        return Response.json(jobOf(body.runAt), { status: scheduler.status })
      }
    }
  })
  const service = await make({
    ENVIRONMENT: "dev",
    IDENTITY_ISSUER: issuer,
    IDENTITY_JWKS_URL: `${gateway.url.origin}/keys`,
    GATEWAY_URL: gateway.url.origin,
    WORKLOAD_TOKEN_FILE: join(folder, "token"),
    LOG_LEVEL: "Error",
    ...env
  })
  /** As the gateway makes it: for what may change something, bound to that one request. */
  const tokenOf = (user: string, scope: string, method: string, path: string) => {
    const now = Math.floor(Date.now() / 1000)
    return signJws("at+jwt", "one", privateKey, {
      iss: issuer,
      sub: user,
      aud: "hello.dev",
      client_id: "dashboard",
      iat: now,
      exp: now + 60,
      jti: crypto.randomUUID(),
      scope,
      roles: ["developer"],
      env: "dev",
      sid: "session",
      auth_time: now,
      name: `The ${user}`,
      ...(method === "GET" ? {} : { htm: method, htu: path })
    })
  }
  const ask: Running["ask"] = async (path, { scope = "hello:read", user = "guest", ...init } = {}) => {
    const headers = new Headers(init.headers)
    if (scope !== null) headers.set("x-gatehouse-identity", tokenOf(user, scope, init.method ?? "GET", path))
    return await service.fetch(new Request(`http://localhost${path}`, { ...init, headers }))
  }
  return {
    service,
    ask,
    post: (path, body, init = {}) => {
      const headers = { "content-type": "application/json", ...Object.fromEntries(new Headers(init.headers)) }
      return ask(path, { ...init, method: "POST", headers, body: JSON.stringify(body) })
    },
    scheduler,
    stop: async () => {
      await service.dispose()
      await gateway.stop(true)
      rmSync(folder, { recursive: true })
    }
  }
}
