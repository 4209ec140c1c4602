/** Hints that something about jobs has changed, in this process at once and to others soon; losing one costs time, never a job. */
import { Context, Effect, Layer, Metric, PubSub, Queue, Schema, Stream } from "effect"
import { Database, SqlClient } from "#shared/sql.ts"

/** What may have happened. Everything is possible where `all` is set: the hints of a while are missing. */
export interface Signal {
  /** A job may be due, or wait for another time than before. */
  readonly due: boolean
  /** Somebody wants a running job cancelled. */
  readonly cancel: boolean
  /** Jobs whose state has changed. */
  readonly jobs: ReadonlyArray<string>
  readonly all: boolean
}

const channel = "gatehouse_jobs"

/** Milliseconds in which hints are gathered before other processes are told: NOTIFY takes a lock that all commits share. */
const gatherFor = 20

/** Ids of one notification, whose payload may hold 8000 bytes. */
const idsAtOnce = 150

const Wire = Schema.fromJsonString(
  Schema.Struct({
    from: Schema.String,
    due: Schema.Boolean,
    cancel: Schema.Boolean,
    jobs: Schema.Array(Schema.String)
  })
)
const encode = Schema.encodeSync(Wire)
const decode = Schema.decodeUnknownOption(Wire)

const reconnects = Metric.counter("gatehouse_scheduler_listen_connections_total", {
  description: "How often LISTEN was begun: once at the start and after each lost connection.",
  incremental: true
})

export class JobSignals extends Context.Service<
  JobSignals,
  {
    /** Tells of a committed change. Within a transaction it is told after its commit, and not after a rollback. */
    readonly tell: (signal: Partial<Omit<Signal, "all">>) => Effect.Effect<void>
    /** Hints from now on, own ones and others'. */
    readonly signals: Stream.Stream<Signal>
  }
>()("gatehouse/scheduler/JobSignals") {
  static readonly layer = Layer.effect(
    JobSignals,
    Effect.suspend(() => makeSignals)
  )
}

const makeSignals = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const hub = yield* PubSub.sliding<Signal>(4096)
  const outgoing = yield* Queue.sliding<Signal>(4096)
  const own = crypto.randomUUID()

  const send = Effect.gen(function* () {
    const first = yield* Queue.take(outgoing)
    yield* Effect.sleep(gatherFor)
    const gathered = [first, ...(yield* Queue.clear(outgoing))]
    const due = gathered.some((one) => one.due)
    const cancel = gathered.some((one) => one.cancel)
    const jobs = [...new Set(gathered.flatMap((one) => one.jobs))]
    for (let at = 0; at < Math.max(1, jobs.length); at += idsAtOnce) {
      const text = encode({ from: own, due, cancel, jobs: jobs.slice(at, at + idsAtOnce) })
      yield* database.run(sql`SELECT pg_notify(${channel}, ${text})`)
    }
  })
  yield* send.pipe(
    // The sweep of the others finds what they were not told.
    Effect.catchCause((cause) => Effect.logDebug("a hint was not sent", cause)),
    Effect.forever,
    Effect.forkScoped
  )

  yield* database.notifications(channel).pipe(
    Stream.runForEach((payload) => {
      if (payload === undefined) {
        return Effect.andThen(
          Metric.update(reconnects, 1),
          PubSub.publish(hub, { due: true, cancel: true, jobs: [], all: true })
        )
      }
      const found = decode(payload)
      if (found._tag === "None" || found.value.from === own) return Effect.void
      const { cancel, due, jobs } = found.value
      return PubSub.publish(hub, { due, cancel, jobs, all: false })
    }),
    Effect.tapCause((cause) => Effect.logError("hints of other schedulers are not heard", cause)),
    Effect.forkScoped
  )

  return JobSignals.of({
    tell: ({ cancel = false, due = false, jobs = [] }) => {
      const signal = { due, cancel, jobs, all: false }
      return sql.afterCommit(Effect.andThen(PubSub.publish(hub, signal), Queue.offer(outgoing, signal)))
    },
    signals: Stream.fromPubSub(hub)
  })
})
