/** From which value on something deserves a word; pure, must not know how it is shown. */
import type { HostSnapshot } from "#shared/api/monitor.ts"
import { bytes, percent } from "../../format.ts"

export type Level = "ok" | "warning" | "critical"

export const levelWords: Readonly<Record<Level, string>> = {
  ok: "fine",
  warning: "filling up",
  critical: "nearly full"
}

const levelOf = (value: number | null, warning: number, critical: number): Level =>
  value === null || value < warning ? "ok" : value < critical ? "warning" : "critical"

type Filesystem = HostSnapshot["filesystems"][number]

/** By space or by inodes, whichever is scarcer; a read-only one (a CD, an image) is full by nature. */
export const filesystemLevel = ({ inodesUsedPercent, readonly, usedPercent }: Filesystem): Level =>
  readonly ? "ok" : levelOf(Math.max(usedPercent ?? 0, inodesUsedPercent ?? 0), 85, 95)

export interface Notice {
  readonly level: "warning" | "critical"
  readonly text: string
}

const sectionNames: Readonly<Record<string, string>> = {
  cpu: "CPU",
  memory: "Memory",
  load: "Load",
  filesystems: "Filesystems",
  disks: "Disks",
  network: "Network",
  pressure: "Pressure",
  temperatures: "Temperatures",
  host: "Host"
}

/** What a person should know before looking at any chart. Averages over 10 s, so that a moment's peak says nothing. */
export const noticesOf = (snapshot: HostSnapshot): ReadonlyArray<Notice> => {
  const notices: Array<Notice> = []
  const add = (level: Level, text: string) => {
    if (level !== "ok") notices.push({ level, text })
  }
  const { memory, pressure } = snapshot
  for (const filesystem of snapshot.filesystems) {
    const { availableBytes, error, inodesUsedPercent, mountpoint, usedPercent } = filesystem
    if (error !== null) add("warning", `${mountpoint} cannot be read: ${error}`)
    const byInodes = (inodesUsedPercent ?? 0) > (usedPercent ?? 0)
    const text = byInodes
      ? `${mountpoint} has ${percent(inodesUsedPercent, 0)} of its inodes used`
      : `${mountpoint} is ${percent(usedPercent, 0)} full, ${bytes(availableBytes)} left`
    add(filesystemLevel(filesystem), text)
  }
  add(
    levelOf(memory.usedPercent, 90, 97),
    `Memory is ${percent(memory.usedPercent, 0)} used, ${bytes(memory.availableBytes)} available`
  )
  add(levelOf(memory.swapUsedPercent, 60, 90), `Swap is ${percent(memory.swapUsedPercent, 0)} used`)
  add(
    levelOf(pressure.memorySome.avg10Percent, 10, 40),
    `Tasks wait for memory ${percent(pressure.memorySome.avg10Percent, 0)} of the time`
  )
  add(
    levelOf(pressure.ioSome.avg10Percent, 40, 80),
    `Tasks wait for I/O ${percent(pressure.ioSome.avg10Percent, 0)} of the time`
  )
  add(
    levelOf(pressure.cpuSome.avg10Percent, 60, 90),
    `Tasks wait for CPU ${percent(pressure.cpuSome.avg10Percent, 0)} of the time`
  )
  for (const { celsius, criticalCelsius, sensor } of snapshot.temperatures) {
    if (celsius === null || criticalCelsius === null) continue
    add(levelOf(celsius, criticalCelsius - 10, criticalCelsius - 3), `${sensor} is at ${celsius.toFixed(0)} °C`)
  }
  for (const [section, { reason, status }] of Object.entries(snapshot.sections)) {
    if (status === "unavailable" && section !== "temperatures") {
      add("warning", `${sectionNames[section] ?? section} unavailable${reason === undefined ? "" : `: ${reason}`}`)
    }
  }
  return notices
}
