/** The contract of controllers: rollouts, revisions, undo, history, cascading deletion, jobs; part of contract.ts. */
import { describe, expect, test } from "bun:test"
import { Effect } from "effect"
import { controllerOf, type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import { at, type Bench, list, type Target } from "./target.ts"

const { ControllerRevision, DaemonSet, Deployment, Job, Pod, ReplicaSet, StatefulSet } = resources
const revisionKey = "deployment.kubernetes.io/revision"

const condition = (object: KubernetesObject, type: string) =>
  list(object, "status", "conditions").find((one) => at(one, "type") === type)
const revision = (object: KubernetesObject) => Number(object.metadata.annotations?.[revisionKey] ?? 0)

export const controllersContract = (bench: Bench, target: Target): void => {
  const { apply, deployment, eventually, failure, get, namespace, owned, place, run, use } = bench

  const complete = (one: KubernetesObject) =>
    at(one, "status", "observedGeneration") === one.metadata.generation &&
    at(condition(one, "Progressing"), "reason") === "NewReplicaSetAvailable" &&
    at(one, "status", "updatedReplicas") === at(one, "spec", "replicas") &&
    at(one, "status", "replicas") === at(one, "spec", "replicas") &&
    at(one, "status", "availableReplicas") === at(one, "spec", "replicas")
  const rolledOut = (name: string) => eventually(`${name} is rolled out`, get(Deployment, name), complete)
  const release = (name: string, image: string, spec = {}, annotations = {}) =>
    run(apply(Deployment, deployment(name, image, spec, annotations)).pipe(Effect.andThen(rolledOut(name))))
  const revisions = async (name: string) =>
    (await run(owned(ReplicaSet, name))).map(revision).toSorted((one, other) => one - other)

  /** As kubectl: the old template without its hash, its annotations, one JSON patch. */
  const undo = async (name: string, to: number) => {
    const set = (await run(owned(ReplicaSet, name))).find((one) => revision(one) === to)!
    const template = structuredClone(at(set, "spec", "template")) as { metadata: { labels: Record<string, string> } }
    delete template.metadata.labels["pod-template-hash"]
    const body = [{ op: "replace", path: "/spec/template", value: template as never }]
    await run(use((one) => one.patch(place(Deployment, name), { type: "json", body })))
  }

  describe("a Deployment", () => {
    test("rolls out by ReplicaSets that carry its hash and revision", async () => {
      const done = await release("rollout", "web:1", { replicas: 2 }, { note: "copied" })
      expect(revision(done)).toBe(1)
      expect(condition(done, "Available")).toMatchObject({ status: "True", reason: "MinimumReplicasAvailable" })
      const [set] = await run(owned(ReplicaSet, "rollout"))
      const hash = set!.metadata.labels!["pod-template-hash"]!
      expect(set).toMatchObject({
        metadata: {
          name: `rollout-${hash}`,
          annotations: {
            [revisionKey]: "1",
            note: "copied",
            "deployment.kubernetes.io/desired-replicas": "2",
            "deployment.kubernetes.io/max-replicas": "3"
          }
        },
        spec: {
          replicas: 2,
          selector: { matchLabels: { app: "rollout", "pod-template-hash": hash } },
          template: { metadata: { labels: { "pod-template-hash": hash } } }
        }
      })
      expect(controllerOf(set!)).toMatchObject({ kind: "Deployment", name: "rollout", uid: done.metadata.uid! })
      const pods = await run(owned(Pod, "rollout"))
      expect(pods.map((pod) => controllerOf(pod)?.uid)).toEqual([set!.metadata.uid, set!.metadata.uid])
      expect(pods[0]!.metadata.name).toMatch(new RegExp(`^rollout-${hash}-[a-z0-9]{5}$`, "u"))
    })

    test("numbers revisions, gives an old template the next number, and tells the numbers it had", async () => {
      const name = "revisions"
      const note = (text: string) => ({ "kubernetes.io/change-cause": text })
      await release(name, "web:1", {}, note("one"))
      await release(name, "web:2", {}, note("two"))
      await release(name, "web:3", {}, note("three"))
      expect(await revisions(name)).toEqual([1, 2, 3])
      await undo(name, 2)
      const done = await run(rolledOut(name))
      expect(revision(done)).toBe(4)
      expect(await revisions(name)).toEqual([1, 3, 4])
      const set = (await run(owned(ReplicaSet, name))).find((one) => revision(one) === 4)!
      expect(set.metadata.annotations).toMatchObject({
        "deployment.kubernetes.io/revision-history": "2",
        // The Deployment's own annotation has not been undone here, and is copied again.
        "kubernetes.io/change-cause": "three"
      })
    })

    test("keeps as many old revisions as its limit says", async () => {
      const name = "history"
      for (const image of ["web:1", "web:2", "web:3"]) await release(name, image, { revisionHistoryLimit: 1 })
      await run(eventually("one old revision", owned(ReplicaSet, name), (sets) => sets.length === 2))
      expect(await revisions(name)).toEqual([2, 3])
    })

    test("does nothing with a new template while it is paused", async () => {
      const name = "paused"
      await release(name, "web:1")
      await run(apply(Deployment, deployment(name, "web:2", { paused: true })))
      const seen = await run(
        eventually(
          "the pause is seen",
          get(Deployment, name),
          (one) => at(one, "status", "observedGeneration") === one.metadata.generation
        )
      )
      expect(condition(seen, "Progressing")).toBeDefined()
      expect(await revisions(name)).toEqual([1])
      await release(name, "web:2")
      expect(await revisions(name)).toEqual([1, 2])
    })

    test("scales its newest ReplicaSet without a new revision", async () => {
      const name = "scaled"
      await release(name, "web:1")
      const done = await release(name, "web:1", { replicas: 3 })
      expect(revision(done)).toBe(1)
      expect(await run(owned(Pod, name))).toHaveLength(3)
    })

    test("recreates where its strategy says so", async () => {
      const name = "recreate"
      const strategy = { replicas: 2, strategy: { type: "Recreate" } }
      await release(name, "web:1", strategy)
      await release(name, "web:2", strategy)
      const sets = await run(owned(ReplicaSet, name))
      expect(sets.map((set) => at(set, "spec", "replicas")).toSorted()).toEqual([0, 2])
    })

    test("leaves the old pods serving while the new ones do not become ready", async () => {
      const name = "stuck"
      const probe = { readinessProbe: { exec: { command: ["false"] } } }
      const spec = (image: string, extra = {}) => ({
        replicas: 2,
        progressDeadlineSeconds: 2,
        template: bench.template(name, image, extra)
      })
      await release(name, "web:1", spec("web:1"))
      await run(apply(Deployment, deployment(name, "web:crash", spec("web:crash", probe))))
      const failed = await run(
        eventually(
          "the deadline passes",
          get(Deployment, name),
          (one) => at(condition(one, "Progressing"), "reason") === "ProgressDeadlineExceeded"
        )
      )
      expect(condition(failed, "Progressing")).toMatchObject({ status: "False" })
      expect(condition(failed, "Available")).toMatchObject({ status: "True" })
      expect(failed["status"]).toMatchObject({
        replicas: 3,
        updatedReplicas: 1,
        availableReplicas: 2,
        unavailableReplicas: 1
      })
      await undo(name, 1)
      expect(revision(await run(rolledOut(name)))).toBe(3)
    })

    test("takes what it owns with it, unless that is to be orphaned", async () => {
      await release("cascade", "web:1")
      await run(use((one) => one.delete(place(Deployment, "cascade"))))
      await run(eventually("its ReplicaSet is gone", owned(ReplicaSet, "cascade"), (sets) => sets.length === 0))
      await run(eventually("its pods are gone", owned(Pod, "cascade"), (pods) => pods.length === 0))
      await release("orphans", "web:1")
      await run(use((one) => one.delete(place(Deployment, "orphans"), { propagation: "Orphan" })))
      await run(
        eventually("the Deployment is gone", Effect.result(get(Deployment, "orphans")), (one) => one._tag === "Failure")
      )
      const [set] = await run(owned(ReplicaSet, "orphans"))
      expect(set!.metadata.ownerReferences ?? []).toEqual([])
      await run(use((one) => one.delete(place(ReplicaSet, set!.metadata.name))))
    })
  })

  describe("a StatefulSet", () => {
    const name = "stateful"
    const object = (image: string): KubernetesObject => ({
      ...deployment(name, image, { serviceName: name, replicas: 2 }),
      kind: "StatefulSet"
    })
    const settled = eventually("the StatefulSet is updated", get(StatefulSet, name), (one) => {
      const status = (field: string) => at(one, "status", field)
      return (
        status("observedGeneration") === one.metadata.generation &&
        status("updateRevision") === status("currentRevision") &&
        status("readyReplicas") === 2
      )
    })
    const stored = async () =>
      (await run(owned(ControllerRevision, name))).toSorted(
        (one, other) => Number(one["revision"]) - Number(other["revision"])
      )

    test("keeps revisions as patches, and undoes by one of them", async () => {
      await run(apply(StatefulSet, object("web:1")))
      const first = await run(settled)
      const pods = await run(owned(Pod, name))
      expect(pods.map((pod) => pod.metadata.name)).toEqual([`${name}-0`, `${name}-1`])
      expect(pods[0]!.metadata.labels).toMatchObject({
        "controller-revision-hash": String(at(first, "status", "currentRevision")),
        "statefulset.kubernetes.io/pod-name": `${name}-0`,
        "apps.kubernetes.io/pod-index": "0"
      })
      await run(apply(StatefulSet, object("web:2")))
      const second = await run(settled)
      expect(at(second, "status", "updateRevision")).not.toBe(at(first, "status", "updateRevision"))
      const both = await stored()
      expect(both.map((one) => one["revision"])).toEqual([1, 2])
      expect(both[0]!.metadata.name).toBe(String(at(first, "status", "currentRevision")))
      expect(both[0]!["data"]).toMatchObject({
        spec: { template: { $patch: "replace", metadata: { labels: { app: name } } } }
      })
      expect(at(both[1], "data", "spec", "template", "spec")).toEqual(at(second, "spec", "template", "spec"))

      const body = both[0]!["data"] as { readonly [key: string]: unknown }
      await run(use((one) => one.patch(place(StatefulSet, name), { type: "strategic", body })))
      const undone = await run(settled)
      expect(at(undone, "status", "updateRevision")).toBe(at(first, "status", "updateRevision"))
      expect((await stored()).map((one) => one["revision"])).toEqual([2, 3])
      expect(at(undone, "spec", "template")).toEqual(at(first, "spec", "template"))
    })
  })

  describe("a DaemonSet", () => {
    test("keeps revisions too", async () => {
      const name = "daemon"
      const object = (image: string): KubernetesObject => {
        const { replicas: _, ...spec } = deployment(name, image)["spec"] as Record<string, unknown>
        return { ...deployment(name, image), kind: "DaemonSet", spec }
      }
      const numbers = owned(ControllerRevision, name).pipe(
        Effect.map((all) => all.map((one) => Number(one["revision"])).toSorted((one, other) => one - other))
      )
      await run(apply(DaemonSet, object("web:1")))
      await run(eventually("one revision", numbers, (all) => all.length === 1))
      await run(apply(DaemonSet, object("web:2")))
      await run(eventually("two revisions", numbers, (all) => all.join() === "1,2"))
      await run(apply(DaemonSet, object("web:1")))
      await run(eventually("the old one under a new number", numbers, (all) => all.join() === "2,3"))
      const [stored] = await run(owned(ControllerRevision, name))
      expect(stored!.metadata.labels!["controller-revision-hash"]).toMatch(/^[a-z0-9]+$/u)
      await run(use((one) => one.delete(place(DaemonSet, name))))
    })
  })

  describe("a Job", () => {
    const job = (name: string, image: string, spec = {}): KubernetesObject => ({
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name, namespace },
      spec: {
        backoffLimit: 0,
        template: { spec: { restartPolicy: "Never", containers: [{ name: "main", image }] } },
        ...spec
      }
    })
    test("selects its own pods and cannot be given another template", async () => {
      const name = "job-selects"
      const { object } = await run(use((one) => one.create({ resource: Job, namespace }, job(name, "task:1"))))
      const uid = object.metadata.uid!
      expect(object["spec"]).toMatchObject({
        parallelism: 1,
        completions: 1,
        backoffLimit: 0,
        selector: { matchLabels: { "batch.kubernetes.io/controller-uid": uid } },
        template: { metadata: { labels: { "batch.kubernetes.io/job-name": name, "job-name": name } } }
      })
      const body = { spec: { template: { spec: { containers: [{ name: "main", image: "task:2" }] } } } }
      const patch = use((one) => one.patch(place(Job, name), { type: "strategic", body }))
      expect(await failure(patch)).toMatchObject({ reason: "invalid", status: 422 })
      await run(use((one) => one.delete(place(Job, name))))
    })
    test("needs a restart policy of its own", async () => {
      const bad = job("job-policy", "task:1", {
        template: { spec: { containers: [{ name: "main", image: "task:1" }] } }
      })
      expect(await failure(use((one) => one.create({ resource: Job, namespace }, bad)))).toMatchObject({ status: 422 })
    })
    if (!target.features.kubelet) return
    const ended = (name: string, type: string) =>
      eventually(`${name} is ${type}`, get(Job, name), (one) => at(condition(one, type), "status") === "True")
    const spec = (container: { readonly image: string }) => ({
      template: { spec: { restartPolicy: "Never", containers: [{ name: "main", ...container }] } }
    })
    test("succeeds or fails with its pod", async () => {
      const { images } = target.features
      const good = job("job-good", "x", spec(images?.finishing ?? { image: "task:1" }))
      const bad = job("job-bad", "x", spec(images?.crashing ?? { image: "task:crash" }))
      await run(use((one) => one.create({ resource: Job, namespace }, good)))
      await run(use((one) => one.create({ resource: Job, namespace }, bad)))
      expect((await run(ended("job-good", "Complete")))["status"]).toMatchObject({ succeeded: 1 })
      const failed = await run(ended("job-bad", "Failed"))
      expect(failed["status"]).toMatchObject({ failed: 1 })
      expect(condition(failed, "Failed")).toMatchObject({ reason: "BackoffLimitExceeded" })
    })
  })
}
