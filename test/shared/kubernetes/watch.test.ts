/** The endless watch under faults: cut connections, forgotten history, silent and babbling servers, a server that is away. */
import { afterAll, describe, expect, test } from "bun:test"
import { Effect, Fiber, type Layer, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Kubernetes, type WatchEvent } from "#shared/kubernetes/Kubernetes.ts"
import { type KubernetesObject, resources } from "#shared/kubernetes/objects.ts"
import { makeSimulatedCluster, type SimulatedCluster } from "#shared/kubernetes/simulated/cluster.ts"
import { simulatedKubernetes } from "#shared/kubernetes/simulated/layer.ts"

const { ConfigMap } = resources
const namespace = "dev"
const clusters: Array<SimulatedCluster> = []
afterAll(() => {
  for (const cluster of clusters) cluster.close()
})

const configMap = (name: string): KubernetesObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace },
  data: {}
})
const told = (event: WatchEvent): string => {
  if (event._tag === "Changed") return `${event.type} ${event.object.metadata.name}`
  if (event._tag === "Stale") return `Stale ${event.failure.reason}`
  return `Synced ${event.list.items.map(({ metadata }) => metadata.name).join(",")}`
}

interface Bench {
  readonly cluster: SimulatedCluster
  readonly create: (name: string) => Effect.Effect<unknown, unknown, Kubernetes>
  /** The next event. */
  readonly next: Effect.Effect<string>
  /** The next event that is not Stale; simulated time passes until it comes, as pauses do between attempts. */
  readonly later: Effect.Effect<string>
  /** Requests of watches and lists so far. */
  readonly asked: () => ReadonlyArray<string>
}

const watching = (body: (bench: Bench) => Effect.Effect<void, unknown, Kubernetes>) => () => {
  const cluster = makeSimulatedCluster({ namespaces: [namespace] })
  clusters.push(cluster)
  const asked: Array<string> = []
  const original = cluster.fetch
  const counted: SimulatedCluster = {
    ...cluster,
    fetch: (request) => {
      const { pathname, searchParams } = new URL(request.url)
      if (request.method === "GET" && pathname.endsWith("/configmaps")) {
        asked.push(searchParams.has("watch") ? `watch ${searchParams.get("resourceVersion")}` : "list")
      }
      return original(request)
    }
  }
  const layer: Layer.Layer<Kubernetes> = simulatedKubernetes(counted)
  return Effect.runPromise(
    Effect.gen(function* () {
      const kubernetes = yield* Kubernetes
      const events = yield* Queue.unbounded<WatchEvent>()
      const fiber = yield* kubernetes.watch({ resource: ConfigMap, namespace }).pipe(
        Stream.runForEach((event) => Queue.offer(events, event)),
        Effect.forkChild({ startImmediately: true })
      )
      const next = Effect.map(Queue.take(events), told)
      const waited = Effect.gen(function* () {
        while (true) {
          const taken = yield* Effect.race(
            next,
            Effect.forever(
              TestClock.adjust("1 second").pipe(Effect.andThen(TestClock.withLive(Effect.sleep("1 millis"))))
            )
          )
          if (!taken.startsWith("Stale")) return taken
        }
      })
      expect(yield* next).toBe("Synced ")
      yield* body({
        cluster: counted,
        create: (name) => kubernetes.create({ resource: ConfigMap, namespace }, configMap(name)),
        next,
        later: waited,
        asked: () => asked
      })
      yield* Fiber.interrupt(fiber)
      expect(cluster.openWatches()).toBe(0)
    }).pipe(Effect.provide(layer), Effect.provide(TestClock.layer()))
  )
}

const stream = (text: string, after: "close" | "silence"): Response =>
  new Response(
    new ReadableStream({
      start: (controller) => {
        controller.enqueue(new TextEncoder().encode(text))
        if (after === "close") controller.close()
      }
    })
  )
const isWatch = (request: Request) => new URL(request.url).searchParams.has("watch")

