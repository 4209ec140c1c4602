/** Which values of a snapshot are kept in the history; pure. */
import type { HistoryMetric, HostSnapshot } from "#shared/api/monitor.ts"

/** One value of one series; `label` is "" where the metric has none. */
export interface HistoryValue {
  readonly metric: HistoryMetric
  readonly label: string
  readonly value: number
}

/** Ends of virtual links to pods come and go with them, and loopback says nothing about the host. */
const passing = /^(?:lo$|veth|cali|lxc)/u

/** Devices or mount points of one kind that are kept at most: names must not fill the table. */
const maxLabels = 64

/** The values that are known and the host's; what is null, or a container's own, leaves a gap. */
export const historyValues = (snapshot: HostSnapshot): ReadonlyArray<HistoryValue> => {
  const values: Array<HistoryValue> = []
  const keep = (metric: HistoryMetric, value: number | null, label = "") => {
    if (value !== null && Number.isFinite(value)) values.push({ metric, label, value })
  }
  keep("cpu.used_percent", snapshot.cpu.usedPercent)
  keep("cpu.iowait_percent", snapshot.cpu.iowaitPercent)
  keep("cpu.steal_percent", snapshot.cpu.stealPercent)
  keep("memory.used_percent", snapshot.memory.usedPercent)
  keep("memory.available_bytes", snapshot.memory.availableBytes)
  keep("memory.swap_used_percent", snapshot.memory.swapUsedPercent)
  keep("load.load1", snapshot.load.load1)
  keep("pressure.cpu_some_percent", snapshot.pressure.cpuSome.percent)
  keep("pressure.memory_some_percent", snapshot.pressure.memorySome.percent)
  keep("pressure.io_some_percent", snapshot.pressure.ioSome.percent)
  const ofHost = (section: string) => snapshot.sections[section]?.status === "ok"
  for (const one of ofHost("filesystems") ? snapshot.filesystems.slice(0, maxLabels) : []) {
    keep("filesystem.used_percent", one.usedPercent, one.mountpoint)
  }
  for (const one of snapshot.disks.slice(0, maxLabels)) {
    keep("disk.read_bytes_per_second", one.readBytesPerSecond, one.device)
    keep("disk.written_bytes_per_second", one.writtenBytesPerSecond, one.device)
    keep("disk.busy_percent", one.busyPercent, one.device)
  }
  const links = ofHost("network") ? snapshot.network.filter(({ device }) => !passing.test(device)) : []
  for (const one of links.slice(0, maxLabels)) {
    keep("network.receive_bytes_per_second", one.receiveBytesPerSecond, one.device)
    keep("network.transmit_bytes_per_second", one.transmitBytesPerSecond, one.device)
  }
  return values
}
