/** The objects of one namespace as its watches last told, found by the workload they belong to; must ask nobody. */
import type { WatchEvent } from "#shared/kubernetes/Kubernetes.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import { controllerOf, type KubernetesObject } from "#shared/kubernetes/objects.ts"
import { revisionsOf } from "./rollout/revisions.ts"
import type { Family } from "./rollout/presentation.ts"

/** The kinds that are watched. */
export const watchedKinds = [
  "Deployment",
  "StatefulSet",
  "DaemonSet",
  "ReplicaSet",
  "ControllerRevision",
  "Pod"
] as const
export type WatchedKind = (typeof watchedKinds)[number]

const workloadKinds = ["Deployment", "StatefulSet", "DaemonSet"] as const satisfies ReadonlyArray<WorkloadKind>
const isWorkloadKind = (kind: string): kind is WorkloadKind => workloadKinds.some((one) => one === kind)

/** A workload by kind and name, as a key of maps. */
export const keyOf = (kind: WorkloadKind, name: string): string => `${kind}/${name}`

export interface WorkloadKey {
  readonly kind: WorkloadKind
  readonly name: string
}

export class NamespaceObjects {
  readonly #objects: Readonly<Record<WatchedKind, Map<string, KubernetesObject>>> = {
    Deployment: new Map(),
    StatefulSet: new Map(),
    DaemonSet: new Map(),
    ReplicaSet: new Map(),
    ControllerRevision: new Map(),
    Pod: new Map()
  }
  readonly #synced = new Set<WatchedKind>()

  /** Every kind was seen whole at least once. */
  get complete(): boolean {
    return this.#synced.size === watchedKinds.length
  }

  /** Takes in what a watch tells; the workloads that may look different now. */
  apply(kind: WatchedKind, event: Exclude<WatchEvent, { readonly _tag: "Stale" }>): ReadonlyArray<WorkloadKey> {
    const objects = this.#objects[kind]
    if (event._tag === "Changed") {
      const { name } = event.object.metadata
      const before = this.#workloadOf(kind, event.object)
      if (event.type === "DELETED") objects.delete(name)
      else objects.set(name, event.object)
      const after = this.#workloadOf(kind, event.object)
      return [before, after].flatMap((one) => one ?? [])
    }
    const gone = kind === "Pod" || isWorkloadKind(kind) ? [...objects.values()] : []
    objects.clear()
    for (const object of event.list.items) objects.set(object.metadata.name, object)
    this.#synced.add(kind)
    // A list may change any workload; those that it no longer has must be told of too.
    return [...this.all(), ...gone.flatMap((object) => this.#workloadOf(kind, object) ?? [])]
  }

  all(): ReadonlyArray<WorkloadKey> {
    return workloadKinds.flatMap((kind) => [...this.#objects[kind].keys()].map((name) => ({ kind, name })))
  }

  pods(): ReadonlyArray<KubernetesObject> {
    return [...this.#objects.Pod.values()]
  }

  family({ kind, name }: WorkloadKey): Family | undefined {
    const object = this.#objects[kind].get(name)
    if (object === undefined) return undefined
    const sources = this.#objects[kind === "Deployment" ? "ReplicaSet" : "ControllerRevision"]
    const own = [...sources.values()].filter((one) => controllerOf(one)?.uid === object.metadata.uid)
    const owners = new Set(kind === "Deployment" ? own.map((one) => one.metadata.uid) : [object.metadata.uid])
    return {
      kind,
      object,
      revisions: revisionsOf(object, own),
      pods: this.pods().filter((pod) => owners.has(controllerOf(pod)?.uid))
    }
  }

  /** By the controller's name: what belongs to which workload is decided by uid, in `family`. */
  #workloadOf(kind: WatchedKind, object: KubernetesObject): WorkloadKey | undefined {
    if (isWorkloadKind(kind)) return { kind, name: object.metadata.name }
    const owner = controllerOf(object)
    if (owner === undefined) return undefined
    if (isWorkloadKind(owner.kind)) return { kind: owner.kind, name: owner.name }
    const replicaSet = owner.kind === "ReplicaSet" ? this.#objects.ReplicaSet.get(owner.name) : undefined
    return replicaSet === undefined ? undefined : this.#workloadOf("ReplicaSet", replicaSet)
  }
}
