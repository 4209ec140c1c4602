/** The live view: what it shows of rollouts, crash loops and history, what it tells of changes, and how it lives through a lost connection. */
import { afterEach, describe, expect, test } from "bun:test"
import { Effect, Fiber, Layer, Stream } from "effect"
import { Chronicle } from "#admin/Chronicle.ts"
import { Cluster, type ClusterChange } from "#admin/Cluster.ts"
import type { WorkloadRef } from "#admin/kinds.ts"
import type { Workload } from "#shared/api/admin.ts"
import { Unavailable } from "#shared/domain/errors.ts"
import { make, release, remove, startWorld, type World } from "#test/admin/simulated.ts"
import { until } from "#test/shared/until.ts"

const web: WorkloadRef = { namespace: "dev", kind: "Deployment", name: "web" }

let world: World
afterEach(() => world.stop())

const workload = async (name: string): Promise<Workload | undefined> =>
  (await world.run(Cluster.use((cluster) => cluster.workloads("dev")))).find((one) => one.name === name)

/** The workload once the view has caught up as far as `seen` asks. */
const seen = (what: string, name: string, test: (one: Workload) => boolean) =>
  until(what, async () => {
    const one = await workload(name)
    return one !== undefined && test(one) ? one : undefined
  })

/** Everything that is told from now on. */
const listen = () => {
  const told: Array<ClusterChange> = []
  const fiber = world.run(
    Cluster.use(({ changes }) =>
      Effect.forkDetach(
        Stream.runForEach(changes, (change) => Effect.sync(() => told.push(change))),
        { startImmediately: true }
      )
    )
  )
  return { told, stop: async () => void (await world.run(Fiber.interrupt(await fiber))) }
}

const deploy = async (image = "web:1") => {
  await make(world.cluster, { kind: "Deployment", name: "web", image })
  await world.pass(10)
}

describe("a workload", () => {
  test("is shown with its images, counters and health", async () => {
    world = await startWorld()
    await deploy()
    const one = await seen("a complete rollout", "web", ({ phase }) => phase === "complete")
    expect(one).toMatchObject({
      namespace: "dev",
      kind: "Deployment",
      revision: 1,
      images: ["web:1"],
      desired: 2,
      ready: 2,
      updated: 2,
      available: 2,
      restarts: 0,
      paused: false,
      health: { status: "Healthy", reason: "" },
      lastChange: null
    })
  })

  test("of a bad release is stalled and Degraded, with the container's reason, while old pods still serve", async () => {
    world = await startWorld()
    await deploy()
    await release(world.cluster, "Deployment", "web", "web:crash")
    await world.pass(8)
    const one = await seen("a crash loop", "web", ({ phase }) => phase === "stalled")
    expect(one.health.status).toBe("Degraded")
    expect(one.health.reason).toContain("CrashLoopBackOff in container app of pod web-")
    expect(one.available).toBeGreaterThan(0)
    expect(one.restarts).toBeGreaterThan(0)
    const status = await world.run(Cluster.use((cluster) => cluster.status(web)))
    expect([status.phase, status.done, status.pods[0]?.reason]).toEqual(["stalled", false, "CrashLoopBackOff"])
  })

  test("with a crashing init container is stalled too", async () => {
    world = await startWorld()
    await make(world.cluster, { kind: "Deployment", name: "web", image: "web:1", initImage: "prepare:crash" })
    await world.pass(8)
    const one = await seen("a crash loop", "web", ({ phase }) => phase === "stalled")
    expect(one.health.reason).toContain("in container prepare of pod")
  })

  test("that is never ready is stalled after ten minutes, though nothing more happens to it and its kind has no deadline", async () => {
    world = await startWorld()
    await make(world.cluster, { kind: "StatefulSet", name: "db", image: "db:never-ready" })
    await world.pass(5)
    await seen("a rollout", "db", ({ phase }) => phase === "progressing")
    await world.pass(580)
    expect((await workload("db"))?.phase).toBe("progressing")
    const heard = listen()
    await world.pass(40)
    const one = await seen("the deadline", "db", ({ phase }) => phase === "stalled")
    expect(one.health).toEqual({ status: "Degraded", reason: "not complete after 600 s" })
    const stalls = () => heard.told.filter((told) => told.event === "workload" && told.data.phase === "stalled")
    await until("being told of it", () => stalls().length > 0)
    await world.pass(60)
    await heard.stop()
    expect(stalls()).toHaveLength(1)
  })

  test("of one namespace is not shown in another", async () => {
    world = await startWorld()
    await make(world.cluster, { kind: "Deployment", name: "web", image: "web:1", namespace: "prod" })
    await make(world.cluster, { kind: "Deployment", name: "api", image: "api:1" })
    await world.pass(10)
    await seen("the other", "api", () => true)
    expect(await workload("web")).toBeUndefined()
    const refusal = await world.refused(Cluster.use((cluster) => cluster.detail(web)))
    expect(refusal._tag).toBe("WorkloadNotFound")
  })

  test("of a namespace that is not configured is refused", async () => {
    world = await startWorld()
    const refusal = await world.refused(Cluster.use((cluster) => cluster.workloads("kube-system")))
    expect(refusal._tag).toBe("K8sUnavailable")
  })
})

