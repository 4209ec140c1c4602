/** The DaemonSet controller: one pod on each node, replaced when the template changes; must know no other workload. */
import { kinds } from "../kinds.ts"
import {
  at,
  clone,
  type Fields,
  fieldsAt,
  intAt,
  isDeleting,
  labelsOf,
  listAt,
  nameOf,
  objectsAt,
  put,
  textAt
} from "../values.ts"
import { forgetRevisions, revisionsOf } from "./controllerRevisions.ts"
import {
  type Control,
  createPod,
  deletePod,
  isAvailable,
  isFinished,
  isReady,
  ownedBy,
  writeStatus
} from "./ownedPods.ts"

const label = "controller-revision-hash"
const nodeField = "metadata.name"

/** The node a pod is meant for, which its DaemonSet wrote into its affinity. */
const nodeOf = (pod: Fields): string => {
  const required = at(pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
  const [node] = listAt(objectsAt(objectsAt(required, "nodeSelectorTerms")[0], "matchFields")[0], "values")
  return typeof node === "string" ? node : ""
}

export const reconcileDaemonSet = (control: Control, set: Fields): void => {
  if (isDeleting(set)) return
  const { all, update } = revisionsOf(control, set, label)
  const hash = labelsOf(update)[label] ?? ""
  const rolling = textAt(set, "spec", "updateStrategy", "type") === "RollingUpdate"
  const minReady = intAt(set, "spec", "minReadySeconds")
  const nodes = control.store.all(kinds.Node).map(nameOf)
  const isCurrent = (pod: Fields) => labelsOf(pod)[label] === hash
  const pods = () => ownedBy(control, kinds.Pod, set)

  for (const node of nodes) {
    const here = pods().filter((pod) => nodeOf(pod) === node)
    for (const pod of here.filter((one) => isFinished(one) && !isDeleting(one))) deletePod(control, set, pod)
    // A terminating pod still holds its place.
    if (here.length > 0) continue
    const template = clone(fieldsAt(set, "spec", "template"))
    const match = { matchFields: [{ key: nodeField, operator: "In", values: [node] }] }
    put(
      template,
      { nodeSelectorTerms: [match] },
      "spec",
      "affinity",
      "nodeAffinity",
      "requiredDuringSchedulingIgnoredDuringExecution"
    )
    createPod(control, set, template, undefined, { [label]: hash })
  }
  if (rolling) {
    const standing = pods().filter((pod) => !isDeleting(pod))
    const unavailable = nodes.length - standing.filter((pod) => isAvailable(control, pod, minReady)).length
    for (const pod of standing.filter((one) => !isCurrent(one))) {
      // One at a time; a pod that serves nobody is always replaced.
      if (unavailable > 0 && isReady(pod)) continue
      deletePod(control, set, pod)
      break
    }
  }

  const left = pods().filter((pod) => !isDeleting(pod))
  const ready = left.filter(isReady)
  const available = ready.filter((pod) => isAvailable(control, pod, minReady))
  const updated = left.filter(isCurrent).length
  writeStatus(control, kinds.DaemonSet, set, {
    observedGeneration: intAt(set, "metadata", "generation"),
    currentNumberScheduled: left.length,
    desiredNumberScheduled: nodes.length,
    numberAvailable: available.length,
    numberUnavailable: nodes.length - available.length,
    numberReady: ready.length,
    updatedNumberScheduled: updated,
    numberMisscheduled: 0
  })
  if (ready.length > available.length) control.again(kinds.DaemonSet, set, Math.max(1, minReady))
  const hashes = new Set(pods().map((pod) => labelsOf(pod)[label]))
  const live = all.filter((revision) => hashes.has(labelsOf(revision)[label])).map(nameOf)
  forgetRevisions(control, set, all, new Set([nameOf(update), ...live]))
}
