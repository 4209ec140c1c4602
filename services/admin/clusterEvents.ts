/** Kubernetes events as a list for people: which belong to a workload, when they were, newest first; pure. */
import type { ClusterEvent } from "#shared/api/admin.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { numberAt, textAt } from "#shared/kubernetes/fields.ts"
import { maskText } from "#shared/kubernetes/mask.ts"

/** Events of one answer. */
export const maxEvents = 500

/** When it happened last: recorders fill different fields (core/v1 and events.k8s.io/v1). */
const timeOf = (event: KubernetesObject): string | null =>
  textAt(event, "series", "lastObservedTime") ??
  textAt(event, "lastTimestamp") ??
  textAt(event, "eventTime") ??
  textAt(event, "firstTimestamp") ??
  event.metadata.creationTimestamp ??
  null

export const eventOf = (event: KubernetesObject): ClusterEvent => ({
  at: timeOf(event),
  type: textAt(event, "type") ?? "Normal",
  reason: textAt(event, "reason") ?? "",
  message: maskText(textAt(event, "message") ?? ""),
  count: numberAt(event, "series", "count") ?? numberAt(event, "count") ?? 1,
  object: {
    kind: textAt(event, "involvedObject", "kind") ?? "",
    name: textAt(event, "involvedObject", "name") ?? ""
  }
})

/** Names of a workload's own objects, by kind; `pods` also takes in pods that are gone already. */
export interface Members {
  readonly kind: string
  readonly name: string
  readonly revisions: ReadonlySet<string>
  readonly pods: RegExp
}

const literal = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/gu, String.raw`\$&`)

/** Whose pods: a ReplicaSet's have five random characters behind its name, a DaemonSet's behind its own, a StatefulSet's a number. */
export const podNames = (kind: string, name: string, replicaSets: ReadonlyArray<string>): RegExp => {
  if (kind === "StatefulSet") return new RegExp(`^${literal(name)}-\\d+$`, "u")
  const owners = kind === "Deployment" ? replicaSets : [name]
  if (owners.length === 0) return /^(?!)/u
  return new RegExp(`^(?:${owners.map(literal).join("|")})-[a-z0-9]{5}$`, "u")
}

const concerns = (event: KubernetesObject, { kind, name, pods, revisions }: Members): boolean => {
  const of = textAt(event, "involvedObject", "kind")
  const which = textAt(event, "involvedObject", "name") ?? ""
  if (of === kind && which === name) return true
  return of === "Pod" ? pods.test(which) : (of === "ReplicaSet" || of === "ControllerRevision") && revisions.has(which)
}

/** Newest first, at most `maxEvents`; of one workload and what belongs to it if `members` is given. */
export const eventsOf = (events: ReadonlyArray<KubernetesObject>, members?: Members): ReadonlyArray<ClusterEvent> =>
  events
    .filter((event) => members === undefined || concerns(event, members))
    .map(eventOf)
    .sort((a, b) => Date.parse(b.at ?? "") - Date.parse(a.at ?? "") || 0)
    .slice(0, maxEvents)
