/** The history as kubectl lists it, and what is known of each revision beyond it. */
import { describe, expect, test } from "bun:test"
import { historyOf, imagesOf, type Known } from "#admin/rollout/history.ts"
import { controllerRevisions, deploymentRevisions, revisionsOf, selectorOf } from "#admin/rollout/revisions.ts"
import { controllerRevision, deployment, replicaSet, statefulSet, template } from "#test/admin/objects.ts"

const web = deployment({ template: template("web:3") })
const known = (more: Partial<Known> = {}): Known => ({
  current: undefined,
  notes: new Map(),
  good: new Set(),
  failed: false,
  ...more
})

describe("revisions", () => {
  test("are ascending by number, with the change cause of the ReplicaSet", () => {
    const sets = [
      replicaSet(web, "10", template("web:3"), { annotations: { "kubernetes.io/change-cause": "ten" } }),
      replicaSet(web, "2", template("web:2"))
    ]
    expect(
      historyOf(deploymentRevisions(web, sets), known()).map(({ changeCause, revision }) => [revision, changeCause])
    ).toEqual([
      [2, ""],
      [10, "ten"]
    ])
  })

  test("of one number: the last in the list stands", () => {
    const sets = [
      replicaSet(web, "1", template("web:1"), { name: "a" }),
      replicaSet(web, "1", template("web:2"), { name: "b" })
    ]
    expect(historyOf(deploymentRevisions(web, sets), known()).map(({ images }) => images)).toEqual([["web:2"]])
  })

  test("of a StatefulSet come from its ControllerRevisions", () => {
    const set = statefulSet({ template: template("web:2") })
    const sources = [
      controllerRevision(set, 2, template("web:2"), { "kubernetes.io/change-cause": "two" }),
      controllerRevision(set, 1, template("web:1"))
    ]
    expect(
      historyOf(controllerRevisions(set, sources), known()).map((one) => [one.revision, one.images, one.changeCause])
    ).toEqual([
      [1, ["web:1"], ""],
      [2, ["web:2"], "two"]
    ])
  })

  test("say which are only a restart of the one before", () => {
    const stamp = { "kubectl.kubernetes.io/restartedAt": "2026-11-26T09:00:00Z" }
    const sets = [
      replicaSet(web, "1", template("web:1")),
      replicaSet(web, "2", template("web:1", {}, stamp)),
      replicaSet(web, "3", template("web:2", {}, stamp))
    ]
    expect(historyOf(revisionsOf(web, sets), known()).map(({ onlyRestartedAt }) => onlyRestartedAt)).toEqual([
      false,
      true,
      false
    ])
  })

  test("carry who did it, and health by uid: good once, bad only if in force and failed", () => {
    const sets = ["1", "2", "3"].map((number) => replicaSet(web, number, template(`web:${number}`)))
    const note = { actor: { id: "u", name: "Ada" }, approver: { id: "v", name: "Grace" }, reason: "because" }
    const items = historyOf(
      revisionsOf(web, sets),
      known({ current: "uid-web-3", failed: true, good: new Set(["uid-web-1"]), notes: new Map([["uid-web-2", note]]) })
    )
    expect(items.map(({ current, health }) => [current, health])).toEqual([
      [false, "good"],
      [false, "unknown"],
      [true, "bad"]
    ])
    expect(items[1]).toMatchObject(note)
    expect(items[0]).toMatchObject({ actor: null, approver: null, reason: null })
  })
})

test("images are those of init containers and containers, each once", () => {
  const spec = { initContainers: [{ image: "a" }], containers: [{ image: "b" }, { image: "a" }, {}] }
  expect(imagesOf({ spec })).toEqual(["a", "b"])
})

test("a selector is written as a list takes it", () => {
  const object = deployment({
    spec: {
      selector: {
        matchLabels: { app: "web" },
        matchExpressions: [
          { key: "tier", operator: "In", values: ["a", "b"] },
          { key: "zone", operator: "NotIn", values: ["c"] },
          { key: "live", operator: "Exists" },
          { key: "old", operator: "DoesNotExist" }
        ]
      }
    }
  })
  expect(selectorOf(object)).toBe("app=web,tier in (a,b),zone notin (c),live,!old")
})
