/** The host as every client sees it: one reading shared by all who ask within a second, rates since the one before. */
import { Clock, Context, Effect, Layer, Semaphore, Stream } from "effect"
import type { HostSnapshot } from "#shared/api/monitor.ts"
import { Collectors, type Reading } from "./Collectors.ts"
import { snapshotOf } from "./snapshot.ts"

/** Seconds for which a reading serves everybody. */
export const freshness = 1

/** Seconds between two readings for a rate to mean something; a shorter one would show the clock's grain. */
const shortest = 0.9

export class Host extends Context.Service<
  Host,
  {
    /** A reading at most `maxAge` seconds old (1 unless told; negative: a new one), one read however many ask at once. */
    readonly reading: (maxAge?: number) => Effect.Effect<Reading>
    /** The snapshot of such a reading. Rates are since the last reading that is about a second or more older. */
    readonly snapshot: (maxAge?: number) => Effect.Effect<HostSnapshot>
    /** Snapshots of two readings of the caller's own choice. */
    readonly compare: (previous: Reading | undefined, current: Reading) => HostSnapshot
    /** One snapshot now and one at every multiple of `seconds` of the clock, so that all streams share their readings. */
    readonly stream: (seconds: number) => Stream.Stream<HostSnapshot>
  }
>()("gatehouse/monitor/Host") {
  static readonly layer = Layer.effect(
    Host,
    Effect.suspend(() => makeHost)
  )
}

interface State {
  readonly reading: Reading
  readonly snapshot: HostSnapshot
  /** The reading that the next one's rates count from. */
  readonly base: Reading
  /** The one before it, from which this one's rates count. */
  readonly earlier: Reading | undefined
}

const makeHost = Effect.gen(function* () {
  const collectors = yield* Collectors
  const one = yield* Semaphore.make(1)
  let state: State | undefined
  const compare = (previous: Reading | undefined, current: Reading) =>
    snapshotOf(previous, current, collectors.files.view)
  const seconds = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e9)

  const fresh = (maxAge: number) =>
    Effect.map(seconds, (now) => (state !== undefined && now - state.reading.at < maxAge ? state : undefined))

  const read = Effect.map(collectors.read, (reading): State => {
    const advance = state === undefined || reading.at - state.base.at >= shortest
    const earlier = advance ? state?.base : state?.earlier
    const base = advance || state === undefined ? reading : state.base
    return (state = { reading, base, earlier, snapshot: compare(earlier, reading) })
  })

  const current = (maxAge: number): Effect.Effect<State> =>
    Effect.flatMap(fresh(maxAge), (found) =>
      found === undefined
        ? one.withPermit(Effect.flatMap(fresh(maxAge), (again) => (again === undefined ? read : Effect.succeed(again))))
        : Effect.succeed(found)
    )

  const untilNext = (interval: number) =>
    Effect.flatMap(seconds, (now) => Effect.sleep(Math.ceil((interval - (now % interval)) * 1000)))

  const snapshot = (maxAge = freshness) => Effect.map(current(maxAge), (found) => found.snapshot)

  return Host.of({
    reading: (maxAge = freshness) => Effect.map(current(maxAge), (found) => found.reading),
    snapshot,
    compare,
    stream: (interval) =>
      Stream.concat(
        Stream.fromEffect(snapshot()),
        Stream.fromEffectRepeat(Effect.andThen(untilNext(interval), snapshot(freshness / 2)))
      ).pipe(Stream.changesWith((one, next) => one === next))
  })
})
