/** The live feed behind GET /admin/stream: one numbered journal of changes, replayed and followed by any number of clients; must hold back for no client. */
import { type Cause, Clock, Context, Effect, Layer, Metric, Queue, Schedule, Stream } from "effect"
import type { Action, AdminEvent, Proposal } from "#shared/api/admin.ts"
import { Cluster, type ClusterChange } from "./Cluster.ts"
import { workloadKindOf } from "./kinds.ts"

/** What others say on the feed. */
export type Published =
  | { readonly event: "proposal"; readonly data: Proposal }
  | { readonly event: "action"; readonly data: Action }

/** Also `heartbeat`, at least every five seconds, and `overflow`, after which a client that is too slow is dropped. */
export type FeedEvent =
  | AdminEvent
  | { readonly event: "heartbeat"; readonly data: { readonly at: string } }
  | { readonly event: "overflow"; readonly data: { readonly reason: string } }

/** Fits `eventStream` of #shared/http.ts. */
export type Numbered = FeedEvent & { readonly id: string }

/** What a snapshot shows beside the workloads: newest first, bounded; the actions' and proposals' store provides it. */
export class Recent extends Context.Service<
  Recent,
  {
    /** Never fails: empty while the database is away. */
    readonly of: (
      namespaces: ReadonlyArray<string>
    ) => Effect.Effect<{ readonly proposals: ReadonlyArray<Proposal>; readonly actions: ReadonlyArray<Action> }>
  }
>()("gatehouse/admin/Recent") {}

export interface FeedRequest {
  /** Those the caller may read: nothing of another is sent. */
  readonly namespaces: ReadonlyArray<string>
  /** The client's `Last-Event-ID`, null at a first connection. */
  readonly lastEventId: string | null
  /** Milliseconds since the epoch when the caller's proof of identity ends, and with it the stream. */
  readonly until?: number
}

export interface FeedOptions {
  /** Events that wait for a client before it counts as too slow, 256 unless told. */
  readonly queueSize?: number
}

export class Feed extends Context.Service<
  Feed,
  {
    /** Puts an event on the feed; of an action, the workload it was about is told again. */
    readonly publish: (event: Published) => Effect.Effect<void>
    readonly open: (request: FeedRequest) => Stream.Stream<Numbered>
  }
>()("gatehouse/admin/Feed") {
  static readonly layer = (options: FeedOptions = {}) =>
    Layer.effect(
      Feed,
      Effect.suspend(() => makeFeed(options))
    )
}

/** Milliseconds for which an event can be replayed, and how many at most. */
const replayFor = 300_000
const maxJournal = 20_000
/** Well within the five seconds that are promised. */
const heartbeatEvery = "4 seconds"

/** How long a snapshot waits for what is in the database. */
const recentPatience = "2 seconds"
const nothingRecent: { readonly proposals: ReadonlyArray<Proposal>; readonly actions: ReadonlyArray<Action> } = {
  proposals: [],
  actions: []
}

const clientsOpen = Metric.gauge("gatehouse_admin_feed_clients", { description: "Clients of the live feed." })
const overflows = Metric.counter("gatehouse_admin_feed_overflows_total", {
  description: "Clients of the live feed that were dropped because they were too slow.",
  incremental: true
})

type Journalled = ClusterChange | Published

interface Entry {
  readonly id: number
  readonly at: number
  readonly change: Journalled
}

interface Client {
  readonly namespaces: ReadonlySet<string>
  readonly queue: Queue.Queue<Entry, Cause.Done>
}

/** Undefined: everybody may know of it. */
const namespaceOf = (change: Journalled): string | undefined => {
  switch (change.event) {
    case "workload":
    case "workload_deleted":
    case "action":
      return change.data.namespace
    case "proposal":
      return change.data.target.namespace
    case "stale":
      return undefined
  }
}

const concerns = (namespaces: ReadonlySet<string>, change: Journalled) => {
  const namespace = namespaceOf(change)
  return namespace === undefined || namespaces.has(namespace)
}

const tooSlow = "this client reads more slowly than things happen"

const numberedEvent = ({ change, id }: Entry): Numbered => ({ ...change, id: String(id) })

