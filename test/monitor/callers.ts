/** A running monitor with a gateway's key set beside it, and callers with the identity tokens of that gateway. */
import { generateKeyPairSync } from "node:crypto"
import { make } from "#monitor/service.ts"
import { type Env } from "#shared/config.ts"
import { signJws } from "#shared/jws.ts"
import type { Service } from "#shared/service.ts"
import { baseEnv } from "#test/monitor/tree.ts"

const issuer = baseEnv["IDENTITY_ISSUER"]!

export interface Running {
  readonly service: Service
  /** A request with a token that holds `scope`, `monitor:read` unless told; null sends none. */
  readonly ask: (path: string, init?: RequestInit & { readonly scope?: string | null }) => Promise<Response>
  readonly stop: () => Promise<void>
}

export const startMonitor = async (env: Env = {}): Promise<Running> => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "one", alg: "ES256", use: "sig" }
  const keys = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json({ keys: [jwk] }) })
  const service = await make({
    ...baseEnv,
    IDENTITY_JWKS_URL: `http://127.0.0.1:${keys.port}/keys`,
    LOG_LEVEL: "Error",
    ...env
  })
  const tokenOf = (scope: string) => {
    const now = Math.floor(Date.now() / 1000)
    return signJws("at+jwt", "one", privateKey, {
      iss: issuer,
      sub: "user",
      aud: "monitor.dev",
      client_id: "dashboard",
      iat: now,
      exp: now + 60,
      jti: crypto.randomUUID(),
      scope,
      roles: ["viewer"],
      env: "dev",
      sid: "session",
      auth_time: now
    })
  }
  return {
    service,
    ask: async (path, { scope = "monitor:read", ...init } = {}) => {
      const headers = new Headers(init.headers)
      if (scope !== null) headers.set("x-gatehouse-identity", tokenOf(scope))
      return await service.fetch(new Request(`http://localhost${path}`, { ...init, headers }))
    },
    stop: async () => {
      await service.dispose()
      await keys.stop(true)
    }
  }
}
