/** A chart over the chosen window: picks the series it needs, or a placeholder until there are some; must fetch nothing. */
import { useMemo } from "preact/hooks"
import { Chart } from "../../components/Chart.tsx"
import type { ChartSeries, ChartUnit } from "../../components/chartOptions.ts"
import { columnsOf, type SeriesKey } from "../../series.ts"
import type { Window } from "../../useHost.ts"

interface WindowChartProps {
  readonly name: string
  readonly unit: ChartUnit
  readonly window: Window | undefined
  readonly keys: ReadonlyArray<SeriesKey>
  readonly series: ReadonlyArray<ChartSeries>
  readonly floor?: number
  readonly now?: ReadonlyArray<number | null>
}

export const WindowChart = ({ keys, window, ...rest }: WindowChartProps) => {
  const wanted = keys.join("\n")
  const data = useMemo(
    () => (window === undefined ? undefined : columnsOf(window.frames, keys, window.gap)),
    [window?.frames, window?.gap, wanted]
  )
  if (window === undefined || data === undefined) {
    return (
      <div class="chart chart-waiting" role="status">
        <span class="visually-hidden">Loading history</span>
      </div>
    )
  }
  return <Chart {...rest} data={data} from={window.from} to={window.to} />
}
