/** The cluster of a development start: a simulated one with demo workloads, kept on disk and on a loopback port for kubectl, or a real one by kubeconfig. */
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Layer, Schedule } from "effect"
import { stringify } from "yaml"
import { readConfig } from "#shared/config.ts"
import { kubernetesConfig, kubernetesLayer } from "#shared/kubernetes/config.ts"
import type { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import type { SimulatedCluster } from "#shared/kubernetes/simulated/cluster.ts"
import { driveSimulatedCluster, simulatedKubernetes } from "#shared/kubernetes/simulated/layer.ts"
import { applyTo, demoBadRelease, makeDemoCluster } from "./demoCluster.ts"

export interface DevelopmentCluster {
  readonly layer: Layer.Layer<Kubernetes>
  /** Undefined for a real one. */
  readonly cluster: SimulatedCluster | undefined
  /** What it is and how kubectl gets there, for the log. */
  readonly place: string
  /** Made by this start: nobody has done anything with it yet. */
  readonly fresh: boolean
}

interface Options {
  readonly dataDir: string
  readonly namespace: string
  /** How many times faster than on a real node pods start and back off. */
  readonly speed: number
}

/** Rolls out the demo's bad release, as its team's pipeline would. */
export const releaseBadly = (
  { cluster }: Pick<DevelopmentCluster, "cluster">,
  namespace: string
): Effect.Effect<void, Error> =>
  cluster === undefined
    ? Effect.void
    : Effect.tryPromise({
        try: () => applyTo(cluster, demoBadRelease(namespace)),
        catch: (error) => new Error(`the demo's release failed: ${String(error)}`)
      })

/** Starts the cluster; it ends with the scope and keeps its state in `dataDir/cluster.json`, also when the process is killed. */
export const startSimulatedCluster = Effect.fn("startSimulatedCluster")(function* (options: Options) {
  const { dataDir, namespace, speed } = options
  const file = join(dataDir, "cluster.json")
  const kept = existsSync(file) ? { snapshot: readFileSync(file, "utf8"), takenAt: statSync(file).mtimeMs } : undefined
  const { cluster, fresh } = yield* Effect.promise(() =>
    makeDemoCluster({ namespaces: [namespace], now: Date.now(), speed }, kept)
  )

  let saved = ""
  const save = () => {
    const snapshot = cluster.snapshot()
    if (snapshot === saved) return
    saved = snapshot
    writeFileSync(`${file}.new`, snapshot, { mode: 0o600 })
    renameSync(`${file}.new`, file)
  }
  const durable = async (request: Request) => {
    const answer = await cluster.fetch(request)
    // What somebody was told has happened must not be undone by a crash.
    if (request.method !== "GET") save()
    return answer
  }
  const lasting = { ...cluster, fetch: durable }
  save()
  yield* driveSimulatedCluster(cluster)
  yield* Effect.sync(save).pipe(Effect.repeat(Schedule.spaced("2 seconds")), Effect.forkScoped)
  yield* Effect.addFinalizer(() => Effect.sync(save))

  const server = yield* Effect.acquireRelease(
    Effect.sync(() =>
      Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        idleTimeout: 0,
        fetch: durable
      })
    ),
    (running) => Effect.promise(() => running.stop(true))
  )
  const kubeconfig = join(dataDir, "kubeconfig")
  writeFileSync(
    kubeconfig,
    stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "simulated", cluster: { server: `http://127.0.0.1:${server.port}` } }],
      users: [{ name: "developer", user: {} }],
      contexts: [{ name: "simulated", context: { cluster: "simulated", user: "developer", namespace } }],
      "current-context": "simulated"
    }),
    { mode: 0o600 }
  )
  const started: DevelopmentCluster = {
    layer: simulatedKubernetes(lasting),
    cluster: lasting,
    place: `simulated, no real pods (kubectl --kubeconfig ${kubeconfig})`,
    fresh
  }
  return started
})

/** A cluster of the person who starts the platform, by their kubeconfig; what is done there is real. */
export const realCluster = Effect.fn("realCluster")(function* (kubeconfig: string) {
  const config = yield* readConfig(kubernetesConfig, { KUBERNETES: kubeconfig }, [])
  const cluster: DevelopmentCluster = {
    layer: Layer.orDie(kubernetesLayer(config)),
    cluster: undefined,
    place: `the real cluster of ${kubeconfig}`,
    fresh: false
  }
  return cluster
})
