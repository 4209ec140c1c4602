/** Undo of a Deployment, case by case as kubectl's rollback.go has it, and what kubectl lacks. */
import { describe, expect, test } from "bun:test"
import { Result } from "effect"
import { planUndo } from "#admin/rollout/undoDeployment.ts"
import type { ToRevision } from "#admin/rollout/undoDecision.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { deployment, replicaSet, template } from "#test/admin/objects.ts"

const revisionKey = "deployment.kubernetes.io/revision"
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

const web = deployment({
  template: template("web:3"),
  generation: 7,
  annotations: { [revisionKey]: "3", note: "by hand", "kubernetes.io/change-cause": "c3" }
})
const history = [
  replicaSet(web, "1", template("web:1"), { annotations: { "kubernetes.io/change-cause": "c1" } }),
  replicaSet(web, "2", template("web:2"), {
    annotations: { "kubernetes.io/change-cause": "c2", "deployment.kubernetes.io/desired-replicas": "2" }
  }),
  replicaSet(web, "3", template("web:3"))
]

const plan = (
  object: KubernetesObject,
  sets: ReadonlyArray<KubernetesObject>,
  to: ToRevision,
  good: ReadonlyArray<string> = []
) => Result.getOrThrow(planUndo(object, sets, to, new Set(good)))

const refusal = (object: KubernetesObject, sets: ReadonlyArray<KubernetesObject>, to: ToRevision) => {
  const result = planUndo(object, sets, to)
  if (Result.isSuccess(result)) throw new Error("it was not refused")
  return [result.failure._tag, result.failure.message]
}

describe("the revision", () => {
  const cases: ReadonlyArray<readonly [title: string, to: ToRevision, expected: number]> = [
    ["0 is the one with the second-highest number", 0, 2],
    ["1 is the one with that number", 1, 1],
    ["2 is the one with that number", 2, 2]
  ]
  for (const [title, to, expected] of cases) {
    test(title, () => expect(plan(web, history, to).preview.toRevision).toBe(expected))
  }

  test("0 goes by number and not by age: after an undo the old ReplicaSet has the highest", () => {
    const undone = deployment({ template: template("web:2"), annotations: { [revisionKey]: "4" } })
    const sets = [
      replicaSet(undone, "1", template("web:1")),
      replicaSet(undone, "4", template("web:2"), { name: "old" }),
      replicaSet(undone, "3", template("web:3"))
    ]
    expect(plan(undone, sets, 0).preview.toRevision).toBe(3)
  })

  test("a ReplicaSet without a number counts as 0, one with words for a number is not looked at", () => {
    const sets = [
      replicaSet(web, undefined, template("web:0")),
      replicaSet(web, "second", template("web:2")),
      replicaSet(web, "3", template("web:3"))
    ]
    expect(plan(web, sets, 0).preview.toRevision).toBe(0)
  })

  test("ReplicaSets of others with the same labels are not its history", () => {
    const other = deployment({ name: "other" })
    const sets = [
      replicaSet(other, "2", template("evil:1")),
      replicaSet(web, "1", template("web:1"), { controller: false }),
      replicaSet(web, "3", template("web:3"))
    ]
    expect(refusal(web, sets, 0)[0]).toBe("NoHistory")
    expect(refusal(web, sets, 2)[0]).toBe("RevisionNotFound")
  })
})

test("security: ReplicaSets of an earlier Deployment of the same name are not its history", () => {
  const earlier = { ...web, metadata: { ...web.metadata, uid: "uid-of-the-deleted-one" } }
  const sets = [replicaSet(earlier, "2", template("evil:1")), replicaSet(web, "3", template("web:3"))]
  expect(refusal(web, sets, 0)[0]).toBe("NoHistory")
})

