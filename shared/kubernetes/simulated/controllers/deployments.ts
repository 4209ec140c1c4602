/** The Deployment controller: revisions, rollouts within surge and unavailability, history; the status is written beside it. */
import { kinds } from "../kinds.ts"
import { templateHash } from "../names.ts"
import {
  annotationsOf,
  at,
  clone,
  type Fields,
  fieldsAt,
  intAt,
  isDeleting,
  nameOf,
  namespaceOf,
  put,
  same,
  textAt
} from "../values.ts"
import { writeDeploymentStatus } from "./deploymentStatus.ts"
import { type Control, manager, ownedBy, ownerReference, resolved } from "./ownedPods.ts"

const revisionKey = "deployment.kubernetes.io/revision"
const historyKey = "deployment.kubernetes.io/revision-history"
const desiredKey = "deployment.kubernetes.io/desired-replicas"
const maximumKey = "deployment.kubernetes.io/max-replicas"
const hashLabel = "pod-template-hash"
/** Annotations of a Deployment that its ReplicaSets do not get. */
const notCopied = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  revisionKey,
  historyKey,
  desiredKey,
  maximumKey,
  "deprecated.deployment.rollback.to"
])
const component = "deployment-controller"

const replicasOf = (object: Fields | undefined) => intAt(object, "spec", "replicas")
const availableOf = (set: Fields | undefined) => intAt(set, "status", "availableReplicas")
export const revisionOf = (object: Fields): number =>
  Number.parseInt(annotationsOf(object)[revisionKey] ?? "0", 10) || 0
const total = (sets: ReadonlyArray<Fields>, of: (set: Fields) => number) => sets.reduce((sum, set) => sum + of(set), 0)
const byAge = (one: Fields, other: Fields) =>
  textAt(one, "metadata", "creationTimestamp").localeCompare(textAt(other, "metadata", "creationTimestamp")) ||
  revisionOf(one) - revisionOf(other)

const bare = (template: Fields): Fields => {
  const copy = clone(template)
  put(copy, undefined, "metadata", "labels", hashLabel)
  return copy
}
const isOfTemplate = (deployment: Fields, set: Fields) =>
  same(bare(fieldsAt(deployment, "spec", "template")), bare(fieldsAt(set, "spec", "template")))

const isRolling = (deployment: Fields) => textAt(deployment, "spec", "strategy", "type") !== "Recreate"
const surgeOf = (deployment: Fields) =>
  isRolling(deployment)
    ? resolved(at(deployment, "spec", "strategy", "rollingUpdate", "maxSurge"), replicasOf(deployment), true)
    : 0
const unavailableOf = (deployment: Fields) => {
  if (!isRolling(deployment)) return 0
  const wanted = replicasOf(deployment)
  const found = resolved(at(deployment, "spec", "strategy", "rollingUpdate", "maxUnavailable"), wanted, false)
  // Both zero would never move: as in ResolveFenceposts.
  return Math.min(wanted, surgeOf(deployment) === 0 && found === 0 ? 1 : found)
}

const updateSet = (control: Control, set: Fields, change: (set: Fields) => void): Fields =>
  control.writes.update(
    kinds.ReplicaSet,
    namespaceOf(set),
    nameOf(set),
    (current) => {
      change(current)
      return current
    },
    { manager }
  ).object

const scale = (control: Control, deployment: Fields, set: Fields, replicas: number): Fields => {
  const wanted = replicasOf(deployment)
  const before = replicasOf(set)
  const scaled = updateSet(control, set, (one) => {
    put(one, replicas, "spec", "replicas")
    put(one, String(wanted), "metadata", "annotations", desiredKey)
    put(one, String(wanted + surgeOf(deployment)), "metadata", "annotations", maximumKey)
  })
  if (before !== replicas) {
    const way = replicas > before ? "up" : "down"
    control.record(
      deployment,
      "Normal",
      "ScalingReplicaSet",
      `Scaled ${way} replica set ${nameOf(set)} from ${before} to ${replicas}`,
      component
    )
  }
  return scaled
}

