/** Which revision "last-known-good" means, and which one a plain undo would be no help for; pure. */
import { Result } from "effect"
import type { Fields } from "#shared/kubernetes/fields.ts"
import { NoKnownGood } from "../refusals.ts"
import type { RevisionRecord } from "./revisions.ts"
import { onlyRestartedAt, sameButRestart } from "#shared/kubernetes/templates.ts"

const newestFirst = (a: RevisionRecord, b: RevisionRecord) => b.revision - a.revision

/** Revisions whose template differs from the present one in more than the restart stamp, newest first. */
export const otherTemplates = (
  revisions: ReadonlyArray<RevisionRecord>,
  present: Fields
): ReadonlyArray<RevisionRecord> =>
  revisions.filter(({ template }) => !sameButRestart(template, present)).sort(newestFirst)

/** The newest revision that was once fully available (`good` holds uids) and differs in more than the restart stamp. */
export const lastKnownGood = (
  revisions: ReadonlyArray<RevisionRecord>,
  present: Fields,
  good: ReadonlySet<string>
): Result.Result<RevisionRecord, NoKnownGood> => {
  const others = otherTemplates(revisions, present)
  const found = others.find(({ uid }) => good.has(uid))
  return found === undefined
    ? Result.fail(new NoKnownGood({ candidates: others.map(({ revision }) => revision) }))
    : Result.succeed(found)
}

/** The restart trap: after a restart, "previous" is the same template without its stamp. Empty where it is not so. */
export const restartTrap = (
  revisions: ReadonlyArray<RevisionRecord>,
  present: Fields,
  chosen: RevisionRecord
): ReadonlyArray<string> => {
  if (!onlyRestartedAt(chosen.template, present)) return []
  const [other] = otherTemplates(revisions, present)
  const instead =
    other === undefined
      ? "there is no revision with another template"
      : `revision ${other.revision} is the last one with another template`
  return [`the template of revision ${chosen.revision} differs from the present one only in restartedAt: ${instead}`]
}
