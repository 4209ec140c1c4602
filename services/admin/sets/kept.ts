/** What a backup set keeps of a namespace, as it can be applied again; what the cluster or a run made itself is left out. Pure. */
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { at, fieldsOf, listAt, textAt } from "#shared/kubernetes/fields.ts"
import { backupText } from "../Backups.ts"
import { templateOf } from "../manifest/podRules.ts"

/**
 * The kinds that are kept, in the order in which they are applied: what others rest on first. Not Secrets, whose values are never
 * written down; not Jobs, which would run again.
 */
export const keptKinds = [
  "ConfigMap",
  "PersistentVolumeClaim",
  "Service",
  "StatefulSet",
  "Deployment",
  "DaemonSet",
  "CronJob",
  "PodDisruptionBudget",
  "HorizontalPodAutoscaler",
  "Ingress"
] as const

/** In every namespace, made by the cluster. */
const madeByCluster = (object: KubernetesObject) =>
  (object.kind === "ConfigMap" && object.metadata.name === "kube-root-ca.crt") ||
  (object.kind === "Service" && object.metadata.name === "kubernetes")

/** Whoever controls it makes it again. */
const controlled = (object: KubernetesObject) =>
  object.metadata.ownerReferences?.some(({ controller }) => controller === true) === true

/** Annotations that a controller writes as it works. */
const working =
  /^(?:deployment\.kubernetes\.io\/|deprecated\.daemonset\.template\.generation$|pv\.kubernetes\.io\/|volume\.(?:beta\.)?kubernetes\.io\/)/u

/** Without what was given to this very object, and would belong to another by the time it is restored. */
const unassigned = (object: KubernetesObject): KubernetesObject => {
  const spec = fieldsOf(object["spec"])
  if (object.kind === "Service" && textAt(spec, "clusterIP") !== "None") {
    const { clusterIP: _ip, clusterIPs: _ips, healthCheckNodePort: _port, ...rest } = spec
    return { ...object, spec: rest }
  }
  if (object.kind === "PersistentVolumeClaim") {
    const { volumeName: _, ...rest } = spec
    return { ...object, spec: rest }
  }
  return object
}

/** The object as it is kept, or undefined where it is not. */
export const kept = (object: KubernetesObject): KubernetesObject | undefined => {
  if (madeByCluster(object) || controlled(object) || object.metadata.deletionTimestamp != null) return undefined
  const { annotations, finalizers: _finalizers, ownerReferences: _owners, ...metadata } = object.metadata
  const own = Object.fromEntries(Object.entries(annotations ?? {}).filter(([key]) => !working.test(key)))
  return {
    ...unassigned(object),
    metadata: { ...metadata, ...(Object.keys(own).length === 0 ? {} : { annotations: own }) }
  }
}

/** The manifest of all of them. */
export const manifestOf = (objects: ReadonlyArray<KubernetesObject>): string =>
  objects.map((object) => backupText(object)).join("---\n")

/** The manifest's objects again, each as text. */
export const documentsOf = (manifest: string): ReadonlyArray<string> =>
  manifest === "" ? [] : manifest.split(/^---\n/mu)

/** Every image that their pods run, sorted. */
export const imagesOf = (objects: ReadonlyArray<KubernetesObject>): ReadonlyArray<string> => {
  const images = objects.flatMap((object) => {
    const template = templateOf(object.kind, object)?.template
    const containers = ["containers", "initContainers"].flatMap((field) => listAt(template, "spec", field))
    return containers.flatMap((container) => textAt(container, "image") ?? [])
  })
  return [...new Set(images)].toSorted()
}

/** Identities that their pods have: whoever restores them gives them nothing that they had not. */
export const identitiesOf = (objects: ReadonlyArray<unknown>) => {
  const specs = objects.map((object) => {
    const kind = textAt(object, "kind") ?? ""
    return at(templateOf(kind, object)?.template, "spec")
  })
  return {
    serviceAccounts: specs.flatMap((spec) => textAt(spec, "serviceAccountName") ?? []),
    pullSecrets: specs.flatMap((spec) => listAt(spec, "imagePullSecrets").flatMap((one) => textAt(one, "name") ?? []))
  }
}
