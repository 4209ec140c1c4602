/** A real KV v2 server (secretstore/, OpenBao's own command) that lets in service accounts of the test cluster; must hold no test. */
import { Schema } from "effect"
import { build } from "#test/cluster/build.ts"
import type { Cluster } from "#test/cluster/cluster.ts"
import { freePort } from "#test/shared/freePort.ts"
import { type KvTarget, makeKvFiles } from "#test/shared/secrets/kvServer.ts"
import { until } from "#test/shared/until.ts"

export const secretStoreNamespace = "secret-store"
const audience = "secrets.test"

export interface SecretStore extends KvTarget {
  /** A file with a token of a service account there, for the store's audience or another's. */
  readonly tokenOf: (account: string, audience?: string) => Promise<string>
}

/** In memory, and opened by a key that the suites hold, so that they can close it and open it again. */
const configuration = (port: number, certificate: string, key: string) => `
storage "inmem" {}
listener "tcp" {
  address       = "127.0.0.1:${port}"
  tls_cert_file = "${certificate}"
  tls_key_file  = "${key}"
}
api_addr = "https://127.0.0.1:${port}"
`

const Initialised = Schema.Struct({ root_token: Schema.String, keys_base64: Schema.Tuple([Schema.String]) })

/** Starts the server, with a KV v2 engine, the cluster's service accounts as its callers, and a role that reads below `app/`. */
export const startSecretStore = async (cluster: Cluster): Promise<SecretStore> => {
  const files = makeKvFiles()
  const pair = files.authority.issue({ name: "secret store", hosts: ["127.0.0.1"] })
  const port = await freePort()
  const address = `https://127.0.0.1:${port}`
  const [certificate, key] = [files.write("cert.pem", pair.cert), files.write("key.pem", pair.key)]
  const config = files.write("openbao.hcl", configuration(port, certificate, key))
  const child = Bun.spawn([await build("secretstore"), "server", `-config=${config}`, "-log-level=warn"], {
    stdio: ["pipe", "ignore", "inherit"],
    env: { BAO_ENDS_WITH_STDIN: "1" }
  })

  let rootToken = ""
  const request = (method: string, path: string, body?: object) =>
    fetch(`${address}/v1/${path}`, {
      method,
      headers: { "x-vault-token": rootToken },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      tls: { ca: files.authority.cert }
    })
  const admin = async (method: string, path: string, body?: object) => {
    const answer = await request(method, path, body)
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
  }
  /** An engine takes a moment after it was mounted or opened. */
  const open = () =>
    until("the engine is open", async () => (await request("POST", "secret/data/app/open", { data: { a: "1" } })).ok)

  await until("the server listens", () => {
    if (child.exitCode !== null) throw new Error(`the secret store ended with ${child.exitCode}`)
    return request("GET", "sys/seal-status").then(
      () => true,
      () => false
    )
  })
  const made = await request("PUT", "sys/init", { secret_shares: 1, secret_threshold: 1 })
  const initialised = Schema.decodeUnknownSync(Initialised)(await made.json())
  rootToken = initialised.root_token
  const unseal = () => admin("PUT", "sys/unseal", { key: initialised.keys_base64[0] })
  await unseal()

  const token = async (account: string, forWhom = audience) =>
    (await cluster.serviceAccount(secretStoreNamespace, account, { audiences: [forWhom], expirationSeconds: 3600 }))
      .token
  const reviewer = "reviewer"
  await cluster.kubectl(["create", "namespace", secretStoreNamespace])
  for (const account of [reviewer, "app", "other"]) {
    await cluster.kubectl(["-n", secretStoreNamespace, "create", "serviceaccount", account])
  }
  await cluster.kubectl([
    "create",
    "clusterrolebinding",
    secretStoreNamespace,
    "--clusterrole=system:auth-delegator",
    `--serviceaccount=${secretStoreNamespace}:${reviewer}`
  ])
  const review = await cluster.serviceAccount(secretStoreNamespace, reviewer)

  await admin("POST", "sys/mounts/secret", { type: "kv", options: { version: "2" } })
  await admin("POST", "sys/auth/kubernetes", { type: "kubernetes" })
  await admin("PUT", "sys/policies/acl/app", { policy: 'path "secret/data/app/*" { capabilities = ["read"] }' })
  await admin("POST", "auth/kubernetes/config", {
    kubernetes_host: cluster.server,
    kubernetes_ca_cert: cluster.ca,
    token_reviewer_jwt: review.token,
    disable_local_ca_jwt: true
  })
  await admin("POST", "auth/kubernetes/role/app", {
    bound_service_account_names: "app",
    bound_service_account_namespaces: secretStoreNamespace,
    audience,
    token_policies: ["app"],
    token_ttl: 3600
  })
  await open()

  let written = 0
  const tokenOf = async (account: string, forWhom?: string) =>
    files.write(`token-${written++}`, await token(account, forWhom))
  return {
    address,
    caFile: files.write("ca.pem", files.authority.cert),
    role: "app",
    tokenFile: await tokenOf("app"),
    tokenOf,
    put: (path, values) => admin("POST", `secret/data/${path}`, { data: values }),
    remove: (path) => admin("DELETE", `secret/data/${path}`),
    seal: () => admin("PUT", "sys/seal"),
    unseal: async () => {
      await unseal()
      await open()
    },
    revokeTokens: () => admin("PUT", "sys/leases/revoke-prefix/auth/kubernetes", { sync: true }),
    stop: async () => {
      child.stdin.end()
      await child.exited
      files.remove()
      await cluster.tryKubectl(["delete", "clusterrolebinding", secretStoreNamespace])
      await cluster.tryKubectl(["delete", "namespace", secretStoreNamespace, "--wait=false"])
    }
  }
}
