/** Undo of StatefulSets and DaemonSets, case by case as kubectl's rollback.go has it. */
import { describe, expect, test } from "bun:test"
import { Result } from "effect"
import { planUndoRevisioned } from "#admin/rollout/undoRevisioned.ts"
import type { ToRevision } from "#admin/rollout/undoDecision.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { controllerRevision, daemonSet, statefulSet, template } from "#test/admin/objects.ts"

for (const [kind, make] of [
  ["StatefulSet", statefulSet],
  ["DaemonSet", daemonSet]
] as const) {
  describe(kind, () => {
    const printed = `${kind.toLowerCase()}.apps/web`
    const web = make({ template: template("web:3"), status: { readyReplicas: 2 }, annotations: { note: "stays" } })
    const history = [
      controllerRevision(web, 3, template("web:3")),
      controllerRevision(web, 1, template("web:1")),
      controllerRevision(web, 2, template("web:2"))
    ]
    const plan = (to: ToRevision, sources = history, good: ReadonlyArray<string> = [], object = web) =>
      Result.getOrThrow(planUndoRevisioned(kind, object, sources, to, new Set(good)))
    const refusal = (to: ToRevision, sources: ReadonlyArray<KubernetesObject>) => {
      const result = planUndoRevisioned(kind, web, sources, to)
      if (Result.isSuccess(result)) throw new Error("it was not refused")
      return [result.failure._tag, result.failure.message]
    }

    test("sends the stored data as it is, as a strategic merge patch", () => {
      const { patch } = plan(0)
      expect(patch).toEqual({
        type: "strategic",
        body: { spec: { template: { ...template("web:2"), $patch: "replace" } } }
      })
    })

    test("says from where to where; the object's annotations stay", () => {
      expect(plan(1).preview).toEqual({
        fromRevision: 3,
        toRevision: 1,
        skipped: false,
        message: `${printed} rolled back`,
        changes: [{ path: "/spec/template/spec/containers/0/image", before: '"web:3"', after: '"web:1"' }],
        lostAnnotations: [],
        warnings: []
      })
    })

    const refusals: ReadonlyArray<readonly [string, ToRevision, ReadonlyArray<KubernetesObject>, string, string]> = [
      ["negative", -1, history, "RevisionNotFound", "unable to find specified revision -1 in history"],
      ["missing", 7, history, "RevisionNotFound", "unable to find specified revision 7 in history"],
      ["no revision", 0, [], "NoHistory", "no last revision to roll back to"],
      ["one revision", 0, history.slice(0, 1), "NoHistory", "no last revision to roll back to"],
      ["a number without any revision", 1, [], "RevisionNotFound", "unable to find specified revision 1 in history"]
    ]
    for (const [title, to, sources, tag, message] of refusals) {
      test(`refuses in kubectl's words: ${title}`, () => expect(refusal(to, sources)).toEqual([tag, message]))
    }

    test("does not see revisions of another owner with the same labels", () => {
      const other = make({ name: "other" })
      expect(refusal(0, [history[0]!, controllerRevision(other, 2, template("evil:1"))])[0]).toBe("NoHistory")
    })

    test("skips a template that is already so, creationTimestamp: null aside", () => {
      const same = { ...template("web:3"), metadata: { labels: { app: "web" }, creationTimestamp: null } }
      const { patch, preview } = plan(2, [history[0]!, controllerRevision(web, 2, same)])
      expect(patch).toBeUndefined()
      expect(preview.message).toBe(`${printed} skipped rollback (current template already matches revision 2)`)
    })

    test("does not skip what only means the same: kubectl compares the stored bytes", () => {
      const same = template("web:3", { env: [] })
      expect(plan(2, [history[0]!, controllerRevision(web, 2, same)]).preview.skipped).toBe(false)
    })

    test("finds the last revision that was once good", () => {
      const uid = controllerRevision(web, 1, template("web:1")).metadata.uid!
      expect(plan("last-known-good", history, [uid]).preview.toRevision).toBe(1)
    })

    test("warns that OnDelete replaces no pod", () => {
      const object = make({ template: template("web:3"), spec: { updateStrategy: { type: "OnDelete" } } })
      expect(plan(0, history, [], object).preview.warnings).toEqual([
        "the update strategy is OnDelete: a pod gets the restored template only when it is deleted"
      ])
    })
  })
}

test("a StatefulSet with a broken pod may need it deleted by hand, which the preview says", () => {
  const stuck = statefulSet({ template: template("web:3"), status: { readyReplicas: 1 } })
  const sources = [controllerRevision(stuck, 1, template("web:1")), controllerRevision(stuck, 2, template("web:3"))]
  const { preview } = Result.getOrThrow(planUndoRevisioned("StatefulSet", stuck, sources, 0))
  expect(preview.warnings).toEqual([
    "1 pods are not ready: the StatefulSet may wait for a broken one until it is deleted by hand (Kubernetes, StatefulSets, forced rollback)"
  ])
})
