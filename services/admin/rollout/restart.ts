/** Restart as `kubectl rollout restart` does it: a stamp on the pod template; pure. */
import { Result } from "effect"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import type { Patch } from "#shared/kubernetes/Kubernetes.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { flagAt, textAt } from "#shared/kubernetes/fields.ts"
import { printed } from "../kinds.ts"
import { Paused, RestartTooSoon } from "../refusals.ts"
import { restartedAt } from "#shared/kubernetes/templates.ts"

/** RFC 3339, whole seconds, UTC (kubectl writes the client's zone). */
export const stampOf = (millis: number): string => new Date(millis).toISOString().replace(/\.\d+Z$/u, "Z")

export interface PlannedPatch {
  readonly patch: Patch
  /** kubectl's line. */
  readonly message: string
  readonly warnings: ReadonlyArray<string>
}

/** The restart of `workload` at `now` (milliseconds since the epoch). */
export const planRestart = (
  kind: WorkloadKind,
  workload: KubernetesObject,
  now: number
): Result.Result<PlannedPatch, Paused | RestartTooSoon> => {
  const { name } = workload.metadata
  if (kind === "Deployment" && flagAt(workload, "spec", "paused")) {
    return Result.fail(new Paused({ kind, name, action: "restart" }))
  }
  const stamp = stampOf(now)
  if (textAt(workload, "spec", "template", "metadata", "annotations", restartedAt) === stamp) {
    return Result.fail(new RestartTooSoon({ kind, name }))
  }
  const onDelete = kind !== "Deployment" && textAt(workload, "spec", "updateStrategy", "type") === "OnDelete"
  return Result.succeed({
    patch: {
      type: "strategic",
      body: { spec: { template: { metadata: { annotations: { [restartedAt]: stamp } } } } }
    },
    message: `${printed(kind, name)} restarted`,
    warnings: onDelete ? ["the update strategy is OnDelete: no pod restarts before it is deleted"] : []
  })
}
