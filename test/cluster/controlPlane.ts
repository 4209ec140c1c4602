/** Starts, stops and freezes etcd, the API server, the controller-manager and the scheduler as k3s sets them up; must know nothing of nodes. */
import { randomBytes } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parse, stringify } from "yaml"
import { eventually, Hopeless } from "#test/shared/until.ts"
import { authorityOf, certificateOf, kubeconfigPath, pkiFolder } from "#test/cluster/pki.ts"
import type { Supervisor } from "#test/cluster/supervisor.ts"

/** The files that a host gets too (kustomize/host): what holds there is what is tested here. */
const hostFiles = join(import.meta.dir, "../../kustomize/host")

const hostConfig = parse(readFileSync(join(hostFiles, "config.yaml"), "utf8")) as {
  readonly "cluster-cidr": string
  readonly "service-cidr": string
  /** `NAME=VALUE` each, without dashes. */
  readonly "kube-apiserver-arg": ReadonlyArray<string>
  readonly "kube-controller-manager-arg": ReadonlyArray<string>
}
const argumentsOf = (list: ReadonlyArray<string>): Readonly<Record<string, string>> =>
  Object.fromEntries(list.map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)]))

export const serviceRange = hostConfig["service-cidr"]
export const podRange = hostConfig["cluster-cidr"]
/** k3s' issuer and audience of tokens that name none. */
export const issuer = "https://kubernetes.default.svc.cluster.local"

export interface Endpoints {
  /** Where the API server listens. */
  readonly address: string
  readonly port: number
  /** On 127.0.0.1, where the components run. */
  readonly etcdPort: number
}

export const logPath = (folder: string, component: string): string => join(folder, "logs", `${component}.log`)
export const auditPath = (folder: string): string => join(folder, "logs", "audit.jsonl")

/** Secrets lie encrypted in etcd, as on a k3s that was installed with `secrets-encryption`. */
const writeEncryption = (folder: string) => {
  const path = join(folder, "encryption.yaml")
  const keys = [{ name: "key1", secret: randomBytes(32).toString("base64") }]
  const providers = [{ secretbox: { keys } }, { identity: {} }]
  const config = {
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "EncryptionConfiguration",
    resources: [{ resources: ["secrets"], providers }]
  }
  writeFileSync(path, stringify(config), { mode: 0o600 })
  return path
}

const flags = (values: Readonly<Record<string, string | number | boolean>>) =>
  Object.entries(values).map(([name, value]) => `--${name}=${value}`)

const etcdFlags = (folder: string, at: Endpoints) =>
  flags({ "data-dir": join(folder, "etcd"), "listen-client-url": `http://127.0.0.1:${at.etcdPort}` })

const apiServerFlags = (folder: string, at: Endpoints) => {
  const pki = pkiFolder(folder)
  const loopback = at.address.startsWith("127.")
  return flags({
    ...argumentsOf(hostConfig["kube-apiserver-arg"]),
    "etcd-servers": `http://127.0.0.1:${at.etcdPort}`,
    "bind-address": at.address,
    "advertise-address": at.address,
    "secure-port": at.port,
    // The Service "kubernetes" cannot lead to a loopback address; without pods nothing misses it.
    "endpoint-reconciler-type": loopback ? "none" : "lease",
    "cert-dir": pki,
    "tls-cert-file": join(pki, "apiserver.crt"),
    "tls-private-key-file": join(pki, "apiserver.key"),
    "client-ca-file": join(pki, "ca.crt"),
    "kubelet-client-certificate": join(pki, "apiserver-kubelet.crt"),
    "kubelet-client-key": join(pki, "apiserver-kubelet.key"),
    "kubelet-certificate-authority": join(pki, "ca.crt"),
    // Logs and exec would fail on the node's name.
    "kubelet-preferred-address-types": "InternalIP",
    "service-account-key-file": join(pki, "service-accounts.pub"),
    "service-account-signing-key-file": join(pki, "service-accounts.key"),
    "service-account-issuer": issuer,
    "api-audiences": `${issuer},k3s`,
    "authorization-mode": "Node,RBAC",
    // A host's paths of the same files.
    "admission-control-config-file": join(hostFiles, "psa.yaml"),
    "service-cluster-ip-range": serviceRange,
    "encryption-provider-config": join(folder, "encryption.yaml"),
    "audit-policy-file": join(hostFiles, "audit.yaml"),
    "audit-log-path": auditPath(folder),
    "anonymous-auth": false,
    "allow-privileged": true,
    profiling: false,
    "shutdown-delay-duration": "0s"
  })
}

