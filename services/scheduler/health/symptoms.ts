/** What one pod shows at one moment; pure, and never enough to open an incident by itself. */
import type { ContainerStatus, Pod } from "./facts.ts"
import type { Thresholds } from "./thresholds.ts"

export type SymptomClass = "crash_loop" | "oom_loop" | "image_pull" | "config_error" | "not_ready" | "pending"

export interface Symptom {
  readonly class: SymptomClass
  /** Undefined where it is the pod's, not a container's. */
  readonly container: string | undefined
  /** The kubelet's word, e.g. "CrashLoopBackOff". */
  readonly reason: string
  readonly exitCode: number | undefined
  readonly restarts: number
  /** Seen right now; false between two crashes, when the container runs for a moment: that is no recovery. */
  readonly acute: boolean
  /** Since when the cluster itself says so, for faults that carry a time. */
  readonly since: number | undefined
}

const pulls = new Set(["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
const configs = new Set(["CreateContainerConfigError", "CreateContainerError", "RunContainerError"])

const finished = (status: ContainerStatus): number | undefined => {
  const at = status.lastState?.terminated?.finishedAt
  return typeof at === "string" ? Date.parse(at) : undefined
}

/** A container that died with an error within the last `window` and was started again. */
const betweenCrashes = (status: ContainerStatus, now: number, window: number): boolean => {
  const last = status.lastState?.terminated
  if (last === undefined || (last.exitCode === 0 && last.reason !== "OOMKilled")) return false
  return now - (finished(status) ?? 0) < window
}

const ofContainer = (
  pod: Pod,
  status: ContainerStatus & { readonly init: boolean },
  now: number,
  thresholds: Thresholds
): Symptom | undefined => {
  const waiting = status.state?.waiting?.reason ?? ""
  const restarts = status.restartCount ?? 0
  const last = status.lastState?.terminated ?? status.state?.terminated
  const base = { container: status.name, restarts, exitCode: last?.exitCode, since: undefined }
  if (pulls.has(waiting)) return { ...base, class: "image_pull", reason: waiting, acute: true }
  if (configs.has(waiting)) return { ...base, class: "config_error", reason: waiting, acute: true }
  // A pod that is not restarted for ever ends by itself; its owner's rule (Job, CronJob) is another.
  if (pod.restartPolicy !== "Always" && !status.init) return undefined
  const acute = waiting === "CrashLoopBackOff"
  if (!acute && !betweenCrashes(status, now, thresholds.window)) return undefined
  const oom = last?.reason === "OOMKilled"
  return {
    ...base,
    class: oom ? "oom_loop" : "crash_loop",
    // Also between two crashes, when the kubelet has another word for the moment.
    reason: oom ? "OOMKilled" : "CrashLoopBackOff",
    acute: acute || (oom && restarts > 0)
  }
}

/** Every symptom of a pod, the gravest class of each container; a deleted pod has none. */
export const symptomsOf = (pod: Pod, now: number, thresholds: Thresholds): ReadonlyArray<Symptom> => {
  if (pod.deleting || pod.phase === "Succeeded") return []
  const found = pod.containers.flatMap((status) => ofContainer(pod, status, now, thresholds) ?? [])
  if (found.length > 0) return found
  const whole = { container: undefined, exitCode: undefined, restarts: 0, acute: true }
  if (pod.unschedulableSince !== undefined) {
    return [{ ...whole, class: "pending", reason: "Unschedulable", since: pod.unschedulableSince }]
  }
  if (pod.notReadySince !== undefined && pod.phase === "Running") {
    return [{ ...whole, class: "not_ready", reason: "NotReady", since: pod.notReadySince }]
  }
  return []
}

/** Sum of the restarts of its containers. */
export const restartsOf = (pod: Pod): number =>
  pod.containers.reduce((sum, { restartCount = 0 }) => sum + restartCount, 0)

/** Ready since at least `resolve`, and none of its containers restarted within that time. */
export const isCalm = (pod: Pod, now: number, thresholds: Thresholds): boolean =>
  pod.readySince !== undefined &&
  now - pod.readySince >= thresholds.resolve &&
  pod.containers.every((status) => status.init || now - (finished(status) ?? 0) >= thresholds.resolve)
