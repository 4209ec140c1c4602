/** What all workload controllers do with pods: find their own, make one from a template, judge it; must decide no rollout. */
import { randomUUID } from "node:crypto"
import { apiVersionOf } from "../../objects.ts"
import { initialStatus, setDefaults } from "../defaults.ts"
import type { Record } from "../events.ts"
import { type Kind, kinds } from "../kinds.ts"
import { suffix } from "../names.ts"
import type { Store } from "../store.ts"
import type { Timeline } from "../timeline.ts"
import {
  annotationsOf,
  controllerReference,
  clone,
  type Fields,
  fieldsAt,
  intAt,
  isDeleting,
  labelsOf,
  nameOf,
  namespaceOf,
  objectsAt,
  textAt,
  uidOf,
  type Value
} from "../values.ts"
import type { Writes } from "../writes.ts"

/** What a controller works with. */
export interface Control {
  readonly store: Store
  readonly timeline: Timeline
  readonly writes: Writes
  readonly record: Record
  /** Reconcile this object again after so many seconds of cluster time. */
  readonly again: (kind: Kind, object: Fields, seconds: number) => void
  /** Waits that are over, by a key of their own. */
  readonly passed: Set<string>
}

export const manager = "kube-controller-manager"

export const ownerReference = (owner: Fields): Fields => ({
  apiVersion: textAt(owner, "apiVersion"),
  kind: textAt(owner, "kind"),
  name: nameOf(owner),
  uid: uidOf(owner),
  controller: true,
  blockOwnerDeletion: true
})

/** Objects of a kind whose controller is `owner`. */
export const ownedBy = (control: Control, kind: Kind, owner: Fields): ReadonlyArray<Fields> =>
  control.store
    .all(kind, namespaceOf(owner))
    .filter((object) => textAt(controllerReference(object), "uid") === uidOf(owner))

export const isFinished = (pod: Fields) => {
  const phase = textAt(pod, "status", "phase")
  return phase === "Succeeded" || phase === "Failed"
}
export const isActive = (pod: Fields) => !isDeleting(pod) && !isFinished(pod)

const readyCondition = (pod: Fields) =>
  objectsAt(pod, "status", "conditions").find(
    (one) => textAt(one, "type") === "Ready" && textAt(one, "status") === "True"
  )
export const isReady = (pod: Fields) => readyCondition(pod) !== undefined

/** Ready for at least `minReadySeconds`; asks for another look when that is only a matter of time. */
export const isAvailable = (control: Control, pod: Fields, minReadySeconds: number): boolean => {
  const condition = readyCondition(pod)
  if (condition === undefined) return false
  return control.timeline.now() - Date.parse(textAt(condition, "lastTransitionTime")) >= minReadySeconds * 1000
}

/** A percentage of `total` or a number. */
export const resolved = (value: Value | undefined, total: number, up: boolean): number => {
  if (typeof value === "number") return value
  const percent = typeof value === "string" ? Number.parseInt(value, 10) : 0
  const exact = (total * (Number.isNaN(percent) ? 0 : percent)) / 100
  return up ? Math.ceil(exact) : Math.floor(exact)
}

/** In the words of each controller. */
const done = (what: "Create" | "Delete", owner: Fields, pod: Fields) =>
  textAt(owner, "kind") === "StatefulSet"
    ? `${what} Pod ${nameOf(pod)} in StatefulSet ${nameOf(owner)} successful`
    : `${what}d pod: ${nameOf(pod)}`

/** Makes a pod of `template` for `owner`; what is refused is recorded as an event. */
export const createPod = (
  control: Control,
  owner: Fields,
  template: Fields,
  name: string | undefined,
  labels: Readonly<globalThis.Record<string, string>> = {}
): Fields => {
  const pod: Fields = {
    apiVersion: apiVersionOf(kinds.Pod),
    kind: "Pod",
    metadata: {
      name: name ?? `${nameOf(owner)}-${suffix()}`,
      generateName: `${nameOf(owner)}-`,
      namespace: namespaceOf(owner),
      labels: { ...labelsOf(template), ...labels },
      ...(Object.keys(annotationsOf(template)).length === 0 ? {} : { annotations: annotationsOf(template) }),
      ownerReferences: [ownerReference(owner)],
      uid: randomUUID(),
      creationTimestamp: control.timeline.stamp(),
      generation: 1
    },
    spec: clone(fieldsAt(template, "spec")),
    status: { phase: "Pending" }
  }
  setDefaults(kinds.Pod, pod)
  const made = control.store.put(kinds.Pod, pod)
  const component = `${textAt(owner, "kind").toLowerCase()}-controller`
  control.record(owner, "Normal", "SuccessfulCreate", done("Create", owner, made), component)
  return made
}

export const deletePod = (control: Control, owner: Fields, pod: Fields): void => {
  control.writes.remove(kinds.Pod, namespaceOf(pod), nameOf(pod), {})
  const component = `${textAt(owner, "kind").toLowerCase()}-controller`
  control.record(owner, "Normal", "SuccessfulDelete", done("Delete", owner, pod), component)
}

/** Writes `metadata` annotations and status at once through the status subresource. */
export const writeStatus = (control: Control, kind: Kind, object: Fields, status: Fields): void => {
  const always = initialStatus(kind) ?? {}
  const clean = Object.fromEntries(
    Object.entries(status).filter(
      ([key, value]) =>
        value !== undefined && (value !== 0 || Object.hasOwn(always, key) || key === "terminatingReplicas")
    )
  )
  control.writes.update(kind, namespaceOf(object), nameOf(object), (current) => ({ ...current, status: clean }), {
    manager,
    subresource: "status"
  })
}

export const totalRestarts = (pod: Fields) =>
  objectsAt(pod, "status", "containerStatuses").reduce((sum, one) => sum + intAt(one, "restartCount"), 0)
