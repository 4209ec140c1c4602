/** Writes kubeconfigs that stand alone: a file can be copied, and needs no other; must not decide who may do what. */
import { writeFileSync } from "node:fs"
import { stringify } from "yaml"

export type Credential = { readonly certificate: string; readonly key: string } | { readonly token: string }

const base64 = (text: string) => Buffer.from(text).toString("base64")

export const writeKubeconfig = (
  path: string,
  to: { readonly server: string; readonly ca: string; readonly namespace?: string },
  credential: Credential
): void => {
  const user =
    "token" in credential
      ? { token: credential.token }
      : {
          "client-certificate-data": base64(credential.certificate),
          "client-key-data": base64(credential.key)
        }
  const context = { cluster: "test", user: "test", ...(to.namespace === undefined ? {} : { namespace: to.namespace }) }
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server: to.server, "certificate-authority-data": base64(to.ca) } }],
    users: [{ name: "test", user }],
    contexts: [{ name: "test", context }],
    "current-context": "test"
  }
  writeFileSync(path, stringify(config), { mode: 0o600 })
}
