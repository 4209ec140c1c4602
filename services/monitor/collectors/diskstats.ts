/** /proc/diskstats: requests, bytes and times of each disk. */
import { counter, type Family, gauge, sample } from "../family.ts"
import type { HostFiles } from "../files.ts"
import type { Filter } from "../filter.ts"
import { fieldsOf, linesOf, numberOf, truncated } from "../parse.ts"
import type { Collector } from "./collector.ts"

export interface Disk {
  readonly device: string
  readonly major: string
  readonly minor: string
  /** The counters as the kernel gives them: 11, 15 (4.18) or 17 (5.5) of them. */
  readonly counters: ReadonlyArray<number>
  readonly rotational: boolean
  /** Properties udev knows, `ID_MODEL` and the like; empty without udev's data. */
  readonly udev: Readonly<Record<string, string>>
}

/** /proc/diskstats counts in sectors of this many bytes, whatever the disk's own block size. */
export const sectorBytes = 512

/** Where a counter is in `Disk.counters`. */
export const diskCounter = {
  reads: 0,
  readSectors: 2,
  readMilliseconds: 3,
  writes: 4,
  writtenSectors: 6,
  writeMilliseconds: 7,
  ioMilliseconds: 9,
  weightedMilliseconds: 10
} as const

/** Text of /proc/diskstats. A row is whole with 14 columns or more; one shorter than its predecessors is cut off. */
export const parseDiskStats = (text: string): ReadonlyArray<Omit<Disk, "rotational" | "udev">> => {
  let width = 0
  return linesOf(text, "diskstats").map((line) => {
    const fields = fieldsOf(line)
    if (fields.length < Math.max(14, width)) throw truncated("diskstats", "a row has too few columns")
    width = Math.min(fields.length, 20)
    return {
      major: fields[0]!,
      minor: fields[1]!,
      device: fields[2]!,
      counters: fields.slice(3, 20).map((field) => numberOf(field, "diskstats"))
    }
  })
}

/** `E:NAME=value` lines of udev's database, run/udev/data/b<major>:<minor>. */
export const parseUdev = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    text.split("\n").flatMap((line) => {
      const found = /^E:([^=]+)=(.*)$/u.exec(line)
      return found === null ? [] : [[found[1]!, found[2]!]]
    })
  )

const columns: ReadonlyArray<readonly [name: string, factor: number, help: string]> = [
  ["reads_completed_total", 1, "The total number of reads completed successfully."],
  ["reads_merged_total", 1, "The total number of reads merged."],
  ["read_bytes_total", sectorBytes, "The total number of bytes read successfully."],
  ["read_time_seconds_total", 1e-3, "The total number of seconds spent by all reads."],
  ["writes_completed_total", 1, "The total number of writes completed successfully."],
  ["writes_merged_total", 1, "The number of writes merged."],
  ["written_bytes_total", sectorBytes, "The total number of bytes written successfully."],
  ["write_time_seconds_total", 1e-3, "This is the total number of seconds spent by all writes."],
  ["io_now", 1, "The number of I/Os currently in progress."],
  ["io_time_seconds_total", 1e-3, "Total seconds spent doing I/Os."],
  ["io_time_weighted_seconds_total", 1e-3, "The weighted # of seconds spent doing I/Os."],
  ["discards_completed_total", 1, "The total number of discards completed successfully."],
  ["discards_merged_total", 1, "The total number of discards merged."],
  ["discarded_sectors_total", 1, "The total number of sectors discarded successfully."],
  ["discard_time_seconds_total", 1e-3, "This is the total number of seconds spent by all discards."],
  ["flush_requests_total", 1, "The total number of flush requests completed successfully"],
  ["flush_requests_time_seconds_total", 1e-3, "This is the total number of seconds spent by all flush requests."]
]

const infoOf = (disk: Disk) =>
  sample(1, {
    device: disk.device,
    major: disk.major,
    minor: disk.minor,
    path: disk.udev["ID_PATH"] ?? "",
    wwn: disk.udev["ID_WWN"] ?? "",
    model: disk.udev["ID_MODEL"] ?? "",
    serial: disk.udev["SCSI_IDENT_SERIAL"] ?? disk.udev["ID_SERIAL_SHORT"] ?? disk.udev["ID_SERIAL"] ?? "",
    revision: disk.udev["ID_REVISION"] ?? "",
    rotational: disk.rotational ? "1" : "0"
  })

const families = (disks: ReadonlyArray<Disk>): ReadonlyArray<Family> => [
  gauge("node_disk_info", "Info of /sys/block/<block_device>.", disks.map(infoOf)),
  ...columns.map(([name, factor, help], index) => {
    const samples = disks.flatMap(({ counters, device }) => {
      const value = counters[index]
      return value === undefined ? [] : [sample(value * factor, { device })]
    })
    return (name === "io_now" ? gauge : counter)(`node_disk_${name}`, help, samples)
  })
]

/** udev's facts do not change while a device has its number; what was read is kept. */
export const makeDiskStats = (shown: Filter): Collector<ReadonlyArray<Disk>> => {
  const known = new Map<string, Pick<Disk, "rotational" | "udev">>()
  const factsOf = (files: HostFiles, device: string, number: string) => {
    const key = `${device} ${number}`
    const before = known.get(key)
    if (before !== undefined) return before
    const rotational = files.trySys(`block/${device}/queue/rotational`) === "1"
    const facts = { rotational, udev: parseUdev(files.tryRoot(`run/udev/data/b${number}`) ?? "") }
    known.set(key, facts)
    return facts
  }
  return {
    read: (files) => {
      const disks = parseDiskStats(files.proc("diskstats")).filter((disk) => shown(disk.device))
      if (known.size > disks.length * 2 + 64) known.clear()
      return disks.map((disk) => ({ ...disk, ...factsOf(files, disk.device, `${disk.major}:${disk.minor}`) }))
    },
    families
  }
}
