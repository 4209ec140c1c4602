/** What only the simulation has: images that behave by name, time by hand, faults, snapshots, the list of writes; the rest is in the contract. */
import { afterEach, describe, expect, test } from "bun:test"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import { makeSimulatedCluster, type SimulatedCluster } from "#shared/kubernetes/simulated/cluster.ts"
import { applyTo, demoBadRelease, makeDemoCluster } from "#dev/demoCluster.ts"
import { makeSimulatedKubernetes, simulatedKubernetes } from "#shared/kubernetes/simulated/layer.ts"
import { at, list } from "./target.ts"

const { ConfigMap, Deployment, Event, Pod, ReplicaSet } = resources
const namespace = "dev"
const clusters: Array<SimulatedCluster> = []
afterEach(() => {
  for (const cluster of clusters.splice(0)) cluster.close()
})
const fresh = (options = {}) => {
  const cluster = makeSimulatedCluster({ namespaces: [namespace], ...options })
  clusters.push(cluster)
  return cluster
}

const deployment = (image: string, spec = {}, podSpec = {}): KubernetesObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace },
  spec: {
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "main", image }], ...podSpec }
    },
    ...spec
  }
})
const use = <A, E>(cluster: SimulatedCluster, f: (kubernetes: Kubernetes["Service"]) => Effect.Effect<A, E>) =>
  Effect.runPromise(Kubernetes.use(f).pipe(Effect.provide(simulatedKubernetes(cluster))))
const items = async (cluster: SimulatedCluster, resource: typeof Pod) =>
  (await use(cluster, (one) => one.list({ resource, namespace }))).items
const start = async (image: string, spec = {}, podSpec = {}, options = {}) => {
  const cluster = fresh(options)
  await applyTo(cluster, deployment(image, spec, podSpec))
  return cluster
}
const containerOf = async (cluster: SimulatedCluster, field = "containerStatuses") =>
  at((await items(cluster, Pod))[0], "status", field, 0)

describe("an image", () => {
  test("named crash restarts at once, then after 10 s, 20 s and so on up to 300 s", async () => {
    const cluster = await start("web:2-crash")
    const starts: Array<number> = []
    let restarts = 0
    for (let second = 0; second < 700; second += 1) {
      cluster.advance(1)
      const status = await containerOf(cluster)
      const count = Number(at(status, "restartCount") ?? 0)
      if (count > restarts) starts.push(second)
      restarts = count
    }
    const pauses = starts.slice(1).map((one, index) => Math.round((one - starts[index]!) / 10) * 10)
    expect(pauses).toEqual([10, 20, 40, 80, 160, 300])
    expect(await containerOf(cluster)).toMatchObject({
      ready: false,
      state: { waiting: { reason: "CrashLoopBackOff" } },
      lastState: { terminated: { exitCode: 3, reason: "Error" } }
    })
    const events = await items(cluster, Event as typeof Pod)
    const backOff = events.find((event) => event["reason"] === "BackOff")
    expect(backOff).toMatchObject({
      type: "Warning",
      involvedObject: { kind: "Pod", fieldPath: "spec.containers{main}" }
    })
    expect(Number(backOff!["count"])).toBeGreaterThan(3)
  })
  test("that crashes is said to wait soon or late in its back-off, and is only dead before", async () => {
    const cluster = await start("web:crash")
    const seen = new Set<string>()
    for (let second = 0; second < 200; second += 1) {
      cluster.advance(1)
      const one = await containerOf(cluster)
      seen.add(`${at(one, "restartCount")} ${Object.keys(at(one, "state") as object).join()}`)
    }
    expect([...seen]).toContain("1 waiting")
    expect([...seen]).not.toContain("1 terminated")
    expect([...seen]).toContain("2 terminated")
    expect([...seen]).not.toContain("2 waiting")
  })
  test("named oom is killed", async () => {
    const cluster = await start("web:oom")
    cluster.advance(30)
    expect(await containerOf(cluster)).toMatchObject({
      lastState: { terminated: { exitCode: 137, reason: "OOMKilled" } }
    })
  })
  test("named missing cannot be pulled, and its log cannot be had", async () => {
    const cluster = await start("web:missing")
    cluster.advance(1.5)
    expect(await containerOf(cluster)).toMatchObject({ state: { waiting: { reason: "ErrImagePull" } } })
    cluster.advance(2)
    expect(await containerOf(cluster)).toMatchObject({ state: { waiting: { reason: "ImagePullBackOff" } } })
    const [pod] = await items(cluster, Pod)
    const logs = use(cluster, (one) => Effect.flip(Stream.runDrain(one.logs({ namespace, pod: pod!.metadata.name }))))
    expect((await logs).detail).toContain("is waiting to start: trying and failing to pull image")
  })
  test("named never-ready runs and is never ready, so that its rollout misses its deadline", async () => {
    const cluster = await start("web:never-ready", { progressDeadlineSeconds: 60 })
    cluster.advance(59)
    const conditions = async () => {
      const [found] = await items(cluster, Deployment as typeof Pod)
      return list(found, "status", "conditions").map((one) => `${String(at(one, "type"))} ${String(at(one, "reason"))}`)
    }
    expect(await conditions()).toContain("Progressing ReplicaSetUpdated")
    cluster.advance(10)
    expect(await conditions()).toContain("Progressing ProgressDeadlineExceeded")
    expect(await containerOf(cluster)).toMatchObject({ ready: false, state: { running: {} } })
  })
  test("of an init container that crashes keeps the pod from starting", async () => {
    const cluster = await start("web:1", {}, { initContainers: [{ name: "setup", image: "setup:crash" }] })
    cluster.advance(10)
    expect(await containerOf(cluster, "initContainerStatuses")).toMatchObject({
      state: { waiting: { reason: "CrashLoopBackOff" } }
    })
    expect(await containerOf(cluster)).toMatchObject({ state: { waiting: { reason: "PodInitializing" } } })
  })
  test("may be given a behaviour of its own", async () => {
    const images = (image: string) =>
      image === "web:flaky"
        ? { ends: { exitCode: 1, reason: "Error", afterSeconds: 90 }, lastLines: ["password=hunter2"] }
        : undefined
    const cluster = await start("web:flaky", {}, {}, { images })
    cluster.advance(60)
    expect(await containerOf(cluster)).toMatchObject({ ready: true, restartCount: 0 })
    cluster.advance(60)
    expect(await containerOf(cluster)).toMatchObject({ restartCount: 1 })
    const [pod] = await items(cluster, Pod)
    const previous = { namespace, pod: pod!.metadata.name, previous: true, tailLines: 1 }
    expect(await use(cluster, (one) => Stream.runCollect(one.logs(previous)))).toEqual(["password=hunter2"])
  })
})

