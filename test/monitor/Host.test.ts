/** The host's readings: shared by all who ask, with rates that are true whatever the intervals. */
import { afterAll, describe, expect, test } from "bun:test"
import { Clock, Effect, Fiber, Layer, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { HostSnapshot } from "#shared/api/monitor.ts"
import { Collectors } from "#monitor/Collectors.ts"
import { Host } from "#monitor/Host.ts"
import { collectorsGiving, netDevice, readingOf } from "#test/monitor/readings.ts"
import { collectorsOf, makeTree, removeFolders } from "#test/monitor/tree.ts"

afterAll(removeFolders)

/** A host that receives 100 bytes a second, and how often it was read. */
const steadyHost = () => {
  let reads = 0
  const read = Effect.map(Clock.monotonicTimeNanos, (nanos) => {
    reads++
    const at = Number(nanos) / 1e9
    return readingOf(at, { netdev: [netDevice("eth0", { receive_bytes: Math.round(at * 100) })] })
  })
  return { reads: () => reads, layer: Host.layer.pipe(Layer.provide(collectorsGiving(Effect.delay(read, "5 millis")))) }
}

const withClock = <A, E>(layer: Layer.Layer<Host>, effect: Effect.Effect<A, E, Host>) =>
  Effect.runPromise(effect.pipe(Effect.provide(layer), Effect.provide(TestClock.layer())))

const received = (snapshot: HostSnapshot) => snapshot.network[0]!.receiveBytesPerSecond

/** A snapshot while the clock goes on as far as a reading takes. */
const ask = Effect.gen(function* () {
  const fiber = yield* Effect.forkChild(
    Host.use((host) => host.snapshot()),
    { startImmediately: true }
  )
  yield* TestClock.adjust("5 millis")
  return yield* Fiber.join(fiber)
})

describe("Host", () => {
  test("reads once however many ask at the same time", async () => {
    const { layer, reads } = steadyHost()
    await withClock(
      layer,
      Effect.gen(function* () {
        const all = Effect.all(
          Array.from({ length: 50 }, () => Host.use((host) => host.reading())),
          { concurrency: "unbounded" }
        )
        const fiber = yield* Effect.forkChild(all, { startImmediately: true })
        yield* TestClock.adjust("5 millis")
        expect(new Set(yield* Fiber.join(fiber)).size).toBe(1)
      })
    )
    expect(reads()).toBe(1)
  })

  test("reads again after a second, and at once for who insists", async () => {
    const { layer, reads } = steadyHost()
    await withClock(
      layer,
      Effect.gen(function* () {
        yield* ask
        yield* TestClock.adjust("900 millis")
        yield* ask
        expect(reads()).toBe(1)
        yield* TestClock.adjust("200 millis")
        yield* ask
        expect(reads()).toBe(2)
        const fiber = yield* Effect.forkChild(
          Host.use((host) => host.reading(-1)),
          { startImmediately: true }
        )
        yield* TestClock.adjust("5 millis")
        yield* Fiber.join(fiber)
        expect(reads()).toBe(3)
      })
    )
  })

  test("has no rate at first, then the true one whatever the intervals", async () => {
    const { layer } = steadyHost()
    await withClock(
      layer,
      Effect.gen(function* () {
        expect(received(yield* ask)).toBeNull()
        for (const pause of ["1100 millis", "7 seconds", "1 minute"] as const) {
          yield* TestClock.adjust(pause)
          expect(received(yield* ask)).toBeCloseTo(100, -1)
        }
      })
    )
  })

  test("does not take rates over less than about a second", async () => {
    const { layer } = steadyHost()
    await withClock(
      layer,
      Effect.gen(function* () {
        const now = Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(
            Host.use((host) => host.snapshot(-1)),
            { startImmediately: true }
          )
          yield* TestClock.adjust("5 millis")
          return yield* Fiber.join(fiber)
        })
        yield* now
        expect(received(yield* now)).toBeNull()
        yield* TestClock.adjust("2 seconds")
        expect(received(yield* now)).toBeCloseTo(100, 0)
        expect(received(yield* now)).toBeCloseTo(100, 0)
      })
    )
  })

  test("serves streams of any number and interval from the same readings", async () => {
    const { layer, reads } = steadyHost()
    await withClock(
      layer,
      Effect.gen(function* () {
        const host = yield* Host
        const events = yield* Queue.unbounded<readonly [number, string]>()
        const follow = (interval: number) =>
          host.stream(interval).pipe(
            Stream.runForEach((one) => Queue.offer(events, [interval, one.at] as const)),
            Effect.forkChild({ startImmediately: true })
          )
        const fibers = yield* Effect.forEach([1, 1, 2, 5], follow)
        yield* TestClock.adjust("10500 millis")
        yield* Effect.forEach(fibers, Fiber.interrupt)
        const seen = yield* Queue.takeAll(events)
        const count = (interval: number) => seen.filter(([one]) => one === interval).length
        // One at once and one at each multiple: 10 twice, 5, 2.
        expect([count(1), count(2), count(5)]).toEqual([22, 6, 3])
        expect(new Set(seen.map(([, at]) => at)).size).toBe(11)
      })
    )
    expect(reads()).toBe(11)
  })

  test("is built on the real collectors", async () => {
    const layer = Host.layer.pipe(Layer.provideMerge(await collectorsOf({ MONITOR_ROOTFS: makeTree().root })))
    const snapshot = await Effect.runPromise(
      Effect.andThen(
        Collectors,
        Host.use((host) => host.snapshot())
      ).pipe(Effect.provide(layer))
    )
    expect(snapshot.host.name).toBe("k3s-server")
    expect(snapshot.network.map(({ device, up }) => [device, up])).toEqual([
      ["lo", null],
      ["eth0", true],
      ["eth0:1", null],
      ["veth-4B09XN", null]
    ])
    expect(snapshot.temperatures[0]).toEqual({ sensor: "coretemp Package id 0", celsius: 55, criticalCelsius: 100 })
    expect(snapshot.load.load1PerCore).toBeCloseTo(0.37 / 3, 10)
    expect(snapshot.memory.swapUsedPercent).toBeCloseTo((1048572 / 4194300) * 100, 10)
  })

  test("never shows the pod's network and mounts where the host's are hidden", async () => {
    const tree = makeTree()
    tree.remove("proc/1")
    const layer = Host.layer.pipe(Layer.provide(await collectorsOf({ MONITOR_ROOTFS: tree.root })))
    const snapshot = await Effect.runPromise(Host.use((host) => host.snapshot()).pipe(Effect.provide(layer)))
    expect([snapshot.network, snapshot.filesystems]).toEqual([[], []])
    for (const name of ["network", "filesystems"]) {
      expect(snapshot.sections[name]!.status).toBe("degraded")
      expect(snapshot.sections[name]!.reason).toStartWith("hidepid")
    }
    expect(snapshot.sections["memory"]).toEqual({ status: "ok" })
  })
})
