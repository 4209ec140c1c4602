/** Brings up whole environments on the tests' node as an operator would: cluster objects, secrets, volumes, overlay; must apply nothing that is not shipped but what manifests.ts names. */
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { stringify } from "yaml"
import type { Cluster } from "#test/cluster/cluster.ts"
import { nodeName } from "#test/cluster/pki.ts"
import { follow, type KubernetesObject } from "#test/cluster/watch.ts"
import { environments as everywhere } from "#test/manifests/render.ts"
import type { Edge } from "./edge.ts"
import { clusterObjects, type Environment, type Manifest, objectsOf, type Site, testOverlay } from "./manifests.ts"

const project = join(import.meta.dir, "../../..")

export const clientSecret = "the-secret-that-the-identity-provider-gave"
export const providerId = "corp"
export const originOf = (environment: Environment): string => `https://gate.${environment}.example.org`

const apply = (cluster: Cluster, text: string, more: ReadonlyArray<string> = []) =>
  cluster.kubectl(["apply", "--server-side", ...more, "-f", "-"], { stdin: text })

/** Namespaces, quotas, priorities, the storage class and the admission policies of all environments. */
export const applyClusterObjects = async (cluster: Cluster): Promise<void> => {
  await apply(cluster, await clusterObjects(cluster))
}

/** An environment's claims, each with the user whose volume it is. */
const claims = [
  ...["gateway-db", "logging-db", "data-db"].map((name) => ({ claim: `data-${name}-0`, user: 10_070 })),
  { claim: "admin-backups", user: 65_532 },
  // Of the optional components.
  { claim: "database-backups", user: 65_532 },
  { claim: "data-secret-store-0", user: 65_531 }
]

/** Where the volume of a claim lies on this machine. */
export const volumeFolder = (cluster: Pick<Cluster, "folder">, environment: Environment, claim: string): string =>
  join(cluster.folder, "volumes", `${environment}-${claim}`)

/** Folders of the machine as volumes, where k3s' provisioner would make them: that one is not part of the tests' node. */
const volumes = (cluster: Cluster, environment: Environment) =>
  claims
    .map(({ claim, user }) => {
      const name = `${environment}-${claim}`
      const path = volumeFolder(cluster, environment, claim)
      mkdirSync(path, { recursive: true })
      chownSync(path, user, user)
      chmodSync(path, 0o770)
      return stringify({
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name },
        spec: {
          capacity: { storage: "20Gi" },
          accessModes: ["ReadWriteOnce"],
          persistentVolumeReclaimPolicy: "Retain",
          storageClassName: "platform-retain",
          claimRef: { namespace: environment, name: claim },
          local: { path },
          nodeAffinity: {
            required: {
              nodeSelectorTerms: [
                { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [nodeName] }] }
              ]
            }
          }
        }
      })
    })
    .join("---\n")

/** As the operator makes them, by command. */
const madeSecrets = (cluster: Cluster, environment: Environment): string => {
  const given = join(cluster.folder, "oidc-client-secret")
  writeFileSync(given, clientSecret, { mode: 0o600 })
  const command = ["secrets", "init", "--env", environment, "--oidc-client-secret-file", given]
  const { exitCode, stderr, stdout } = Bun.spawnSync([process.execPath, "services/cli.ts", ...command], {
    cwd: project
  })
  if (exitCode !== 0) throw new Error(`secrets init: ${stderr.toString().trim()}`)
  return stdout.toString()
}

/** Applies one environment and gives what was applied. Its pods take their time: `allReady` waits for them. */
export const applyEnvironment = async (
  cluster: Cluster,
  edge: Edge,
  environment: Environment,
  site: Site
): Promise<string> => {
  const secrets = madeSecrets(cluster, environment)
  const { cert, key } = edge.certificateFor(new URL(originOf(environment)).host)
  const tls = stringify({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "gateway-tls", namespace: environment },
    type: "kubernetes.io/tls",
    stringData: { "tls.crt": cert, "tls.key": key }
  })
  await cluster.kubectl(["create", "-f", "-"], { stdin: `${secrets}\n---\n${tls}` })
  await apply(cluster, volumes(cluster, environment))
  const overlay = await testOverlay(cluster, environment, site)
  await apply(cluster, overlay)
  await edge.serve(overlay)
  return overlay
}

