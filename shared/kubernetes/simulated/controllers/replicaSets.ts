/** The ReplicaSet controller: keeps the number of pods, and counts them; must know no Deployment. */
import { kinds } from "../kinds.ts"
import { type Fields, fieldsAt, intAt, isDeleting, labelsOf, textAt, textsAt } from "../values.ts"
import {
  type Control,
  createPod,
  deletePod,
  isActive,
  isAvailable,
  isReady,
  ownedBy,
  totalRestarts,
  writeStatus
} from "./ownedPods.ts"

/** Those that are least missed go first: not bound, pending, not ready, often restarted, young. */
const rank = (pod: Fields): ReadonlyArray<number> => [
  textAt(pod, "spec", "nodeName") === "" ? 0 : 1,
  textAt(pod, "status", "phase") === "Pending" ? 0 : 1,
  isReady(pod) ? 1 : 0,
  -totalRestarts(pod),
  -Date.parse(textAt(pod, "metadata", "creationTimestamp"))
]
const byRank = (one: Fields, other: Fields): number => {
  const mine = rank(one)
  const theirs = rank(other)
  const index = mine.findIndex((value, place) => value !== theirs[place])
  return index < 0 ? 0 : mine[index]! - theirs[index]!
}

export const reconcileReplicaSet = (control: Control, set: Fields): void => {
  const pods = ownedBy(control, kinds.Pod, set)
  const active = pods.filter(isActive)
  const wanted = intAt(set, "spec", "replicas")
  const template = fieldsAt(set, "spec", "template")
  if (!isDeleting(set)) {
    for (let index = active.length; index < wanted; index += 1) createPod(control, set, template, undefined)
    const surplus = active.toSorted(byRank).slice(0, Math.max(0, active.length - wanted))
    for (const pod of surplus) deletePod(control, set, pod)
  }
  const left = ownedBy(control, kinds.Pod, set).filter(isActive)
  const minReady = intAt(set, "spec", "minReadySeconds")
  const ready = left.filter(isReady)
  const available = ready.filter((pod) => isAvailable(control, pod, minReady))
  const labels = Object.entries(textsAt(template, "metadata", "labels"))
  writeStatus(control, kinds.ReplicaSet, set, {
    replicas: left.length,
    fullyLabeledReplicas: left.filter((pod) => labels.every(([key, value]) => labelsOf(pod)[key] === value)).length,
    readyReplicas: ready.length,
    availableReplicas: available.length,
    terminatingReplicas: pods.filter(isDeleting).length,
    observedGeneration: intAt(set, "metadata", "generation")
  })
  if (ready.length > available.length) control.again(kinds.ReplicaSet, set, Math.max(1, minReady))
}
