/** Processor times per mode, which never go backwards, with what /sys says of each processor. */
import { counter, gauge, sample, type Sample } from "../family.ts"
import type { HostFiles } from "../files.ts"
import { valueOf } from "../parse.ts"
import type { Collector } from "./collector.ts"
import { type CpuMode, cpuModes, type CpuTimes, parseStat } from "./stat.ts"

interface Throttles {
  /** By package. */
  readonly packages: ReadonlyMap<string, number>
  readonly cores: ReadonlyArray<{ readonly package: string; readonly core: string; readonly count: number }>
}

export interface Cpu {
  readonly times: ReadonlyMap<string, CpuTimes>
  /** By processor; empty where the kernel cannot take processors offline. */
  readonly online: ReadonlyMap<string, boolean>
  readonly isolated: ReadonlyArray<string>
  readonly throttles: Throttles
}

/** Seconds of idle time by which a processor may fall back before it counts as a new one (hotplug), as in node_exporter. */
const idleJump = 3

/**
 * Keeps each processor's times from falling: the kernel's idle and iowait do at times (they are estimates). A processor that
 * was away, or whose idle time falls by 3 s or more, starts anew.
 */
export const makeMonotone = () => {
  let known = new Map<string, CpuTimes>()
  return (now: ReadonlyMap<string, CpuTimes>): ReadonlyMap<string, CpuTimes> => {
    const next = new Map<string, CpuTimes>()
    for (const [cpu, times] of now) {
      const before = known.get(cpu)
      if (before === undefined || before.idle - times.idle >= idleJump) next.set(cpu, times)
      else {
        const highest = cpuModes.map((mode) => [mode, Math.max(before[mode], times[mode])] as const)
        next.set(cpu, Object.fromEntries(highest) as CpuTimes)
      }
    }
    known = next
    return next
  }
}

/** `0-2,5` → 0, 1, 2, 5 (the kernel's cpu list format). */
export const parseCpuList = (text: string): ReadonlyArray<string> =>
  text.split(",").flatMap((part) => {
    const range = /^(\d+)(?:-(\d+))?$/u.exec(part)
    if (range === null) return []
    const first = Number(range[1])
    return Array.from({ length: Number(range[2] ?? first) - first + 1 }, (_, index) => String(first + index))
  })

const folder = "devices/system/cpu"

const processorsOf = (files: HostFiles): ReadonlyArray<string> => {
  try {
    return files.list(folder).filter((name) => /^cpu\d+$/u.test(name))
  } catch {
    return []
  }
}

const readThrottles = (files: HostFiles, processors: ReadonlyArray<string>): Throttles => {
  const packages = new Map<string, number>()
  const cores = new Map<string, Throttles["cores"][number]>()
  for (const cpu of processors) {
    const core = files.trySys(`${folder}/${cpu}/topology/core_id`)
    const parent = files.trySys(`${folder}/${cpu}/topology/physical_package_id`)
    if (core === undefined || parent === undefined) continue
    const count = (name: string) => valueOf(files.trySys(`${folder}/${cpu}/thermal_throttle/${name}`))
    const key = `${parent} ${core}`
    if (!cores.has(key)) {
      const found = count("core_throttle_count")
      if (found !== undefined) cores.set(key, { package: parent, core, count: found })
    }
    if (!packages.has(parent)) {
      const found = count("package_throttle_count")
      if (found !== undefined) packages.set(parent, found)
    }
  }
  return { packages, cores: [...cores.values()] }
}

const readOnline = (files: HostFiles, processors: ReadonlyArray<string>): ReadonlyMap<string, boolean> => {
  // node_exporter shows none where the first processor has no such file; it is the one that usually cannot go offline.
  if (processors[0] === undefined || files.trySys(`${folder}/${processors[0]}/online`) === undefined) return new Map()
  return new Map(processors.map((cpu) => [cpu.slice(3), files.trySys(`${folder}/${cpu}/online`) === "1"]))
}

const help = {
  seconds: "Seconds the CPUs spent in each mode.",
  guest: "Seconds the CPUs spent in guests (VMs) for each mode.",
  online: "CPUs that are online and being scheduled.",
  isolated: "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.",
  core: "Number of times this CPU core has been throttled.",
  package: "Number of times this CPU package has been throttled."
}

const exposed = cpuModes.filter((mode) => mode !== "guest" && mode !== "guestNice")

const secondsOf = (
  value: Cpu,
  modes: ReadonlyArray<CpuMode>,
  label: (mode: CpuMode) => string
): ReadonlyArray<Sample> =>
  [...value.times].flatMap(([cpu, times]) => modes.map((mode) => sample(times[mode], { cpu, mode: label(mode) })))

const families: Collector<Cpu>["families"] = (value) => [
  counter(
    "node_cpu_seconds_total",
    help.seconds,
    secondsOf(value, exposed, (mode) => mode)
  ),
  counter(
    "node_cpu_guest_seconds_total",
    help.guest,
    secondsOf(value, ["guest", "guestNice"], (mode) => (mode === "guest" ? "user" : "nice"))
  ),
  gauge(
    "node_cpu_online",
    help.online,
    [...value.online].map(([cpu, online]) => sample(online ? 1 : 0, { cpu }))
  ),
  gauge(
    "node_cpu_isolated",
    help.isolated,
    value.isolated.map((cpu) => sample(1, { cpu }))
  ),
  counter(
    "node_cpu_core_throttles_total",
    help.core,
    value.throttles.cores.map((one) => sample(one.count, { package: one.package, core: one.core }))
  ),
  counter(
    "node_cpu_package_throttles_total",
    help.package,
    [...value.throttles.packages].map(([name, count]) => sample(count, { package: name }))
  )
]

/** One per service, because it remembers the highest times seen. */
export const makeCpu = (): Collector<Cpu> => {
  const monotone = makeMonotone()
  return {
    read: (files) => {
      const times = monotone(parseStat(files.proc("stat")).cpus)
      const processors = processorsOf(files)
      const online = readOnline(files, processors)
      const isolated = parseCpuList(files.trySys(`${folder}/isolated`) ?? "")
      return { times, online, isolated, throttles: readThrottles(files, processors) }
    },
    families
  }
}
