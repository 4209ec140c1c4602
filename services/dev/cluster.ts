/** The cluster of a development start: a simulated one with demo workloads, kept on disk and on a loopback port for kubectl, or a real one by kubeconfig. */
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Layer, Schedule } from "effect"
import { stringify } from "yaml"
import { readConfig } from "#shared/config.ts"
import { kubernetesConfig, kubernetesLayer } from "#shared/kubernetes/config.ts"
import { Kubernetes, type KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import { makeSimulatedCluster } from "#shared/kubernetes/simulated/cluster.ts"
import { driveSimulatedCluster, simulatedKubernetes } from "#shared/kubernetes/simulated/layer.ts"
import { demoWorkloads, placeOf } from "./demoWorkloads.ts"

export interface DevelopmentCluster {
  readonly layer: Layer.Layer<Kubernetes>
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

/** The age of the demo workloads in hours: what runs for days is known to be good. */
const age = 48
/** Who has released them, as managedFields tell it. */
const manager = "demo-release"

const apply = (release: (typeof demoWorkloads)[number], image: string, namespace: string) =>
  Kubernetes.use((kubernetes) =>
    kubernetes.apply(placeOf(release, namespace), release.manifest(image, namespace), { fieldManager: manager })
  )

/** Releases an image of a demo workload as its team's pipeline would: past admin. */
export const demoRelease = (
  name: string,
  image: string,
  namespace: string
): Effect.Effect<void, KubernetesFailed, Kubernetes> =>
  Effect.forEach(
    demoWorkloads.filter((one) => one.name === name),
    (one) => apply(one, image, namespace),
    { discard: true }
  )

/** Starts the cluster; it ends with the scope and keeps its state in `dataDir/cluster.json`, also when the process is killed. */
export const startSimulatedCluster = Effect.fn("startSimulatedCluster")(function* (options: Options) {
  const { dataDir, namespace, speed } = options
  const file = join(dataDir, "cluster.json")
  // Its time goes on where the last process left it; a new one has a past to live through first.
  const began = existsSync(file) ? statSync(file).mtimeMs : Date.now() - age * 3_600_000
  const cluster = makeSimulatedCluster({ namespaces: [namespace], now: Math.floor(began), speed })
  const kept = existsSync(file) && cluster.restore(readFileSync(file, "utf8"))

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
  const layer = simulatedKubernetes({ ...cluster, fetch: durable })
  if (!kept) {
    for (const round of [0, 1]) {
      for (const one of demoWorkloads) {
        const image = one.images[round]
        if (image !== undefined) yield* Effect.provide(apply(one, image, namespace), layer)
      }
      cluster.advance(age * 900)
    }
  }
  cluster.advanceTo(Date.now())
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
    layer,
    place: `simulated, no real pods (kubectl --kubeconfig ${kubeconfig})`,
    fresh: !kept
  }
  return started
})

/** A cluster of the person who starts the platform, by their kubeconfig; what is done there is real. */
export const realCluster = Effect.fn("realCluster")(function* (kubeconfig: string) {
  const config = yield* readConfig(kubernetesConfig, { KUBERNETES: kubeconfig }, [])
  const cluster: DevelopmentCluster = {
    layer: Layer.orDie(kubernetesLayer(config)),
    place: `the real cluster of ${kubeconfig}`,
    fresh: false
  }
  return cluster
})
