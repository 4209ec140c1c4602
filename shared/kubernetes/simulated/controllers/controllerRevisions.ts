/** Revisions of StatefulSets and DaemonSets (apps/v1 ControllerRevision): found by their data, re-used with a new number, the oldest forgotten; must start no pod. */
import { kinds } from "../kinds.ts"
import { templateHash } from "../names.ts"
import {
  annotationsOf,
  at,
  clone,
  type Fields,
  fieldsAt,
  intAt,
  nameOf,
  namespaceOf,
  same,
  textsAt
} from "../values.ts"
import { type Control, manager, ownedBy, ownerReference } from "./ownedPods.ts"

const numberOf = (revision: Fields) => intAt(revision, "revision")

/** What is stored: a strategic merge patch that replaces the whole template. */
const dataOf = (owner: Fields): Fields => ({
  spec: { template: { ...clone(fieldsAt(owner, "spec", "template")), $patch: "replace" } }
})

export interface Revisions {
  /** Of the present template. */
  readonly update: Fields
  /** All, by number, the present one among them. */
  readonly all: ReadonlyArray<Fields>
}

/** The revision of the owner's template, made or renumbered as needed; `hashLabel` is what its kind calls the hash. */
export const revisionsOf = (control: Control, owner: Fields, hashLabel: string): Revisions => {
  const all = ownedBy(control, kinds.ControllerRevision, owner).toSorted(
    (one, other) => numberOf(one) - numberOf(other)
  )
  const data = dataOf(owner)
  const equal = all.findLast((revision) => same(revision["data"], data))
  const newest = all.at(-1)
  const next = (newest === undefined ? 0 : numberOf(newest)) + 1
  const others = all.filter((revision) => revision !== equal)
  if (equal !== undefined && equal === newest) return { update: equal, all }
  if (equal !== undefined) {
    const renumbered = control.writes.update(
      kinds.ControllerRevision,
      namespaceOf(owner),
      nameOf(equal),
      (current) => ({ ...current, revision: next }),
      { manager }
    ).object
    return { update: renumbered, all: [...others, renumbered] }
  }
  const hash = templateHash(data)
  const made = control.writes.create(
    kinds.ControllerRevision,
    namespaceOf(owner),
    {
      apiVersion: "apps/v1",
      kind: "ControllerRevision",
      metadata: {
        name: `${nameOf(owner)}-${hash}`,
        labels: { ...textsAt(owner, "spec", "template", "metadata", "labels"), [hashLabel]: hash },
        ...(Object.keys(annotationsOf(owner)).length === 0 ? {} : { annotations: annotationsOf(owner) }),
        ownerReferences: [ownerReference(owner)]
      },
      data,
      revision: next
    },
    { manager }
  ).object
  return { update: made, all: [...others, made] }
}

/** Removes the oldest beyond `revisionHistoryLimit` that no pod and no status names. */
export const forgetRevisions = (
  control: Control,
  owner: Fields,
  all: ReadonlyArray<Fields>,
  live: ReadonlySet<string>
): void => {
  const limit = at(owner, "spec", "revisionHistoryLimit")
  const idle = all.filter((revision) => !live.has(nameOf(revision)))
  const surplus = Math.max(0, idle.length - (typeof limit === "number" ? limit : 10))
  for (const revision of idle.slice(0, surplus)) {
    control.writes.remove(kinds.ControllerRevision, namespaceOf(revision), nameOf(revision), {})
  }
}
