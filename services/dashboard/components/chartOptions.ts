/** How every chart looks and scales, as uPlot options; must know no data. */
import uPlot from "uplot"
import { bytes, bytesPerSecond, decimal, minuteTime, percent, weekday } from "../format.ts"
import type { Columns } from "../series.ts"

export interface ChartSeries {
  readonly label: string
  /** Number of the colour in style.css (`--series-1` …). */
  readonly color: 1 | 2 | 3 | 4 | 5
  /** Line style: with the colour never the only difference. */
  readonly line?: "solid" | "dashed" | "dotted"
  readonly area?: boolean
}

export type ChartUnit = "percent" | "bytes" | "bytes/s" | "load"

export const formatOf: Readonly<Record<ChartUnit, (value: number | null | undefined) => string>> = {
  percent,
  bytes,
  "bytes/s": bytesPerSecond,
  load: decimal
}

const dashes = { solid: [], dashed: [6, 4], dotted: [1.5, 3.5] }

const ceilings: Readonly<Record<ChartUnit, (top: number) => number>> = {
  percent: (top) => [4, 8, 20, 40, 100].find((ceiling) => top <= ceiling) ?? top,
  load: (top) => [0.4, 1, 2, 4, 8, 20, 40, 80, 200].find((ceiling) => top <= ceiling) ?? top,
  bytes: (top) => 2 ** Math.max(12, Math.ceil(Math.log2(Math.max(1, top)))),
  "bytes/s": (top) => 2 ** Math.max(12, Math.ceil(Math.log2(Math.max(1, top))))
}

const tick: Readonly<Record<ChartUnit, (value: number) => string>> = {
  percent: (value) => percent(value, 0),
  bytes: (value) => (value === 0 ? "0" : bytes(value).replace(".00", "").replace(".0", "")),
  "bytes/s": (value) => (value === 0 ? "0" : bytes(value).replace(".00", "").replace(".0", "")),
  load: (value) => String(Number(value.toFixed(2)))
}

/** The highest value of all columns but the times. */
const highest = (columns: ReadonlyArray<ReadonlyArray<number | null | undefined>>) => {
  let top = 0
  for (const column of columns.slice(1)) for (const value of column) if (value != null && value > top) top = value
  return top
}

const timeLabel = (seconds: number, step: number): string =>
  step < 86_400 ? minuteTime(seconds * 1000) : weekday(seconds * 1000)

/** Colours come from CSS at drawing time, so that a change of theme needs only a redraw. */
export const cssColor = (element: HTMLElement, color: string): string => {
  const probe = document.createElement("i")
  probe.style.color = color
  element.append(probe)
  const resolved = getComputedStyle(probe).color
  probe.remove()
  return resolved
}

/** Values without a neighbour: no line reaches them, so they are drawn as points. */
const alone = (chart: uPlot, series: number): Array<number> => {
  const values: Array<number | null | undefined> = Array.from(chart.data[series]!)
  const known = (index: number) => (values[index] ?? null) !== null
  return values.flatMap((value, index) =>
    (value ?? null) !== null && !known(index - 1) && !known(index + 1) ? [index] : []
  )
}

/** Seconds between two labels of the time axis. */
const timeSteps = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800]

interface Options {
  readonly element: HTMLElement
  readonly series: ReadonlyArray<ChartSeries>
  readonly unit: ChartUnit
  /** The top of the axis is never below this. */
  readonly floor: number
  readonly width: number
  readonly height: number
  readonly onCursor: (index: number | null) => void
}

export const chartOptions = ({ element, floor, height, onCursor, series, unit, width }: Options): uPlot.Options => {
  const colors = new Map<string, string>()
  const color = (name: string) => {
    let resolved = colors.get(name)
    if (resolved === undefined) colors.set(name, (resolved = cssColor(element, name)))
    return resolved
  }
  const font = `11px ${getComputedStyle(element).fontFamily}`
  const axis = {
    stroke: () => color("var(--muted)"),
    font,
    ticks: { show: false },
    grid: { stroke: () => color("var(--grid)"), width: 1 }
  }
  return {
    width,
    height,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: false, y: false },
      points: { size: 7, width: 2, fill: () => color("var(--surface)") },
      sync: { key: "gatehouse", setSeries: false, scales: ["x", null] }
    },
    scales: {
      x: { time: true, auto: false },
      y: { range: (u) => [0, ceilings[unit](Math.max(floor, highest(u.data as Columns)))] }
    },
    axes: [
      {
        ...axis,
        size: 24,
        gap: 5,
        space: 54,
        incrs: timeSteps,
        grid: { show: false },
        values: (_u, splits, _axis, _space, step) => splits.map((at) => timeLabel(at, step))
      },
      {
        ...axis,
        size: unit === "bytes" || unit === "bytes/s" ? 58 : 44,
        gap: 6,
        splits: (_u, _axis, min, max) => [min, max / 4, max / 2, (max * 3) / 4, max],
        filter: (_u, splits) => (height < 110 ? splits.map((at, index) => (index % 2 === 0 ? at : null)) : splits),
        values: (_u, splits) => splits.map((value) => (value === null ? "" : tick[unit](value)))
      }
    ],
    series: [
      {},
      ...series.map(({ area = false, color: number, label, line = "solid" }): uPlot.Series => {
        const stroke = () => color(`var(--series-${number})`)
        const points: uPlot.Series.Points = { show: true, size: 4, fill: stroke, filter: alone }
        const style: uPlot.Series = { label, stroke, width: 1.75, dash: dashes[line], points }
        if (area) style.fill = () => color(`color-mix(in srgb, var(--series-${number}) 14%, transparent)`)
        return style
      })
    ],
    hooks: {
      setCursor: [(u) => onCursor(u.cursor.idx ?? null)],
      // A redraw after a change of theme resolves every colour anew.
      drawClear: [() => colors.clear()]
    }
  }
}
