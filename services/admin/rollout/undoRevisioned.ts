/** Undo of a StatefulSet or DaemonSet as `kubectl rollout undo` does it, by their ControllerRevisions; pure. */
import { Result } from "effect"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { changesBetween } from "#shared/kubernetes/changes.ts"
import { at, countAt, type Fields, fieldsOf, numberAt, textAt } from "#shared/kubernetes/fields.ts"
import { NoHistory, type NoKnownGood, RevisionNotFound } from "../refusals.ts"
import { lastKnownGood, restartTrap } from "./lastKnownGood.ts"
import { controllerRevisions, type RevisionRecord } from "./revisions.ts"
import { identicalTemplate } from "#shared/kubernetes/templates.ts"
import { applyWarning, type ToRevision, type UndoDecision, undoMessage } from "./undoDecision.ts"

export type RevisionedKind = Exclude<WorkloadKind, "Deployment">

/** The revision that is in force: the newest with the workload's own template. */
export const currentControllerRevision = (
  workload: KubernetesObject,
  revisions: ReadonlyArray<RevisionRecord>
): RevisionRecord | undefined => {
  const template = fieldsOf(at(workload, "spec", "template"))
  return revisions
    .filter((one) => identicalTemplate(one.template, template))
    .toSorted((a, b) => b.revision - a.revision)[0]
}

const chosen = (
  kind: RevisionedKind,
  workload: KubernetesObject,
  revisions: ReadonlyArray<RevisionRecord>,
  toRevision: ToRevision,
  good: ReadonlySet<string>
): Result.Result<RevisionRecord, NoHistory | RevisionNotFound | NoKnownGood> => {
  if (toRevision === "last-known-good") {
    return lastKnownGood(revisions, fieldsOf(at(workload, "spec", "template")), good)
  }
  if (toRevision === 0) {
    const previous = revisions.toSorted((a, b) => a.revision - b.revision).at(-2)
    return previous === undefined
      ? Result.fail(new NoHistory({ kind, name: workload.metadata.name }))
      : Result.succeed(previous)
  }
  const found = revisions.find(({ revision }) => revision === toRevision)
  return found === undefined ? Result.fail(new RevisionNotFound({ revision: toRevision })) : Result.succeed(found)
}

/** Things that an undo of these kinds does not do, and people expect it to. */
const warningsOf = (kind: RevisionedKind, workload: KubernetesObject): ReadonlyArray<string> => {
  if (textAt(workload, "spec", "updateStrategy", "type") === "OnDelete") {
    return ["the update strategy is OnDelete: a pod gets the restored template only when it is deleted"]
  }
  if (kind === "DaemonSet") return []
  const ordered = textAt(workload, "spec", "podManagementPolicy") !== "Parallel"
  const missing = (numberAt(workload, "spec", "replicas") ?? 1) - countAt(workload, "status", "readyReplicas")
  return ordered && missing > 0
    ? [
        `${missing} pods are not ready: the StatefulSet may wait for a broken one until it is deleted by hand ` +
          "(Kubernetes, StatefulSets, forced rollback)"
      ]
    : []
}

/**
 * The undo of `workload` to `toRevision`; `sources` are the ControllerRevisions of its selector, in the API server's order.
 * `good` holds the uids of those that were once fully available. There is no check for a pause: these kinds have none.
 */
export const planUndoRevisioned = (
  kind: RevisionedKind,
  workload: KubernetesObject,
  sources: ReadonlyArray<KubernetesObject>,
  toRevision: ToRevision,
  good: ReadonlySet<string> = new Set()
): Result.Result<UndoDecision, NoHistory | RevisionNotFound | NoKnownGood> => {
  const { name } = workload.metadata
  if (toRevision !== "last-known-good" && toRevision < 0) {
    return Result.fail(new RevisionNotFound({ revision: toRevision }))
  }
  const revisions = controllerRevisions(workload, sources)
  return Result.map(chosen(kind, workload, revisions, toRevision, good), (target) => {
    const present = fieldsOf(at(workload, "spec", "template"))
    const skipped = identicalTemplate(target.template, present)
    const asked = toRevision === "last-known-good" ? target.revision : toRevision
    const body: Fields = fieldsOf(at(target.source, "data"))
    return {
      preview: {
        fromRevision: currentControllerRevision(workload, revisions)?.revision ?? null,
        toRevision: target.revision,
        skipped,
        message: undoMessage(kind, name, skipped, asked),
        changes: skipped ? [] : changesBetween(present, target.template, { root: "/spec/template" }),
        lostAnnotations: [],
        warnings: skipped
          ? []
          : [...restartTrap(revisions, present, target), ...warningsOf(kind, workload), ...applyWarning(kind, workload)]
      },
      // The stored data is a strategic merge patch already, and goes out as it came.
      patch: skipped ? undefined : { type: "strategic" as const, body }
    }
  })
}
