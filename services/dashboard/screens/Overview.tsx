/** The host at a glance: what needs attention, then one card per resource, live or over a chosen time; must fetch only through useHost. */
import { useState } from "preact/hooks"
import type { Me } from "#shared/api/auth.ts"
import { Failed, Loading, NotAllowed } from "../components/Messages.tsx"
import { Segmented } from "../components/Segmented.tsx"
import { StatusBanner, StatusBadge } from "../components/StatusBanner.tsx"
import { duration, fullTime } from "../format.ts"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { setQuery, useLocation } from "../router.ts"
import { type Aggregate, type Range, rangeSeconds, useHistory, useLive } from "../useHost.ts"
import { ClusterTiles } from "./overview/ClusterTiles.tsx"
import { CpuCard, LoadCard, MemoryCard, PressureCard } from "./overview/Compute.tsx"
import { Notices } from "./overview/Notices.tsx"
import { DiskCard, FilesystemCard, NetworkCard } from "./overview/Storage.tsx"
import { TemperatureCard } from "./overview/Temperatures.tsx"

const ranges: ReadonlyArray<readonly [Range, string]> = [
  ["5m", "Live"],
  ["1h", "1 h"],
  ["24h", "24 h"],
  ["7d", "7 d"]
]
const aggregates: ReadonlyArray<readonly [Aggregate, string]> = [
  ["avg", "Average"],
  ["max", "Peak"]
]

export const Overview = ({ me }: ScreenProps) =>
  mayI(me, "monitor", "read") ? (
    <Host me={me} />
  ) : (
    <>
      <header class="page-head">
        <h1 tabIndex={-1}>Overview</h1>
      </header>
      <ClusterTiles me={me} />
      <NotAllowed what="the host's values" needs="monitor:read" />
    </>
  )

const isRange = (value: string | null): value is Range => value !== null && Object.hasOwn(rangeSeconds, value)

const Host = ({ me }: { readonly me: Me }) => {
  const { query } = useLocation()
  const given = query.get("range")
  const range = isRange(given) ? given : "5m"
  const [agg, setAgg] = useState<Aggregate>("avg")
  const live = useLive()
  const history = useHistory(range, agg)
  const { snapshot, state } = live
  const window = range === "5m" ? live.window : history.window
  const old = state.kind === "stale" || state.kind === "ended"

  return (
    <>
      <header class="page-head">
        <div>
          <h1 tabIndex={-1}>{snapshot?.host.name ?? "Overview"}</h1>
          <p class="page-sub">
            {snapshot === undefined ? (
              "Waiting for the first values"
            ) : (
              <>
                <span>Linux {snapshot.host.kernel ?? "–"}</span>
                <span title={snapshot.host.bootTime === null ? undefined : `Since ${fullTime(snapshot.host.bootTime)}`}>
                  up {duration(snapshot.host.uptimeSeconds)}
                </span>
              </>
            )}
          </p>
        </div>
        <div class="page-tools">
          <StatusBadge state={state} />
          {range === "5m" ? null : <Segmented label="Points show" value={agg} options={aggregates} onChange={setAgg} />}
          <Segmented
            label="Time range"
            value={range}
            options={ranges}
            onChange={(next) => setQuery("range", next === "5m" ? "" : next)}
          />
        </div>
      </header>
      <ClusterTiles me={me} />
      <StatusBanner state={state} onRetry={live.retry} />
      {snapshot === undefined ? (
        old ? null : (
          <Loading what="the host's values" rows={6} />
        )
      ) : (
        <div class={old ? "is-stale" : undefined}>
          <Notices snapshot={snapshot} old={old} historyError={range === "5m" ? live.error : undefined} />
          {history.error === undefined ? null : <Failed message={history.error} onRetry={history.retry} />}
          <div class="cards">
            <CpuCard snapshot={snapshot} window={window} />
            <MemoryCard snapshot={snapshot} window={window} />
            <NetworkCard snapshot={snapshot} window={window} />
            <DiskCard snapshot={snapshot} window={window} />
            <PressureCard snapshot={snapshot} window={window} />
            <FilesystemCard snapshot={snapshot} window={window} range={range} />
            <LoadCard snapshot={snapshot} window={window} />
            <TemperatureCard snapshot={snapshot} />
          </div>
        </div>
      )}
    </>
  )
}
