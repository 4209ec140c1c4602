/** What the Kubernetes contract runs against, and how its tests wait, build objects and play the kubelet there; must assert nothing. */
import { Cause, Effect, Exit, ManagedRuntime, type Layer } from "effect"
import { Kubernetes, KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import { type KubernetesObject, type Resource, resources } from "#shared/kubernetes/objects.ts"

export interface Target {
  readonly title: string
  readonly layer: Layer.Layer<Kubernetes>
  /** An existing namespace that the suite may fill; objects of several tests live in it together. */
  readonly namespace: string
  /** Lets some time pass: a moment of polling on a real cluster, simulated seconds on a simulated one. */
  readonly pass: Effect.Effect<void>
  readonly features: {
    /** Pods really run; else the tests write their status. */
    readonly kubelet: boolean
    /** Images that the cluster's nodes have; each stays up, exits 3 at once, and exits 0. */
    readonly images?: { readonly healthy: Container; readonly crashing: Container; readonly finishing: Container }
  }
}

/** The parts of a container that decide what it does. */
export type Container = { readonly image: string; readonly command?: ReadonlyArray<string> }

const tries = 240

export type Json = { readonly [key: string]: unknown }
const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** What stands at a path of an object, list places by number. */
export const at = (from: unknown, ...path: ReadonlyArray<string | number>): unknown => {
  let value = from
  for (const key of path) {
    if (typeof key === "number") value = Array.isArray(value) ? value[key] : undefined
    else value = isJson(value) ? value[key] : undefined
  }
  return value
}
export const list = (from: unknown, ...path: ReadonlyArray<string | number>): ReadonlyArray<unknown> => {
  const value = at(from, ...path)
  return Array.isArray(value) ? value : []
}

export const makeBench = (target: Target) => {
  const runtime = ManagedRuntime.make(target.layer)
  const { namespace } = target
  const use = <A, E>(f: (kubernetes: Kubernetes["Service"]) => Effect.Effect<A, E>) => Kubernetes.use(f)

  /** Asks until the answer is as wanted; the error tells the last answer. */
  const eventually = Effect.fnUntraced(function* <A, E>(
    what: string,
    ask: Effect.Effect<A, E, Kubernetes>,
    wanted: (value: A) => boolean
  ) {
    let value = yield* ask
    for (let round = 0; round < tries && !wanted(value); round += 1) {
      yield* target.pass
      if (!target.features.kubelet) yield* playKubelet
      value = yield* ask
    }
    if (!wanted(value))
      return yield* Effect.die(new Error(`${what}; last seen: ${JSON.stringify(value)?.slice(0, 3000)}`))
    return value
  })

  /** Without a kubelet: each pod runs and is ready, those that leave are gone, save where an image says otherwise. */
  const playKubelet = Effect.gen(function* () {
    const kubernetes = yield* Kubernetes
    const { items } = yield* kubernetes.list({ resource: resources.Pod, namespace })
    for (const pod of items) {
      const place = { resource: resources.Pod, namespace, name: pod.metadata.name }
      if (pod.metadata.deletionTimestamp != null) {
        yield* Effect.ignore(
          kubernetes.post(`/api/v1/namespaces/${namespace}/pods/${pod.metadata.name}/eviction`, {
            apiVersion: "policy/v1",
            kind: "Eviction",
            metadata: { name: pod.metadata.name, namespace },
            deleteOptions: { gracePeriodSeconds: 0 }
          })
        )
        continue
      }
      const image = String(at(pod, "spec", "containers", 0, "image"))
      if (at(pod, "status", "phase") === "Running" || /crash/u.test(image)) continue
      const time = new Date(0).toISOString().replace(".000", "")
      const status = {
        phase: "Running",
        conditions: ["Ready", "ContainersReady"].map((type) => ({ type, status: "True", lastTransitionTime: time }))
      }
      yield* Effect.ignore(kubernetes.patch({ ...place, subresource: "status" }, { type: "merge", body: { status } }))
    }
  })

  const run = async <A, E>(effect: Effect.Effect<A, E, Kubernetes>): Promise<A> => {
    const exit = await runtime.runPromiseExit(effect)
    if (Exit.isSuccess(exit)) return exit.value
    throw Cause.squash(exit.cause)
  }

  const place = (resource: Resource, name: string) => ({ resource, namespace, name })
  const container = (image: string): Container => {
    const { images } = target.features
    if (images === undefined) return { image }
    return /crash/u.test(image) ? images.crashing : images.healthy
  }

  /** A pod template with one container `main`; a variable tells the versions of one image apart. */
  const template = (app: string, image: string, extra: Json = {}): Json => ({
    metadata: { labels: { app } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "main", ...container(image), env: [{ name: "VERSION", value: image }], ...extra }]
    }
  })
  const deployment = (
    name: string,
    image: string,
    spec: Json = {},
    annotations: Record<string, string> = {}
  ): KubernetesObject => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) },
    spec: { replicas: 1, selector: { matchLabels: { app: name } }, template: template(name, image), ...spec }
  })
  const configMap = (name: string, data: Record<string, string>): KubernetesObject => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace },
    data
  })

  return {
    namespace,
    run,
    use,
    eventually,
    place,
    template,
    deployment,
    configMap,
    container,
    apply: (resource: Resource, object: KubernetesObject, fieldManager = "gatehouse", force = false) =>
      use((kubernetes) => kubernetes.apply(place(resource, object.metadata.name), object, { fieldManager, force })),
    get: (resource: Resource, name: string) => use((kubernetes) => kubernetes.get(place(resource, name))),
    owned: (resource: Resource, app: string) =>
      use((kubernetes) => kubernetes.list({ resource, namespace, labelSelector: `app=${app}` })).pipe(
        Effect.map(({ items }) => items)
      ),
    /** The failure of a call that must fail. */
    failure: async <A>(effect: Effect.Effect<A, KubernetesFailed, Kubernetes>): Promise<KubernetesFailed> =>
      run(Effect.flip(effect)),
    dispose: () => runtime.dispose()
  }
}
export type Bench = ReturnType<typeof makeBench>
