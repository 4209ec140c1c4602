/** The watchman's eyes: what the API server says of one namespace, kept in memory by watches; must judge and write nothing. */
import { Clock, Context, Effect, Layer, Stream } from "effect"
import { Kubernetes, type WatchEvent } from "#shared/kubernetes/Kubernetes.ts"
import { type KubernetesObject, type Resource, resources } from "#shared/kubernetes/objects.ts"
import { controllerRevisionOf, nodeOf, podOf, replicaSetOf, workloadOf } from "./facts.ts"
import type { Node, Pod, Revision, Workload } from "./facts.ts"
import { type View, viewOf, type WorkloadView } from "./view.ts"

export class Watch extends Context.Service<
  Watch,
  {
    /** Everything as it is known now; undefined while a part of it was never seen or is out of date. */
    readonly view: () => View | undefined
    /** Since when the picture is out of date (milliseconds since the epoch); undefined while it is not. */
    readonly staleSince: () => number | undefined
    /** A workload by its uid, from the last picture there was. */
    readonly workload: (uid: string) => WorkloadView | undefined
    readonly counts: () => { readonly workloads: number; readonly pods: number }
  }
>()("gatehouse/scheduler/Watch") {
  static readonly layer = (options: { readonly namespace: string }) => Layer.effect(Watch, makeWatch(options.namespace))
}

/** The objects of one kind; narrowed as they come, because they are read far more often than they change. */
interface Kind<A> {
  readonly resource: Resource
  readonly read: (object: KubernetesObject) => A | undefined
  /** Several kinds of workload, and both kinds of revision, share a map. */
  readonly into: Map<string, A>
  /** Uids of this kind's own, so that a new list replaces no other kind's. */
  readonly mine: Set<string>
}

const kind = <A>(
  resource: Resource,
  read: (object: KubernetesObject) => A | undefined,
  into: Map<string, A>
): Kind<A> => ({ resource, read, into, mine: new Set() })

const put = <A>({ into, mine, read }: Kind<A>, object: KubernetesObject): void => {
  const uid = object.metadata.uid
  if (uid === undefined) return
  const value = read(object)
  if (value === undefined) return
  into.set(uid, value)
  mine.add(uid)
}

const drop = <A>({ into, mine }: Kind<A>, uid: string | undefined): void => {
  if (uid === undefined || !mine.delete(uid)) return
  into.delete(uid)
}

const replace = <A>(one: Kind<A>, objects: ReadonlyArray<KubernetesObject>): void => {
  for (const uid of one.mine) one.into.delete(uid)
  one.mine.clear()
  for (const object of objects) put(one, object)
}

const makeWatch = (namespace: string) =>
  Effect.gen(function* () {
    const kubernetes = yield* Kubernetes
    const startedAt = yield* Clock.currentTimeMillis
    const workloads = new Map<string, Workload>()
    const revisions = new Map<string, Revision>()
    const pods = new Map<string, Pod>()
    const nodes = new Map<string, Node>()
    /** Since when each needed kind is not up to date. */
    const stale = new Map<string, number>()
    let cached: View | undefined

    const follow = <A>(one: Kind<A>, needed: boolean) => {
      const name = one.resource.plural
      if (needed) stale.set(name, startedAt)
      const take = (event: WatchEvent) => {
        switch (event._tag) {
          case "Synced":
            replace(one, event.list.items)
            stale.delete(name)
            break
          case "Changed":
            if (event.type === "DELETED") drop(one, event.object.metadata.uid)
            else put(one, event.object)
            stale.delete(name)
            break
          case "Stale":
            if (needed && !stale.has(name)) stale.set(name, event.since)
        }
        cached = undefined
      }
      const selection = one.resource.namespaced ? { resource: one.resource, namespace } : { resource: one.resource }
      return kubernetes.watch(selection).pipe(
        Stream.runForEach((event) => Effect.sync(() => take(event))),
        Effect.tapCause((cause) => Effect.logError(`no longer watching ${name}`, cause)),
        Effect.forkScoped
      )
    }

    yield* follow(
      kind(resources.Deployment, (object) => workloadOf("Deployment", object), workloads),
      true
    )
    yield* follow(
      kind(resources.StatefulSet, (object) => workloadOf("StatefulSet", object), workloads),
      true
    )
    yield* follow(
      kind(resources.DaemonSet, (object) => workloadOf("DaemonSet", object), workloads),
      true
    )
    yield* follow(kind(resources.ReplicaSet, replicaSetOf, revisions), true)
    yield* follow(kind(resources.ControllerRevision, controllerRevisionOf, revisions), true)
    yield* follow(kind(resources.Pod, podOf, pods), true)
    // Nodes belong to no namespace: where the scheduler may not see them, it does without their rules.
    yield* follow(kind(resources.Node, nodeOf, nodes), false)

    const picture = () => (cached ??= viewOf({ workloads, revisions, pods, nodes }))
    const staleSince = () => (stale.size === 0 ? undefined : Math.min(...stale.values()))
    return Watch.of({
      view: () => (staleSince() === undefined ? picture() : undefined),
      staleSince,
      workload: (uid) => picture().workloads.find(({ workload }) => workload.uid === uid),
      counts: () => ({ workloads: workloads.size, pods: pods.size })
    })
  })
