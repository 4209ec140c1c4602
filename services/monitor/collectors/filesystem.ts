/** Sizes of the host's filesystems: which are mounted from the first process's mountinfo, how full they are from statfs. */
import { Effect } from "effect"
import { type Family, gauge, type Sample, sample } from "../family.ts"
import { NoData } from "../files.ts"
import type { Filter } from "../filter.ts"
import type { Answer, Space, StatFs } from "../StatFs.ts"
import type { Collector } from "./collector.ts"
import { type Mount, parseMountInfo } from "./mountinfo.ts"

export interface FileSystem extends Mount {
  readonly answer: Answer
}

/** Mounts beyond this many are not asked for their size; the collector fails rather than show an arbitrary part. */
const maxMounts = 10_000

export interface FileSystemFilters {
  readonly mount: Filter
  readonly fsType: Filter
}

const isSpace = (answer: Answer): answer is Space => "blocks" in answer

/** The sizes, or undefined where the filesystem gave none. */
export const spaceOf = (one: FileSystem): Space | undefined => (isSpace(one.answer) ? one.answer : undefined)

const families = (found: ReadonlyArray<FileSystem>): ReadonlyArray<Family> => {
  const labels = found.map((one) => ({
    device: one.device,
    mountpoint: one.mountpoint,
    fstype: one.fstype,
    device_error: isSpace(one.answer) ? "" : one.answer.error
  }))
  const each = (value: (one: FileSystem) => number): ReadonlyArray<Sample> =>
    found.map((one, index) => sample(value(one), labels[index]))
  const sized = (value: (space: Space) => number): ReadonlyArray<Sample> =>
    found.flatMap(({ answer }, index) => (isSpace(answer) ? [sample(value(answer), labels[index])] : []))
  return [
    gauge(
      "node_filesystem_size_bytes",
      "Filesystem size in bytes.",
      sized((of) => of.blocks * of.blockSize)
    ),
    gauge(
      "node_filesystem_free_bytes",
      "Filesystem free space in bytes.",
      sized((of) => of.free * of.blockSize)
    ),
    gauge(
      "node_filesystem_avail_bytes",
      "Filesystem space available to non-root users in bytes.",
      sized((of) => of.available * of.blockSize)
    ),
    gauge(
      "node_filesystem_files",
      "Filesystem total file nodes.",
      sized((of) => of.files)
    ),
    gauge(
      "node_filesystem_files_free",
      "Filesystem total free file nodes.",
      sized((of) => of.filesFree)
    ),
    gauge(
      "node_filesystem_readonly",
      "Filesystem read-only status.",
      each((one) => (one.readonly ? 1 : 0))
    ),
    gauge(
      "node_filesystem_device_error",
      "Whether an error occurred while getting statistics for the given device.",
      each((one) => (isSpace(one.answer) ? 0 : 1))
    ),
    gauge(
      "node_filesystem_mount_info",
      "Filesystem mount information.",
      found.flatMap((one) => {
        const { device, major, minor, mountpoint } = one
        return isSpace(one.answer) ? [sample(1, { device, major, minor, mountpoint })] : []
      })
    )
  ]
}

/** The same device on the same mount point twice (bind mounts) is shown once. */
const distinct = (mounts: ReadonlyArray<Mount>): ReadonlyArray<Mount> =>
  [
    ...new Map(mounts.toReversed().map((one) => [`${one.device}\0${one.mountpoint}\0${one.fstype}`, one])).values()
  ].toReversed()

export const makeFileSystem = (
  filters: FileSystemFilters,
  statFs: StatFs["Service"]
): Collector<ReadonlyArray<FileSystem>> => ({
  read: (files) => {
    const mounts = distinct(
      parseMountInfo(files.first("mountinfo"), files.rootfs).filter(
        (one) => filters.mount(one.mountpoint) && filters.fsType(one.fstype)
      )
    )
    if (mounts.length > maxMounts)
      throw new NoData({ file: "mountinfo", problem: "malformed", detail: "too many mounts" })
    const prefix = files.rootfs === "/" ? "" : files.rootfs.replace(/\/$/u, "")
    const pathOf = (one: Mount) => prefix + one.mountpoint
    return Effect.map(statFs.ask([...new Set(mounts.map(pathOf))]), (answers) =>
      mounts.map((one) => ({ ...one, answer: answers.get(pathOf(one)) ?? { error: "mountpoint timeout" } }))
    )
  },
  families
})
