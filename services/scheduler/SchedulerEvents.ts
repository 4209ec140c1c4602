/** The live events of `GET /jobs/stream`: everyone may publish, readers resume by id; must know no table. */
import { Context, Effect, Layer, PubSub, Stream } from "effect"
import type { SchedulerEvent } from "#shared/api/scheduler.ts"

/** Events kept for readers who come back, and waiting for one reader at most. */
const kept = 1000

/** Milliseconds for which events go on being kept after the last reader has left. */
const remembered = 60_000

export interface NumberedEvent {
  /** `<process>-<number>`: the number of another process means nothing here. */
  readonly id: string
  readonly event: SchedulerEvent["event"]
  readonly data: SchedulerEvent["data"]
}

export class SchedulerEvents extends Context.Service<
  SchedulerEvents,
  {
    readonly publish: (event: SchedulerEvent) => Effect.Effect<void>
    /** Something has happened that is not published: whoever comes back from before it gets a `reset`. */
    readonly skip: Effect.Effect<void>
    /** Whether anybody follows, or has done so a moment ago and may come back. */
    readonly followed: () => boolean
    /** What follows `lastId`, or what happens from now on; where something is missing between, a `reset` says so. */
    readonly follow: (lastId: string | undefined) => Stream.Stream<NumberedEvent>
  }
>()("gatehouse/scheduler/SchedulerEvents") {
  static readonly layer = Layer.effect(
    SchedulerEvents,
    Effect.suspend(() => makeEvents)
  )
}

interface Kept {
  readonly number: number
  readonly event: SchedulerEvent
}

const reset: SchedulerEvent = { event: "reset", data: { reason: "events are missing between: ask anew" } }

const makeEvents = Effect.gen(function* () {
  const hub = yield* PubSub.sliding<Kept>(kept)
  const process = crypto.randomUUID().slice(0, 8)
  const recent: Array<Kept> = []
  let newest = 0
  let followers = 0
  let leftAt = Number.NEGATIVE_INFINITY

  const numberOf = (lastId: string | undefined) => {
    if (lastId === undefined) return newest
    const [given, number] = lastId.split("-")
    return given === process && /^\d{1,15}$/u.test(number ?? "") && Number(number) <= newest
      ? Number(number)
      : undefined
  }

  /** One event as it is sent, after a `reset` if `last` is not the one before it. */
  const next = (last: number | undefined, { event, number }: Kept) => {
    const sent = [{ id: `${process}-${number}`, ...event }]
    if (last === number - 1) return sent
    return [{ id: `${process}-${number - 1}`, ...reset }, ...sent]
  }

  return SchedulerEvents.of({
    publish: (event) =>
      Effect.suspend(() => {
        const one = { number: ++newest, event }
        recent.push(one)
        if (recent.length > kept) recent.shift()
        return PubSub.publish(hub, one)
      }),
    skip: Effect.sync(() => void (newest += 1)),
    followed: () => followers > 0 || performance.now() - leftAt < remembered,
    follow: (lastId) =>
      Stream.unwrap(
        Effect.gen(function* () {
          yield* Effect.acquireRelease(
            Effect.sync(() => (followers += 1)),
            () =>
              Effect.sync(() => {
                followers -= 1
                leftAt = performance.now()
              })
          )
          // Subscribed before the backlog is read: what is in both is dropped by its number.
          const live = yield* PubSub.subscribe(hub)
          const from = numberOf(lastId)
          const backlog = recent.filter(({ number }) => number > (from ?? newest))
          const start: NumberedEvent = { id: `${process}-${newest}`, ...reset }
          const events = Stream.concat(Stream.fromIterable(backlog), Stream.fromSubscription(live)).pipe(
            Stream.mapAccum(
              () => from ?? newest,
              (last, one) => (one.number <= last ? ([last, []] as const) : ([one.number, next(last, one)] as const))
            )
          )
          return from === undefined ? Stream.concat(Stream.succeed(start), events) : events
        })
      )
  })
})
