/** Kubernetes objects as the API server's own JSON: what the port reads of them, with every other field kept as it came; must hold no behaviour. */

/** Any JSON. */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json | undefined }

export interface OwnerReference {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
}

/** `metadata` of an object (meta/v1 ObjectMeta); times are RFC 3339. */
export interface ObjectMeta {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string | null
  readonly deletionTimestamp?: string | null
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly ownerReferences?: ReadonlyArray<OwnerReference>
  readonly managedFields?: ReadonlyArray<{ readonly [key: string]: Json | undefined }>
  readonly [field: string]: unknown
}

/**
 * One object, raw: typed models drop fields they do not know in both directions, so an undo built from one would strip
 * what a newer API server has. Readers narrow the fields they need.
 */
export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
  readonly [field: string]: unknown
}

/** A list as the server sends it, all its pages joined. */
export interface KubernetesList {
  readonly items: ReadonlyArray<KubernetesObject>
  /** Of the snapshot: where a watch goes on. */
  readonly resourceVersion: string
}

/** One kind that the API server serves. `group` is "" for the core group. */
export interface Resource {
  readonly group: string
  readonly version: string
  readonly kind: string
  /** Lower-case plural, as in paths. */
  readonly plural: string
  readonly namespaced: boolean
}

const resource = (group: string, version: string, kind: string, plural: string, namespaced = true): Resource => ({
  group,
  version,
  kind,
  plural,
  namespaced
})

/** The kinds Gatehouse reads or writes, by kind. */
export const resources = {
  Deployment: resource("apps", "v1", "Deployment", "deployments"),
  StatefulSet: resource("apps", "v1", "StatefulSet", "statefulsets"),
  DaemonSet: resource("apps", "v1", "DaemonSet", "daemonsets"),
  ReplicaSet: resource("apps", "v1", "ReplicaSet", "replicasets"),
  ControllerRevision: resource("apps", "v1", "ControllerRevision", "controllerrevisions"),
  Pod: resource("", "v1", "Pod", "pods"),
  Event: resource("", "v1", "Event", "events"),
  ConfigMap: resource("", "v1", "ConfigMap", "configmaps"),
  Secret: resource("", "v1", "Secret", "secrets"),
  Service: resource("", "v1", "Service", "services"),
  ServiceAccount: resource("", "v1", "ServiceAccount", "serviceaccounts"),
  PersistentVolumeClaim: resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
  Namespace: resource("", "v1", "Namespace", "namespaces", false),
  Node: resource("", "v1", "Node", "nodes", false),
  Job: resource("batch", "v1", "Job", "jobs"),
  CronJob: resource("batch", "v1", "CronJob", "cronjobs"),
  Ingress: resource("networking.k8s.io", "v1", "Ingress", "ingresses"),
  HorizontalPodAutoscaler: resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
  PodDisruptionBudget: resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
} as const
export type KnownKind = keyof typeof resources

/** `apps/v1`, or `v1` for the core group. */
export const apiVersionOf = ({ group, version }: Resource): string => (group === "" ? version : `${group}/${version}`)

/** The controller of an object: its owner reference with `controller: true`. */
export const controllerOf = (object: KubernetesObject): OwnerReference | undefined =>
  object.metadata.ownerReferences?.find((owner) => owner.controller === true)