describe("a watch", () => {
  test(
    "goes on from where it was when the server ends it",
    watching(({ asked, cluster, create, next }) =>
      Effect.gen(function* () {
        yield* create("a")
        expect(yield* next).toBe("ADDED a")
        cluster.cutWatches()
        yield* create("b")
        expect(yield* next).toBe("ADDED b")
        expect(asked().filter((one) => one === "list")).toHaveLength(1)
      })
    )
  )

  test(
    "misses nothing and tells nothing twice when the connection breaks",
    watching(({ asked, cluster, create, later, next }) =>
      Effect.gen(function* () {
        yield* create("a")
        expect(yield* next).toBe("ADDED a")
        cluster.cutWatches(true)
        yield* create("b")
        expect(yield* later).toBe("ADDED b")
        cluster.cutWatches(true)
        yield* create("c")
        expect(yield* later).toBe("ADDED c")
        expect(asked().filter((one) => one === "list")).toHaveLength(1)
      })
    )
  )

  test(
    "tells the whole list anew when the server has forgotten where it was",
    watching(({ cluster, create, later }) =>
      Effect.gen(function* () {
        cluster.intercept((request) => (isWatch(request) ? Promise.reject(new TypeError("away")) : undefined))
        cluster.cutWatches()
        yield* create("a")
        yield* create("b")
        cluster.compact()
        cluster.intercept(undefined)
        expect(yield* later).toBe("Synced a,b")
      })
    )
  )

  test(
    "takes an HTTP 410 as it takes one in the stream",
    watching(({ asked, cluster, create, later, next }) =>
      Effect.gen(function* () {
        let once = true
        cluster.intercept((request) => {
          if (!isWatch(request) || !once) return undefined
          once = false
          const status = { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Expired", code: 410 }
          return new Response(JSON.stringify(status), { status: 410 })
        })
        yield* create("a")
        expect(yield* next).toBe("ADDED a")
        cluster.cutWatches()
        expect(yield* later).toBe("Synced a")
        expect(asked().filter((one) => one === "list")).toHaveLength(2)
      })
    )
  )

  test(
    "says that it is stale while the server is away, and lists when it is back",
    watching(({ cluster, create, later, next }) =>
      Effect.gen(function* () {
        yield* create("a")
        expect(yield* next).toBe("ADDED a")
        cluster.intercept((request) =>
          request.method === "GET" ? Promise.reject(new TypeError("connection refused")) : undefined
        )
        cluster.cutWatches(true)
        yield* create("b")
        let event = ""
        while (!event.startsWith("Stale")) {
          event = yield* Effect.race(
            next,
            Effect.forever(
              TestClock.adjust("1 second").pipe(Effect.andThen(TestClock.withLive(Effect.sleep("1 millis"))))
            )
          )
        }
        expect(event).toBe("Stale unreachable")
        cluster.intercept(undefined)
        expect(yield* later).toBe("Synced a,b")
      })
    )
  )

  test(
    "leaves a server that says nothing for longer than a watch may last",
    watching(({ asked, cluster, create, later, next }) =>
      Effect.gen(function* () {
        yield* create("a")
        expect(yield* next).toBe("ADDED a")
        let silent = true
        cluster.intercept((request) => (silent && isWatch(request) ? stream("", "silence") : undefined))
        cluster.cutWatches()
        const before = asked().length
        while (asked().length === before) yield* TestClock.withLive(Effect.sleep("1 millis"))
        silent = false
        yield* create("b")
        expect(yield* later).toBe("ADDED b")
      })
    )
  )

  const status = JSON.stringify({ type: "ERROR", object: { kind: "Status", code: 500, message: "etcd" } })
  test.each([
    ["is no JSON", "{\n"],
    ["is no event", '{"type":"SURPRISE","object":{}}\n'],
    ["has no object", '{"type":"ADDED","object":7}\n'],
    ["ends in the middle", '{"type":"ADDED","object":{"apiVersion":"v1","kind":"Config'],
    ["is an error of the server", `${status}\n`],
    ["is an error without a Status", '{"type":"ERROR","object":null}\n']
  ])("lives through a line that %s", (_, line) =>
    watching(({ cluster, create, later, next }) =>
      Effect.gen(function* () {
        yield* create("a")
        expect(yield* next).toBe("ADDED a")
        let bad = 1
        cluster.intercept((request) => (isWatch(request) && bad-- > 0 ? stream(line, "close") : undefined))
        cluster.cutWatches()
        yield* create("b")
        expect(yield* later).toBe("ADDED b")
      })
    )()
  )

  test(
    "moves on by bookmarks, so that quiet kinds do not expire",
    watching(({ asked, cluster, create, next }) =>
      Effect.gen(function* () {
        const kubernetes = yield* Kubernetes
        yield* create("a")
        expect(yield* next).toBe("ADDED a")
        for (let index = 0; index < 3; index += 1) {
          const object = { ...configMap(`s${index}`), kind: "Secret" }
          yield* kubernetes.create({ resource: resources.Secret, namespace }, object)
        }
        // Longer than the pause between bookmarks, shorter than a watch.
        cluster.advance(90)
        yield* TestClock.withLive(Effect.sleep("20 millis"))
        cluster.compact()
        cluster.cutWatches()
        yield* create("b")
        expect(yield* next).toBe("ADDED b")
        expect(asked().filter((one) => one === "list")).toHaveLength(1)
      })
    )
  )
})
