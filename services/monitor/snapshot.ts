/** Derives the snapshot for people from two readings of the host; pure. */
import type { HostSnapshot, SectionStatus } from "#shared/api/monitor.ts"
import type { CollectorName, Outcome, Reading } from "./Collectors.ts"
import { type CpuMode, cpuModes, type CpuTimes } from "./collectors/stat.ts"
import { type Disk, diskCounter, sectorBytes } from "./collectors/diskstats.ts"
import { type FileSystem, spaceOf } from "./collectors/filesystem.ts"
import type { NetColumn, NetDevice } from "./collectors/netdev.ts"
import type { Stall } from "./collectors/pressure.ts"
import type { View } from "./files.ts"
import { delta, percent, rate, sum } from "./rates.ts"

const valueOf = <A>(outcome: Outcome<A> | undefined): A | undefined =>
  outcome !== undefined && outcome.ok ? outcome.value : undefined

/** Two looks of one collector: the values, and the seconds between them by the monotonic clock. */
interface Pair<A> {
  readonly before: A | undefined
  readonly now: A | undefined
  readonly seconds: number
}

const pairOf = <Name extends CollectorName>(previous: Reading | undefined, current: Reading, name: Name) => {
  const before = previous?.outcomes[name]
  const now = current.outcomes[name]
  type Value = Extract<Reading["outcomes"][Name], { ok: true }>["value"]
  return {
    before: valueOf<Value>(before as Outcome<Value> | undefined),
    now: valueOf<Value>(now as Outcome<Value>),
    seconds: before === undefined ? 0 : now.at - before.at
  } satisfies Pair<Value>
}

/** Seconds gained per mode; null after a reset of any mode. `guest` is inside `user` and is not counted again. */
const gainOf = (before: CpuTimes | undefined, now: CpuTimes): Readonly<Record<CpuMode, number>> | null => {
  const gains = cpuModes.map((mode) => [mode, delta(before?.[mode], now[mode])] as const)
  return gains.some(([, gain]) => gain === null) ? null : (Object.fromEntries(gains) as Record<CpuMode, number>)
}

const wholeOf = (gain: Readonly<Record<CpuMode, number>> | null) =>
  gain === null
    ? null
    : gain.user + gain.nice + gain.system + gain.idle + gain.iowait + gain.irq + gain.softirq + gain.steal

const cpuOf = ({ before, now }: Pair<{ readonly times: ReadonlyMap<string, CpuTimes> }>): HostSnapshot["cpu"] => {
  const gains = [...(now?.times ?? [])].map(([cpu, times]) => [cpu, gainOf(before?.times.get(cpu), times)] as const)
  const of = (mode: CpuMode) => sum(...gains.map(([, gain]) => gain?.[mode]))
  const whole = gains.length === 0 ? null : sum(...gains.map(([, gain]) => wholeOf(gain)))
  const busy = (gain: Readonly<Record<CpuMode, number>> | null) => {
    const all = wholeOf(gain)
    return gain === null || all === null ? null : all - gain.idle - gain.iowait
  }
  return {
    usedPercent: percent(sum(...gains.map(([, gain]) => busy(gain))), whole),
    userPercent: percent(sum(of("user"), of("nice")), whole),
    systemPercent: percent(sum(of("system"), of("irq"), of("softirq")), whole),
    iowaitPercent: percent(of("iowait"), whole),
    stealPercent: percent(of("steal"), whole),
    cores: gains.map(([cpu, gain]) => ({ cpu, usedPercent: percent(busy(gain), wholeOf(gain)) }))
  }
}

const memoryOf = (fields: ReadonlyMap<string, number> | undefined): HostSnapshot["memory"] => {
  const field = (name: string) => fields?.get(`${name}_bytes`) ?? null
  const less = (all: number | null, part: number | null) => (all === null || part === null ? null : all - part)
  const total = field("MemTotal")
  const available = field("MemAvailable")
  const swap = field("SwapTotal")
  const used = less(total, available)
  const swapUsed = less(swap, field("SwapFree"))
  return {
    totalBytes: total,
    availableBytes: available,
    usedBytes: used,
    usedPercent: percent(used, total),
    swapTotalBytes: swap,
    swapUsedBytes: swapUsed,
    swapUsedPercent: percent(swapUsed, swap)
  }
}