for (const kind of ["StatefulSet", "DaemonSet"] as const) {
  test(`a ${kind} shows the pods of each revision, and a crash loop of the new one`, async () => {
    world = await startWorld()
    await make(world.cluster, { kind, name: "db", image: "db:1" })
    await world.pass(20)
    const one = await seen("a complete rollout", "db", ({ phase }) => phase === "complete")
    expect([one.revision, one.health.status]).toEqual([1, "Healthy"])
    await release(world.cluster, kind, "db", "db:crash")
    await world.pass(30)
    const bad = await seen("the crash loop", "db", ({ phase }) => phase === "stalled")
    expect([bad.revision, bad.health.status]).toEqual([2, "Degraded"])
    const target = { namespace: "dev", kind, name: "db" }
    const detail = await world.run(Cluster.use((cluster) => cluster.detail(target)))
    const [current] = detail.revisions
    expect([current?.revision, current?.current, current?.pods.length]).toEqual([2, true, 1])
    expect(current?.pods[0]?.containers[0]?.image).toBe("db:crash")
    const own = await world.run(Cluster.use((cluster) => cluster.events("dev", target)))
    expect(own.some(({ object }) => object.kind === "Pod")).toBe(true)
  })
}

describe("details", () => {
  test("show revisions with their pods, the environment and the YAML without managedFields", async () => {
    world = await startWorld()
    await deploy()
    await release(world.cluster, "Deployment", "web", "web:2")
    await world.pass(10)
    await seen("the second release", "web", (one) => one.phase === "complete" && one.revision === 2)
    const detail = await until("the pods", async () => {
      const found = await world.run(Cluster.use((cluster) => cluster.detail(web)))
      return found.revisions[1]?.pods.length === 0 ? found : undefined
    })
    expect(detail.revisions.map(({ current, pods, revision }) => [revision, current, pods.length])).toEqual([
      [2, true, 2],
      [1, false, 0]
    ])
    expect(detail.revisions[0]!.pods[0]).toMatchObject({ phase: "Running", ready: true, health: { status: "Healthy" } })
    expect(detail.strategy).toBe("RollingUpdate")
    expect(detail.yaml).toStartWith("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n")
    expect(detail.yaml).not.toContain("managedFields")
    expect(detail.conditions.map(({ type }) => type)).toContain("Available")
  })
})