/** How many the new ReplicaSet may have now. */
const newReplicas = (deployment: Fields, sets: ReadonlyArray<Fields>, current: Fields | undefined): number => {
  const wanted = replicasOf(deployment)
  if (!isRolling(deployment)) return wanted
  const room = wanted + surgeOf(deployment) - total(sets, replicasOf)
  if (room <= 0) return replicasOf(current)
  return replicasOf(current) + Math.min(room, wanted - replicasOf(current))
}

const createSet = (control: Control, deployment: Fields, olds: ReadonlyArray<Fields>, revision: number): Fields => {
  const template = clone(fieldsAt(deployment, "spec", "template"))
  const hash = templateHash(template)
  put(template, hash, "metadata", "labels", hashLabel)
  const selector = clone(fieldsAt(deployment, "spec", "selector"))
  put(selector, hash, "matchLabels", hashLabel)
  const wanted = replicasOf(deployment)
  const replicas = newReplicas(deployment, olds, undefined)
  const copied = Object.entries(annotationsOf(deployment)).filter(([key]) => !notCopied.has(key))
  const made = control.writes.create(
    kinds.ReplicaSet,
    namespaceOf(deployment),
    {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: {
        name: `${nameOf(deployment)}-${hash}`,
        labels: clone(fieldsAt(template, "metadata", "labels")),
        annotations: {
          ...Object.fromEntries(copied),
          [revisionKey]: String(revision),
          [desiredKey]: String(wanted),
          [maximumKey]: String(wanted + surgeOf(deployment))
        },
        ownerReferences: [ownerReference(deployment)]
      },
      spec: {
        replicas,
        selector,
        template,
        ...(intAt(deployment, "spec", "minReadySeconds") === 0
          ? {}
          : { minReadySeconds: intAt(deployment, "spec", "minReadySeconds") })
      }
    },
    { manager }
  ).object
  if (replicas > 0) {
    const text = `Scaled up replica set ${nameOf(made)} from 0 to ${replicas}`
    control.record(deployment, "Normal", "ScalingReplicaSet", text, component)
  }
  return made
}

/** A ReplicaSet that is used again gets the next number, and keeps the old one in its history. */
const renumber = (control: Control, deployment: Fields, set: Fields, revision: number): Fields =>
  updateSet(control, set, (one) => {
    const before = revisionOf(one)
    for (const [key, value] of Object.entries(annotationsOf(deployment))) {
      if (!notCopied.has(key)) put(one, value, "metadata", "annotations", key)
    }
    if (before < revision) {
      put(one, String(revision), "metadata", "annotations", revisionKey)
      const earlier = annotationsOf(one)[historyKey]
      if (before > 0) {
        put(one, earlier === undefined ? String(before) : `${earlier},${before}`, "metadata", "annotations", historyKey)
      }
    }
    put(one, intAt(deployment, "spec", "minReadySeconds") || undefined, "spec", "minReadySeconds")
  })

const announce = (control: Control, deployment: Fields, revision: number): void => {
  if (annotationsOf(deployment)[revisionKey] === String(revision)) return
  control.writes.update(
    kinds.Deployment,
    namespaceOf(deployment),
    nameOf(deployment),
    (current) => {
      put(current, String(revision), "metadata", "annotations", revisionKey)
      return current
    },
    { manager, subresource: "status" }
  )
}

/** Scales with a change of `replicas` alone; true if something was done. */
const followReplicas = (
  control: Control,
  deployment: Fields,
  current: Fields | undefined,
  sets: ReadonlyArray<Fields>
): boolean => {
  const wanted = replicasOf(deployment)
  const active = sets.filter((set) => replicasOf(set) > 0)
  const told = active.some((set) => {
    const known = annotationsOf(set)[desiredKey]
    return known !== undefined && known !== String(wanted)
  })
  if (!told) return false
  if (active.length === 1) {
    scale(control, deployment, active[0]!, wanted)
    return true
  }
  const newest = current ?? active.toSorted(byAge).at(-1)!
  const surplus = total(active, replicasOf) - (wanted + surgeOf(deployment))
  let left = surplus
  for (const set of active.toSorted((one, other) => replicasOf(other) - replicasOf(one))) {
    const share = left > 0 ? Math.min(replicasOf(set), left) : set === newest ? left : 0
    left -= share
    scale(control, deployment, set, replicasOf(set) - share)
  }
  return true
}