test("a followed log goes on with time and ends with its container", async () => {
  const images = () => ({ ends: { exitCode: 1, reason: "Error", afterSeconds: 30 }, lastLines: ["the end"] })
  const cluster = await start("web:1", {}, {}, { images })
  cluster.advance(2)
  const [pod] = await items(cluster, Pod)
  const following = use(cluster, (one) =>
    Stream.runCollect(one.logs({ namespace, pod: pod!.metadata.name, follow: true }))
  )
  for (let second = 0; second < 60; second += 1) {
    await new Promise((resolve) => setImmediate(resolve))
    cluster.advance(1)
  }
  const lines = await following
  expect(lines[0]).toBe("starting web:1")
  expect(lines.at(-1)).toBe("the end")
})

test("speed shortens what the cluster does, and timestamps stay true", async () => {
  const cluster = await start("web:crash", {}, {}, { speed: 10, now: 0 })
  cluster.advance(10)
  expect(Number(at(await containerOf(cluster), "restartCount"))).toBeGreaterThanOrEqual(3)
  expect(cluster.now()).toBe(10_000)
})

test("a rollout never has more pods than surge allows, nor fewer ready than it must", async () => {
  const strategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } }
  const cluster = await start("web:1", { replicas: 4, strategy })
  cluster.advance(30)
  await applyTo(cluster, deployment("web:2", { replicas: 4, strategy }))
  for (let step = 0; step < 300; step += 1) {
    cluster.advance(0.1)
    const sets = await items(cluster, ReplicaSet as typeof Pod)
    const sum = (field: string) => sets.reduce((all, set) => all + Number(at(set, "status", field) ?? 0), 0)
    expect(sum("replicas")).toBeLessThanOrEqual(5)
    expect(sum("availableReplicas")).toBeGreaterThanOrEqual(4)
  }
  const found = await use(cluster, (one) => one.get({ resource: Deployment, namespace, name: "web" }))
  expect(found["status"]).toMatchObject({ updatedReplicas: 4, availableReplicas: 4, replicas: 4 })
})

test("time by Effect's clock moves the cluster", () =>
  Effect.runPromise(
    Effect.gen(function* () {
      const { cluster, layer } = yield* makeSimulatedKubernetes({ namespaces: [namespace] })
      yield* Effect.promise(() => applyTo(cluster, deployment("web:1")))
      yield* TestClock.adjust("10 seconds")
      const found = yield* Kubernetes.use((one) => one.get({ resource: Deployment, namespace, name: "web" })).pipe(
        Effect.provide(layer)
      )
      expect(found["status"]).toMatchObject({ availableReplicas: 1 })
      expect(cluster.now()).toBe(10_000)
    }).pipe(Effect.scoped, Effect.provide(TestClock.layer()))
  ))

