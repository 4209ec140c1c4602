/** What an undo comes to, whatever the kind: its preview and, where the template is another one, the patch that makes it. */
import type { UndoPreview } from "#shared/api/admin.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import type { Patch } from "#shared/kubernetes/Kubernetes.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { printed } from "../kinds.ts"
import { lastApplied } from "#shared/kubernetes/mask.ts"

/** A number as in kubectl's `--to-revision` (0 is the previous one), or the last revision that was once fully available. */
export type ToRevision = number | "last-known-good"

export interface UndoDecision {
  readonly preview: UndoPreview
  /** Absent where the present template is the target's already. */
  readonly patch: Patch | undefined
}

/** kubectl's line; `asked` is the number that was asked for, 0 for the previous one. */
export const undoMessage = (kind: WorkloadKind, name: string, skipped: boolean, asked: number): string =>
  skipped
    ? `${printed(kind, name)} skipped rollback (current template already matches revision ${asked})`
    : `${printed(kind, name)} rolled back`

/** kubectl's warning that a later client-side apply will not know of the undo. */
export const applyWarning = (kind: WorkloadKind, object: KubernetesObject): ReadonlyArray<string> =>
  object.metadata.annotations?.[lastApplied] === undefined
    ? []
    : [
        `resource ${kind.toLowerCase()}s/${object.metadata.name} was previously managed with 'kubectl apply'. ` +
          `Rolling back will not update the ${lastApplied} annotation, which may cause unexpected behavior on future ` +
          "'kubectl apply' operations. Consider using 'kubectl apply' with your previous configuration file instead."
      ]
