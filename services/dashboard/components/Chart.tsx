/** One chart with its legend: the values now, or those under the cursor that all charts share; must fetch nothing. */
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks"
import uPlot from "uplot"
import { clockTime, fullTime } from "../format.ts"
import type { Columns } from "../series.ts"
import { useThemeChange } from "../theme.ts"
import { chartOptions, type ChartSeries, type ChartUnit, formatOf } from "./chartOptions.ts"

export interface ChartProps {
  readonly name: string
  readonly series: ReadonlyArray<ChartSeries>
  readonly unit: ChartUnit
  readonly data: Columns
  /** Seconds since the epoch. */
  readonly from: number
  readonly to: number
  readonly floor?: number
  /** The present value of each series where it is newer than the last point. */
  readonly now?: ReadonlyArray<number | null>
}

const lastKnown = (column: ReadonlyArray<number | null> | undefined) =>
  column?.findLast((value) => value !== null) ?? null

const steps: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }

/** Moves the cursor of this chart and of all others; `left` below 0 takes it away. The third argument is missing in uPlot's types. */
const moveCursor = (chart: uPlot | null, left: number): void => {
  const setCursor: ((at: { left: number; top: number }, fire: boolean, publish: boolean) => void) | undefined =
    chart?.setCursor
  setCursor?.({ left, top: left < 0 ? -10 : 10 }, true, true)
}

/** Pixels from the left edge of the chart to a time, kept so far inside that its label fits. */
const cursorLeft = (chart: uPlot | null, at: number): number => {
  if (chart === null) return 0
  const left = chart.over.offsetLeft + chart.valToPos(at, "x")
  return Math.min(chart.width - labelHalf, Math.max(labelHalf, left))
}
const labelHalf = 44

export const Chart = ({ data, floor = 0, from, name, now, series, to, unit }: ChartProps) => {
  const frame = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const [cursor, setCursor] = useState<number | null>(null)
  const shape = JSON.stringify([series, unit, floor])
  const latest = useRef({ data, from, to })
  latest.current = { data, from, to }

  useEffect(() => {
    const element = frame.current!
    const { height, width } = element.getBoundingClientRect()
    const made = new uPlot(
      chartOptions({ element, series, unit, floor, width, height, onCursor: setCursor }),
      latest.current.data,
      element
    )
    made.setScale("x", { min: latest.current.from, max: latest.current.to })
    plot.current = made
    const observer = new ResizeObserver(([entry]) => {
      const size = entry!.contentRect
      if (size.width > 0) made.setSize({ width: size.width, height: size.height })
    })
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [shape])

  useEffect(() => {
    const made = plot.current
    if (made === null) return
    made.batch(() => {
      made.setData(data, false)
      made.setScale("x", { min: from, max: to })
    })
  }, [data, from, to])

  useThemeChange(useCallback(() => plot.current?.redraw(false, true), []))

  const format = formatOf[unit]
  const shown = cursor !== null && cursor < data[0].length ? cursor : null
  const valueOf = (index: number) =>
    shown === null ? (now?.[index] ?? lastKnown(data[index + 1])) : (data[index + 1]?.[shown] ?? null)
  const peaks = useMemo(
    () =>
      data
        .slice(1)
        .map((column) =>
          column.reduce<number | null>((top, value) => (value !== null && value > (top ?? -1) ? value : top), null)
        ),
    [data]
  )
  const summary = series
    .map(
      ({ label }, index) =>
        `${label} ${format(now?.[index] ?? lastKnown(data[index + 1]))}, highest ${format(peaks[index])}`
    )
    .join("; ")

  const onKeyDown = (event: KeyboardEvent) => {
    const made = plot.current
    const last = data[0].length - 1
    if (made === null || last < 0) return
    const by = steps[event.key]
    const next =
      event.key === "Home" ? 0 : event.key === "End" ? last : by === undefined ? undefined : (shown ?? last) + by
    if (next === undefined && event.key !== "Escape") return
    event.preventDefault()
    moveCursor(made, next === undefined ? -10 : made.valToPos(data[0][Math.min(last, Math.max(0, next))]!, "x"))
  }

  return (
    <div class="chart">
      <div class="legend">
        {series.map(({ color, label, line = "solid" }, index) => (
          <span class="legend-item" key={label}>
            <i class={`swatch swatch-${color} swatch-${line}`} />
            {label} <b class={`num-${unit.slice(0, 5)}`}>{format(valueOf(index))}</b>
          </span>
        ))}
      </div>
      <div class="chart-box">
        <div
          class="chart-frame"
          ref={frame}
          role="img"
          aria-label={`${name}: ${summary}`}
          tabIndex={0}
          onKeyDown={onKeyDown}
          onBlur={() => moveCursor(plot.current, -10)}
        />
        {shown === null ? null : (
          <time class="cursor-time" style={{ left: `${cursorLeft(plot.current, data[0][shown]!)}px` }}>
            {to - from > 7200 ? fullTime(data[0][shown]! * 1000) : clockTime(data[0][shown]! * 1000)}
          </time>
        )}
      </div>
    </div>
  )
}
