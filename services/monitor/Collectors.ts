/** Runs every collector once and says which failed and why; must keep nothing and know no client. */
import { Cause, Clock, Context, Effect, Layer, Metric } from "effect"
import type { Collector } from "./collectors/collector.ts"
import { conntrack } from "./collectors/conntrack.ts"
import { makeCpu } from "./collectors/cpu.ts"
import { cpufreq } from "./collectors/cpufreq.ts"
import { makeDiskStats } from "./collectors/diskstats.ts"
import { filefd } from "./collectors/filefd.ts"
import { makeFileSystem } from "./collectors/filesystem.ts"
import { hwmon } from "./collectors/hwmon.ts"
import { loadavg } from "./collectors/loadavg.ts"
import { meminfo } from "./collectors/meminfo.ts"
import { netclass } from "./collectors/netclass.ts"
import { makeNetDev } from "./collectors/netdev.ts"
import { netstat } from "./collectors/netstat.ts"
import { pressure } from "./collectors/pressure.ts"
import { makeSockStat } from "./collectors/sockstat.ts"
import { stat } from "./collectors/stat.ts"
import { thermalZone } from "./collectors/thermalZone.ts"
import { makeTime } from "./collectors/time.ts"
import { uname } from "./collectors/uname.ts"
import { vmstat } from "./collectors/vmstat.ts"
import type { MonitorConfig } from "./config.ts"
import type { Family } from "./family.ts"
import { type HostFiles, hostFiles, NoData } from "./files.ts"
import { StatFs } from "./StatFs.ts"

/** Every collector under node_exporter's name for it. */
const makeAll = (config: MonitorConfig, statFs: StatFs["Service"], now: () => number) => ({
  conntrack,
  cpu: makeCpu(),
  cpufreq,
  diskstats: makeDiskStats(config.disks),
  filefd,
  filesystem: makeFileSystem({ mount: config.mounts, fsType: config.fsTypes }, statFs),
  hwmon,
  loadavg,
  meminfo,
  netclass,
  netdev: makeNetDev(config.networks),
  netstat,
  pressure,
  sockstat: makeSockStat(),
  stat,
  thermal_zone: thermalZone,
  time: makeTime(now),
  uname,
  vmstat
})

type All = ReturnType<typeof makeAll>
export type CollectorName = keyof All
type ValueOf<C> = C extends Collector<infer A> ? A : never

interface Timed {
  /** Seconds the collector took. */
  readonly took: number
  /** Seconds of the monotonic clock right after its read. */
  readonly at: number
}

/** What one collector found, or why it found nothing. */
export type Outcome<A> =
  | (Timed & { readonly ok: true; readonly value: A })
  | (Timed & { readonly ok: false; readonly reason: string; readonly problem: NoData["problem"] })

/** One look at the whole host. */
export interface Reading {
  /** Milliseconds since the epoch. */
  readonly time: number
  /** Seconds of the monotonic clock. */
  readonly at: number
  readonly outcomes: { readonly [Name in CollectorName]: Outcome<ValueOf<All[Name]>> }
}

/** What follows the namespaces of the process that is read: in a container without the host's files it is the container's own. */
const namespaced: ReadonlyArray<CollectorName> = [
  "conntrack",
  "filesystem",
  "netclass",
  "netdev",
  "netstat",
  "sockstat",
  "uname"
]

const failures = Metric.counter("gatehouse_monitor_collector_failures_total", {
  description: "Reads in which a collector found nothing, by collector.",
  incremental: true
})

/** All collectors of this host. */
export class Collectors extends Context.Service<
  Collectors,
  {
    readonly names: ReadonlyArray<CollectorName>
    readonly files: HostFiles
    /** Never fails: a collector that does is an outcome. */
    readonly read: Effect.Effect<Reading>
    /** Collectors whose values are not the host's here; people see them marked as such, Prometheus does not see them. */
    readonly foreign: ReadonlySet<string>
    /** The families of the named collectors, each collector's duration and success with them. */
    readonly families: (reading: Reading, names: ReadonlySet<string>) => ReadonlyArray<Family>
  }
>()("gatehouse/monitor/Collectors") {
  static readonly layer = (config: MonitorConfig) => Layer.effect(Collectors, makeCollectors(config))
}

const makeCollectors = (config: MonitorConfig) =>
  Effect.gen(function* () {
    const statFs = yield* StatFs
    const clock = yield* Clock.Clock
    const files = hostFiles(config.prefixes)
    const foreign: ReadonlySet<string> = new Set(files.view === "container" ? namespaced : [])
    const made = makeAll(config, statFs, () => clock.currentTimeMillisUnsafe())
    // Each value goes back only to the collector that it came from.
    const all = made as unknown as Readonly<Record<CollectorName, Collector<unknown>>>
    const names = Object.keys(made) as Array<CollectorName>
    const seconds = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e9

    const failed = (error: unknown, timed: Timed): Outcome<never> =>
      error instanceof NoData
        ? { ok: false, problem: error.problem, reason: error.message, ...timed }
        : { ok: false, problem: "malformed", reason: "malformed: the text is not as the kernel writes it", ...timed }

    const readOne = (collector: Collector<unknown>): Outcome<unknown> | Effect.Effect<Outcome<unknown>> => {
      const start = seconds()
      const timed = (): Timed => {
        const at = seconds()
        return { at, took: at - start }
      }
      const found = (value: unknown): Outcome<unknown> => ({ ok: true, value, ...timed() })
      try {
        const value = collector.read(files)
        if (!Effect.isEffect(value)) return found(value)
        return (value as Effect.Effect<unknown, NoData>).pipe(
          Effect.map(found),
          Effect.catchCause((cause) => Effect.succeed(failed(Cause.squash(cause), timed())))
        )
      } catch (error) {
        return failed(error, timed())
      }
    }

    const read = Effect.gen(function* () {
      const outcomes: Record<string, Outcome<unknown>> = {}
      for (const name of names) {
        const outcome = readOne(all[name])
        outcomes[name] = Effect.isEffect(outcome) ? yield* outcome : outcome
      }
      for (const name of names) {
        const outcome = outcomes[name]!
        if (outcome.ok) continue
        yield* Metric.update(Metric.withAttributes(failures, { collector: name }), 1)
        yield* Effect.logDebug("a collector found nothing").pipe(
          Effect.annotateLogs({ collector: name, reason: outcome.reason })
        )
      }
      const time = yield* Clock.currentTimeMillis
      return { time, at: seconds(), outcomes } as unknown as Reading
    })

    const families = (reading: Reading, wanted: ReadonlySet<string>): ReadonlyArray<Family> => {
      const chosen = names.filter((name) => wanted.has(name))
      const labelled = (value: (outcome: Outcome<unknown>, name: string) => number) =>
        chosen.map((collector) => ({ labels: { collector }, value: value(reading.outcomes[collector], collector) }))
      return [
        ...chosen.flatMap((name) => {
          const outcome = reading.outcomes[name]
          return outcome.ok && !foreign.has(name) ? all[name].families(outcome.value) : []
        }),
        {
          name: "node_scrape_collector_duration_seconds",
          help: "node_exporter: Duration of a collector scrape.",
          type: "gauge",
          samples: labelled((outcome) => outcome.took)
        },
        {
          name: "node_scrape_collector_success",
          help: "node_exporter: Whether a collector succeeded.",
          type: "gauge",
          samples: labelled((outcome, name) => (outcome.ok && !foreign.has(name) ? 1 : 0))
        }
      ]
    }

    return Collectors.of({ names, files, foreign, read, families })
  })
