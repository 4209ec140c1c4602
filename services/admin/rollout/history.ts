/** The revisions of a workload as `kubectl rollout history` lists them, with what it leaves out; pure. */
import type { Revision } from "#shared/api/admin.ts"
import type { RevisionNote } from "../Chronicle.ts"
import { listAt, textAt } from "#shared/kubernetes/fields.ts"
import type { RevisionRecord } from "./revisions.ts"
import { onlyRestartedAt } from "#shared/kubernetes/templates.ts"

/** Ascending by number; of two with one number the last in the list stands, as in kubectl. */
export const numbered = (revisions: ReadonlyArray<RevisionRecord>): ReadonlyArray<RevisionRecord> =>
  [...new Map(revisions.map((one) => [one.revision, one])).values()].sort((a, b) => a.revision - b.revision)

/** Images of its containers, init containers first, each once. */
export const imagesOf = (template: unknown): ReadonlyArray<string> => [
  ...new Set(
    [...listAt(template, "spec", "initContainers"), ...listAt(template, "spec", "containers")].flatMap(
      (container) => textAt(container, "image") ?? []
    )
  )
]

export interface Known {
  /** uid of the revision in force. */
  readonly current: string | undefined
  readonly notes: ReadonlyMap<string, RevisionNote>
  /** uids of revisions that were once fully available. */
  readonly good: ReadonlySet<string>
  /** The revision in force has come to nothing. */
  readonly failed: boolean
}

const healthOf = (uid: string, { current, failed, good }: Known): Revision["health"] => {
  if (good.has(uid)) return "good"
  return failed && uid === current ? "bad" : "unknown"
}

export const historyOf = (revisions: ReadonlyArray<RevisionRecord>, known: Known): ReadonlyArray<Revision> =>
  numbered(revisions).map((one, index, all) => {
    const note = known.notes.get(one.uid)
    const before = all[index - 1]
    return {
      revision: one.revision,
      uid: one.uid,
      current: one.uid === known.current,
      images: imagesOf(one.template),
      createdAt: one.createdAt,
      changeCause: one.changeCause,
      actor: note?.actor ?? null,
      approver: note?.approver ?? null,
      reason: note?.reason ?? null,
      health: healthOf(one.uid, known),
      onlyRestartedAt: before !== undefined && onlyRestartedAt(before.template, one.template)
    }
  })
