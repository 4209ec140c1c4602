/** Pods and their containers as people need to see them: what each waits for or died of; pure. */
import type { ContainerState, PodNode } from "#shared/api/admin.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { at, countAt, type Fields, fieldsOf, flagAt, isFields, listAt, textAt } from "#shared/kubernetes/fields.ts"
import { maskText } from "#shared/kubernetes/mask.ts"
import { isReady, podHealth } from "./health.ts"

/** Why a container that waits will go on waiting until somebody changes something. */
const stuckReasons = new Set([
  "CrashLoopBackOff",
  "ImagePullBackOff",
  "ErrImagePull",
  "ErrImageNeverPull",
  "InvalidImageName",
  "CreateContainerConfigError",
  "CreateContainerError",
  "RunContainerError"
])

interface ContainerStatus {
  readonly name: string
  readonly init: boolean
  readonly status: Fields
}

/** Statuses of init containers, containers and ephemeral containers, in the order in which they run. */
export const containerStatuses = (pod: KubernetesObject): ReadonlyArray<ContainerStatus> => {
  const of = (field: string, init: boolean) =>
    listAt(pod, "status", field).map((one) => ({ name: textAt(one, "name") ?? "", init, status: fieldsOf(one) }))
  return [
    ...of("initContainerStatuses", true),
    ...of("containerStatuses", false),
    ...of("ephemeralContainerStatuses", false)
  ]
}

const stateOf = (status: Fields): Pick<ContainerState, "state" | "reason" | "message"> => {
  for (const state of ["waiting", "running", "terminated"] as const) {
    const found = at(status, "state", state)
    if (!isFields(found)) continue
    return {
      state,
      reason: state === "running" ? "" : (textAt(found, "reason") ?? ""),
      message: maskText(textAt(found, "message") ?? "")
    }
  }
  return { state: "unknown", reason: "", message: "" }
}

const lastExitOf = (status: Fields): ContainerState["lastExit"] => {
  const last = at(status, "lastState", "terminated")
  if (!isFields(last)) return null
  return {
    exitCode: countAt(last, "exitCode"),
    reason: textAt(last, "reason") ?? "",
    finishedAt: textAt(last, "finishedAt") ?? null
  }
}

const containerOf = (spec: unknown, init: boolean, statuses: ReadonlyArray<ContainerStatus>): ContainerState => {
  const name = textAt(spec, "name") ?? ""
  const status = statuses.find((one) => one.name === name)?.status ?? {}
  return {
    name,
    init,
    image: textAt(spec, "image") ?? "",
    ready: flagAt(status, "ready"),
    restarts: countAt(status, "restartCount"),
    ...stateOf(status),
    lastExit: lastExitOf(status)
  }
}

/** Containers as the spec lists them, init containers first; those without a status yet are `unknown`. */
export const containersOf = (pod: KubernetesObject): ReadonlyArray<ContainerState> => {
  const statuses = containerStatuses(pod)
  const of = (field: string, init: boolean) =>
    listAt(pod, "spec", field).map((spec) => containerOf(spec, init, statuses))
  return [...of("initContainers", true), ...of("containers", false), ...of("ephemeralContainers", false)]
}

export const restartsOf = (pod: KubernetesObject): number =>
  containerStatuses(pod).reduce((sum, { status }) => sum + countAt(status, "restartCount"), 0)

/** Restarts after which a container that is not ready counts as stuck between its crashes too. */
const hopelessRestarts = 2

/**
 * Why the container cannot go on: what it waits for, or how it keeps dying. Between two crashes a container runs for a moment:
 * without the second rule a stalled rollout would seem to go on again and again.
 */
const stuckReason = (status: Fields): string | undefined => {
  const reason = textAt(status, "state", "waiting", "reason")
  if (reason !== undefined && stuckReasons.has(reason)) return reason
  if (flagAt(status, "ready") || countAt(status, "restartCount") < hopelessRestarts) return undefined
  const last = [at(status, "state", "terminated"), at(status, "lastState", "terminated")].find(isFields)
  return last === undefined || countAt(last, "exitCode") === 0 ? undefined : (textAt(last, "reason") ?? "Error")
}

/** Containers of the pod that cannot go on, with why, init containers too. */
export const stuckContainers = (
  pod: KubernetesObject
): ReadonlyArray<{ readonly name: string; readonly container: string; readonly reason: string }> =>
  containerStatuses(pod).flatMap(({ name, status }) => {
    const reason = stuckReason(status)
    return reason === undefined ? [] : [{ name: pod.metadata.name, container: name, reason }]
  })

export const podNode = (pod: KubernetesObject): PodNode => ({
  name: pod.metadata.name,
  phase: textAt(pod, "status", "phase") ?? "Unknown",
  ready: isReady(pod),
  node: textAt(pod, "spec", "nodeName") ?? null,
  createdAt: pod.metadata.creationTimestamp ?? null,
  health: podHealth(pod),
  containers: containersOf(pod)
})