describe("refusals have kubectl's words", () => {
  const paused = deployment({ template: template("web:3"), spec: { paused: true } })
  const cases: ReadonlyArray<
    readonly [
      title: string,
      object: KubernetesObject,
      sets: ReadonlyArray<KubernetesObject>,
      to: ToRevision,
      string,
      string
    ]
  > = [
    ["negative", web, history, -1, "RevisionNotFound", "unable to find specified revision -1 in history"],
    ["missing", web, history, 9, "RevisionNotFound", "unable to find specified revision 9 in history"],
    ["no ReplicaSet", web, [], 0, "NoHistory", 'no rollout history found for deployment "web"'],
    ["one ReplicaSet", web, history.slice(2), 0, "NoHistory", 'no rollout history found for deployment "web"'],
    [
      "paused",
      paused,
      [replicaSet(paused, "1", template("web:1")), replicaSet(paused, "2", template("web:3"))],
      0,
      "Paused",
      "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again"
    ],
    [
      "paused and missing: the revision is looked for first",
      paused,
      [],
      4,
      "RevisionNotFound",
      "unable to find specified revision 4 in history"
    ]
  ]
  for (const [title, object, sets, to, tag, message] of cases) {
    test(title, () => expect(refusal(object, sets, to)).toEqual([tag, message]))
  }
})

describe("the patch", () => {
  test("tests uid, generation and annotations, then replaces template and annotations", () => {
    expect(plan(web, history, 0).patch).toEqual({
      type: "json",
      body: [
        { op: "test", path: "/metadata/uid", value: "uid-deployment-web" },
        { op: "test", path: "/metadata/generation", value: 7 },
        { op: "test", path: "/metadata/annotations", value: web.metadata.annotations! },
        { op: "replace", path: "/spec/template", value: template("web:2") },
        {
          op: "replace",
          path: "/metadata/annotations",
          value: { [revisionKey]: "3", "kubernetes.io/change-cause": "c2" }
        }
      ]
    })
  })

  test("adds annotations where the Deployment has none, and does not test for them", () => {
    const bare = deployment({ template: template("web:3"), generation: 7 })
    const sets = [replicaSet(bare, "1", template("web:1")), replicaSet(bare, "2", template("web:3"))]
    const { patch } = plan(bare, sets, 0)
    expect(patch?.type === "json" ? patch.body.map(({ op, path }) => [op, path]) : []).toEqual([
      ["test", "/metadata/uid"],
      ["test", "/metadata/generation"],
      ["replace", "/spec/template"],
      ["add", "/metadata/annotations"]
    ])
  })

  test("does not bind to resourceVersion, which a crash-looping workload changes all the time", () => {
    expect(JSON.stringify(plan(web, history, 0).patch)).not.toContain("resourceVersion")
  })

  test("keeps fields that no model knows", () => {
    const sets = [replicaSet(web, "2", template("web:2", { futureField: { deep: [1, null] } })), history[2]!]
    expect(JSON.stringify(plan(web, sets, 0).patch)).toContain('"futureField":{"deep":[1,null]}')
  })

  test("keeps the Deployment's own bookkeeping and takes everything else from the ReplicaSet", () => {
    const own = {
      [lastApplied]: "{}",
      [revisionKey]: "3",
      "deployment.kubernetes.io/revision-history": "1",
      "deployment.kubernetes.io/desired-replicas": "5",
      "deployment.kubernetes.io/max-replicas": "6",
      "deprecated.deployment.rollback.to": "2"
    }
    const object = deployment({ template: template("web:3"), annotations: { ...own, note: "lost" } })
    const stolen = Object.fromEntries(Object.keys(own).map((key) => [key, "from the ReplicaSet"]))
    const sets = [
      replicaSet(object, "2", template("web:2"), { annotations: { ...stolen, [revisionKey]: "2", team: "a" } }),
      replicaSet(object, "3", template("web:3"))
    ]
    const { patch, preview } = plan(object, sets, 0)
    expect(patch?.type === "json" ? patch.body.at(-1) : undefined).toEqual({
      op: "replace",
      path: "/metadata/annotations",
      value: { ...own, team: "a" }
    })
    expect(preview.lostAnnotations).toEqual(["note"])
  })
})

describe("a template that is already so", () => {
  const same = [
    ["but for the hash label", template("web:3")],
    [
      "but for a creationTimestamp of null",
      { ...template("web:3"), metadata: { labels: { app: "web" }, creationTimestamp: null } }
    ],
    ["but for empty lists and maps", template("web:3", { env: [], resources: {} })]
  ] as const
  for (const [title, pod] of same) {
    test(`is skipped: ${title}`, () => {
      const sets = [replicaSet(web, "2", pod), replicaSet(web, "3", template("web:9"))]
      const { patch, preview } = plan(web, sets, 0)
      expect(patch).toBeUndefined()
      expect(preview).toMatchObject({ skipped: true, toRevision: 2, changes: [], lostAnnotations: [] })
      expect(preview.message).toBe("deployment.apps/web skipped rollback (current template already matches revision 0)")
    })
  }
})

