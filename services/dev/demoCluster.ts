/** The simulated cluster of a development start, filled: a few healthy services of a believable age, and the bad release that shows detection, proposal and undo. */
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import {
  makeSimulatedCluster,
  type SimulatedCluster,
  type SimulatedClusterOptions
} from "#shared/kubernetes/simulated/cluster.ts"

/** The manager that the demo workloads are applied by: admin's own, so that its next apply is no conflict. */
export const demoManager = "gatehouse-admin"

const labels = (name: string) => ({ "app.kubernetes.io/name": name })

const container = (name: string, image: string, port: number) => ({
  name,
  image,
  ports: [{ name: "http", containerPort: port }],
  readinessProbe: { httpGet: { path: "/readyz", port: "http" }, periodSeconds: 5 },
  resources: { requests: { cpu: "10m", memory: "32Mi" }, limits: { memory: "128Mi" } }
})

const template = (name: string, image: string, extra: { readonly [key: string]: unknown } = {}) => ({
  metadata: { labels: labels(name) },
  spec: { containers: [{ ...container(name, image, 8080), ...extra }] }
})

const deployment = (
  namespace: string,
  name: string,
  image: string,
  replicas: number,
  cause: string
): KubernetesObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name, namespace, labels: labels(name), annotations: { "kubernetes.io/change-cause": cause } },
  spec: { replicas, selector: { matchLabels: labels(name) }, template: template(name, image) }
})

const service = (namespace: string, name: string): KubernetesObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace, labels: labels(name) },
  spec: { selector: labels(name), ports: [{ name: "http", port: 80, targetPort: "http" }] }
})

/** In the order in which they are to be applied; `web` and `api` twice, so that they have two good revisions. */
export const demoWorkloads = (namespace: string): ReadonlyArray<KubernetesObject> => [
  {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "web-config", namespace, labels: labels("web") },
    data: { "config.yaml": "greeting: hello\n" }
  },
  deployment(namespace, "web", "registry.example/shop/web:1.0.0", 3, "first release"),
  deployment(namespace, "api", "registry.example/shop/api:2.3.1", 2, "first release"),
  deployment(namespace, "worker", "registry.example/shop/worker:0.9.4", 1, "first release"),
  service(namespace, "web"),
  service(namespace, "api"),
  {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "cache", namespace, labels: labels("cache") },
    spec: {
      replicas: 2,
      serviceName: "cache",
      selector: { matchLabels: labels("cache") },
      template: template("cache", "registry.example/shop/cache:7.2.0", {
        volumeMounts: [{ name: "data", mountPath: "/data" }]
      }),
      volumeClaimTemplates: [
        {
          metadata: { name: "data" },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } }
        }
      ]
    }
  },
  {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "log-shipper", namespace, labels: labels("log-shipper") },
    spec: {
      selector: { matchLabels: labels("log-shipper") },
      template: template("log-shipper", "registry.example/platform/log-shipper:1.4.0")
    }
  },
  deployment(namespace, "web", "registry.example/shop/web:1.1.0", 3, "faster search"),
  deployment(namespace, "api", "registry.example/shop/api:2.4.0", 2, "answers in pages")
]

/** A release of `web` whose pods crash; the one before goes on serving, and an undo repairs it. */
export const demoBadRelease = (namespace: string): KubernetesObject =>
  deployment(namespace, "web", "registry.example/shop/web:1.2.0-crash", 3, "new configuration format")

const plurals: Readonly<Record<string, string>> = {
  ConfigMap: "/api/v1/namespaces/{}/configmaps",
  Service: "/api/v1/namespaces/{}/services",
  Deployment: "/apis/apps/v1/namespaces/{}/deployments",
  StatefulSet: "/apis/apps/v1/namespaces/{}/statefulsets",
  DaemonSet: "/apis/apps/v1/namespaces/{}/daemonsets"
}

/** Applies an object as `kubectl apply --server-side` does; rejects where the cluster refuses it. */
export const applyTo = async (cluster: SimulatedCluster, object: KubernetesObject): Promise<void> => {
  const path = (plurals[object.kind] ?? "").replace("{}", object.metadata.namespace ?? "")
  const answer = await cluster.fetch(
    new Request(`http://simulated.invalid${path}/${object.metadata.name}?fieldManager=${demoManager}&force=true`, {
      method: "PATCH",
      headers: { "content-type": "application/apply-patch+yaml" },
      body: JSON.stringify(object)
    })
  )
  if (!answer.ok) throw new Error(`${object.kind} ${object.metadata.name}: ${await answer.text()}`)
}

/** Between two demo releases: what runs for days is known to be good. */
const releaseSeconds = 6 * 3600

/**
 * A cluster at `now` (milliseconds) in which the demo workloads of each namespace have been running for two days. Or the one of
 * a snapshot, if that is one; what has passed since it was taken passes at once.
 */
export const makeDemoCluster = async (
  options: SimulatedClusterOptions & { readonly namespaces: ReadonlyArray<string>; readonly now: number },
  kept?: { readonly snapshot: string; readonly takenAt: number }
): Promise<{ readonly cluster: SimulatedCluster; readonly fresh: boolean }> => {
  if (kept !== undefined) {
    const cluster = makeSimulatedCluster({ ...options, now: Math.floor(kept.takenAt) })
    if (cluster.restore(kept.snapshot)) {
      cluster.advanceTo(options.now)
      return { cluster, fresh: false }
    }
  }
  const releases = options.namespaces.map(demoWorkloads)
  const steps = Math.max(0, ...releases.map((list) => list.length))
  const cluster = makeSimulatedCluster({ ...options, now: options.now - (steps + 1) * releaseSeconds * 1000 })
  for (let step = 0; step < steps; step += 1) {
    for (const list of releases) {
      const object = list[step]
      if (object !== undefined) await applyTo(cluster, object)
    }
    cluster.advance(releaseSeconds)
  }
  cluster.advanceTo(options.now)
  cluster.writes(true)
  return { cluster, fresh: true }
}
