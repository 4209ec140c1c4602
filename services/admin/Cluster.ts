/** A live view of the configured namespaces, kept by one shared watch per kind; must change nothing in the cluster. */
import { Clock, Context, Duration, Effect, Latch, Layer, Metric, PubSub, Queue, Stream } from "effect"
import type {
  AdminEvent,
  ClusterEvent,
  PodNode,
  Revision,
  RevisionDiff,
  RolloutStatus,
  Workload,
  WorkloadDetail
} from "#shared/api/admin.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import { Kubernetes, type WatchEvent } from "#shared/kubernetes/Kubernetes.ts"
import { resources } from "#shared/kubernetes/objects.ts"
import { changesBetween } from "#shared/kubernetes/changes.ts"
import { Chronicle } from "./Chronicle.ts"
import { eventsOf, type Members, podNames } from "./clusterEvents.ts"
import type { WorkloadRef } from "./kinds.ts"
import { type Memory, Observations } from "./observations.ts"
import { keyOf, NamespaceObjects, watchedKinds, type WatchedKind, type WorkloadKey } from "./namespaceObjects.ts"
import { NoHistory, RevisionUnknown, WorkloadNotFound } from "./refusals.ts"
import { historyOf, numbered } from "./rollout/history.ts"
import { podNode } from "./rollout/pods.ts"
import { currentRevision, detailOf, type Family, workloadOf } from "./rollout/presentation.ts"
import { withoutHash } from "#shared/kubernetes/templates.ts"
import { K8sUnavailable, type Upstream, upstreamOf } from "./upstream.ts"

/** What the view itself says on the feed. */
export type ClusterChange = Extract<AdminEvent, { readonly event: "workload" | "workload_deleted" | "stale" }>

export interface ClusterOptions {
  readonly namespaces: ReadonlyArray<string>
  /** A rollout that is not complete after this counts as stalled, 10 minutes unless told. */
  readonly rolloutDeadline?: Duration.Duration
  /** For how long a revision must have been fully available to count as good, 30 s unless told: without a readiness probe a crashing container is available for a moment at each start. */
  readonly goodAfter?: Duration.Duration
}

export class Cluster extends Context.Service<
  Cluster,
  {
    /** Sorted by kind and name. 503 until every kind of the namespace was seen once. */
    readonly workloads: (namespace: string) => Effect.Effect<ReadonlyArray<Workload>, K8sUnavailable>
    readonly detail: (target: WorkloadRef) => Effect.Effect<WorkloadDetail, WorkloadNotFound | K8sUnavailable>
    /** `pinned` as `kubectl rollout status --revision`. */
    readonly status: (
      target: WorkloadRef,
      pinned?: number
    ) => Effect.Effect<RolloutStatus, WorkloadNotFound | K8sUnavailable>
    /**
     * The status again and again as it changes, from `generation` (what a write gave back) on, until the rollout is complete,
     * failed, stalled or paused. Fails when the workload is deleted.
     */
    readonly follow: (
      target: WorkloadRef,
      generation: number
    ) => Stream.Stream<RolloutStatus, WorkloadNotFound | K8sUnavailable>
    /** Ascending; empty where kubectl says "No rollout history found.". */
    readonly history: (target: WorkloadRef) => Effect.Effect<ReadonlyArray<Revision>, WorkloadNotFound | K8sUnavailable>
    /** `from` and `to` 0: the previous and the present revision. */
    readonly diff: (
      target: WorkloadRef,
      from: number,
      to: number
    ) => Effect.Effect<typeof RevisionDiff.Type, WorkloadNotFound | RevisionUnknown | NoHistory | K8sUnavailable>
    /** Asked live, newest first; of one workload with its revisions and pods if `target` is given. */
    readonly events: (
      namespace: string,
      target?: { readonly kind: WorkloadKind; readonly name: string }
    ) => Effect.Effect<ReadonlyArray<ClusterEvent>, Upstream>
    readonly pods: (namespace: string) => Effect.Effect<ReadonlyArray<PodNode>, K8sUnavailable>
    /** Since when any watch is without connection (RFC 3339), null while all have one. */
    readonly staleSince: Effect.Effect<string | null>
    /** Changes from the moment of subscription on. */
    readonly changes: Stream.Stream<ClusterChange>
    /** Asks the chronicle again who changed the workload last, and tells it on. */
    readonly refresh: (target: WorkloadRef) => Effect.Effect<void>
  }