interface Workload extends KubernetesObject {
  readonly metadata: KubernetesObject["metadata"] & { readonly generation?: number }
  readonly spec: { readonly replicas: number }
  readonly status?: {
    readonly observedGeneration?: number
    readonly readyReplicas?: number
    readonly updatedReplicas?: number
    readonly replicas?: number
  }
}

const complete = ({ metadata, spec, status }: Workload) =>
  status?.observedGeneration === metadata.generation &&
  status?.readyReplicas === spec.replicas &&
  status.updatedReplicas === spec.replicas &&
  status.replicas === spec.replicas

const incomplete = (workloads: Iterable<Workload>): ReadonlyArray<string> =>
  [...workloads].filter((workload) => !complete(workload)).map(({ metadata }) => metadata.name)

const namespacesOf = (environment: Environment) => [environment, `${environment}-monitoring`]

/** Where the API server lists the workloads of an environment. */
const workloadPaths = (environment: Environment): ReadonlyArray<string> =>
  namespacesOf(environment).flatMap((namespace) =>
    ["deployments", "statefulsets"].map((kind) => `/apis/apps/v1/namespaces/${namespace}/${kind}`)
  )

/** The workloads of an environment that are not complete and ready. */
export const unready = async (cluster: Cluster, environment: Environment): Promise<ReadonlyArray<string>> => {
  const lists = await Promise.all(
    workloadPaths(environment).map((path) => cluster.read<{ readonly items: ReadonlyArray<Workload> }>(path))
  )
  return incomplete(lists.flatMap(({ items }) => items))
}

/** How often the containers of an environment were started anew, by pod. */
export const restarts = async (
  cluster: Cluster,
  environment: Environment
): Promise<Readonly<Record<string, number>>> => {
  const text = await cluster.kubectl(["-n", environment, "get", "pods", "-o", "json"])
  const { items } = JSON.parse(text) as {
    readonly items: ReadonlyArray<{
      readonly metadata: { readonly name: string }
      readonly status: { readonly containerStatuses?: ReadonlyArray<{ readonly restartCount: number }> }
    }>
  }
  return Object.fromEntries(
    items.map(({ metadata, status }) => [
      metadata.name,
      (status.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0)
    ])
  )
}

/** Waits until every pod of the environment is ready. Watches: to look again and again would be most of the load. */
export const allReady = async (cluster: Cluster, environment: Environment, seconds = 150): Promise<void> => {
  const paths = workloadPaths(environment)
  const seen = new Map<string, ReadonlyMap<string, Workload>>()
  const behind = () => incomplete([...seen.values()].flatMap((workloads) => [...workloads.values()]))
  const ended = new AbortController()
  const ready = Promise.withResolvers<void>()
  const following = paths.map((path) =>
    follow<Workload>(cluster.request, path, ended.signal, (all) => {
      seen.set(path, all)
      if (seen.size === paths.length && behind().length === 0) ready.resolve()
    })
  )
  const patience = setTimeout(() => {
    const missing = seen.size < paths.length ? "the API server does not list them" : `not ready: ${behind().join(", ")}`
    ready.reject(new Error(`not within ${seconds} s: every pod of ${environment} is ready: ${missing}`))
  }, seconds * 1000)
  try {
    await ready.promise
  } finally {
    clearTimeout(patience)
    ended.abort()
    await Promise.all(following)
  }
}

