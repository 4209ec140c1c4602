/** The Job controller: pods until enough have succeeded or too many have failed; must run no schedule. */
import { kinds } from "../kinds.ts"
import { at, type Fields, fieldsAt, intAt, isDeleting, nameOf, namespaceOf, objectsAt, textAt } from "../values.ts"
import { type Control, createPod, isActive, isReady, manager, ownedBy } from "./ownedPods.ts"

const firstBackoff = 10
const longestBackoff = 360

const finished = (job: Fields) =>
  objectsAt(job, "status", "conditions").find(
    (one) => textAt(one, "status") === "True" && ["Complete", "Failed"].includes(textAt(one, "type"))
  )

const condition = (type: string, reason: string, message: string, stamp: string): Fields => ({
  type,
  status: "True",
  lastProbeTime: stamp,
  lastTransitionTime: stamp,
  reason,
  message
})

const save = (control: Control, job: Fields, status: Fields) =>
  control.writes.update(
    kinds.Job,
    namespaceOf(job),
    nameOf(job),
    (current) => {
      const whole = { ...fieldsAt(current, "status"), ...status }
      const clean = Object.fromEntries(
        Object.entries(whole).filter(
          ([key, value]) => value !== undefined && (value !== 0 || key === "ready" || key === "terminating")
        )
      )
      return { ...current, status: clean }
    },
    { manager, subresource: "status" }
  )

const expire = (control: Control, job: Fields): void => {
  const ttl = at(job, "spec", "ttlSecondsAfterFinished")
  if (typeof ttl !== "number") return
  const since = Date.parse(textAt(finished(job), "lastTransitionTime"))
  const left = since / 1000 + ttl - control.timeline.now() / 1000
  if (left > 0)
    control.timeline.afterReal(`ttl/${textAt(job, "metadata", "uid")}`, left, () => control.again(kinds.Job, job, 0))
  else control.writes.remove(kinds.Job, namespaceOf(job), nameOf(job), {})
}

export const reconcileJob = (control: Control, job: Fields): void => {
  if (isDeleting(job)) return
  if (finished(job) !== undefined) {
    expire(control, job)
    return
  }
  const stamp = control.timeline.stamp()
  const pods = ownedBy(control, kinds.Pod, job)
  const phase = (wanted: string) => pods.filter((pod) => textAt(pod, "status", "phase") === wanted)
  const active = pods.filter(isActive)
  const succeeded = phase("Succeeded").length
  const failed = phase("Failed")
  const completions = intAt(job, "spec", "completions")
  const suspended = at(job, "spec", "suspend") === true
  const startTime = textAt(job, "status", "startTime") || (suspended ? "" : stamp)
  const counts: Fields = {
    ...(startTime === "" ? {} : { startTime }),
    active: active.length,
    ready: active.filter(isReady).length,
    terminating: 0,
    succeeded,
    failed: failed.length,
    uncountedTerminatedPods: {}
  }
  const stopPods = () => {
    for (const pod of active) control.writes.remove(kinds.Pod, namespaceOf(pod), nameOf(pod), {})
  }
  const fail = (reason: string, message: string) => {
    stopPods()
    const conditions = ["FailureTarget", "Failed"].map((type) => condition(type, reason, message, stamp))
    save(control, job, { ...counts, active: 0, conditions })
    control.record(job, "Warning", reason, message, "job-controller")
  }

  if (succeeded >= completions) {
    const message = "Reached expected number of succeeded pods"
    const conditions = ["SuccessCriteriaMet", "Complete"].map((type) =>
      condition(type, "CompletionsReached", message, stamp)
    )
    save(control, job, { ...counts, conditions, completionTime: stamp })
    control.record(job, "Normal", "Completed", "Job completed", "job-controller")
    return
  }
  const limit = intAt(job, "spec", "backoffLimit")
  const restarts = active.reduce(
    (sum, pod) =>
      sum + objectsAt(pod, "status", "containerStatuses").reduce((all, one) => all + intAt(one, "restartCount"), 0),
    0
  )
  if (failed.length > limit || (restarts > 0 && restarts >= limit)) {
    fail("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    return
  }
  const deadline = at(job, "spec", "activeDeadlineSeconds")
  if (typeof deadline === "number" && startTime !== "" && !suspended) {
    const left = Date.parse(startTime) / 1000 + deadline - control.timeline.now() / 1000
    if (left <= 0) {
      fail("DeadlineExceeded", "Job was active longer than specified deadline")
      return
    }
    const wake = () => control.again(kinds.Job, job, 0)
    control.timeline.afterReal(`deadline/${textAt(job, "metadata", "uid")}`, left, wake)
  }
  if (suspended) {
    stopPods()
    const conditions = [condition("Suspended", "JobSuspended", "Job suspended", stamp)]
    save(control, job, {
      ...counts,
      active: 0,
      ...(at(job, "status", "conditions") === undefined ? { conditions } : {})
    })
    return
  }
  const missing = Math.min(intAt(job, "spec", "parallelism"), completions - succeeded) - active.length
  const last = failed
    .map((pod) => lastEnd(pod))
    .toSorted((one, other) => one - other)
    .at(-1)
  const pause = Math.min(longestBackoff, firstBackoff * 2 ** Math.max(0, failed.length - 1))
  // Scaled as all work of the cluster is: the timer, not the comparison, decides.
  const key = `retry/${textAt(job, "metadata", "uid")}/${failed.length}`
  if (missing > 0 && last !== undefined && !control.passed.has(key)) {
    if (!control.timeline.pending(key)) {
      control.timeline.after(key, pause, () => {
        control.passed.add(key)
        control.again(kinds.Job, job, 0)
      })
    }
    save(control, job, counts)
    return
  }
  for (let index = 0; index < missing; index += 1) {
    createPod(control, job, fieldsAt(job, "spec", "template"), undefined)
  }
  save(control, job, { ...counts, active: active.length + Math.max(0, missing) })
}

const lastEnd = (pod: Fields): number =>
  Math.max(
    0,
    ...objectsAt(pod, "status", "containerStatuses").map(
      (one) => Date.parse(textAt(one, "state", "terminated", "finishedAt")) || 0
    )
  )
