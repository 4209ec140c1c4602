/** Undo of a Deployment as `kubectl rollout undo` does it, with a preview and preconditions that kubectl lacks; pure. */
import { Result } from "effect"
import type { Json, KubernetesObject } from "#shared/kubernetes/objects.ts"
import { changesBetween } from "#shared/kubernetes/changes.ts"
import { at, type Fields, fieldsOf, flagAt, jsonOf } from "#shared/kubernetes/fields.ts"
import { lastApplied } from "#shared/kubernetes/mask.ts"
import { NoHistory, type NoKnownGood, Paused, RevisionNotFound } from "../refusals.ts"
import { lastKnownGood, restartTrap } from "./lastKnownGood.ts"
import { deploymentRevisions, revisionAnnotation, revisionNumber, type RevisionRecord } from "./revisions.ts"
import { sameTemplate, withoutHash } from "#shared/kubernetes/templates.ts"
import { applyWarning, type ToRevision, type UndoDecision, undoMessage } from "./undoDecision.ts"

/** Annotations that stay the Deployment's own (kubectl's `annotationsToSkip`). */
const ownAnnotations: ReadonlySet<string> = new Set([
  lastApplied,
  revisionAnnotation,
  "deployment.kubernetes.io/revision-history",
  "deployment.kubernetes.io/desired-replicas",
  "deployment.kubernetes.io/max-replicas",
  "deprecated.deployment.rollback.to"
])

type Annotations = Readonly<Record<string, string>>

/** The Deployment's annotations after the undo: its own bookkeeping, and everything else from the revision. */
export const annotationsAfter = (deployment: Annotations, revision: Annotations): Annotations => ({
  ...Object.fromEntries(Object.entries(deployment).filter(([key]) => ownAnnotations.has(key))),
  ...Object.fromEntries(Object.entries(revision).filter(([key]) => !ownAnnotations.has(key)))
})

/** The one with the second-highest number, in kubectl's own way of looking for it (a number that comes twice counts twice). */
const previousOf = (revisions: ReadonlyArray<RevisionRecord>): RevisionRecord | undefined => {
  let latest: RevisionRecord | undefined
  let previous: RevisionRecord | undefined
  for (const one of revisions) {
    if ((latest?.revision ?? -1) < one.revision) {
      previous = latest
      latest = one
    } else if ((previous?.revision ?? -1) < one.revision) previous = one
  }
  return previous
}

const chosen = (
  deployment: KubernetesObject,
  revisions: ReadonlyArray<RevisionRecord>,
  toRevision: ToRevision,
  good: ReadonlySet<string>
): Result.Result<RevisionRecord, NoHistory | RevisionNotFound | NoKnownGood> => {
  if (toRevision === "last-known-good") {
    return lastKnownGood(revisions, fieldsOf(at(deployment, "spec", "template")), good)
  }
  const found = toRevision === 0 ? previousOf(revisions) : revisions.find(({ revision }) => revision === toRevision)
  if (found !== undefined) return Result.succeed(found)
  return Result.fail(
    toRevision === 0
      ? new NoHistory({ kind: "Deployment", name: deployment.metadata.name })
      : new RevisionNotFound({ revision: toRevision })
  )
}

/** Guards against a change in between; not `resourceVersion`, which every status update of a crashing workload changes. */
const preconditions = (deployment: KubernetesObject): ReadonlyArray<Readonly<Record<string, Json | undefined>>> => {
  const { annotations, generation, uid } = deployment.metadata
  return [
    ...(uid === undefined ? [] : [{ op: "test", path: "/metadata/uid", value: uid }]),
    ...(generation === undefined ? [] : [{ op: "test", path: "/metadata/generation", value: generation }]),
    // What is not there cannot be tested for, nor replaced.
    ...(annotations === undefined ? [] : [{ op: "test", path: "/metadata/annotations", value: annotations }])
  ]
}

const patchOf = (deployment: KubernetesObject, template: Fields, annotations: Annotations) => {
  const op = deployment.metadata.annotations === undefined ? "add" : "replace"
  return {
    type: "json" as const,
    body: [
      ...preconditions(deployment),
      { op: "replace", path: "/spec/template", value: jsonOf(template) },
      { op, path: "/metadata/annotations", value: annotations }
    ]
  }
}

/**
 * The undo of `deployment` to `toRevision`; `replicaSets` are those of its selector, others' among them, in the API server's order.
 * `good` holds the uids of ReplicaSets that were once fully available. The checks come in kubectl's order.
 */
export const planUndo = (
  deployment: KubernetesObject,
  replicaSets: ReadonlyArray<KubernetesObject>,
  toRevision: ToRevision,
  good: ReadonlySet<string> = new Set()
): Result.Result<UndoDecision, Paused | NoHistory | RevisionNotFound | NoKnownGood> => {
  const { name } = deployment.metadata
  if (toRevision !== "last-known-good" && toRevision < 0) {
    return Result.fail(new RevisionNotFound({ revision: toRevision }))
  }
  const revisions = deploymentRevisions(deployment, replicaSets)
  return Result.flatMap(chosen(deployment, revisions, toRevision, good), (target) => {
    if (flagAt(deployment, "spec", "paused")) {
      return Result.fail(new Paused({ kind: "Deployment", name, action: "undo" }))
    }
    const present = fieldsOf(at(deployment, "spec", "template"))
    const skipped = sameTemplate(target.template, present)
    const asked = toRevision === "last-known-good" ? target.revision : toRevision
    const template = withoutHash(target.template)
    const before = deployment.metadata.annotations ?? {}
    const after = annotationsAfter(before, target.source.metadata.annotations ?? {})
    const preview = {
      fromRevision: before[revisionAnnotation] === undefined ? null : (revisionNumber(deployment) ?? null),
      toRevision: target.revision,
      skipped,
      message: undoMessage("Deployment", name, skipped, asked),
      changes: skipped
        ? []
        : [
            ...changesBetween(present, template, { root: "/spec/template" }),
            ...changesBetween(before, after, { root: "/metadata/annotations" })
          ],
      lostAnnotations: skipped ? [] : Object.keys(before).filter((key) => !Object.hasOwn(after, key)),
      warnings: skipped ? [] : [...restartTrap(revisions, present, target), ...applyWarning("Deployment", deployment)]
    }
    return Result.succeed({ preview, patch: skipped ? undefined : patchOf(deployment, template, after) })
  })
}