const fileSystemOf = (one: FileSystem): HostSnapshot["filesystems"][number] => {
  const space = spaceOf(one)
  const used = space === undefined ? null : space.blocks - space.free
  return {
    device: one.device,
    mountpoint: one.mountpoint,
    fstype: one.fstype,
    sizeBytes: space === undefined ? null : space.blocks * space.blockSize,
    usedBytes: space === undefined || used === null ? null : used * space.blockSize,
    availableBytes: space === undefined ? null : space.available * space.blockSize,
    // As df(1): the part that only root may use counts neither as used nor as there.
    usedPercent: percent(used, space === undefined || used === null ? null : used + space.available),
    inodesUsedPercent: space === undefined ? null : percent(space.files - space.filesFree, space.files),
    readonly: one.readonly,
    error: "error" in one.answer ? one.answer.error : null
  }
}

const disksOf = ({ before, now, seconds }: Pair<ReadonlyArray<Disk>>): HostSnapshot["disks"] => {
  const earlier = new Map((before ?? []).map((disk) => [`${disk.device} ${disk.major}:${disk.minor}`, disk.counters]))
  return (now ?? []).map((disk) => {
    const past = earlier.get(`${disk.device} ${disk.major}:${disk.minor}`)
    const gain = (name: keyof typeof diskCounter) => delta(past?.[diskCounter[name]], disk.counters[diskCounter[name]])
    const per = (name: keyof typeof diskCounter, factor = 1) => {
      const one = rate(past?.[diskCounter[name]], disk.counters[diskCounter[name]], seconds)
      return one === null ? null : one * factor
    }
    const requests = sum(gain("reads"), gain("writes"))
    const waited = sum(gain("readMilliseconds"), gain("writeMilliseconds"))
    return {
      device: disk.device,
      readBytesPerSecond: per("readSectors", sectorBytes),
      writtenBytesPerSecond: per("writtenSectors", sectorBytes),
      readsPerSecond: per("reads"),
      writesPerSecond: per("writes"),
      busyPercent: percent(per("ioMilliseconds", 1e-3), 1),
      awaitSeconds: requests === null || requests === 0 || waited === null ? null : waited / 1000 / requests,
      queueLength: per("weightedMilliseconds", 1e-3)
    }
  })
}

const networkOf = (
  { before, now, seconds }: Pair<ReadonlyArray<NetDevice>>,
  states: ReadonlyMap<string, string>
): HostSnapshot["network"] => {
  const earlier = new Map((before ?? []).map(({ counters, device }) => [device, counters]))
  return (now ?? []).map(({ counters, device }) => {
    const per = (column: NetColumn) => rate(earlier.get(device)?.[column], counters[column], seconds)
    const state = states.get(device)
    return {
      device,
      // Loopback and tunnels do not say.
      up: state === undefined || state === "unknown" ? null : state === "up",
      receiveBytesPerSecond: per("receive_bytes"),
      transmitBytesPerSecond: per("transmit_bytes"),
      receivePacketsPerSecond: per("receive_packets"),
      transmitPacketsPerSecond: per("transmit_packets"),
      errorsPerSecond: sum(per("receive_errs"), per("transmit_errs")),
      dropsPerSecond: sum(per("receive_drop"), per("transmit_drop"))
    }
  })
}

const pressureOf = (previous: Reading | undefined, current: Reading): HostSnapshot["pressure"] => {
  const { before, now, seconds } = pairOf(previous, current, "pressure")
  const one = (past: Stall | undefined, stall: Stall | undefined) => ({
    avg10Percent: stall?.avg10 ?? null,
    percent: percent(rate(past?.total, stall?.total, seconds), 1)
  })
  return {
    cpuSome: one(before?.cpu?.some, now?.cpu?.some),
    memorySome: one(before?.memory?.some, now?.memory?.some),
    memoryFull: one(before?.memory?.full, now?.memory?.full),
    ioSome: one(before?.io?.some, now?.io?.some),
    ioFull: one(before?.io?.full, now?.io?.full)
  }
}