describe("history", () => {
  test("is ascending, with change causes, images, what is good and what is only a restart", async () => {
    world = await startWorld()
    await make(world.cluster, {
      kind: "Deployment",
      name: "web",
      image: "web:1",
      annotations: { "kubernetes.io/change-cause": "first" }
    })
    await world.pass(10)
    const first = await seen("the first release", "web", ({ phase }) => phase === "complete")
    await world.pass(40)
    await until("its proof", async () => {
      const good = await world.run(Chronicle.use((chronicle) => chronicle.goodRevisions(first.uid)))
      return good.size === 1
    })
    await release(world.cluster, "Deployment", "web", "web:crash")
    await world.pass(8)
    await seen("the crash loop", "web", ({ phase }) => phase === "stalled")
    const items = await world.run(Cluster.use((cluster) => cluster.history(web)))
    expect(
      items.map(({ changeCause, current, health, images, onlyRestartedAt, revision }) => [
        revision,
        current,
        images,
        changeCause,
        health,
        onlyRestartedAt
      ])
    ).toEqual([
      [1, false, ["web:1"], "first", "good", false],
      [2, true, ["web:crash"], "first", "bad", false]
    ])
  })

  test("is there while the database is away, without what only it knows", async () => {
    const away = Effect.fail(new Unavailable({ dependency: "logging DB", retryAfterSeconds: 1 }))
    world = await startWorld({
      chronicle: Layer.succeed(
        Chronicle,
        Chronicle.of({
          lastChange: () => away,
          revisionNotes: () => away,
          goodRevisions: () => away,
          markGood: () => away
        })
      )
    })
    await deploy()
    await seen("a rollout", "web", ({ phase }) => phase === "complete")
    await world.pass(60)
    const [item] = await world.run(Cluster.use((cluster) => cluster.history(web)))
    expect([item?.health, item?.actor]).toEqual(["unknown", null])
  })

  test("a revision is not good before it was available for a while", async () => {
    world = await startWorld()
    await deploy()
    const { uid } = await seen("a rollout", "web", ({ phase }) => phase === "complete")
    await world.pass(10)
    const good = await world.run(Chronicle.use((chronicle) => chronicle.goodRevisions(uid)))
    expect(good.size).toBe(0)
  })
})

describe("the difference of two revisions", () => {
  test("is that of their templates; 0 is the previous and the present one", async () => {
    world = await startWorld()
    await deploy()
    await release(world.cluster, "Deployment", "web", "web:2")
    await world.pass(10)
    await seen("the second release", "web", ({ phase, revision }) => phase === "complete" && revision === 2)
    const diff = await world.run(Cluster.use((cluster) => cluster.diff(web, 0, 0)))
    expect(diff).toEqual({
      from: 1,
      to: 2,
      changes: [{ path: "/spec/template/spec/containers/0/image", before: '"web:1"', after: '"web:2"' }]
    })
    const refusal = await world.refused(Cluster.use((cluster) => cluster.diff(web, 1, 9)))
    expect([refusal._tag, refusal.message]).toEqual(["RevisionUnknown", "unable to find the specified revision"])
  })
})

describe("events", () => {
  test("are those of the workload, its ReplicaSets and its pods, newest first", async () => {
    world = await startWorld()
    await deploy("web:crash")
    await make(world.cluster, { kind: "Deployment", name: "web-api", image: "api:1" })
    await world.pass(10)
    await seen("both", "web-api", ({ phase }) => phase === "complete")
    const own = await world.run(Cluster.use((cluster) => cluster.events("dev", web)))
    expect(own.map(({ object }) => object.kind)).toContain("Pod")
    expect(own.filter(({ object }) => object.name.startsWith("web-api"))).toEqual([])
    expect(own.map(({ reason }) => reason)).toContain("BackOff")
    const times = own.map(({ at }) => at ?? "")
    expect(times).toEqual(times.toSorted().toReversed())
    const all = await world.run(Cluster.use((cluster) => cluster.events("dev")))
    expect(all.length).toBeGreaterThan(own.length)
  })
})

