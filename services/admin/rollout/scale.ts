/** Scale as `kubectl scale` does it, except where an autoscaler would undo it at once; pure. */
import { Result } from "effect"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { numberAt, textAt } from "#shared/kubernetes/fields.ts"
import { printed } from "../kinds.ts"
import { HpaOwned, Unsupported } from "../refusals.ts"
import type { PausePlan } from "./pause.ts"

/** The HorizontalPodAutoscaler that sets the workload's replicas, if there is one. */
export const autoscalerOf = (
  kind: WorkloadKind,
  name: string,
  autoscalers: ReadonlyArray<KubernetesObject>
): KubernetesObject | undefined =>
  autoscalers.find(
    (one) =>
      textAt(one, "spec", "scaleTargetRef", "kind") === kind &&
      textAt(one, "spec", "scaleTargetRef", "name") === name &&
      (textAt(one, "spec", "scaleTargetRef", "apiVersion") ?? "apps/v1").startsWith("apps/")
  )

/** The patch is for the `scale` subresource. `replicas` is within bounds already. */
export const planScale = (
  kind: WorkloadKind,
  workload: KubernetesObject,
  autoscalers: ReadonlyArray<KubernetesObject>,
  replicas: number
): Result.Result<PausePlan, Unsupported | HpaOwned> => {
  if (kind === "DaemonSet") return Result.fail(new Unsupported({ what: "scaling" }))
  const { name } = workload.metadata
  const autoscaler = autoscalerOf(kind, name, autoscalers)
  if (autoscaler !== undefined) {
    return Result.fail(new HpaOwned({ kind, name, autoscaler: autoscaler.metadata.name }))
  }
  const message = `${printed(kind, name)} scaled`
  if ((numberAt(workload, "spec", "replicas") ?? 1) === replicas) return Result.succeed({ message, warnings: [] })
  return Result.succeed({ patch: { type: "merge", body: { spec: { replicas } } }, message, warnings: [] })
}
