/** The rendered environments on a test cluster, for suites that ask what it makes of them; must start none of their pods. */
import { textAt } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import type { Cluster } from "#test/cluster/cluster.ts"
import { removeEnvironments } from "#test/cluster/deployment/environment.ts"
import { eventually } from "#test/shared/until.ts"
import { clusterText, environments, objectAt, overlay, overlayText } from "#test/manifests/render.ts"

/** kubectl's own words about each object, and its warnings. */
export const apply = async (cluster: Cluster, text: string) => {
  const { code, stderr, stdout } = await cluster.tryKubectl(
    ["apply", "--server-side", "--validate=strict", "-f", "-"],
    {
      stdin: text
    }
  )
  return { code, complaints: stderr.trim(), lines: stdout.trim().split("\n") }
}

const paths: Readonly<Record<string, string>> = {
  Pod: "/api/v1/namespaces/{}/pods",
  Service: "/api/v1/namespaces/{}/services",
  Ingress: "/apis/networking.k8s.io/v1/namespaces/{}/ingresses"
}

/** A dry run by the administrator, whom only admission can refuse: why it does, undefined where it does not. */
export const refusalOf = async (cluster: Cluster, object: unknown): Promise<string | undefined> => {
  const path = (paths[textAt(object, "kind") ?? ""] ?? "").replace("{}", textAt(object, "metadata", "namespace") ?? "")
  const answer = await cluster.request(`${path}?dryRun=All&fieldValidation=Strict`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(object)
  })
  const text = await answer.text()
  return answer.ok ? undefined : (textAt(JSON.parse(text), "message") ?? text)
}

/** Admission policies take effect some time after they are there, and their parameters after that. */
const policiesInForce = (cluster: Cluster) =>
  eventually(
    "the admission policies are in force",
    async () => {
      const refusal = await refusalOf(cluster, {
        apiVersion: "networking.k8s.io/v1",
        kind: "Ingress",
        metadata: { name: "tried", namespace: "prod" },
        spec: { defaultBackend: { service: { name: "gateway", port: { number: 80 } } } }
      })
      return refusal?.includes("a default backend would serve every host")
    },
    60
  )

const applyAll = async (cluster: Cluster) => {
  // What another suite has left of the same names.
  await removeEnvironments(cluster)
  await cluster.tryKubectl(["delete", "-f", "-", "--ignore-not-found", "--timeout=60s"], { stdin: clusterText() })
  const answers = [await apply(cluster, clusterText())]
  await policiesInForce(cluster)
  for (const environment of environments) answers.push(await apply(cluster, overlayText(environment)))
  return answers
}

let applied: ReturnType<typeof applyAll> | undefined

/**
 * Applies the cluster's own objects and the environments, as new; gives what kubectl said of each. Suites that run one after the
 * other share them, and nobody takes them away but who needs their names: that would take longer than all these suites ask.
 */
export const appliedEnvironments = (cluster: Cluster) => (applied ??= applyAll(cluster))

/** JSON that a test changes. */
export type Mutable = { [key: string]: Mutable | string | number | boolean | ReadonlyArray<unknown> | undefined }

/** A pod as the workload's controller would make it, changed. */
export const podOf = (place: string, change: (pod: Mutable, container: Mutable) => void = () => {}) => {
  const [namespace = ""] = place.split("/")
  const environment = environments.find((one) => namespace.startsWith(one)) ?? "prod"
  const template: { metadata: object; spec: Mutable } = structuredClone(
    objectAt(overlay(environment), place) as KubernetesObject & {
      readonly spec: { readonly template: { readonly metadata: object; readonly spec: Mutable } }
    }
  ).spec.template
  const containers = template.spec["containers"] as ReadonlyArray<Mutable>
  change(template.spec, containers[0]!)
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...template.metadata, namespace, name: "tried" },
    spec: template.spec
  }
}
