/** What a KV v2 server is to the suites that are run against it, real or played; must hold no test. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Authority, makeAuthority } from "#test/shared/certificates.ts"

export interface KvTarget {
  readonly address: string
  /** PEM file of the authority of its certificate. */
  readonly caFile: string
  /** Its login takes the token in this file for this role, which may read below `app/` and nothing else. */
  readonly role: string
  readonly tokenFile: string
  /** A new version of a secret. */
  readonly put: (path: string, values: Readonly<Record<string, unknown>>) => Promise<void>
  /** Deletes the newest version; older ones stay. */
  readonly remove: (path: string) => Promise<void>
  readonly seal: () => Promise<void>
  readonly unseal: () => Promise<void>
  /** Ends every token that it has given. */
  readonly revokeTokens: () => Promise<void>
  readonly stop: () => Promise<void>
}

/** Files of one server: its authority's certificate, its own with its key, whatever else is written. */
export interface KvFiles {
  readonly authority: Authority
  readonly write: (name: string, text: string) => string
  readonly remove: () => void
}

export const makeKvFiles = (): KvFiles => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-kv-"))
  return {
    authority: makeAuthority("secret store of a test"),
    write: (name, text) => {
      const path = join(folder, name)
      writeFileSync(path, text)
      return path
    },
    remove: () => rmSync(folder, { recursive: true, force: true })
  }
}