const makeFeed = Effect.fnUntraced(function* ({ queueSize = 256 }: FeedOptions) {
  const cluster = yield* Cluster
  const recent = yield* Recent
  // Numbers go on from the clock, so that no number of an earlier process is one of this one's.
  let last = (yield* Clock.currentTimeMillis) * 1000
  /** The newest event that cannot be replayed any more: from it on, everything is in the journal. */
  let floor = last
  let journal: Array<Entry> = []
  const clients = new Set<Client>()

  const forget = (now: number) => {
    const kept = journal.findIndex(({ at }) => at > now - replayFor)
    const gone = Math.max(kept === -1 ? journal.length : kept, journal.length - maxJournal)
    if (gone === 0) return
    floor = journal[gone - 1]!.id
    journal = journal.slice(gone)
  }

  const drop = (client: Client) => {
    clients.delete(client)
    Queue.endUnsafe(client.queue)
    return Metric.update(overflows, 1)
  }

  const append = Effect.fnUntraced(function* (change: Journalled) {
    const at = yield* Clock.currentTimeMillis
    const entry = { id: ++last, at, change }
    journal.push(entry)
    forget(at)
    for (const client of clients) {
      if (concerns(client.namespaces, change) && !Queue.offerUnsafe(client.queue, entry)) yield* drop(client)
    }
  })

  yield* cluster.changes.pipe(
    Stream.runForEach(append),
    Effect.tapCause((cause) => Effect.logError("the feed no longer hears of the cluster", cause)),
    Effect.forkScoped({ startImmediately: true })
  )

  const snapshotOf = Effect.fnUntraced(function* (namespaces: ReadonlyArray<string>) {
    let unseen = false
    const workloads = yield* Effect.forEach(
      namespaces,
      (namespace) =>
        cluster.workloads(namespace).pipe(
          Effect.orElseSucceed(() => {
            unseen = true
            return []
          })
        ),
      { concurrency: "unbounded" }
    )
    const now = new Date(yield* Clock.currentTimeMillis).toISOString()
    const staleSince = (yield* cluster.staleSince) ?? (unseen ? now : null)
    const rest = yield* recent
      .of(namespaces)
      .pipe(Effect.timeoutOrElse({ duration: recentPatience, orElse: () => Effect.succeed(nothingRecent) }))
    return { workloads: workloads.flat(), ...rest, staleSince }
  })

  /** What has happened since the client's last event, or undefined where that cannot be told. */
  const missed = (
    lastEventId: string,
    namespaces: ReadonlySet<string>,
    from: number
  ): ReadonlyArray<Entry> | undefined => {
    const since = /^\d{1,16}$/u.test(lastEventId) ? Number(lastEventId) : Number.NaN
    if (!(since >= floor && since <= from)) return undefined
    return journal.filter(({ change, id }) => id > since && id <= from && concerns(namespaces, change))
  }

  const join = Effect.fnUntraced(function* (namespaces: ReadonlySet<string>) {
    const client: Client = { namespaces, queue: yield* Queue.dropping<Entry, Cause.Done>(queueSize) }
    clients.add(client)
    yield* Metric.update(clientsOpen, clients.size)
    return client
  })

  const leave = (client: Client) =>
    Effect.suspend(() => {
      clients.delete(client)
      return Metric.update(clientsOpen, clients.size)
    })

  /** The first events of a connection: what was missed, or the whole picture. `from` is the newest event that is in it. */
  const headOf = (request: FeedRequest, namespaces: ReadonlySet<string>, from: number): Stream.Stream<Numbered> => {
    const id = String(from)
    const snapshot = Stream.fromEffect(
      Effect.map(snapshotOf([...namespaces]), (data): Numbered => ({ event: "snapshot", id, data }))
    )
    if (request.lastEventId === null) return snapshot
    const replayed = missed(request.lastEventId, namespaces, from)
    if (replayed !== undefined) return Stream.fromIterable(replayed.map(numberedEvent))
    const reason = "what came since your last event is no longer known"
    return Stream.concat(Stream.make<[Numbered]>({ event: "reset", id, data: { reason } }), snapshot)
  }

  const open = (request: FeedRequest): Stream.Stream<Numbered> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const namespaces = new Set(request.namespaces)
        // Joined before the head is made: what happens meanwhile waits in the queue.
        const client = yield* Effect.acquireRelease(join(namespaces), leave)
        forget(yield* Clock.currentTimeMillis)
        const from = last
        const live = Stream.fromQueue(client.queue).pipe(
          // The head has the others.
          Stream.filter(({ id }) => id > from)
        )
        const heartbeats = Stream.fromEffectSchedule(Clock.currentTimeMillis, Schedule.spaced(heartbeatEvery))
        let sent = from
        // Numbered in the order of sending: a client that resumes after a heartbeat must miss nothing.
        const following = Stream.merge(Stream.concat(live, Stream.make("overflow" as const)), heartbeats, {
          haltStrategy: "left"
        }).pipe(
          Stream.map((one): Numbered => {
            if (one === "overflow") return { event: "overflow", id: String(sent), data: { reason: tooSlow } }
            if (typeof one === "number") {
              return { event: "heartbeat", id: String(sent), data: { at: new Date(one).toISOString() } }
            }
            sent = one.id
            return numberedEvent(one)
          })
        )
        const expiry = Effect.gen(function* () {
          if (request.until === undefined) return yield* Effect.never
          yield* Effect.sleep(Math.max(0, request.until - (yield* Clock.currentTimeMillis)))
        })
        return Stream.concat(headOf(request, namespaces, from), following).pipe(Stream.interruptWhen(expiry))
      })
    )

  return Feed.of({
    publish: Effect.fn("Feed.publish")(function* (event: Published) {
      yield* append(event)
      const kind = event.event === "action" ? workloadKindOf(event.data.kind) : undefined
      if (event.event !== "action" || kind === undefined) return
      yield* cluster.refresh({ namespace: event.data.namespace, kind, name: event.data.name })
    }),
    open
  })
})
