/** Admin's reading half over a simulated cluster with time by hand; must hold no assertion. */
import { Effect, Layer, Logger, ManagedRuntime } from "effect"
import { TestClock } from "effect/testing"
import { Chronicle } from "#admin/Chronicle.ts"
import { Cluster, type ClusterOptions } from "#admin/Cluster.ts"
import { Feed, type FeedOptions, Recent } from "#admin/Feed.ts"
import type { WorkloadRef } from "#admin/kinds.ts"
import { Logs, type LogsOptions } from "#admin/Logs.ts"
import { Rollouts } from "#admin/Rollouts.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { makeSimulatedCluster, type SimulatedCluster } from "#shared/kubernetes/simulated/cluster.ts"
import { simulatedKubernetes } from "#shared/kubernetes/simulated/layer.ts"
import { type KubernetesObject, type KnownKind, resources } from "#shared/kubernetes/objects.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"

export type Services = Rollouts | Cluster | Feed | Logs | Chronicle | Kubernetes

interface Options {
  readonly cluster?: Partial<ClusterOptions>
  readonly feed?: FeedOptions
  readonly logs?: LogsOptions
  readonly chronicle?: Layer.Layer<Chronicle>
  readonly recent?: Layer.Layer<Recent>
}

export interface World {
  readonly cluster: SimulatedCluster
  readonly run: <A, E>(effect: Effect.Effect<A, E, Services>) => Promise<A>
  /** The error an effect fails with. */
  readonly refused: <A, E>(effect: Effect.Effect<A, E, Services>) => Promise<E>
  /** Lets so many seconds pass, in the cluster and for the services. */
  readonly pass: (seconds: number) => Promise<void>
  readonly get: (kind: KnownKind, name: string) => Promise<KubernetesObject>
  readonly stop: () => Promise<void>
}

const noneRecent = Layer.succeed(Recent, Recent.of({ of: () => Effect.succeed({ proposals: [], actions: [] }) }))

export const startWorld = async (options: Options = {}): Promise<World> => {
  const cluster = makeSimulatedCluster({ namespaces: ["dev", "prod"] })
  const layer = Layer.mergeAll(Rollouts.layer, Feed.layer(options.feed), Logs.layer(options.logs)).pipe(
    Layer.provideMerge(Cluster.layer({ namespaces: ["dev", "prod"], ...options.cluster })),
    Layer.provide(options.recent ?? noneRecent),
    Layer.provideMerge(options.chronicle ?? Chronicle.layerMemory),
    Layer.provideMerge(simulatedKubernetes(cluster)),
    Layer.provideMerge(Logger.layer([])),
    // Set before anything waits for it: every clockwork would run through half a century otherwise.
    Layer.provideMerge(
      Layer.effectDiscard(TestClock.setTime(cluster.now())).pipe(Layer.provideMerge(TestClock.layer()))
    )
  )
  const runtime = ManagedRuntime.make(layer)
  await runtime.context()
  const run: World["run"] = (effect) => runtime.runPromise(effect)
  return {
    cluster,
    run,
    refused: (effect) => run(Effect.flip(effect)),
    pass: async (seconds) => {
      cluster.advance(seconds)
      await runtime.runPromise(TestClock.adjust(`${seconds} seconds`))
    },
    get: (kind, name) =>
      run(Kubernetes.use((kubernetes) => kubernetes.get({ resource: resources[kind], namespace: "dev", name }))),
    stop: async () => {
      cluster.close()
      await runtime.dispose()
    }
  }
}

const collections: Readonly<Record<WorkloadKind, string>> = {
  Deployment: "deployments",
  StatefulSet: "statefulsets",
  DaemonSet: "daemonsets"
}

const send = async (cluster: SimulatedCluster, method: string, path: string, type: string, body: unknown) => {
  const url = `http://simulated.invalid/apis/apps/v1/namespaces/${path}`
  const init = { method, headers: { "content-type": type }, body: JSON.stringify(body) }
  const response = await cluster.fetch(new Request(url, init))
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
}

interface Made extends Omit<WorkloadRef, "namespace"> {
  readonly namespace?: string
  readonly image: string
  readonly replicas?: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly initImage?: string
}

/** A workload as a team would have it; `web:1` runs, an image with `crash` in its name does not. */
export const make = (cluster: SimulatedCluster, made: Made): Promise<void> => {
  const { annotations, image, initImage, kind, name, namespace = "dev", replicas = 2 } = made
  const labels = { app: name }
  return send(cluster, "POST", `${namespace}/${collections[kind]}`, "application/json", {
    apiVersion: "apps/v1",
    kind,
    metadata: { name, ...(annotations === undefined ? {} : { annotations }) },
    spec: {
      ...(kind === "DaemonSet" ? {} : { replicas }),
      ...(kind === "StatefulSet" ? { serviceName: name } : {}),
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          ...(initImage === undefined ? {} : { initContainers: [{ name: "prepare", image: initImage }] }),
          containers: [{ name: "app", image }]
        }
      }
    }
  })
}

/** Changes a workload as somebody else would. */
export const change = (cluster: SimulatedCluster, kind: WorkloadKind, name: string, patch: object): Promise<void> =>
  send(cluster, "PATCH", `dev/${collections[kind]}/${name}`, "application/strategic-merge-patch+json", patch)

export const release = (cluster: SimulatedCluster, kind: WorkloadKind, name: string, image: string): Promise<void> =>
  change(cluster, kind, name, { spec: { template: { spec: { containers: [{ name: "app", image }] } } } })

export const remove = async (cluster: SimulatedCluster, kind: WorkloadKind, name: string): Promise<void> => {
  const url = `http://simulated.invalid/apis/apps/v1/namespaces/dev/${collections[kind]}/${name}`
  await cluster.fetch(new Request(url, { method: "DELETE" }))
}
