/** Where a rollout stands: `kubectl rollout status`'s words, and the ends that kubectl waits past for ever; pure. */
import type { RolloutStatus } from "#shared/api/admin.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { countAt, flagAt, isFields, at, listAt, numberAt, textAt } from "#shared/kubernetes/fields.ts"
import { stuckContainers } from "./pods.ts"
import { revisionNumber } from "./revisions.ts"

/** `error`: kubectl stops with this text; `done`: it stops and is content; `waiting`: it goes on watching. */
export interface KubectlStatus {
  readonly message: string
  readonly outcome: "waiting" | "done" | "error"
}

const waiting = (message: string): KubectlStatus => ({ message, outcome: "waiting" })
const done = (message: string): KubectlStatus => ({ message, outcome: "done" })
const error = (message: string): KubectlStatus => ({ message, outcome: "error" })

const observed = (workload: KubernetesObject) => countAt(workload, "status", "observedGeneration")
const generation = (workload: KubernetesObject) => workload.metadata.generation ?? 0

const strategyError = error("rollout status is only available for RollingUpdate strategy type")

const exceededDeadline = (deployment: KubernetesObject): boolean =>
  listAt(deployment, "status", "conditions").some(
    (one) => textAt(one, "type") === "Progressing" && textAt(one, "reason") === "ProgressDeadlineExceeded"
  )

const deploymentStatus = (deployment: KubernetesObject, pinned: number): KubectlStatus => {
  const { name } = deployment.metadata
  if (pinned > 0) {
    const running = revisionNumber(deployment)
    if (running === undefined) return error(`cannot get the revision of deployment "${name}"`)
    if (running !== pinned) {
      return error(`desired revision (${pinned}) is different from the running revision (${running})`)
    }
  }
  if (generation(deployment) > observed(deployment)) {
    return waiting("Waiting for deployment spec update to be observed...")
  }
  if (exceededDeadline(deployment)) return error(`deployment "${name}" exceeded its progress deadline`)
  const { available, updated } = countersOf("Deployment", deployment)
  const desired = numberAt(deployment, "spec", "replicas")
  const all = countAt(deployment, "status", "replicas")
  const still = (what: string) => waiting(`Waiting for deployment "${name}" rollout to finish: ${what}...`)
  if (desired !== undefined && updated < desired) {
    return still(`${updated} out of ${desired} new replicas have been updated`)
  }
  if (all > updated) return still(`${all - updated} old replicas are pending termination`)
  if (available < updated) return still(`${available} of ${updated} updated replicas are available`)
  return done(`deployment "${name}" successfully rolled out`)
}

const daemonSetStatus = (daemonSet: KubernetesObject): KubectlStatus => {
  const { name } = daemonSet.metadata
  if (textAt(daemonSet, "spec", "updateStrategy", "type") !== "RollingUpdate") return strategyError
  if (generation(daemonSet) > observed(daemonSet)) {
    return waiting("Waiting for daemon set spec update to be observed...")
  }
  const { available, desired, updated } = countersOf("DaemonSet", daemonSet)
  const still = (what: string) => waiting(`Waiting for daemon set "${name}" rollout to finish: ${what}...`)
  if (updated < desired) return still(`${updated} out of ${desired} new pods have been updated`)
  if (available < desired) return still(`${available} of ${desired} updated pods are available`)
  return done(`daemon set "${name}" successfully rolled out`)
}

