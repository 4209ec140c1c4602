/** Series for charts: named values over time, from snapshots and from history, gaps kept as gaps; must draw nothing. */
import type { History, HistoryMetric, HostSnapshot } from "#shared/api/monitor.ts"

/** `<metric>` or `<metric>|<label>`; the names of history, and for live values some more. */
export type SeriesKey = string

export const seriesKey = (metric: string, label: string | null = null): SeriesKey =>
  label === null ? metric : `${metric}|${label}`

/** All values at one time (seconds since the epoch). */
export interface Frame {
  readonly at: number
  readonly values: ReadonlyMap<SeriesKey, number | null>
}

/** Times, then one column per series; null draws a gap. */
export type Columns = [Array<number>, ...Array<Array<number | null>>]

/** The values of one snapshot under the names that history uses for the same thing. */
export const frameOf = (snapshot: HostSnapshot): Frame => {
  const { cpu, load, memory, pressure } = snapshot
  const values = new Map<SeriesKey, number | null>([
    ["cpu.used_percent", cpu.usedPercent],
    ["cpu.iowait_percent", cpu.iowaitPercent],
    ["cpu.steal_percent", cpu.stealPercent],
    ["memory.used_percent", memory.usedPercent],
    ["memory.swap_used_percent", memory.swapUsedPercent],
    ["load.load1", load.load1],
    ["pressure.cpu_some_percent", pressure.cpuSome.percent ?? pressure.cpuSome.avg10Percent],
    ["pressure.memory_some_percent", pressure.memorySome.percent ?? pressure.memorySome.avg10Percent],
    ["pressure.io_some_percent", pressure.ioSome.percent ?? pressure.ioSome.avg10Percent]
  ])
  for (const { mountpoint, usedPercent } of snapshot.filesystems) {
    values.set(seriesKey("filesystem.used_percent", mountpoint), usedPercent)
  }
  for (const { device, readBytesPerSecond, writtenBytesPerSecond } of snapshot.disks) {
    values.set(seriesKey("disk.read_bytes_per_second", device), readBytesPerSecond)
    values.set(seriesKey("disk.written_bytes_per_second", device), writtenBytesPerSecond)
  }
  for (const { device, receiveBytesPerSecond, transmitBytesPerSecond } of snapshot.network) {
    values.set(seriesKey("network.receive_bytes_per_second", device), receiveBytesPerSecond)
    values.set(seriesKey("network.transmit_bytes_per_second", device), transmitBytesPerSecond)
  }
  return { at: Date.parse(snapshot.at) / 1000, values }
}

/** Several answers of history as frames, one per time. */
export const framesOf = (histories: ReadonlyArray<History>): ReadonlyArray<Frame> => {
  const frames = new Map<number, Map<SeriesKey, number | null>>()
  for (const { metric, series } of histories) {
    for (const { label, points } of series) {
      const key = seriesKey(metric, label)
      for (const [at, value] of points) {
        let frame = frames.get(at)
        if (frame === undefined) frames.set(at, (frame = new Map()))
        frame.set(key, value)
      }
    }
  }
  return [...frames].map(([at, values]) => ({ at, values })).sort((a, b) => a.at - b.at)
}

/** Frames further apart than `gapSeconds` are parted by a moment without values, so that no line is drawn across. */
export const columnsOf = (
  frames: ReadonlyArray<Frame>,
  keys: ReadonlyArray<SeriesKey>,
  gapSeconds: number
): Columns => {
  const times: Array<number> = []
  const columns = keys.map((): Array<number | null> => [])
  let before: number | undefined
  for (const { at, values } of frames) {
    if (before !== undefined && at - before > gapSeconds) {
      times.push(before + gapSeconds / 2)
      for (const column of columns) column.push(null)
    }
    times.push(at)
    keys.forEach((key, index) => columns[index]!.push(values.get(key) ?? null))
    before = at
  }
  return [times, ...columns]
}

/** Adds `later` to `frames` and drops what is older than `seconds` before the newest. */
export const append = (frames: ReadonlyArray<Frame>, later: Frame, seconds: number): ReadonlyArray<Frame> => {
  const newest = frames.at(-1)?.at ?? 0
  if (later.at <= newest) return frames
  return [...frames.filter(({ at }) => at >= later.at - seconds), later]
}

/** Puts frames of history where `frames` has none: before its first, and into holes longer than `gapSeconds`. */
export const fill = (
  frames: ReadonlyArray<Frame>,
  history: ReadonlyArray<Frame>,
  gapSeconds: number
): ReadonlyArray<Frame> => {
  const hasNear = (at: number) => frames.some((frame) => Math.abs(frame.at - at) <= gapSeconds / 2)
  const missing = history.filter(
    ({ at, values }) => !hasNear(at) && [...values.values()].some((value) => value !== null)
  )
  return missing.length === 0 ? frames : [...frames, ...missing].sort((a, b) => a.at - b.at)
}

/** What the overview asks history for. */
export const overviewMetrics: ReadonlyArray<HistoryMetric> = [
  "cpu.used_percent",
  "cpu.iowait_percent",
  "cpu.steal_percent",
  "memory.used_percent",
  "memory.swap_used_percent",
  "load.load1",
  "pressure.cpu_some_percent",
  "pressure.memory_some_percent",
  "pressure.io_some_percent",
  "filesystem.used_percent",
  "disk.read_bytes_per_second",
  "disk.written_bytes_per_second",
  "network.receive_bytes_per_second",
  "network.transmit_bytes_per_second"
]
