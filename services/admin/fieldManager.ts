/** Under which name this service owns the fields it writes (managedFields); must be the same in every write. */
import type { KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"

export const fieldManager = "gatehouse-admin"

/** Managers of a conflict as the API server names them: `conflict with "kubectl" using apps/v1`. */
export const managersOf = ({ causes }: KubernetesFailed): ReadonlyArray<string> => [
  ...new Set(
    causes.flatMap(({ message, reason }) =>
      reason === "FieldManagerConflict"
        ? [...message.matchAll(/conflicts? with "([^"]*)"/gu)].map(([, name]) => name!)
        : []
    )
  )
]

/**
 * An undo (an update) and an apply of this service own fields apart even under one name, so an apply after an undo conflicts
 * with ourselves: such an apply may be repeated once with force. Anybody else's field is never taken so.
 */
export const onlyOurs = (failed: KubernetesFailed): boolean => {
  const managers = managersOf(failed)
  return failed.reason === "conflict" && managers.length > 0 && managers.every((manager) => manager === fieldManager)
}