describe("the list of writes", () => {
  test("has every write request, dry runs marked, and nothing else", async () => {
    const cluster = fresh()
    const place = { resource: ConfigMap, namespace, name: "a" }
    const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace } }
    await use(cluster, (one) =>
      Effect.gen(function* () {
        yield* Effect.flip(one.get(place))
        yield* one.list(place)
        yield* one.apply(place, object, { fieldManager: "gatehouse", dryRun: true })
        yield* one.apply(place, object, { fieldManager: "gatehouse" })
        yield* Effect.flip(one.create({ resource: ConfigMap, namespace }, object))
      })
    )
    expect(cluster.writes().map(({ dryRun, method, status }) => [method, dryRun, status])).toEqual([
      ["PATCH", true, 201],
      ["PATCH", false, 201],
      ["POST", false, 409]
    ])
    expect(cluster.writes(true)).toHaveLength(3)
    expect(cluster.writes()).toEqual([])
  })
})

describe("a list in pages", () => {
  const get = async (cluster: SimulatedCluster, query: string) => {
    const answer = await cluster.fetch(new Request(`http://x.invalid/api/v1/namespaces/dev/configmaps?${query}`))
    return { status: answer.status, body: (await answer.json()) as unknown }
  }
  test("goes on where it was, and is gone once its version is", async () => {
    const cluster = fresh()
    for (const name of ["a", "b", "c"]) {
      await applyTo(cluster, { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace } })
    }
    const first = await get(cluster, "limit=2")
    expect(first.body).toMatchObject({ metadata: { remainingItemCount: 1 }, items: [{}, {}] })
    const token = String(at(first.body, "metadata", "continue"))
    expect((await get(cluster, `limit=2&continue=${token}`)).body).toMatchObject({
      items: [{ metadata: { name: "c" } }]
    })
    await applyTo(cluster, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "d", namespace } })
    cluster.compact()
    expect(await get(cluster, `limit=2&continue=${token}`)).toMatchObject({
      status: 410,
      body: { kind: "Status", reason: "Expired" }
    })
    expect(await get(cluster, "continue=nonsense")).toMatchObject({ status: 400 })
  })
})

describe("a snapshot", () => {
  test("brings everything back, pods that crash go on crashing", async () => {
    const cluster = await start("web:crash")
    cluster.advance(20)
    const before = await containerOf(cluster)
    const other = fresh({ now: cluster.now() })
    expect(other.restore(cluster.snapshot())).toBe(true)
    expect(await containerOf(other)).toEqual(before)
    other.advance(60)
    expect(Number(at(await containerOf(other), "restartCount"))).toBeGreaterThan(Number(at(before, "restartCount")))
  })
  test("that is none changes nothing", async () => {
    const cluster = await start("web:1")
    for (const text of ["", "{", "[]", "{}", '{"objects":7}']) expect(cluster.restore(text)).toBe(false)
    expect(await items(cluster, Deployment as typeof Pod)).toHaveLength(1)
  })
})

test("the demo has healthy workloads, two good revisions of web, and a bad release that leaves the old one serving", async () => {
  const { cluster } = await makeDemoCluster({ namespaces: [namespace], now: Date.UTC(2026, 5, 1) })
  clusters.push(cluster)
  expect(cluster.now()).toBe(Date.UTC(2026, 5, 1))
  const pods = await items(cluster, Pod)
  expect(pods.map((pod) => at(pod, "status", "phase"))).toEqual(pods.map(() => "Running"))
  const sets = (await items(cluster, ReplicaSet as typeof Pod)).filter((set) => set.metadata.name.startsWith("web-"))
  expect(sets.map((set) => set.metadata.annotations!["deployment.kubernetes.io/revision"]).toSorted()).toEqual([
    "1",
    "2"
  ])
  await applyTo(cluster, demoBadRelease(namespace))
  cluster.advance(120)
  const web = await use(cluster, (one) => one.get({ resource: Deployment, namespace, name: "web" }))
  expect(web["status"]).toMatchObject({ availableReplicas: 3, updatedReplicas: 1, unavailableReplicas: 1 })
})

test("a key that would reach a prototype is refused", async () => {
  const cluster = fresh()
  const answer = await cluster.fetch(
    new Request("http://x.invalid/api/v1/namespaces/dev/configmaps", {
      method: "POST",
      body: '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","labels":{"__proto__":"x"}}}'
    })
  )
  expect(answer.status).toBe(400)
})