/** Those of the sensors, then those of the firmware's zones; thousandths of a degree in hwmon's files. */
const temperaturesOf = ({ outcomes }: Reading): HostSnapshot["temperatures"] => {
  const celsius = (text: string | undefined) => {
    const value = Number.parseInt(text ?? "", 10)
    return Number.isNaN(value) ? null : value / 1000
  }
  const sensors = (valueOf(outcomes.hwmon) ?? []).flatMap(({ chip, chipName, sensors: all }) =>
    all
      .filter(({ type, values }) => type === "temp" && values.has("input"))
      .map(({ name, values }) => ({
        sensor: `${chipName === "" ? chip : chipName} ${values.get("label") ?? name}`,
        celsius: celsius(values.get("input")),
        criticalCelsius: celsius(values.get("crit"))
      }))
  )
  const zones = (valueOf(outcomes.thermal_zone)?.zones ?? []).map((one) => ({
    sensor: `${one.type} ${one.zone}`,
    celsius: one.celsius,
    criticalCelsius: null
  }))
  return [...sensors, ...zones]
}

const statusOf = (outcome: Outcome<unknown>, view: View = "host"): SectionStatus => {
  if (!outcome.ok) {
    const hidden = outcome.problem === "hidepid" || outcome.problem === "pod"
    return { status: hidden ? "degraded" : "unavailable", reason: outcome.reason }
  }
  if (view === "container")
    return { status: "degraded", reason: "container: these are the container's own, not the host's" }
  return { status: "ok" }
}

/** The snapshot of `current`, with rates since `previous` (null without one). */
export const snapshotOf = (previous: Reading | undefined, current: Reading, view: View): HostSnapshot => {
  const { outcomes } = current
  const cpu = cpuOf(pairOf(previous, current, "cpu"))
  const load = valueOf(outcomes.loadavg)
  const names = valueOf(outcomes.uname)
  const bootTime = valueOf(outcomes.stat)?.bootTime
  const states = new Map((valueOf(outcomes.netclass) ?? []).map(({ device, operstate }) => [device, operstate]))
  return {
    at: new Date(current.time).toISOString(),
    host: {
      name: names === undefined || names.nodename === "" ? null : names.nodename,
      kernel: names?.release ?? null,
      bootTime: bootTime === undefined ? null : new Date(bootTime * 1000).toISOString(),
      uptimeSeconds: bootTime === undefined ? null : current.time / 1000 - bootTime
    },
    cpu,
    memory: memoryOf(valueOf(outcomes.meminfo)),
    load: {
      load1: load?.load1 ?? null,
      load5: load?.load5 ?? null,
      load15: load?.load15 ?? null,
      load1PerCore: load === undefined || cpu.cores.length === 0 ? null : load.load1 / cpu.cores.length
    },
    filesystems: (valueOf(outcomes.filesystem) ?? []).map(fileSystemOf),
    disks: disksOf(pairOf(previous, current, "diskstats")),
    network: networkOf(pairOf(previous, current, "netdev"), states),
    pressure: pressureOf(previous, current),
    temperatures: temperaturesOf(current),
    sections: {
      host: statusOf(outcomes.uname, view),
      cpu: statusOf(outcomes.cpu),
      memory: statusOf(outcomes.meminfo),
      load: statusOf(outcomes.loadavg),
      filesystems: statusOf(outcomes.filesystem, view),
      disks: statusOf(outcomes.diskstats),
      network: statusOf(outcomes.netdev, view),
      pressure: statusOf(outcomes.pressure),
      temperatures: statusOf(outcomes.hwmon.ok ? outcomes.hwmon : outcomes.thermal_zone)
    }
  }
}
