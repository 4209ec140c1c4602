/** The closed list of kinds that admin writes; must know nothing of what is in them. */
import { apiVersionOf, type Resource, resources } from "#shared/kubernetes/objects.ts"

/** spec: no RBAC, no Namespace, no CRD, no webhook, nothing of the cluster's own. */
export const allowedKinds = [
  "Deployment",
  "StatefulSet",
  "DaemonSet",
  "Service",
  "ConfigMap",
  "Secret",
  "Ingress",
  "Job",
  "CronJob",
  "HorizontalPodAutoscaler",
  "PodDisruptionBudget",
  "PersistentVolumeClaim"
] as const
export type AllowedKind = (typeof allowedKinds)[number]

const byKind: ReadonlyMap<string, Resource> = new Map(allowedKinds.map((kind) => [kind, resources[kind]]))

/** The resource of an allowed kind in exactly the version this service writes, else undefined. */
export const allowedResource = (apiVersion: string, kind: string): Resource | undefined => {
  const resource = byKind.get(kind)
  return resource !== undefined && apiVersionOf(resource) === apiVersion ? resource : undefined
}

/** The resource of a kind that was written before, so that it can be read again. */
export const resourceOfKind = (kind: string): Resource => {
  const resource = byKind.get(kind)
  if (resource === undefined) throw new Error(`${kind} is none of the kinds that are written`)
  return resource
}
