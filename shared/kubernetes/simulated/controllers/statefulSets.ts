/** The StatefulSet controller: numbered pods with claims of their own, in order, updated from the highest down; must know no other workload. */
import { kinds } from "../kinds.ts"
import {
  at,
  clone,
  type Fields,
  fieldsAt,
  intAt,
  isDeleting,
  labelsOf,
  nameOf,
  namespaceOf,
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

const revisionLabel = "controller-revision-hash"
const hashLabel = "controller.kubernetes.io/hash"

const ordinalOf = (set: Fields, pod: Fields) => Number(nameOf(pod).slice(nameOf(set).length + 1))
const revisionOf = (pod: Fields) => labelsOf(pod)[revisionLabel] ?? ""
const templateOf = (revision: Fields): Fields => {
  const { $patch: _, ...template } = fieldsAt(revision, "data", "spec", "template")
  return clone(template)
}

const claimName = (claim: Fields, set: Fields, ordinal: number) =>
  `${textAt(claim, "metadata", "name")}-${nameOf(set)}-${ordinal}`

const createClaims = (control: Control, set: Fields, ordinal: number): void => {
  for (const claim of objectsAt(set, "spec", "volumeClaimTemplates")) {
    const name = claimName(claim, set, ordinal)
    if (control.store.get(kinds.PersistentVolumeClaim, namespaceOf(set), name) !== undefined) continue
    control.store.put(kinds.PersistentVolumeClaim, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: {
        name,
        namespace: namespaceOf(set),
        uid: crypto.randomUUID(),
        creationTimestamp: control.timeline.stamp(),
        labels: { ...labelsOf(claim), ...labelsOf(fieldsAt(set, "spec", "template")) }
      },
      spec: { ...clone(fieldsAt(claim, "spec")), volumeName: `pvc-${crypto.randomUUID()}` },
      status: { phase: "Bound", accessModes: clone(at(claim, "spec", "accessModes") ?? []) }
    })
  }
}

const create = (control: Control, set: Fields, ordinal: number, revision: Fields): void => {
  createClaims(control, set, ordinal)
  const template = templateOf(revision)
  const volumes = objectsAt(set, "spec", "volumeClaimTemplates").map((claim) => ({
    name: textAt(claim, "metadata", "name"),
    persistentVolumeClaim: { claimName: claimName(claim, set, ordinal) }
  }))
  const own = new Set(volumes.map(({ name }) => name))
  const others = objectsAt(template, "spec", "volumes").filter((volume) => !own.has(textAt(volume, "name")))
  if (volumes.length + others.length > 0) put(template, [...volumes, ...others], "spec", "volumes")
  const name = `${nameOf(set)}-${ordinal}`
  put(template, name, "spec", "hostname")
  put(template, textAt(set, "spec", "serviceName") || undefined, "spec", "subdomain")
  createPod(control, set, template, name, {
    [revisionLabel]: nameOf(revision),
    "statefulset.kubernetes.io/pod-name": name,
    "apps.kubernetes.io/pod-index": String(ordinal)
  })
}

export const reconcileStatefulSet = (control: Control, set: Fields): void => {
  if (isDeleting(set)) return
  const { all, update } = revisionsOf(control, set, hashLabel)
  const told = textAt(set, "status", "currentRevision")
  const current = all.find((revision) => nameOf(revision) === told) ?? update
  const start = intAt(set, "spec", "ordinals", "start")
  const wanted = intAt(set, "spec", "replicas")
  const minReady = intAt(set, "spec", "minReadySeconds")
  const parallel = textAt(set, "spec", "podManagementPolicy") === "Parallel"
  const rolling = textAt(set, "spec", "updateStrategy", "type") === "RollingUpdate"
  const partition = intAt(set, "spec", "updateStrategy", "rollingUpdate", "partition")
  const pods = () =>
    ownedBy(control, kinds.Pod, set).toSorted((one, other) => ordinalOf(set, one) - ordinalOf(set, other))
  const healthy = (pod: Fields) => !isDeleting(pod) && isReady(pod)

  /** One step of the order; true where everything stands and the update may go on. */
  const keepOrder = (): boolean => {
    const found = new Map(pods().map((pod) => [ordinalOf(set, pod), pod]))
    for (let ordinal = start; ordinal < start + wanted; ordinal += 1) {
      const pod = found.get(ordinal)
      if (pod === undefined) {
        // OnDelete gives the new revision; a partition keeps the old one below it.
        create(control, set, ordinal, rolling && ordinal < start + partition ? current : update)
        if (!parallel) return false
      } else if (isFinished(pod) && !isDeleting(pod)) {
        deletePod(control, set, pod)
        return false
      } else if (!parallel && (!healthy(pod) || !isAvailable(control, pod, minReady))) {
        return false
      }
    }
    const surplus = [...found.values()].filter(
      (pod) => ordinalOf(set, pod) >= start + wanted || ordinalOf(set, pod) < start
    )
    for (const pod of surplus.toReversed()) {
      if (!isDeleting(pod)) deletePod(control, set, pod)
      if (!parallel) return false
    }
    return true
  }
  if (keepOrder() && rolling) {
    for (const pod of pods().toReversed()) {
      if (ordinalOf(set, pod) < start + partition) break
      if (revisionOf(pod) !== nameOf(update) && !isDeleting(pod)) {
        deletePod(control, set, pod)
        break
      }
      if (!healthy(pod)) break
    }
  }

  const left = pods()
  const standing = left.filter((pod) => !isDeleting(pod))
  const ready = standing.filter(isReady)
  const updated = standing.filter((pod) => revisionOf(pod) === nameOf(update)).length
  const done = rolling && updated === left.length && ready.length === left.length && left.length === wanted
  const running = done ? update : current
  writeStatus(control, kinds.StatefulSet, set, {
    observedGeneration: intAt(set, "metadata", "generation"),
    replicas: left.length,
    readyReplicas: ready.length,
    availableReplicas: ready.filter((pod) => isAvailable(control, pod, minReady)).length,
    currentReplicas: standing.filter((pod) => revisionOf(pod) === nameOf(running)).length,
    updatedReplicas: updated,
    currentRevision: nameOf(running),
    updateRevision: nameOf(update),
    collisionCount: 0
  })
  if (ready.length > 0 && minReady > 0) control.again(kinds.StatefulSet, set, minReady)
  forgetRevisions(control, set, all, new Set([nameOf(update), nameOf(running), ...left.map(revisionOf)]))
}
