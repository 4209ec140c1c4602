/** The Kubernetes port over a simulated cluster, and its time by Effect's clock; must add no behaviour of its own. */
import { Clock, Effect, Layer } from "effect"
import { layerOf } from "../client.ts"
import type { Kubernetes } from "../Kubernetes.ts"
import type { WatchTiming } from "../watch.ts"
import { makeSimulatedCluster, type SimulatedCluster, type SimulatedClusterOptions } from "./cluster.ts"

/** The real client over `cluster`; its time stays with whoever holds the cluster. */
export const simulatedKubernetes = (cluster: SimulatedCluster, timing?: WatchTiming): Layer.Layer<Kubernetes> =>
  layerOf(
    {
      description: "simulated cluster",
      server: "http://simulated.invalid",
      send: (url, init) => {
        const { tls: _, timeout: __, ...plain } = init
        return cluster.fetch(new Request(url, plain))
      },
      credentials: () => Effect.succeed({})
    },
    timing
  )

const tickMillis = 100

/** Moves the cluster's time with Effect's clock until the scope ends, in steps of 100 ms. */
export const driveSimulatedCluster = Effect.fnUntraced(function* (cluster: SimulatedCluster) {
  yield* Effect.addFinalizer(() => Effect.sync(cluster.close))
  const step = Effect.gen(function* () {
    yield* Effect.sleep(`${tickMillis} millis`)
    cluster.advanceTo(yield* Clock.currentTimeMillis)
  })
  yield* Effect.forkScoped(Effect.forever(step))
})

/** A cluster that begins now and lives by the clock, with the port over it. */
export const makeSimulatedKubernetes = Effect.fnUntraced(function* (options: SimulatedClusterOptions = {}) {
  const cluster = makeSimulatedCluster({ ...options, now: options.now ?? (yield* Clock.currentTimeMillis) })
  yield* driveSimulatedCluster(cluster)
  return { cluster, layer: simulatedKubernetes(cluster) }
})

/** As `makeSimulatedKubernetes`, where the cluster itself is not needed. */
export const simulatedKubernetesLive = (options: SimulatedClusterOptions = {}): Layer.Layer<Kubernetes> =>
  Layer.unwrap(Effect.map(makeSimulatedKubernetes(options), ({ layer }) => layer))
