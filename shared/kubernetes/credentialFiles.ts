/** Files with credentials, read again when they change: tokens rotate, certificates are renewed; must keep nothing but the last content. */
import { readFile, stat } from "node:fs/promises"
import { Effect } from "effect"
import { unreachable } from "./failures.ts"
import type { KubernetesFailed } from "./Kubernetes.ts"

export interface CredentialFiles {
  /** The file's text; `anew` does not trust that an unchanged time means an unchanged file. */
  readonly read: (path: string, anew?: boolean) => Effect.Effect<string, KubernetesFailed>
}

export const makeCredentialFiles = (): CredentialFiles => {
  const known = new Map<string, { readonly stamp: string; readonly text: string }>()
  return {
    read: Effect.fnUntraced(function* (path: string, anew = false) {
      return yield* Effect.tryPromise({
        try: async () => {
          const { ino, mtimeMs, size } = await stat(path)
          const stamp = `${ino}/${mtimeMs}/${size}`
          const found = known.get(path)
          if (!anew && found?.stamp === stamp) return found.text
          const text = await readFile(path, "utf8")
          known.set(path, { stamp, text })
          return text
        },
        catch: () => unreachable(`the credential file ${path} cannot be read`, false)
      })
    })
  }
}
