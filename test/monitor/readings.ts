/** Readings made by hand, with a given number of seconds on both clocks. */
import { Effect, Layer } from "effect"
import { type CollectorName, Collectors, type Reading } from "#monitor/Collectors.ts"
import { netColumns, type NetColumn, type NetDevice } from "#monitor/collectors/netdev.ts"
import { cpuModes, type CpuTimes } from "#monitor/collectors/stat.ts"
import { hostFiles } from "#monitor/files.ts"

const names: ReadonlyArray<CollectorName> = [
  "conntrack",
  "cpu",
  "cpufreq",
  "diskstats",
  "filefd",
  "filesystem",
  "hwmon",
  "loadavg",
  "meminfo",
  "netclass",
  "netdev",
  "netstat",
  "pressure",
  "sockstat",
  "stat",
  "thermal_zone",
  "time",
  "uname",
  "vmstat"
]

type Values = { readonly [Name in CollectorName]?: Extract<Reading["outcomes"][Name], { readonly ok: true }>["value"] }

/** A reading at `at` seconds in which the given collectors succeeded and all others found nothing. */
export const readingOf = (at: number, values: Values): Reading => {
  const outcomes = names.map((name) => {
    const value = values[name]
    const outcome =
      value === undefined
        ? { ok: false, problem: "missing", reason: `missing: ${name}`, at, took: 0 }
        : { ok: true, value, at, took: 0 }
    return [name, outcome]
  })
  return { time: at * 1000, at, outcomes: Object.fromEntries(outcomes) as Reading["outcomes"] }
}

export const cpuTimes = (times: Partial<CpuTimes>): CpuTimes =>
  ({ ...Object.fromEntries(cpuModes.map((mode) => [mode, 0])), ...times }) as CpuTimes

/** The cpu collector's value with these processors. */
export const cpus = (times: Readonly<Record<string, CpuTimes>>) => ({
  times: new Map(Object.entries(times)),
  online: new Map<string, boolean>(),
  isolated: [],
  throttles: { packages: new Map<string, number>(), cores: [] }
})

export const netDevice = (device: string, counters: Partial<Record<NetColumn, number>>): NetDevice => ({
  device,
  counters: { ...Object.fromEntries(netColumns.map((name) => [name, 0])), ...counters } as Record<NetColumn, number>
})

/** Collectors that give what `read` gives. */
export const collectorsGiving = (read: Effect.Effect<Reading>) =>
  Layer.succeed(
    Collectors,
    Collectors.of({
      names,
      files: hostFiles({ rootfs: "/nowhere", procfs: "/nowhere", sysfs: "/nowhere" }),
      foreign: new Set(),
      read,
      families: () => []
    })
  )