describe("the preview", () => {
  test("says from where to where, what changes and what is lost", () => {
    const { preview } = plan(web, history, 2)
    expect(preview).toEqual({
      fromRevision: 3,
      toRevision: 2,
      skipped: false,
      message: "deployment.apps/web rolled back",
      changes: [
        { path: "/spec/template/spec/containers/0/image", before: '"web:3"', after: '"web:2"' },
        { path: "/metadata/annotations/note", before: '"by hand"', after: null },
        { path: "/metadata/annotations/kubernetes.io~1change-cause", before: '"c3"', after: '"c2"' }
      ],
      lostAnnotations: ["note"],
      warnings: []
    })
  })

  test("warns of the restart trap and names the last revision with another template", () => {
    const restarted = deployment({
      template: template("web:bad", {}, { "kubectl.kubernetes.io/restartedAt": "2026-11-26T09:00:00Z" })
    })
    const sets = [
      replicaSet(restarted, "1", template("web:good")),
      replicaSet(restarted, "2", template("web:bad")),
      replicaSet(
        restarted,
        "3",
        template("web:bad", {}, { "kubectl.kubernetes.io/restartedAt": "2026-11-26T09:00:00Z" })
      )
    ]
    expect(plan(restarted, sets, 0).preview.warnings).toEqual([
      "the template of revision 2 differs from the present one only in restartedAt: revision 1 is the last one with another template"
    ])
  })

  test("passes on kubectl's warning of a later client-side apply", () => {
    const applied = deployment({ template: template("web:3"), annotations: { [lastApplied]: "{}" } })
    const sets = [replicaSet(applied, "1", template("web:1")), replicaSet(applied, "2", template("web:3"))]
    expect(plan(applied, sets, 0).preview.warnings[0]).toStartWith(
      "resource deployments/web was previously managed with 'kubectl apply'. Rolling back will not update the kubectl.kubernetes.io/last-applied-configuration annotation"
    )
  })

  test("security: shows no literal secret of either template", () => {
    const env = (value: string) => ({
      env: [
        { name: "DB_PASSWORD", value },
        { name: "URL", value: `pg://u:${value}@db` }
      ]
    })
    const object = deployment({ template: template("web:3", env("canary-new")) })
    const sets = [
      replicaSet(object, "1", template("web:1", env("canary-old"))),
      replicaSet(object, "2", template("web:3", env("canary-new")))
    ]
    const { preview } = plan(object, sets, 0)
    expect(JSON.stringify(preview)).not.toContain("canary")
    expect(preview.changes.filter(({ path }) => path.includes("/env/"))).toEqual([
      { path: "/spec/template/spec/containers/0/env/0/value", before: '"*** (before)"', after: '"*** (after)"' },
      { path: "/spec/template/spec/containers/0/env/1/value", before: '"*** (before)"', after: '"*** (after)"' }
    ])
  })
})

describe("last-known-good", () => {
  const stamp = { "kubectl.kubernetes.io/restartedAt": "2026-11-26T09:00:00Z" }
  const bad = deployment({ template: template("web:bad", {}, stamp) })
  const sets = [
    replicaSet(bad, "1", template("web:1")),
    replicaSet(bad, "2", template("web:2")),
    replicaSet(bad, "3", template("web:bad")),
    replicaSet(bad, "4", template("web:bad", {}, stamp))
  ]

  test("is the newest revision that was once good", () => {
    const { preview } = plan(bad, sets, "last-known-good", ["uid-web-1", "uid-web-2"])
    expect(preview.toRevision).toBe(2)
  })

  test("is never one that differs only in the restart stamp, good or not", () => {
    const { preview } = plan(bad, sets, "last-known-good", ["uid-web-1", "uid-web-3", "uid-web-4"])
    expect(preview.toRevision).toBe(1)
  })

  test("is refused with the candidates where none is known", () => {
    expect(refusal(bad, sets, "last-known-good")).toEqual([
      "NoKnownGood",
      "no earlier revision is known to have been fully available; choose one of them: 2, 1"
    ])
  })
})