const controllerManagerFlags = (folder: string, tier: "controlplane" | "node") => {
  const pki = pkiFolder(folder)
  return flags({
    ...argumentsOf(hostConfig["kube-controller-manager-arg"]),
    kubeconfig: kubeconfigPath(folder, "controller-manager"),
    controllers: "*,tokencleaner,-service-lb-controller,-node-route-controller,-cloud-node-lifecycle-controller",
    "use-service-account-credentials": true,
    "leader-elect": false,
    "root-ca-file": join(pki, "ca.crt"),
    "service-account-private-key-file": join(pki, "service-accounts.key"),
    "cluster-signing-cert-file": join(pki, "ca.crt"),
    "cluster-signing-key-file": join(pki, "ca.key"),
    "allocate-node-cidrs": true,
    "cluster-cidr": podRange,
    "secure-port": 0,
    profiling: false,
    // Where tests play the kubelet nobody renews the node's heartbeat; a real node is missed soon, so that tests need not wait.
    "node-monitor-grace-period": tier === "node" ? "16s" : "24h",
    "node-monitor-period": tier === "node" ? "2s" : "5s"
  })
}

const schedulerFlags = (folder: string) =>
  flags({ kubeconfig: kubeconfigPath(folder, "scheduler"), "leader-elect": false, "secure-port": 0, profiling: false })

/** One request to the API server as its administrator. */
export type Request = (path: string, init?: RequestInit) => Promise<Response>

export const administrator = (folder: string, server: string): Request => {
  const { certificate: cert, key } = certificateOf(folder, "admin")
  const tls = { ca: authorityOf(folder), cert, key }
  return (path, init) => fetch(`${server}${path}`, { ...init, tls })
}

const lastLines = (path: string) => {
  try {
    return readFileSync(path, "utf8").trimEnd().split("\n").slice(-8).join("\n")
  } catch {
    return "no log"
  }
}

/** Fails early, with the end of its log, where a component has ended. */
export const assertRuns = async (supervisor: Supervisor, folder: string, component: string): Promise<void> => {
  const { code, running } = await supervisor.state(component)
  if (!running) throw new Hopeless(`${component} ended with ${code}:\n${lastLines(logPath(folder, component))}`)
}

export const apiServerReady = async (supervisor: Supervisor, folder: string, request: Request): Promise<void> => {
  await eventually("the API server is ready", async () => {
    await assertRuns(supervisor, folder, "etcd")
    await assertRuns(supervisor, folder, "kube-apiserver")
    const answer = await request("/readyz", { signal: AbortSignal.timeout(2000) })
    await answer.body?.cancel()
    return answer.ok
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}
${lastLines(logPath(folder, "kube-apiserver"))}`)
  })
}

/** Starts all four with `program`; returns when the API server is ready and the first ServiceAccount is made. */
export const startControlPlane = async (
  supervisor: Supervisor,
  folder: string,
  options: {
    readonly program: string
    readonly tier: "controlplane" | "node"
    readonly endpoints: Endpoints
    readonly request: Request
  }
): Promise<void> => {
  const { endpoints, program, request, tier } = options
  writeEncryption(folder)
  const start = (component: string, args: ReadonlyArray<string>) =>
    supervisor.start({ name: component, argv: [program, component, ...args], log: logPath(folder, component) })
  await start("etcd", etcdFlags(folder, endpoints))
  await start("kube-apiserver", apiServerFlags(folder, endpoints))
  await apiServerReady(supervisor, folder, request)
  await start("kube-controller-manager", controllerManagerFlags(folder, tier))
  await start("kube-scheduler", schedulerFlags(folder))
  await eventually("the controllers make the default ServiceAccount", async () => {
    await assertRuns(supervisor, folder, "kube-controller-manager")
    const answer = await request("/api/v1/namespaces/default/serviceaccounts/default")
    await answer.body?.cancel()
    return answer.ok
  })
}
