/** The history's writer and its queries on a test clock: what is kept while the database is away, and holes that stay holes. */
import { describe, expect, test } from "bun:test"
import { Clock, Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Unavailable } from "#shared/domain/errors.ts"
import { History } from "#monitor/History.ts"
import { type HistoryRow, type HistorySample, HistoryStore } from "#monitor/HistoryStore.ts"
import { Host } from "#monitor/Host.ts"
import { collectorsGiving, netDevice, readingOf } from "#test/monitor/readings.ts"

/** A store in memory that can be away. */
const makeMemory = () => {
  const stored: Array<HistorySample> = []
  const calls: Array<string> = []
  const state = { away: false, rows: [] as ReadonlyArray<HistoryRow> }
  const away = new Unavailable({ dependency: "logging DB", retryAfterSeconds: 2 })
  const unlessAway = <A>(run: () => A) => Effect.suspend(() => (state.away ? Effect.fail(away) : Effect.succeed(run())))
  const layer = Layer.succeed(
    HistoryStore,
    HistoryStore.of({
      add: (samples) => unlessAway(() => void stored.push(...samples)),
      rollUp: (now) => unlessAway(() => void calls.push(`roll up ${Math.floor(now / 60)}`)),
      forget: (now) => unlessAway(() => void calls.push(`forget ${Math.floor(now / 60)}`)),
      read: () => unlessAway(() => state.rows)
    })
  )
  return { stored, calls, state, layer }
}

/** A host whose load is the time, and which receives 50 bytes a second. */
const read = Effect.map(Clock.monotonicTimeNanos, (nanos) => {
  const at = Number(nanos) / 1e9
  const load = { load1: at, load5: at, load15: at }
  return readingOf(at, {
    loadavg: load,
    netdev: [netDevice("eth0", { receive_bytes: at * 50 }), netDevice("veth1", {})]
  })
})

const withHistory = <A, E>(memory: ReturnType<typeof makeMemory>, effect: Effect.Effect<A, E, History>) => {
  const layer = History.layerNoDeps({ interval: Duration.seconds(10), maxBytes: 1e9 }).pipe(
    Layer.provide([memory.layer, Host.layer.pipe(Layer.provide(collectorsGiving(read)))])
  )
  return Effect.runPromise(effect.pipe(Effect.provide(layer), Effect.provide(TestClock.layer())))
}

describe("the history's writer", () => {
  test("takes a sample at every multiple of the interval, without the links of pods", async () => {
    const memory = makeMemory()
    await withHistory(memory, TestClock.adjust("30 seconds"))
    expect(memory.stored.map(({ at }) => at)).toEqual([0, 10, 20, 30])
    expect(memory.stored[0]!.values).toEqual([{ metric: "load.load1", label: "", value: 0 }])
    expect(memory.stored[3]!.values).toEqual([
      { metric: "load.load1", label: "", value: 30 },
      { metric: "network.receive_bytes_per_second", label: "eth0", value: 50 },
      { metric: "network.transmit_bytes_per_second", label: "eth0", value: 0 }
    ])
  })

  test("keeps samples while the database is away and writes them all when it is back", async () => {
    const memory = makeMemory()
    await withHistory(
      memory,
      Effect.gen(function* () {
        yield* TestClock.adjust("20 seconds")
        memory.state.away = true
        yield* TestClock.adjust("10 minutes")
        expect(memory.stored.length).toBe(3)
        memory.state.away = false
        yield* TestClock.adjust("10 seconds")
      })
    )
    expect(memory.stored.map(({ at }) => at)).toEqual(Array.from({ length: 64 }, (_, index) => index * 10))
  })

  test("keeps an hour of them at most, the newest", async () => {
    const memory = makeMemory()
    memory.state.away = true
    await withHistory(
      memory,
      Effect.gen(function* () {
        yield* TestClock.adjust("3 hours")
        memory.state.away = false
        yield* TestClock.adjust("10 seconds")
      })
    )
    // The one in hand when the database went away, and 360 waiting.
    expect(memory.stored.length).toBeLessThanOrEqual(362)
    expect(memory.stored.at(-1)!.at).toBe(3 * 3600 + 10)
    expect(memory.stored.at(-300)!.at).toBe(3 * 3600 + 10 - 2990)
  })

  test("rolls up every minute and forgets every ten", async () => {
    const memory = makeMemory()
    await withHistory(memory, TestClock.adjust("20 minutes"))
    expect(memory.calls.filter((call) => call.startsWith("roll up")).length).toBe(21)
    expect(memory.calls.filter((call) => call.startsWith("forget"))).toEqual(["forget 0", "forget 10", "forget 20"])
  })
})

describe("a history query", () => {
  const rows: ReadonlyArray<HistoryRow> = [
    { label: "", at: 0, total: 6, lowest: 1, highest: 3, samples: 3 },
    { label: "", at: 20, total: 5, lowest: 5, highest: 5, samples: 1 }
  ]
  const query = (agg?: "avg" | "min" | "max") =>
    Effect.gen(function* () {
      yield* TestClock.setTime(25_000)
      const from = new Date(0).toISOString()
      return yield* History.use((history) => history.query({ metric: "load.load1", from, ...(agg && { agg }) }))
    })

  test("gives one point a step, null where there are no samples", async () => {
    const memory = makeMemory()
    memory.state.rows = rows
    const points = async (agg?: "avg" | "min" | "max") => (await withHistory(memory, query(agg))).series[0]!.points
    expect(await points()).toEqual([
      [0, 2],
      [10, null],
      [20, 5]
    ])
    expect(await points("min")).toEqual([
      [0, 1],
      [10, null],
      [20, 5]
    ])
    expect(await points("max")).toEqual([
      [0, 3],
      [10, null],
      [20, 5]
    ])
  })

  test("gives an unlabelled metric one series of gaps when there is nothing", async () => {
    const { series, step, unit } = await withHistory(makeMemory(), query())
    expect([unit, step]).toEqual(["load", 10])
    expect(series).toEqual([
      {
        label: null,
        points: [
          [0, null],
          [10, null],
          [20, null]
        ]
      }
    ])
  })

  test("is unavailable with its database", async () => {
    const memory = makeMemory()
    memory.state.away = true
    expect((await withHistory(memory, Effect.flip(query())))._tag).toBe("Unavailable")
  })
})
