/** A Deployment's status: counts and the Available and Progressing conditions, as deployment/progress.go has them; must scale nothing. */
import { kinds } from "../kinds.ts"
import { at, type Fields, intAt, nameOf, namespaceOf, objectsAt, put, textAt } from "../values.ts"
import { type Control, manager } from "./ownedPods.ts"

interface Seen {
  /** A ReplicaSet was made just now. */
  readonly created: boolean
  readonly sets: ReadonlyArray<Fields>
  readonly isCurrent: (set: Fields) => boolean
  readonly unavailable: number
}

const sum = (sets: ReadonlyArray<Fields>, field: string) =>
  sets.reduce((total, set) => total + intAt(set, "status", field), 0)

interface Condition {
  readonly type: string
  readonly status: "True" | "False" | "Unknown"
  readonly reason: string
  readonly message: string
}

/** Sets a condition; `lastUpdateTime` moves with every write, `lastTransitionTime` with the status. */
const withCondition = (conditions: ReadonlyArray<Fields>, condition: Condition, stamp: string): Array<Fields> => {
  const known = conditions.find((one) => textAt(one, "type") === condition.type)
  if (
    known !== undefined &&
    textAt(known, "status") === condition.status &&
    textAt(known, "reason") === condition.reason
  ) {
    return [...conditions]
  }
  const since = textAt(known, "status") === condition.status ? textAt(known, "lastTransitionTime") : stamp
  const made: Fields = { ...condition, lastUpdateTime: stamp, lastTransitionTime: since }
  return [...conditions.filter((one) => one !== known), made]
}

/** True if the rollout is complete. */
export const writeDeploymentStatus = (control: Control, deployment: Fields, seen: Seen): boolean => {
  const stamp = control.timeline.stamp()
  const current = seen.sets.find(seen.isCurrent)
  const wanted = intAt(deployment, "spec", "replicas")
  const replicas = sum(seen.sets, "replicas")
  const updated = intAt(current, "status", "replicas")
  const ready = sum(seen.sets, "readyReplicas")
  const available = sum(seen.sets, "availableReplicas")
  const before = at(deployment, "status")
  const named = `${nameOf(current ?? {})}`
  let conditions: Array<Fields> = objectsAt(before, "conditions")

  const enough = available >= wanted - seen.unavailable
  conditions = withCondition(
    conditions,
    {
      type: "Available",
      status: enough ? "True" : "False",
      reason: enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
      message: `Deployment ${enough ? "has" : "does not have"} minimum availability.`
    },
    stamp
  )

  const complete = updated === wanted && replicas === wanted && available === wanted && current !== undefined
  const progressed =
    updated > intAt(before, "updatedReplicas") ||
    replicas - updated < intAt(before, "replicas") - intAt(before, "updatedReplicas") ||
    ready > intAt(before, "readyReplicas") ||
    available > intAt(before, "availableReplicas")
  const known = conditions.find((one) => textAt(one, "type") === "Progressing")
  const reason = textAt(known, "reason")
  const deadline = intAt(deployment, "spec", "progressDeadlineSeconds")
  const set = (status: Condition["status"], why: string, message: string) => {
    conditions = withCondition(conditions, { type: "Progressing", status, reason: why, message }, stamp)
  }
  const done = `ReplicaSet "${named}" has successfully progressed.`
  if (at(deployment, "spec", "paused") === true) {
    if (!complete) set("Unknown", "DeploymentPaused", "Deployment is paused")
    else if (reason !== "NewReplicaSetAvailable") set("Unknown", "DeploymentPaused", "Deployment is paused")
  } else if (reason === "DeploymentPaused") {
    set("Unknown", "DeploymentResumed", "Deployment is resumed")
  } else if (seen.created) {
    set("True", "NewReplicaSetCreated", `Created new replica set "${named}"`)
  } else if (complete) {
    set("True", "NewReplicaSetAvailable", done)
  } else if (progressed || known === undefined || reason === "NewReplicaSetAvailable") {
    // A condition that says the same is renewed nonetheless: the deadline counts from its last update.
    conditions = conditions.filter((one) => textAt(one, "type") !== "Progressing")
    const since = textAt(known, "status") === "True" ? textAt(known, "lastTransitionTime") : stamp
    conditions.push({
      type: "Progressing",
      status: "True",
      reason: "ReplicaSetUpdated",
      message: `ReplicaSet "${named}" is progressing.`,
      lastUpdateTime: stamp,
      lastTransitionTime: since
    })
  } else if (reason !== "ProgressDeadlineExceeded") {
    const left = Date.parse(textAt(known, "lastUpdateTime")) + deadline * 1000 - control.timeline.now()
    if (left <= 0) set("False", "ProgressDeadlineExceeded", `ReplicaSet "${named}" has timed out progressing.`)
  }
  const progressing = conditions.find((one) => textAt(one, "type") === "Progressing")
  if (!complete && textAt(progressing, "status") !== "False") {
    const due = Date.parse(textAt(progressing, "lastUpdateTime")) + deadline * 1000
    control.again(kinds.Deployment, deployment, Math.max(1, (due - control.timeline.now()) / 1000))
  }

  const status: Fields = {
    observedGeneration: intAt(deployment, "metadata", "generation"),
    replicas,
    updatedReplicas: updated,
    readyReplicas: ready,
    availableReplicas: available,
    terminatingReplicas: sum(seen.sets, "terminatingReplicas"),
    unavailableReplicas: Math.max(0, sumWanted(seen.sets) - available),
    conditions
  }
  control.writes.update(
    kinds.Deployment,
    namespaceOf(deployment),
    nameOf(deployment),
    (now) => {
      for (const [key, value] of Object.entries(status))
        put(now, value === 0 && key !== "terminatingReplicas" ? undefined : value, "status", key)
      return now
    },
    { manager, subresource: "status" }
  )
  return complete
}

const sumWanted = (sets: ReadonlyArray<Fields>) =>
  sets.reduce((total, set) => total + intAt(set, "spec", "replicas"), 0)