describe("changes", () => {
  test("are told once each, and a deletion at the end", async () => {
    world = await startWorld()
    const heard = listen()
    await deploy()
    await seen("a rollout", "web", ({ phase }) => phase === "complete")
    await remove(world.cluster, "Deployment", "web")
    await world.pass(5)
    await until("the deletion", () => heard.told.some(({ event }) => event === "workload_deleted"))
    await heard.stop()
    const texts = heard.told.map((one) => JSON.stringify(one))
    expect(texts.filter((text, index) => text === texts[index - 1])).toEqual([])
    expect(heard.told.at(-1)).toEqual({
      event: "workload_deleted",
      data: { namespace: "dev", kind: "Deployment", name: "web" }
    })
  })

  test("of the last change come when the chronicle is asked again", async () => {
    let changed = false
    const lastChange = {
      actionId: "a1",
      action: "restart",
      actor: { id: "u", name: "Ada" },
      at: "2026-01-01T00:00:00Z"
    }
    world = await startWorld({
      chronicle: Layer.effect(
        Chronicle,
        Effect.map(Chronicle, (memory) => ({
          ...memory,
          lastChange: () => Effect.sync(() => (changed ? lastChange : null))
        }))
      ).pipe(Layer.provide(Chronicle.layerMemory))
    })
    await deploy()
    await seen("a rollout", "web", ({ phase }) => phase === "complete")
    changed = true
    await world.run(Cluster.use((cluster) => cluster.refresh(web)))
    const one = await seen("who did it", "web", (found) => found.lastChange !== null)
    expect(one.lastChange).toEqual(lastChange)
  })

  test("go on after the watches were cut and the history was forgotten", async () => {
    world = await startWorld()
    await deploy()
    await seen("a rollout", "web", ({ phase }) => phase === "complete")
    world.cluster.compact()
    world.cluster.cutWatches(true)
    await release(world.cluster, "Deployment", "web", "web:2")
    const one = await until("the second release", async () => {
      await world.pass(1)
      const found = await workload("web")
      return found?.images[0] === "web:2" ? found : undefined
    })
    expect(one.images).toEqual(["web:2"])
  })

  test("say since when the cluster is not seen, and when it is again; the view stays readable", async () => {
    world = await startWorld()
    await deploy()
    await seen("a rollout", "web", ({ phase }) => phase === "complete")
    const heard = listen()
    world.cluster.intercept(() => Promise.reject(new TypeError("connection refused")))
    world.cluster.cutWatches(true)
    const since = await until("staleness", async () => {
      await world.pass(1)
      return (await world.run(Cluster.use((cluster) => cluster.staleSince))) ?? undefined
    })
    expect(Number.isNaN(Date.parse(since))).toBe(false)
    expect((await workload("web"))?.phase).toBe("complete")
    world.cluster.intercept(undefined)
    await until("sight", async () => {
      await world.pass(5)
      return (await world.run(Cluster.use((cluster) => cluster.staleSince))) === null
    })
    await until("being told of it", () => heard.told.some((one) => one.event === "stale" && one.data.since === null))
    await heard.stop()
    expect(heard.told.find(({ event }) => event === "stale")).toMatchObject({ data: { since } })
  })
})

describe("following a rollout", () => {
  test("starts with the generation that was written and ends when it is complete", async () => {
    world = await startWorld()
    await deploy()
    const { generation } = await seen("a rollout", "web", ({ phase }) => phase === "complete")
    const phases = world.run(
      Cluster.use((cluster) =>
        cluster.follow(web, generation + 1).pipe(
          Stream.map(({ phase }) => phase),
          Stream.runCollect
        )
      )
    )
    await release(world.cluster, "Deployment", "web", "web:2")
    await world.pass(10)
    const all = await phases
    expect(all.at(-1)).toBe("complete")
    expect(new Set(all.slice(0, -1))).toEqual(new Set(["progressing"]))
  })

  test("ends when the rollout stalls", async () => {
    world = await startWorld()
    await deploy()
    const { generation } = await seen("a rollout", "web", ({ phase }) => phase === "complete")
    const last = world.run(Cluster.use((cluster) => Stream.runLast(cluster.follow(web, generation + 1))))
    await release(world.cluster, "Deployment", "web", "web:crash")
    await world.pass(10)
    expect(await last).toMatchObject({ value: { phase: "stalled" } })
  })

  test("fails when the workload is deleted", async () => {
    world = await startWorld()
    await deploy()
    const { generation } = await seen("a rollout", "web", ({ phase }) => phase === "complete")
    const refusal = world.refused(Cluster.use((cluster) => Stream.runDrain(cluster.follow(web, generation + 1))))
    await remove(world.cluster, "Deployment", "web")
    await world.pass(5)
    expect((await refusal)._tag).toBe("WorkloadNotFound")
  })
})

test("the view keeps one watch per kind and namespace, and ends them all", async () => {
  world = await startWorld()
  await until("the watches", () => world.cluster.openWatches() === 12)
  await world.stop()
  await until("none of them is left", () => world.cluster.openWatches() === 0)
})
