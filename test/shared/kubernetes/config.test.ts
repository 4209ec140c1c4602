/** Where the API server is and how to log in: the environment, kubeconfigs, mounted tokens, plug-ins; what would weaken TLS is refused by name. */
import { afterAll, describe, expect, test } from "bun:test"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { type Env, readConfig } from "#shared/config.ts"
import { connectionOf, kubernetesConfig, kubernetesLayer } from "#shared/kubernetes/config.ts"
import { type Access, readKubeconfig } from "#shared/kubernetes/kubeconfig.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-kubeconfig-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const base64 = (text: string) => Buffer.from(text).toString("base64")
type Json = { readonly [key: string]: unknown }
const kubeconfig = (cluster: Json, user: Json | null, more: Json = {}) => ({
  apiVersion: "v1",
  kind: "Config",
  "current-context": "here",
  preferences: {},
  clusters: [{ name: "c", cluster: { server: "https://10.0.0.1:6443/", ...cluster } }],
  contexts: [
    { name: "here", context: { cluster: "c", user: "u", namespace: "dev" } },
    { name: "lost", context: { cluster: "none", user: "u" } },
    { name: "nobody", context: { cluster: "c", user: "none" } }
  ],
  users: [{ name: "u", user }],
  ...more
})
const read = async (config: object | string, context?: string): Promise<Access | string> => {
  const text = typeof config === "string" ? config : JSON.stringify(config)
  const result = await Effect.runPromise(Effect.result(readKubeconfig(text, "/etc/kube/config", context)))
  return Result.isSuccess(result) ? result.success : result.failure.message
}

describe("a kubeconfig", () => {
  test("gives server, authority and credentials, as data or as files beside it", async () => {
    const data = await read(
      kubeconfig(
        { "certificate-authority-data": base64("CA"), "tls-server-name": "kubernetes" },
        { "client-certificate-data": base64("CERT"), "client-key-data": base64("KEY") }
      )
    )
    expect(data).toEqual({
      server: "https://10.0.0.1:6443",
      serverName: "kubernetes",
      ca: { text: "CA" },
      cert: { text: "CERT" },
      key: { text: "KEY" },
      token: undefined,
      exec: undefined
    })
    const files = { "client-certificate": "pki/a.crt", "client-key": "/abs/a.key", tokenFile: "token" }
    expect(await read(kubeconfig({ "certificate-authority": "../ca.crt" }, files))).toMatchObject({
      ca: { file: "/etc/ca.crt" },
      cert: { file: "/etc/kube/pki/a.crt" },
      key: { file: "/abs/a.key" },
      token: { file: "/etc/kube/token" }
    })
  })
  test("may be YAML, and any context of it may be taken", async () => {
    const yaml = [
      "clusters: [{name: a, cluster: {server: https://a}}, {name: b, cluster: {server: https://b}}]",
      "contexts: [{name: one, context: {cluster: a, user: u}}, {name: two, context: {cluster: b, user: u}}]",
      "users: [{name: u, user: {token: t}}]",
      "current-context: one"
    ].join("\n")
    expect(await read(yaml)).toMatchObject({ server: "https://a", token: { text: "t" } })
    expect(await read(yaml, "two")).toMatchObject({ server: "https://b" })
  })
  const planted = { token: "planted-secret" }
  test.each<readonly [string, object | string, string]>([
    ["skips verification", kubeconfig({ "insecure-skip-tls-verify": true }, planted), "insecure-skip-tls-verify"],
    ["leads through a proxy", kubeconfig({ "proxy-url": "http://proxy" }, planted), "proxy-url"],
    ["speaks plain http to another machine", kubeconfig({ server: "http://10.0.0.1" }, null), "plain http"],
    ["sends a token over plain http", kubeconfig({ server: "http://127.0.0.1:8001" }, planted), "plain http"],
    ["names no server", kubeconfig({ server: "ftp://x" }, planted), "no https URL"],
    ["logs in by password", kubeconfig({}, { username: "a", password: "planted-secret" }), "username"],
    ["uses an old plug-in", kubeconfig({}, { "auth-provider": { name: "gcp" } }), "auth-provider"],
    ["impersonates", kubeconfig({}, { ...planted, as: "root" }), "impersonation"],
    ["has a certificate without its key", kubeconfig({}, { "client-certificate": "a" }), "client-key"],
    ["has a plug-in of an unknown version", kubeconfig({}, { exec: { apiVersion: "v7", command: "x" } }), "apiVersion"],
    ["is no kubeconfig", { clusters: "planted-secret" }, "clusters, contexts and users"],
    ["is no YAML", "a: [planted-secret", "no YAML"]
  ])("security: that %s is refused, and no credential is told", async (_, config, named) => {
    const message = await read(config)
    expect(message).toContain(named)
    expect(message).not.toContain("planted-secret")
  })
  test.each([
    ["absent", 'there is no context "absent"'],
    ["lost", 'there is no cluster "none"'],
    ["nobody", 'there is no user "none"']
  ])("without what context %p names says so", async (context, message) => {
    expect(await read(kubeconfig({}, planted), context)).toContain(message)
  })
  test("for a proxy on this machine needs no TLS", async () => {
    expect(await read(kubeconfig({ server: "http://127.0.0.1:8001" }, null))).toMatchObject({
      server: "http://127.0.0.1:8001"
    })
  })
})