/** A pod in each namespace that no overlay knows, with a place to listen; in the edge's, as its ingress controller. Confined as all must be. */
export const runStrangers = async (cluster: Cluster, among: ReadonlyArray<string>, image: string): Promise<void> => {
  const pod = (namespace: string) =>
    stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: "stranger",
        namespace,
        ...(namespace === "edge" ? { labels: { "app.kubernetes.io/name": "nginx" } } : {})
      },
      spec: {
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 0,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 10_001,
          runAsGroup: 10_001,
          seccompProfile: { type: "RuntimeDefault" }
        },
        containers: [
          {
            name: "app",
            image,
            imagePullPolicy: "IfNotPresent",
            ...(namespace === "edge" ? {} : { ports: [{ containerPort: 8080 }] }),
            readinessProbe: { httpGet: { path: "/readyz", port: 8080 }, periodSeconds: 1 },
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ["ALL"] }
            },
            resources: {
              requests: { cpu: "5m", memory: "16Mi", "ephemeral-storage": "1Mi" },
              limits: { cpu: "100m", memory: "32Mi", "ephemeral-storage": "16Mi" }
            }
          }
        ]
      }
    })
  await apply(cluster, among.map(pod).join("---\n"))
  await Promise.all(
    among.map((namespace) =>
      cluster.kubectl(["-n", namespace, "wait", "pod/stranger", "--for=condition=Ready", "--timeout=90s"])
    )
  )
}

/** Names of the Deployments and StatefulSets of a render. */
export const workloadsOf = (overlay: string): ReadonlyArray<string> =>
  objectsOf(overlay)
    .filter(({ kind }) => kind === "Deployment" || kind === "StatefulSet")
    .map(({ metadata }) => metadata.name)

/** What a write would change of each object of a render: its generation, or where there is none, its version. */
const versions = async (cluster: Cluster, overlay: string): Promise<ReadonlyMap<string, string>> => {
  const text = await cluster.kubectl(["get", "-f", "-", "-o", "json"], { stdin: overlay })
  const { items } = JSON.parse(text) as {
    readonly items: ReadonlyArray<{
      readonly kind: string
      readonly metadata: Manifest["metadata"] & { readonly generation?: number; readonly resourceVersion: string }
    }>
  }
  return new Map(
    items.map(({ kind, metadata }) => [
      `${metadata.namespace ?? ""} ${kind}/${metadata.name}`,
      String(metadata.generation ?? metadata.resourceVersion)
    ])
  )
}

/** Applies a render once more, and gives what it found and left. */
export const applyAgain = async (cluster: Cluster, overlay: string) => {
  const before = await versions(cluster, overlay)
  await apply(cluster, overlay)
  return { before, after: await versions(cluster, overlay) }
}

/** Of the edge and of the identity provider. */
const around = ["edge", "sso"]

/**
 * Takes away the environments that are there, and with the last of them what is around them; returns when it is gone. What is
 * the cluster's stays, as it says nothing of other namespaces.
 */
export const removeEnvironments = async (
  cluster: Cluster,
  environments: ReadonlyArray<Environment> = everywhere
): Promise<void> => {
  const named = async (path: string) =>
    (await cluster.read<{ readonly items: ReadonlyArray<KubernetesObject> }>(path)).items.map(
      ({ metadata }) => metadata.name
    )
  const going = [...environments.flatMap(namespacesOf), ...(environments === everywhere ? around : [])]
  const there = (await named("/api/v1/namespaces")).filter((name) => going.includes(name))
  if (there.length > 0) {
    await cluster.kubectl(["delete", "namespace", ...there, "--ignore-not-found", "--wait=false"])
    // Their graceful ends would take minutes, and nobody is served any more.
    await Promise.all(
      there.map((name) => cluster.tryKubectl(["-n", name, "delete", "pods", "--all", "--force", "--grace-period=0"]))
    )
    await cluster.kubectl(["wait", "--for=delete", "--timeout=60s", ...there.map((name) => `namespace/${name}`)])
  }
  const volumes = (await named("/api/v1/persistentvolumes")).filter((name) =>
    environments.some((environment) => name.startsWith(`${environment}-`))
  )
  if (volumes.length > 0) await cluster.kubectl(["delete", "persistentvolume", ...volumes, "--wait=false"])
  for (const environment of environments) {
    for (const { claim } of claims) rmSync(volumeFolder(cluster, environment, claim), { recursive: true, force: true })
  }
}