const shrinkOld = (control: Control, deployment: Fields, current: Fields, olds: ReadonlyArray<Fields>): void => {
  const minimum = replicasOf(deployment) - unavailableOf(deployment)
  const all = [...olds, current]
  let spare = total(all, replicasOf) - minimum - (replicasOf(current) - availableOf(current))
  if (spare <= 0) return
  const sets = new Map(olds.toSorted(byAge).map((set) => [nameOf(set), set]))
  // Pods that serve nobody are no loss.
  for (const [name, set] of sets) {
    const sick = Math.min(spare, replicasOf(set) - availableOf(set))
    if (sick <= 0) continue
    spare -= sick
    sets.set(name, scale(control, deployment, set, replicasOf(set) - sick))
  }
  let removable =
    total([...sets.values()], (set) => Math.min(availableOf(set), replicasOf(set))) + availableOf(current) - minimum
  for (const set of sets.values()) {
    const share = Math.min(removable, replicasOf(set))
    if (share <= 0) continue
    removable -= share
    scale(control, deployment, set, replicasOf(set) - share)
  }
}

const recreate = (
  control: Control,
  deployment: Fields,
  current: Fields | undefined,
  olds: ReadonlyArray<Fields>,
  make: () => Fields
): void => {
  const busy = olds.filter((set) => replicasOf(set) > 0)
  for (const set of busy) scale(control, deployment, set, 0)
  if (busy.length > 0) return
  // Deleted pods still run until their kubelet says so.
  if (olds.some((set) => ownedBy(control, kinds.Pod, set).length > 0)) return
  const set = current ?? make()
  if (replicasOf(set) !== replicasOf(deployment)) scale(control, deployment, set, replicasOf(deployment))
}

const forgetOld = (control: Control, deployment: Fields, olds: ReadonlyArray<Fields>): void => {
  const limit = at(deployment, "spec", "revisionHistoryLimit")
  const idle = olds.filter((set) => replicasOf(set) === 0 && intAt(set, "status", "replicas") === 0 && !isDeleting(set))
  const surplus = idle.length - (typeof limit === "number" ? limit : 10)
  for (const set of idle.toSorted((one, other) => revisionOf(one) - revisionOf(other)).slice(0, Math.max(0, surplus))) {
    control.writes.remove(kinds.ReplicaSet, namespaceOf(set), nameOf(set), {})
  }
}

export const reconcileDeployment = (control: Control, deployment: Fields): void => {
  if (isDeleting(deployment)) return
  const sets = ownedBy(control, kinds.ReplicaSet, deployment)
  const found = sets.toSorted(byAge).find((set) => isOfTemplate(deployment, set))
  const olds = sets.filter((set) => set !== found)
  const next = Math.max(0, ...olds.map(revisionOf)) + 1
  const paused = at(deployment, "spec", "paused") === true
  let current = found
  if (found !== undefined) {
    const revision = Math.max(next, revisionOf(found))
    current = paused ? found : renumber(control, deployment, found, revision)
    announce(control, deployment, revisionOf(current))
  }
  let created = false
  const make = () => {
    created = true
    const made = createSet(control, deployment, olds, next)
    announce(control, deployment, next)
    return made
  }
  const all = current === undefined ? olds : [...olds, current]
  if (paused || followReplicas(control, deployment, current, all)) {
    if (paused) followReplicas(control, deployment, current, all)
  } else if (!isRolling(deployment)) {
    recreate(control, deployment, current, olds, make)
  } else {
    current ??= make()
    const target =
      replicasOf(current) > replicasOf(deployment)
        ? replicasOf(deployment)
        : newReplicas(deployment, [...olds, current], current)
    if (target === replicasOf(current)) shrinkOld(control, deployment, current, olds)
    else scale(control, deployment, current, target)
  }
  const complete = writeDeploymentStatus(control, deployment, {
    created,
    sets: ownedBy(control, kinds.ReplicaSet, deployment),
    isCurrent: (set) => isOfTemplate(deployment, set),
    unavailable: unavailableOf(deployment)
  })
  if (complete) forgetOld(control, deployment, olds)
}
