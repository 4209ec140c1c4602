/** A workload's own key of a development start, by which it proves itself to the gateway; made once per data folder. */
import { generateKeyPairSync } from "node:crypto"
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"

export interface WorkloadKeyFiles {
  /** Private JWK, for the workload alone. */
  readonly privateFile: string
  /** Public JWK, for the gateway's settings. */
  readonly publicFile: string
}

/** The key's two files below `dataDir/secrets`. */
export const workloadKey = (dataDir: string, id: string): WorkloadKeyFiles => {
  const folder = join(dataDir, "secrets")
  const privateFile = join(folder, `${id}.jwk`)
  const publicFile = join(folder, `${id}.public.jwk`)
  if (existsSync(privateFile) && existsSync(publicFile)) return { privateFile, publicFile }
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  writeFileSync(publicFile, JSON.stringify(publicKey.export({ format: "jwk" })), { mode: 0o600 })
  // Last and whole: a start that was killed in between makes both anew.
  writeFileSync(`${privateFile}.new`, JSON.stringify(privateKey.export({ format: "jwk" })), { mode: 0o600 })
  renameSync(`${privateFile}.new`, privateFile)
  return { privateFile, publicFile }
}
