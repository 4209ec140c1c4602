/** Health of pods and workloads by Argo CD's rules, with init containers looked at too; pure. */
import type { Health, HealthStatus, WorkloadKind } from "#shared/domain/workload.ts"
import type { RolloutStatus } from "#shared/api/admin.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { countAt, flagAt, isFields, at, listAt, numberAt, textAt } from "#shared/kubernetes/fields.ts"

const health = (status: HealthStatus, reason = ""): Health => ({ status, reason })

/** Undefined where the object is not on its way out. */
const deleting = (object: KubernetesObject): Health | undefined =>
  object.metadata.deletionTimestamp == null ? undefined : health("Progressing", "Pending deletion")

const failingReason = /^Err|(?:Error|BackOff)$/u

/** The first container that waits for something which will not come by itself. */
const failingContainer = (pod: KubernetesObject): string | undefined => {
  for (const field of ["initContainerStatuses", "containerStatuses"]) {
    for (const status of listAt(pod, "status", field)) {
      const reason = textAt(status, "state", "waiting", "reason")
      if (reason !== undefined && failingReason.test(reason)) {
        return `container ${textAt(status, "name") ?? ""}: ${reason}`
      }
    }
  }
  return undefined
}

/** The first container that is not ready and has died before. */
const diedBefore = (pod: KubernetesObject): string | undefined => {
  for (const status of listAt(pod, "status", "containerStatuses")) {
    const last = at(status, "lastState", "terminated")
    if (flagAt(status, "ready") || !isFields(last)) continue
    const reason = textAt(last, "reason") ?? "Error"
    return `container ${textAt(status, "name") ?? ""} has ended before: ${reason}, exit code ${countAt(last, "exitCode")}`
  }
  return undefined
}

const restartsAlways = (pod: KubernetesObject) => (textAt(pod, "spec", "restartPolicy") ?? "Always") === "Always"

export const isReady = (pod: KubernetesObject) =>
  listAt(pod, "status", "conditions").some((one) => textAt(one, "type") === "Ready" && textAt(one, "status") === "True")

export const podHealth = (pod: KubernetesObject): Health => {
  const leaving = deleting(pod)
  if (leaving !== undefined) return leaving
  const always = restartsAlways(pod)
  const failing = always ? failingContainer(pod) : undefined
  if (failing !== undefined) return health("Degraded", failing)
  const message = textAt(pod, "status", "message") ?? textAt(pod, "status", "reason") ?? ""
  switch (textAt(pod, "status", "phase")) {
    case "Pending":
      return health("Progressing", message)
    case "Succeeded":
      return health("Healthy", message)
    case "Failed":
      return health("Degraded", message === "" ? "the pod has failed" : message)
    case "Running": {
      if (!always) return health("Progressing", message)
      if (isReady(pod)) return health("Healthy", message)
      const died = diedBefore(pod)
      return died === undefined ? health("Progressing", "not ready yet") : health("Degraded", died)
    }
    default:
      return health("Unknown", message)
  }
}

/**
 * A workload's health from where its rollout stands. A rollout that is stalled is Degraded for every kind: Argo CD leaves
 * StatefulSets and DaemonSets Progressing for ever.
 */
export const workloadHealth = (workload: KubernetesObject, kind: WorkloadKind, status: RolloutStatus): Health => {
  const leaving = deleting(workload)
  if (leaving !== undefined) return leaving
  switch (status.phase) {
    case "paused":
      return health("Suspended", "the rollout is paused")
    case "failed":
    case "stalled":
      return health("Degraded", status.reason)
    case "complete":
      return health("Healthy")
    case "progressing":
      return kind !== "Deployment" && textAt(workload, "spec", "updateStrategy", "type") === "OnDelete"
        ? health("Healthy", `${status.updated} of ${status.desired} pods have the present template (OnDelete)`)
        : health("Progressing", status.message)
  }
}

const condition = (object: KubernetesObject, type: string) =>
  listAt(object, "status", "conditions").find((one) => textAt(one, "type") === type)
const holds = (object: KubernetesObject, type: string) => textAt(condition(object, type), "status") === "True"
const wordsOf = (object: KubernetesObject, type: string) =>
  textAt(condition(object, type), "message") ?? textAt(condition(object, type), "reason") ?? type

const replicaSetHealth = (object: KubernetesObject): Health => {
  if (holds(object, "ReplicaFailure")) return health("Degraded", wordsOf(object, "ReplicaFailure"))
  const replicas = numberAt(object, "spec", "replicas")
  const available = countAt(object, "status", "availableReplicas")
  if ((object.metadata.generation ?? 0) > countAt(object, "status", "observedGeneration")) {
    return health("Progressing", "its spec has not been observed yet")
  }
  return replicas !== undefined && available < replicas
    ? health("Progressing", `${available} of ${replicas} replicas are available`)
    : health("Healthy")
}

const jobHealth = (object: KubernetesObject): Health => {
  if (holds(object, "Failed")) return health("Degraded", wordsOf(object, "Failed"))
  if (holds(object, "Complete")) return health("Healthy")
  return holds(object, "Suspended") ? health("Suspended", "the job is suspended") : health("Progressing", "it runs")
}

const cronJobHealth = (object: KubernetesObject): Health => {
  if (flagAt(object, "spec", "suspend")) return health("Suspended", "the schedule is suspended")
  const scheduled = textAt(object, "status", "lastScheduleTime")
  const succeeded = textAt(object, "status", "lastSuccessfulTime")
  if (scheduled === undefined || listAt(object, "status", "active").length > 0) return health("Healthy")
  return succeeded === undefined || Date.parse(succeeded) < Date.parse(scheduled)
    ? health("Degraded", "its last run has not succeeded")
    : health("Healthy")
}

const claimHealth = (object: KubernetesObject): Health => {
  switch (textAt(object, "status", "phase")) {
    case "Lost":
      return health("Degraded", "the volume is lost")
    case "Pending":
      return health("Progressing", "no volume is bound yet")
    case "Bound":
      return health("Healthy")
    default:
      return health("Unknown")
  }
}

const addressHealth = (object: KubernetesObject): Health => {
  const wanted = object.kind === "Ingress" || textAt(object, "spec", "type") === "LoadBalancer"
  return wanted && listAt(object, "status", "loadBalancer", "ingress").length === 0
    ? health("Progressing", "it has no address yet")
    : health("Healthy")
}

const autoscalerHealth = (object: KubernetesObject): Health => {
  const conditions = listAt(object, "status", "conditions")
  if (conditions.length === 0) return health("Progressing", "it has not looked at its target yet")
  for (const type of ["AbleToScale", "ScalingActive"]) {
    if (textAt(condition(object, type), "status") === "False") return health("Degraded", wordsOf(object, type))
  }
  return health("Healthy")
}

/** Health of the other kinds; Healthy where there is no rule, as in Argo CD. */
export const objectHealth = (object: KubernetesObject): Health => {
  const leaving = deleting(object)
  if (leaving !== undefined) return leaving
  switch (object.kind) {
    case "Pod":
      return podHealth(object)
    case "ReplicaSet":
      return replicaSetHealth(object)
    case "Job":
      return jobHealth(object)
    case "CronJob":
      return cronJobHealth(object)
    case "PersistentVolumeClaim":
      return claimHealth(object)
    case "Service":
    case "Ingress":
      return addressHealth(object)
    case "HorizontalPodAutoscaler":
      return autoscalerHealth(object)
    default:
      return health("Healthy")
  }
}