describe("the environment", () => {
  const layerFor = async (env: Env) => {
    const config = await Effect.runPromise(readConfig(kubernetesConfig, env, ["KUBERNETES"]))
    const built = Kubernetes.use((one) => Effect.succeed(one.description)).pipe(Effect.provide(kubernetesLayer(config)))
    const result = await Effect.runPromise(Effect.result(built))
    return Result.isSuccess(result) ? result.success : result.failure.message
  }
  test("of a container is enough", async () => {
    const service = { KUBERNETES_SERVICE_HOST: "10.43.0.1", KUBERNETES_SERVICE_PORT: "443", KUBERNETES_PORT: "tcp://x" }
    expect(await layerFor(service)).toBe("https://10.43.0.1:443")
    expect(await layerFor({ ...service, KUBERNETES_SERVICE_HOST: "fd00::1" })).toBe("https://[fd00::1]:443")
  })
  test("outside of a cluster must name a kubeconfig that can be read", async () => {
    expect(await layerFor({})).toContain("KUBERNETES: in-cluster, but KUBERNETES_SERVICE_HOST is not set")
    expect(await layerFor({ KUBERNETES: join(folder, "none") })).toContain("KUBERNETES: the kubeconfig cannot be read")
    const path = join(folder, "config")
    writeFileSync(path, JSON.stringify(kubeconfig({}, { token: "t" })))
    expect(await layerFor({ KUBERNETES: path })).toBe("https://10.0.0.1:6443")
    expect(await layerFor({ KUBERNETES: path, KUBERNETES_CONTEXT: "absent" })).toContain('no context "absent"')
  })
})

describe("a credential plug-in", () => {
  const plugin = (name: string, script: string) => {
    const path = join(folder, name)
    writeFileSync(path, `#!/bin/sh\n${script}\n`)
    chmodSync(path, 0o700)
    return path
  }
  const apiVersion = "client.authentication.k8s.io/v1"
  const answer = (status: object) => JSON.stringify({ kind: "ExecCredential", apiVersion, status })
  const accessWith = (command: string): Access => ({
    server: "https://10.0.0.1",
    serverName: undefined,
    ca: undefined,
    cert: undefined,
    key: undefined,
    token: undefined,
    exec: { apiVersion, command, args: ["get", "token"], env: { PLUGIN: "yes" } }
  })
  test("is run with its arguments and environment, once until it expires or is refused", async () => {
    const runs = join(folder, "runs")
    writeFileSync(runs, "")
    const status = answer({ token: "TOKEN", expirationTimestamp: "1970-01-01T01:00:00Z" })
    const command = plugin("good", `echo "$PLUGIN $* $KUBERNETES_EXEC_INFO" >> ${runs}; echo '${status}'`)
    await Effect.runPromise(
      Effect.gen(function* () {
        const { credentials } = connectionOf(accessWith(command))
        expect(yield* credentials(false)).toMatchObject({ authorization: "Bearer TOKEN" })
        yield* credentials(false)
        yield* credentials(true)
        yield* TestClock.adjust("2 hours")
        yield* credentials(false)
      }).pipe(Effect.provide(TestClock.layer()))
    )
    const lines = readFileSync(runs, "utf8").trim().split("\n")
    expect(lines).toHaveLength(3)
    expect(lines[0]).toStartWith('yes get token {"apiVersion":"client.authentication.k8s.io/v1"')
  })
  test("may give a client certificate", async () => {
    const command = plugin("certificate", `echo '${answer({ clientCertificateData: "CERT", clientKeyData: "KEY" })}'`)
    const found = await Effect.runPromise(connectionOf(accessWith(command)).credentials(false))
    expect(found).toEqual({ tls: { rejectUnauthorized: true, cert: "CERT", key: "KEY" } })
  })
  test.each([
    ["fails", "echo planted-secret; echo planted-secret >&2; exit 3", "it failed (3)"],
    ["answers nonsense", "echo planted-secret", "no ExecCredential"],
    ["answers in another version", `echo '${answer({}).replace("/v1", "/v7")}'`, "no ExecCredential"]
  ])("security: that %s is named, and nothing it said is told", async (name, script, told) => {
    const { credentials } = connectionOf(accessWith(plugin(name.replaceAll(" ", "-"), script)))
    const failed = await Effect.runPromise(Effect.flip(credentials(false)))
    expect(failed).toMatchObject({ reason: "unreachable", sent: false })
    expect(failed.detail).toContain(told)
    expect(failed.detail).not.toContain("planted-secret")
  })
})
