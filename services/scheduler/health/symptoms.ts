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
  /** When the container last died; undefined where the class is not of deaths. */
  readonly diedAt: number | undefined
  /** Since when the cluster itself says so, for faults that carry a time. */
  readonly since: number | undefined
}

const pulls = new Set(["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
const configs = new Set(["CreateContainerConfigError", "CreateContainerError", "RunContainerError"])

type End = NonNullable<NonNullable<ContainerStatus["state"]>["terminated"]>

const timeOf = (end: End | undefined): number | undefined =>
  typeof end?.finishedAt === "string" ? Date.parse(end.finishedAt) : undefined
const failed = (end: End): boolean => end.exitCode !== 0 || end.reason === "OOMKilled"

/** When the container before this one ended. */
const finished = (status: ContainerStatus): number | undefined => timeOf(status.lastState?.terminated)

/** A container that died with an error within the last `window` and was started again. */
const betweenCrashes = (status: ContainerStatus, now: number, window: number): boolean => {
  const last = status.lastState?.terminated
  return last !== undefined && failed(last) && now - (timeOf(last) ?? 0) < window
}

/**
 * Down for the second time within `window`. A kubelet gives the word CrashLoopBackOff at its next look at the pod, which may be
 * as late as the next start: until then the container is only dead. An init container that has succeeded is done.
 */
const isDeadAgain = (status: ContainerStatus & { readonly init: boolean }, window: number): boolean => {
  const end = status.state?.terminated
  if (end === undefined || (status.init && !failed(end))) return false
  return (timeOf(end) ?? 0) - (finished(status) ?? Number.NEGATIVE_INFINITY) < window
}

const ofContainer = (
  pod: Pod,
  status: ContainerStatus & { readonly init: boolean },
  now: number,
  thresholds: Thresholds
): Symptom | undefined => {
  const waiting = status.state?.waiting?.reason ?? ""
  const restarts = status.restartCount ?? 0
  const last = status.state?.terminated ?? status.lastState?.terminated
  const base = { container: status.name, restarts, exitCode: last?.exitCode, since: undefined, diedAt: timeOf(last) }
  if (pulls.has(waiting)) return { ...base, class: "image_pull", reason: waiting, acute: true }
  if (configs.has(waiting)) return { ...base, class: "config_error", reason: waiting, acute: true }
  // A pod that is not restarted for ever ends by itself; its owner's rule (Job, CronJob) is another.
  if (pod.restartPolicy !== "Always" && !status.init) return undefined
  const acute = waiting === "CrashLoopBackOff" || isDeadAgain(status, thresholds.window)
  if (!acute && !betweenCrashes(status, now, thresholds.window)) return undefined
  const oom = last?.reason === "OOMKilled"
  return {
    ...base,
    class: oom ? "oom_loop" : "crash_loop",
    // Also before and after, when the kubelet has another word for the moment.
    reason: oom ? "OOMKilled" : "CrashLoopBackOff",
    acute: acute || (oom && restarts > 0)
  }
}

/** Every symptom of a pod, the gravest class of each container; a deleted pod has none. */
export const symptomsOf = (pod: Pod, now: number, thresholds: Thresholds): ReadonlyArray<Symptom> => {
  if (pod.deleting || pod.phase === "Succeeded") return []
  const found = pod.containers.flatMap((status) => ofContainer(pod, status, now, thresholds) ?? [])
  if (found.length > 0) return found
  const whole = { container: undefined, exitCode: undefined, restarts: 0, acute: true, diedAt: undefined }
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