const statefulSetStatus = (statefulSet: KubernetesObject): KubectlStatus => {
  if (textAt(statefulSet, "spec", "updateStrategy", "type") !== "RollingUpdate") return strategyError
  if (observed(statefulSet) === 0 || generation(statefulSet) > observed(statefulSet)) {
    return waiting("Waiting for statefulset spec update to be observed...")
  }
  const { ready, updated } = countersOf("StatefulSet", statefulSet)
  const desired = numberAt(statefulSet, "spec", "replicas")
  if (desired !== undefined && ready < desired) return waiting(`Waiting for ${desired - ready} pods to be ready...`)
  const rolling = at(statefulSet, "spec", "updateStrategy", "rollingUpdate")
  if (isFields(rolling)) {
    const partition = numberAt(rolling, "partition")
    if (desired !== undefined && partition !== undefined && updated < desired - partition) {
      return waiting(
        `Waiting for partitioned roll out to finish: ${updated} out of ${desired - partition} new pods have been updated...`
      )
    }
    return done(`partitioned roll out complete: ${updated} new pods have been updated...`)
  }
  const current = textAt(statefulSet, "status", "currentRevision") ?? ""
  const update = textAt(statefulSet, "status", "updateRevision") ?? ""
  if (update !== current) {
    return waiting(`waiting for statefulset rolling update to complete ${updated} pods at revision ${update}...`)
  }
  const pods = countAt(statefulSet, "status", "currentReplicas")
  return done(`statefulset rolling update complete ${pods} pods at revision ${current}...`)
}

/** What `kubectl rollout status` says of the object now; `pinned` is its `--revision`, which only Deployments know. */
export const kubectlStatus = (kind: WorkloadKind, workload: KubernetesObject, pinned = 0): KubectlStatus => {
  switch (kind) {
    case "Deployment":
      return deploymentStatus(workload, pinned)
    case "DaemonSet":
      return daemonSetStatus(workload)
    case "StatefulSet":
      return statefulSetStatus(workload)
  }
}

export interface Counters {
  readonly desired: number
  readonly updated: number
  readonly ready: number
  readonly available: number
}

/** Pods by state, under the names that each kind's status has for them. */
export const countersOf = (kind: WorkloadKind, workload: KubernetesObject): Counters => {
  const count = (field: string) => countAt(workload, "status", field)
  return kind === "DaemonSet"
    ? {
        desired: count("desiredNumberScheduled"),
        updated: count("updatedNumberScheduled"),
        ready: count("numberReady"),
        available: count("numberAvailable")
      }
    : {
        desired: numberAt(workload, "spec", "replicas") ?? 1,
        updated: count("updatedReplicas"),
        ready: count("readyReplicas"),
        available: count("availableReplicas")
      }
}

export interface RolloutOptions {
  readonly pinned?: number
  /** Milliseconds that this rollout has lasted, as far as it was seen. */
  readonly lasted?: number
  /** Milliseconds after which a rollout that is not complete counts as stalled, 10 minutes unless told. */
  readonly deadline?: number
}

const defaultDeadline = 600_000

/** kubectl's status, and whether waiting is of use: `pods` are those of the new revision. */
export const rolloutStatus = (
  kind: WorkloadKind,
  workload: KubernetesObject,
  pods: ReadonlyArray<KubernetesObject>,
  { deadline = defaultDeadline, lasted = 0, pinned = 0 }: RolloutOptions = {}
): RolloutStatus => {
  const { message, outcome } = kubectlStatus(kind, workload, pinned)
  const counters = countersOf(kind, workload)
  const stuck = pods.flatMap(stuckContainers)
  const as = (phase: RolloutStatus["phase"], reason = ""): RolloutStatus => ({
    phase,
    message,
    done: outcome === "done",
    reason,
    ...counters,
    pods: stuck
  })
  if (kind === "Deployment" && flagAt(workload, "spec", "paused")) return as("paused", "the rollout is paused")
  if (outcome === "done") return as("complete")
  if (outcome === "error" && kind === "Deployment") return as("failed", message)
  const [first] = stuck
  if (first !== undefined) return as("stalled", `${first.reason} in container ${first.container} of pod ${first.name}`)
  if (outcome === "error") {
    // OnDelete: kubectl has no status for it, the counters have.
    const { desired, ready, updated } = counters
    return as(updated >= desired && ready >= desired ? "complete" : "progressing")
  }
  if (lasted >= deadline) return as("stalled", `not complete after ${Math.floor(deadline / 1000)} s`)
  return as("progressing")
}
