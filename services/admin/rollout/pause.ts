/** Pause and resume of a Deployment's rollout as kubectl does them; pure. */
import { Result } from "effect"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { flagAt } from "#shared/kubernetes/fields.ts"
import { printed } from "../kinds.ts"
import { Unsupported } from "../refusals.ts"
import type { PlannedPatch } from "./restart.ts"

/** Without `patch` it is so already. */
export type PausePlan = Omit<PlannedPatch, "patch"> & Partial<Pick<PlannedPatch, "patch">>

/** Pauses or resumes; an answer without a patch where that has been done before (kubectl calls it an error, we `unchanged`). */
export const planPause = (
  kind: WorkloadKind,
  workload: KubernetesObject,
  paused: boolean
): Result.Result<PausePlan, Unsupported> => {
  if (kind !== "Deployment") return Result.fail(new Unsupported({ what: paused ? "pausing" : "resuming" }))
  const { name } = workload.metadata
  if (flagAt(workload, "spec", "paused") === paused) {
    return Result.succeed({
      message: `deployments.apps "${name}" ${paused ? "is already paused" : "is not paused"}`,
      warnings: []
    })
  }
  return Result.succeed({
    // kubectl's diff removes the field rather than setting it to false.
    patch: { type: "strategic", body: { spec: { paused: paused ? true : null } } },
    message: `${printed(kind, name)} ${paused ? "paused" : "resumed"}`,
    warnings: []
  })
}
