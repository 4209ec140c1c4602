/** Workloads for tests: key files, assertions good and bad, and an API server that reviews tokens as a test says; must judge nothing. */
import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { exchangeGrantType, jwtTokenType } from "#shared/api/auth.ts"
import { thumbprintOf } from "#shared/jws.ts"
import type { GatewayFixture } from "#test/gateway/fixture.ts"
import { signed, type SigningKey } from "#test/gateway/loginFixture.ts"

export interface KeyFile extends SigningKey {
  readonly kid: string
  readonly privateJwk: object
  /** The file with the public half, for the gateway's settings. */
  readonly file: string
}

export interface Folder {
  readonly path: string
  /** A new key pair with its public half in a file. */
  readonly key: (name: string) => KeyFile
  readonly write: (name: string, content: object | string) => string
  readonly remove: () => void
}

export const makeFolder = (): Folder => {
  const path = mkdtempSync(join(tmpdir(), "gatehouse-workloads-"))
  const write: Folder["write"] = (name, content) => {
    const file = join(path, name)
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content))
    return file
  }
  return {
    path,
    write,
    key: (name) => {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
      const publicJwk = publicKey.export({ format: "jwk" })
      const file = write(`${name}.jwk`, publicJwk)
      return { kid: thumbprintOf(publicJwk), publicJwk, privateKey, privateJwk: jwkOf(privateKey), file }
    },
    remove: () => rmSync(path, { recursive: true, force: true })
  }
}
const jwkOf = (key: KeyObject) => key.export({ format: "jwk" })

/** The claims of a good assertion of workload `id`. */
export const assertionClaims = (gateway: Pick<GatewayFixture, "origin">, id: string): Record<string, unknown> => {
  const now = Math.floor(Date.now() / 1000)
  return { iss: id, sub: id, aud: gateway.origin, iat: now, exp: now + 60, jti: crypto.randomUUID() }
}

export const assertion = (gateway: Pick<GatewayFixture, "origin">, key: KeyFile, id: string, changes: object = {}) =>
  signed(key, { ...assertionClaims(gateway, id), ...changes })

/** Asks for the exchange of a subject token. */
export const exchange = (
  gateway: Pick<GatewayFixture, "ask">,
  subjectToken: string,
  form: Record<string, string> = {}
) =>
  gateway.ask("/auth/token", {
    method: "POST",
    body: new URLSearchParams({
      grant_type: exchangeGrantType,
      subject_token: subjectToken,
      subject_token_type: jwtTokenType,
      ...form
    })
  })
