/** A workload with its revisions and pods in the words of the contract; pure: time and history are handed in. */
import type { PodNode, RolloutStatus, Workload, WorkloadDetail } from "#shared/api/admin.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import { controllerOf, type KubernetesObject } from "#shared/kubernetes/objects.ts"
import { at, fieldsOf, flagAt, listAt, textAt } from "#shared/kubernetes/fields.ts"
import { environmentOf, maskText, yamlOf } from "#shared/kubernetes/mask.ts"
import { workloadHealth } from "./health.ts"
import { imagesOf, numbered } from "./history.ts"
import { podNode, restartsOf } from "./pods.ts"
import { currentReplicaSet, revisionAnnotation, revisionNumber, type RevisionRecord } from "./revisions.ts"
import { type RolloutOptions, rolloutStatus } from "./status.ts"
import { currentControllerRevision } from "./undoRevisioned.ts"

/** A workload with all that belongs to it. */
export interface Family {
  readonly kind: WorkloadKind
  readonly object: KubernetesObject
  readonly revisions: ReadonlyArray<RevisionRecord>
  /** Pods of every revision. */
  readonly pods: ReadonlyArray<KubernetesObject>
}

/** The revision in force, undefined while the controller has not made it yet. */
export const currentRevision = ({ kind, object, revisions }: Family): RevisionRecord | undefined =>
  kind === "Deployment" ? currentReplicaSet(object, revisions) : currentControllerRevision(object, revisions)

const revisionHash = "controller-revision-hash"

/** The pods of one revision: a ReplicaSet's own, or those with a ControllerRevision's name (StatefulSet) or hash (DaemonSet). */
export const podsOf = ({ kind, pods }: Family, revision: RevisionRecord): ReadonlyArray<KubernetesObject> =>
  kind === "Deployment"
    ? pods.filter((pod) => controllerOf(pod)?.uid === revision.uid)
    : pods.filter((pod) => {
        const hash = pod.metadata.labels?.[revisionHash]
        return (
          hash !== undefined && (hash === revision.name || hash === revision.source.metadata.labels?.[revisionHash])
        )
      })

export const statusOf = (family: Family, options: RolloutOptions = {}): RolloutStatus => {
  const current = currentRevision(family)
  return rolloutStatus(family.kind, family.object, current === undefined ? [] : podsOf(family, current), options)
}

/** The number of the revision in force. */
const revisionOf = (family: Family): number | null =>
  family.kind === "Deployment"
    ? family.object.metadata.annotations?.[revisionAnnotation] === undefined
      ? null
      : (revisionNumber(family.object) ?? null)
    : (currentRevision(family)?.revision ?? null)

export const workloadOf = (
  family: Family,
  status: RolloutStatus,
  namespace: string,
  lastChange: Workload["lastChange"]
): Workload => {
  const { kind, object, pods } = family
  return {
    namespace,
    kind,
    name: object.metadata.name,
    uid: object.metadata.uid ?? "",
    generation: object.metadata.generation ?? 0,
    revision: revisionOf(family),
    images: imagesOf(at(object, "spec", "template")),
    desired: status.desired,
    ready: status.ready,
    updated: status.updated,
    available: status.available,
    restarts: pods.reduce((sum, pod) => sum + restartsOf(pod), 0),
    paused: flagAt(object, "spec", "paused"),
    health: workloadHealth(object, kind, status),
    phase: status.phase,
    createdAt: object.metadata.creationTimestamp ?? null,
    lastChange
  }
}

const byName = (a: PodNode, b: PodNode) => a.name.localeCompare(b.name)

const conditionsOf = (object: KubernetesObject): WorkloadDetail["conditions"] =>
  listAt(object, "status", "conditions").map((one) => ({
    type: textAt(one, "type") ?? "",
    status: textAt(one, "status") ?? "Unknown",
    reason: textAt(one, "reason") ?? "",
    message: maskText(textAt(one, "message") ?? ""),
    at: textAt(one, "lastTransitionTime") ?? null
  }))

export const detailOf = (family: Family, status: RolloutStatus, workload: Workload): WorkloadDetail => {
  const { kind, object, revisions } = family
  const current = currentRevision(family)
  return {
    workload,
    status,
    strategy: textAt(object, "spec", kind === "Deployment" ? "strategy" : "updateStrategy", "type") ?? "",
    conditions: conditionsOf(object),
    revisions: numbered(revisions)
      .map((one) => ({
        revision: one.revision,
        name: one.name,
        current: one.uid === current?.uid,
        pods: podsOf(family, one).map(podNode).sort(byName)
      }))
      .reverse(),
    environment: environmentOf(fieldsOf(at(object, "spec", "template"))),
    yaml: yamlOf(object)
  }
}
