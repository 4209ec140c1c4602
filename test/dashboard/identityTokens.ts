/** Identity tokens as the gateway makes them, with their key set, for tests of services behind it; must serve nothing itself. */
import { generateKeyPairSync } from "node:crypto"
import { privateKeyOf, signJws } from "#shared/jws.ts"

interface TokenOptions {
  readonly scope: string
  readonly audience?: string
  readonly lifetime?: number
}

export const makeIdentityTokens = (issuer: string, environment: string) => {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const key = privateKeyOf(pair.privateKey.export({ format: "jwk" }))
  const publicJwk = pair.publicKey.export({ format: "jwk" })
  return {
    jwks: { keys: [{ ...publicJwk, kid: "one", alg: "ES256", use: "sig" }] },
    token: ({ audience = `dashboard.${environment}`, lifetime = 60, scope }: TokenOptions) => {
      const now = Math.floor(Date.now() / 1000)
      return signJws("at+jwt", "one", key, {
        iss: issuer,
        sub: "0190e0a0-0000-7000-8000-000000000001",
        aud: audience,
        client_id: "gatehouse",
        iat: now,
        exp: now + lifetime,
        jti: crypto.randomUUID(),
        scope,
        roles: ["viewer"],
        env: environment,
        sid: "0190e0a0-0000-7000-8000-000000000002",
        auth_time: now
      })
    }
  }
}
