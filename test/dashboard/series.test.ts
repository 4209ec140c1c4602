/** Series for charts: history and live values under one name, gaps that stay gaps. */
import { describe, expect, test } from "bun:test"
import { append, columnsOf, fill, type Frame, frameOf, framesOf } from "#dashboard/series.ts"
import { historyOf, snapshotAt } from "#test/browser/demoHost.ts"

const frame = (at: number, value: number | null): Frame => ({ at, values: new Map([["cpu.used_percent", value]]) })
const keys = ["cpu.used_percent"]

describe("columns", () => {
  test("keep what is not known as null", () => {
    expect(columnsOf([frame(10, 1), frame(20, null), frame(30, 3)], keys, 25)).toEqual([
      [10, 20, 30],
      [1, null, 3]
    ])
  })

  test("part points that are further apart than a gap may be", () => {
    expect(columnsOf([frame(10, 1), frame(100, 2)], keys, 20)).toEqual([
      [10, 20, 100],
      [1, null, 2]
    ])
  })

  test("are all null for a series that no frame has", () => {
    expect(columnsOf([frame(10, 1), frame(20, 2)], ["load.load1"], 25)).toEqual([
      [10, 20],
      [null, null]
    ])
  })
})

describe("live frames", () => {
  test("drop what is older than the window and ignore what is not newer", () => {
    const frames = [frame(0, 1), frame(50, 2), frame(100, 3)]
    expect(append(frames, frame(110, 4), 60).map(({ at }) => at)).toEqual([50, 100, 110])
    expect(append(frames, frame(100, 9), 60)).toBe(frames)
  })

  test("are filled from history where they have holes, and only there", () => {
    const frames = [frame(0, 1), frame(2, 1), frame(60, 1), frame(62, 1)]
    const history = [frame(-10, 5), frame(0, 5), frame(20, 5), frame(30, null), frame(40, 5), frame(60, 5)]
    expect(fill(frames, history, 10).map(({ at }) => at)).toEqual([-10, 0, 2, 20, 40, 60, 62])
  })
})

describe("a snapshot and history", () => {
  test("use the same names, so that one line joins them", () => {
    const at = 1_800_000_000
    const metrics = ["cpu.used_percent", "network.receive_bytes_per_second", "filesystem.used_percent"] as const
    const past = framesOf(metrics.map((metric) => historyOf({ metric, from: at - 60, to: at, step: 10, agg: "avg" })))
    const now = frameOf(snapshotAt(at))
    expect(past).toHaveLength(7)
    for (const key of past[0]!.values.keys()) expect(now.values.has(key)).toBe(true)
  })

  test("pressure falls back to the kernel's average while the own rate is not known", () => {
    const snapshot = snapshotAt(1_800_000_000)
    const first = { ...snapshot.pressure, cpuSome: { percent: null, avg10Percent: 4 } }
    expect(frameOf({ ...snapshot, pressure: first }).values.get("pressure.cpu_some_percent")).toBe(4)
  })
})