>()("gatehouse/admin/Cluster") {
  static readonly layer = (options: ClusterOptions) =>
    Layer.effect(
      Cluster,
      Effect.suspend(() => makeCluster(options))
    )
}

/** How long a reader waits for the first sight of a namespace. */
const firstSight = Duration.seconds(5)
/** How long a reader waits for what only the chronicle knows. */
const chroniclePatience = Duration.seconds(2)
/** Between two looks at what only time changes: a rollout's deadline, a revision's proof. */
const tick = Duration.seconds(5)

const staleSeconds = Metric.gauge("gatehouse_admin_cluster_stale_seconds", {
  description: "For how long a part of the cluster has not been seen, 0 while all is."
})

interface Seen {
  readonly namespace: string
  readonly objects: NamespaceObjects
  /** Opens when every kind was seen. */
  readonly ready: Latch.Latch
  /** What was told last of each workload, as JSON. */
  readonly told: Map<string, string>
}

const isoOf = (millis: number) => new Date(millis).toISOString()

const makeCluster = Effect.fnUntraced(function* (options: ClusterOptions) {
  const kubernetes = yield* Kubernetes
  const chronicle = yield* Chronicle
  const deadline = Duration.toMillis(options.rolloutDeadline ?? Duration.minutes(10))
  const goodAfter = Duration.toMillis(options.goodAfter ?? Duration.seconds(30))
  const hub = yield* PubSub.unbounded<ClusterChange>()
  /** Keys of workloads that were looked at again, for those who follow one. */
  const looked = yield* PubSub.sliding<string>(4096)
  /** uids whose last change is to be asked for; the database may be slow, and the view does not wait for it. */
  const asking = yield* Queue.unbounded<{ readonly target: WorkloadRef; readonly uid: string }>()
  const observations = new Observations(deadline, goodAfter)
  const stale = new Map<string, number>()
  const seen = new Map<string, Seen>()
  for (const namespace of options.namespaces) {
    seen.set(namespace, { namespace, objects: new NamespaceObjects(), ready: yield* Latch.make(), told: new Map() })
  }

  /** What was observed of a workload; of a new one, who changed it last is asked for. */
  const memoryOf = (namespace: string, family: Family): Memory => {
    const { fresh, memory } = observations.of(family)
    const { kind, object } = family
    const { name, uid = "" } = object.metadata
    if (fresh) Queue.offerUnsafe(asking, { target: { namespace, kind, name }, uid })
    return memory
  }

  /** Looks at a workload again and tells what is new. */
  const look = Effect.fnUntraced(function* ({ namespace, objects, told }: Seen, key: WorkloadKey) {
    const at = keyOf(key.kind, key.name)
    const family = objects.family(key)
    if (family === undefined) {
      if (told.delete(at)) yield* PubSub.publish(hub, { event: "workload_deleted", data: { namespace, ...key } })
    } else {
      const now = yield* Clock.currentTimeMillis
      const memory = memoryOf(namespace, family)
      observations.observe(family, now)
      const data = workloadOf(family, observations.judge(family, now), namespace, memory.lastChange)
      const text = JSON.stringify(data)
      if (told.get(at) !== text) {
        told.set(at, text)
        yield* PubSub.publish(hub, { event: "workload", data })
      }
    }
    yield* PubSub.publish(looked, `${namespace}/${at}`)
  })

  const oldest = () => (stale.size === 0 ? null : isoOf(Math.min(...stale.values())))

  const setStale = Effect.fnUntraced(function* (watch: string, since: number | undefined) {
    const before = oldest()
    if (since === undefined) stale.delete(watch)
    else if (!stale.has(watch)) stale.set(watch, since)
    if (oldest() === before) return
    if (before === null) yield* Effect.logWarning(`the cluster is not seen: the watch of ${watch} has no connection`)
    if (oldest() === null) yield* Effect.logInfo("the cluster is seen again")
    yield* PubSub.publish(hub, { event: "stale", data: { since: oldest() } })
  })

  const onWatch = Effect.fnUntraced(function* (one: Seen, kind: WatchedKind, event: WatchEvent) {
    const watch = `${one.namespace}/${kind}`
    if (event._tag === "Stale") return yield* setStale(watch, event.since)
    yield* setStale(watch, undefined)
    const { complete } = one.objects
    const keys = one.objects.apply(kind, event)
    if (!one.objects.complete) return
    const unique = new Map((complete ? keys : one.objects.all()).map((key) => [keyOf(key.kind, key.name), key]))
    for (const key of unique.values()) yield* look(one, key)
    if (!complete) yield* one.ready.open
  })

  for (const one of seen.values()) {
    for (const kind of watchedKinds) {
      yield* kubernetes.watch({ resource: resources[kind], namespace: one.namespace }).pipe(
        Stream.runForEach((event) => onWatch(one, kind, event)),
        Effect.tapCause((cause) => Effect.logError("a watch has ended", cause)),
        Effect.forkScoped({ startImmediately: true })
      )
    }
  }

  const find = (target: WorkloadRef): Family | undefined => seen.get(target.namespace)?.objects.family(target)

  yield* Queue.take(asking).pipe(
    Effect.flatMap(({ target, uid }) =>
      chronicle.lastChange(uid).pipe(
        Effect.flatMap((lastChange) => {
          const [one, memory] = [seen.get(target.namespace), observations.known(uid)]
          if (one === undefined || memory === undefined) return Effect.void
          memory.lastChange = lastChange
          return one.objects.complete ? look(one, target) : Effect.void
        }),
        // Asked again with the next tick, not in a hurry: the database is away.
        Effect.catch(() => Effect.delay(Queue.offer(asking, { target, uid }), tick))
      )
    ),
    Effect.forever,
    Effect.forkScoped
  )

  /** Marks what has proven itself; what cannot be marked now is tried again with the next tick. */
  const prove = (families: ReadonlyArray<Family>, now: number) =>
    Effect.forEach(observations.proofs(families, now), (proof) =>
      chronicle
        .markGood(proof.workload, proof.revision)
        .pipe(
          Effect.timeout(chroniclePatience),
          Effect.andThen(Effect.sync(() => observations.marked(proof))),
          Effect.ignore
        )
    )

  const onTick = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    yield* Metric.update(staleSeconds, stale.size === 0 ? 0 : (now - Math.min(...stale.values())) / 1000)
    const families: Array<Family> = []
    for (const one of seen.values()) {
      for (const key of one.objects.all()) {
        const family = one.objects.family(key)
        if (family !== undefined) families.push(family)
        if (one.objects.complete && family !== undefined && memoryOf(one.namespace, family).rollout !== undefined) {
          yield* look(one, key)
        }
      }
    }
    observations.forgetAllBut(families)
    // What is not seen proves nothing.
    if (stale.size === 0) yield* prove(families, now)
  })
  yield* onTick.pipe(
    Effect.tapCause((cause) => Effect.logError("the view's clockwork failed", cause)),
    Effect.ignore,
    Effect.delay(tick),
    Effect.forever,
    Effect.forkScoped
  )

  const sighted = (namespace: string): Effect.Effect<Seen, K8sUnavailable> => {
    const one = seen.get(namespace)
    const unavailable = new K8sUnavailable({ reason: "the namespace has not been seen yet", retryAfterSeconds: 5 })
    if (one === undefined) return Effect.fail(unavailable)
    return one.ready.await.pipe(
      Effect.timeoutOrElse({ duration: firstSight, orElse: () => Effect.fail(unavailable) }),
      Effect.as(one)
    )
  }

  const familyOf = (target: WorkloadRef) =>
    Effect.flatMap(sighted(target.namespace), ({ objects }): Effect.Effect<Family, WorkloadNotFound> => {
      const family = objects.family(target)
      return family === undefined
        ? Effect.fail(new WorkloadNotFound({ kind: target.kind, name: target.name }))
        : Effect.succeed(family)
    })

  const shown = (namespace: string, family: Family, now: number) => {
    const memory = memoryOf(namespace, family)
    const status = observations.judge(family, now)
    return { status, workload: workloadOf(family, status, namespace, memory.lastChange) }
  }

  const workloads = Effect.fn("Cluster.workloads")(function* (namespace: string) {
    const { objects } = yield* sighted(namespace)
    const now = yield* Clock.currentTimeMillis
    return objects
      .all()
      .flatMap((key) => objects.family(key) ?? [])
      .map((family) => shown(namespace, family, now).workload)
      .sort((a, b) => a.kind.localeCompare(b.kind) || a.name.localeCompare(b.name))
  })

  const detail = Effect.fn("Cluster.detail")(function* (target: WorkloadRef) {
    const family = yield* familyOf(target)
    const { status, workload } = shown(target.namespace, family, yield* Clock.currentTimeMillis)
    return detailOf(family, status, workload)
  })

  const status = Effect.fn("Cluster.status")(function* (target: WorkloadRef, pinned?: number) {
    const family = yield* familyOf(target)
    return observations.judge(family, yield* Clock.currentTimeMillis, pinned)
  })

  const follow = (target: WorkloadRef, generation: number) => {
    const own = `${target.namespace}/${keyOf(target.kind, target.name)}`
    const now = Effect.gen(function* () {
      const family = yield* familyOf(target)
      const current = (family.object.metadata.generation ?? 0) >= generation
      return { current, status: yield* status(target) }
    })
    return Stream.fromPubSub(looked).pipe(
      Stream.filter((key) => key === own),
      // The status of this moment comes first: whoever asks late has missed nothing.
      (again) => Stream.merge(Stream.make(own), again),
      Stream.mapEffect(() => now),
      Stream.filter(({ current }) => current),
      Stream.map((one) => one.status),
      Stream.changes,
      Stream.takeUntil(({ phase }) => phase !== "progressing")
    )
  }

  /** What only the chronicle knows; nothing while the database is away. */
  const remembered = <A>(effect: Effect.Effect<A, unknown>, nothing: A) =>
    effect.pipe(
      Effect.timeout(chroniclePatience),
      Effect.orElseSucceed(() => nothing)
    )

  const history = Effect.fn("Cluster.history")(function* (target: WorkloadRef) {
    const family = yield* familyOf(target)
    const uid = family.object.metadata.uid ?? ""
    const { phase } = yield* status(target)
    return historyOf(family.revisions, {
      current: currentRevision(family)?.uid,
      notes: yield* remembered(chronicle.revisionNotes(uid), new Map()),
      good: yield* remembered(chronicle.goodRevisions(uid), new Set<string>()),
      failed: phase === "failed" || phase === "stalled"
    })
  })

  const diff = Effect.fn("Cluster.diff")(function* (target: WorkloadRef, from: number, to: number) {
    const family = yield* familyOf(target)
    const revisions = numbered(family.revisions)
    const present = currentRevision(family) ?? revisions.at(-1)
    const previous = revisions.findLast((one) => one.revision < (present?.revision ?? 0))
    const pick = (asked: number, otherwise: typeof present) =>
      asked === 0 ? otherwise : revisions.find(({ revision }) => revision === asked)
    const [left, right] = [pick(from, previous), pick(to, present)]
    if (left === undefined && from === 0) return yield* new NoHistory({ kind: target.kind, name: target.name })
    if (left === undefined || right === undefined) {
      return yield* new RevisionUnknown({ revision: left === undefined ? from : to })
    }
    const changes = changesBetween(withoutHash(left.template), withoutHash(right.template), { root: "/spec/template" })
    return { from: left.revision, to: right.revision, changes }
  })

  const membersOf = (target: WorkloadRef): Members => {
    const revisions = find(target)?.revisions.map(({ name }) => name) ?? []
    const { kind, name } = target
    return { kind, name, revisions: new Set(revisions), pods: podNames(kind, name, revisions) }
  }

  const events = Effect.fn("Cluster.events")(function* (
    namespace: string,
    target?: { readonly kind: WorkloadKind; readonly name: string }
  ) {
    const { items } = yield* kubernetes.list({ resource: resources.Event, namespace }).pipe(Effect.mapError(upstreamOf))
    return eventsOf(items, target === undefined ? undefined : membersOf({ namespace, ...target }))
  })

  const pods = Effect.fn("Cluster.pods")(function* (namespace: string) {
    const { objects } = yield* sighted(namespace)
    return objects
      .pods()
      .map(podNode)
      .sort((a, b) => a.name.localeCompare(b.name))
  })

  const refresh = Effect.fn("Cluster.refresh")(function* (target: WorkloadRef) {
    const uid = find(target)?.object.metadata.uid
    if (uid !== undefined) yield* Queue.offer(asking, { target, uid })
  })

  return Cluster.of({
    workloads,
    detail,
    status,
    follow,
    history,
    diff,
    events,
    pods,
    staleSince: Effect.sync(oldest),
    changes: Stream.fromPubSub(hub),
    refresh
  })
})
