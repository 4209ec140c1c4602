/** Objects as the API server would send them, for tests of what is decided over them; must hold no behaviour of the cluster. */
import { fieldsOf } from "#shared/kubernetes/fields.ts"
import type { Json, KubernetesObject } from "#shared/kubernetes/objects.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"

type Fields = { readonly [key: string]: Json | undefined }

const lower = (kind: string) => kind.toLowerCase()

/** A pod template with one container `app` of `image`. */
export const template = (image: string, more: Fields = {}, annotations?: Fields) => ({
  metadata: {
    labels: { app: "web" },
    ...(annotations === undefined ? {} : { annotations })
  },
  spec: { containers: [{ name: "app", image, ...more }] }
})

interface Shape {
  readonly name?: string
  readonly annotations?: Readonly<Record<string, string>> | undefined
  readonly spec?: Fields
  readonly status?: Fields
  readonly template?: Fields
  readonly generation?: number
}

const workload = (kind: WorkloadKind, strategy: Fields, shape: Shape): KubernetesObject => {
  const { annotations, generation = 1, name = "web", spec, status, template: pod = template("web:1") } = shape
  return {
    apiVersion: "apps/v1",
    kind,
    metadata: {
      name,
      namespace: "dev",
      uid: `uid-${lower(kind)}-${name}`,
      generation,
      resourceVersion: "10",
      ...(annotations === undefined ? {} : { annotations })
    },
    spec: { selector: { matchLabels: { app: "web" } }, ...strategy, template: pod, ...spec },
    status: { observedGeneration: generation, ...status }
  }
}

export const deployment = (shape: Shape = {}) =>
  workload("Deployment", { replicas: 2, strategy: { type: "RollingUpdate" } }, shape)
export const statefulSet = (shape: Shape = {}) =>
  workload("StatefulSet", { replicas: 2, updateStrategy: { type: "RollingUpdate" } }, shape)
export const daemonSet = (shape: Shape = {}) =>
  workload("DaemonSet", { updateStrategy: { type: "RollingUpdate" } }, shape)

const ownedBy = (owner: KubernetesObject, controller = true) => [
  {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid ?? "",
    controller
  }
]

/** A ReplicaSet of `owner` with the hash label in its template; `revision` as its annotation, absent if undefined. */
export const replicaSet = (
  owner: KubernetesObject,
  revision: string | undefined,
  pod: Fields,
  more: {
    readonly annotations?: Readonly<Record<string, string>>
    readonly controller?: boolean
    readonly name?: string
  } = {}
): KubernetesObject => {
  const name = more.name ?? `${owner.metadata.name}-${revision ?? "none"}`
  const metadata = fieldsOf(pod["metadata"])
  const labels = fieldsOf(metadata["labels"])
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name,
      namespace: "dev",
      uid: `uid-${name}`,
      creationTimestamp: `2026-11-26T09:00:0${Number(revision ?? 0) % 10}Z`,
      labels: { app: "web", "pod-template-hash": name },
      annotations: {
        ...(revision === undefined ? {} : { "deployment.kubernetes.io/revision": revision }),
        ...more.annotations
      },
      ownerReferences: ownedBy(owner, more.controller)
    },
    spec: {
      replicas: 0,
      template: { ...pod, metadata: { ...metadata, labels: { ...labels, "pod-template-hash": name } } }
    },
    status: { replicas: 0 }
  }
}

/** A ControllerRevision of `owner`, with the patch that its controller stores. */
export const controllerRevision = (
  owner: KubernetesObject,
  revision: number,
  pod: Fields,
  annotations?: Readonly<Record<string, string>>
): KubernetesObject => {
  const name = `${owner.metadata.name}-r${revision}`
  return {
    apiVersion: "apps/v1",
    kind: "ControllerRevision",
    metadata: {
      name,
      namespace: "dev",
      uid: `uid-${lower(owner.kind)}-${name}`,
      labels: { app: "web", "controller-revision-hash": `hash${revision}` },
      ownerReferences: ownedBy(owner),
      ...(annotations === undefined ? {} : { annotations })
    },
    data: { spec: { template: { ...pod, $patch: "replace" } } },
    revision
  }
}

/** A pod of `owner`; `status` is merged into one that runs and is ready. */
export const pod = (
  owner: KubernetesObject,
  name: string,
  status: Fields = {},
  more: { readonly labels?: Readonly<Record<string, string>>; readonly spec?: Fields } = {}
): KubernetesObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name,
    namespace: "dev",
    uid: `uid-${name}`,
    labels: { app: "web", ...more.labels },
    ownerReferences: ownedBy(owner)
  },
  spec: { containers: [{ name: "app", image: "web:1" }], ...more.spec },
  status: {
    phase: "Running",
    conditions: [{ type: "Ready", status: "True" }],
    containerStatuses: [{ name: "app", ready: true, restartCount: 0, state: { running: {} } }],
    ...status
  }
})

/** The status of a container that waits for `reason`, after `restarts` restarts. */
export const waiting = (name: string, reason: string, restarts = 0) => ({
  name,
  ready: false,
  restartCount: restarts,
  state: { waiting: { reason, message: `back-off ${name}` } },
  ...(restarts === 0
    ? {}
    : { lastState: { terminated: { exitCode: 1, reason: "Error", finishedAt: "2026-11-26T09:00:00Z" } } })
})
