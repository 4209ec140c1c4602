/** Reads the kernel's files under the host's prefixes, never mistaking the pod's own for the host's; must parse none of them. */
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, realpathSync, statSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { codeOf } from "#shared/systemErrors.ts"

/**
 * Why a file gives no data. `hidepid`, `pod` and `netns`: the host's own file cannot be seen, and the one that can be is not
 * the host's.
 */
export const Problem = Schema.Literals([
  "missing",
  "denied",
  "unreadable",
  "truncated",
  "malformed",
  "hidepid",
  "pod",
  "netns",
  "timeout"
])
export type Problem = typeof Problem.Type

/** A kernel file that is not there, cannot be read or does not look as the kernel writes it. Thrown by readers and parsers. */
export class NoData extends Schema.TaggedError<NoData>()("NoData", {
  file: Schema.String,
  problem: Problem,
  detail: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return `${this.problem}: ${this.file}${this.detail === undefined ? "" : `: ${this.detail}`}`
  }
}

const noData = (file: string, error: unknown): NoData => {
  const code = codeOf(error)
  if (code === "ENOENT" || code === "ENOTDIR" || code === "ESRCH" || code === "ENODEV") {
    return new NoData({ file, problem: "missing" })
  }
  if (code === "EACCES" || code === "EPERM") return new NoData({ file, problem: "denied" })
  return new NoData({ file, problem: "unreadable", detail: code })
}

/** No kernel table of ours is larger; a file that never ends must not take the memory. */
const maxBytes = 32 * 1024 * 1024
let buffer = Buffer.allocUnsafeSlow(64 * 1024)

/** The whole text of a file of /proc or /sys, whose `size` says nothing: read until the end. Bytes that are no UTF-8 become U+FFFD. */
const readWhole = (path: string): string => {
  const file = openSync(path, "r")
  try {
    let length = 0
    for (;;) {
      if (length === buffer.length) {
        if (length >= maxBytes) throw new RangeError("larger than any kernel table")
        const larger = Buffer.allocUnsafeSlow(length * 2)
        buffer.copy(larger)
        buffer = larger
      }
      const read = readSync(file, buffer, length, buffer.length - length, null)
      if (read === 0) return buffer.toString("utf8", 0, length)
      length += read
    }
  } finally {
    closeSync(file)
  }
}

const linkOf = (path: string): string | undefined => {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

/** The inode number Linux gives its first PID namespace (include/linux/proc_ns.h, PROC_PID_INIT_INO). */
const firstPidNamespace = "pid:[4026531836]"

/**
 * What this process can see of the host. `host`: it is on the host, or the host's files are mounted below the prefixes.
 * `container`: it is in a container and was given no prefix, so that it sees the container's network and mounts.
 * `pod`: it was given a prefix whose /proc is the container's own all the same.
 */
export type View = "host" | "container" | "pod"

export interface HostFiles {
  readonly rootfs: string
  readonly view: View
  /** Whether this process is in the host's network namespace, which decides what /proc/sys/net shows. */
  readonly sameNetwork: boolean
  /** Text of a file below the host's /proc; throws NoData. */
  readonly proc: (path: string) => string
  /**
   * Text of a file of process 1, whose namespaces are the host's: `net/dev`, `mountinfo`. Where /proc/1 is hidden it is this
   * process's own only if that is the same thing, else NoData `hidepid`.
   */
  readonly first: (path: string) => string
  /** Text of a file below the host's /sys without the line end; throws NoData. */
  readonly sys: (path: string) => string
  /** The same, or undefined: for the many attributes that a driver may lack or refuse to read. */
  readonly trySys: (path: string) => string | undefined
  /** Names in a folder below the host's /sys, sorted; throws NoData. */
  readonly list: (path: string) => ReadonlyArray<string>
  /** The path, below the host's /sys, that a symbolic link there leads to; undefined where it leads nowhere. */
  readonly resolve: (path: string) => string | undefined
  /** Text of a file below the host's root, or undefined. */
  readonly tryRoot: (path: string) => string | undefined
}

/** Prefixes below which the host's files are: `/`, `/proc` and `/sys` on the host itself. */
export interface Prefixes {
  readonly rootfs: string
  readonly procfs: string
  readonly sysfs: string
}

const attempt = <A>(file: string, read: () => A): A => {
  try {
    return read()
  } catch (error) {
    throw noData(file, error)
  }
}

const orUndefined = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch {
    return undefined
  }
}

/** A live procfs has `net` as a link to the reader's own; a copy of one has a folder there, or nothing. */
const isLive = (procfs: string) => linkOf(join(procfs, "net")) === "self/net"

const viewOf = ({ procfs, rootfs }: Prefixes): View => {
  const own = linkOf("/proc/self/ns/pid")
  if (own === undefined || own === firstPidNamespace || !isLive(procfs)) return "host"
  if (rootfs === "/") return "container"
  // One number per PID namespace from the one that the procfs belongs to down to the reader's.
  const status = orUndefined(() => readWhole(join(procfs, "self/status"))) ?? ""
  return /^NSpid:\s+\d+$/mu.test(status) ? "pod" : "host"
}

/** Every network namespace has its own net/dev, with an inode number of its own. */
const sameNetworkOf = ({ procfs, rootfs }: Prefixes, view: View): boolean => {
  if (view !== "host") return false
  if (rootfs === "/" || !isLive(procfs)) return true
  const inode = (path: string) => orUndefined(() => statSync(join(procfs, path, "net/dev")).ino)
  const host = inode("1")
  return host !== undefined && host === inode("self")
}

/** The host's files below `prefixes`; what kind of view they give is found out once. */
export const hostFiles = (prefixes: Prefixes): HostFiles => {
  const { procfs, rootfs, sysfs } = prefixes
  const view = viewOf(prefixes)
  const live = isLive(procfs)

  const first = (path: string): string => {
    if (view === "pod")
      throw new NoData({ file: `1/${path}`, problem: "pod", detail: "this /proc is the container's own" })
    try {
      return readWhole(join(procfs, "1", path))
    } catch (error) {
      const hidden = orUndefined(() => lstatSync(join(procfs, "1", "stat"))) === undefined
      if (live && !hidden) throw noData(`1/${path}`, error)
      if (!live) return attempt(path, () => readWhole(join(procfs, path.startsWith("net/") ? path : `self/${path}`)))
      if (rootfs === "/") return attempt(`self/${path}`, () => readWhole(join(procfs, "self", path)))
      throw new NoData({
        file: `1/${path}`,
        problem: "hidepid",
        detail: "process 1 of the host is hidden from this user"
      })
    }
  }

  return {
    rootfs,
    view,
    sameNetwork: sameNetworkOf(prefixes, view),
    first,
    proc: (path) => attempt(path, () => readWhole(join(procfs, path))),
    sys: (path) => attempt(path, () => readWhole(join(sysfs, path)).trimEnd()),
    trySys: (path) => orUndefined(() => readWhole(join(sysfs, path)).trimEnd()),
    list: (path) => attempt(path, () => readdirSync(join(sysfs, path)).sort()),
    resolve: (path) => orUndefined(() => realpathSync(join(sysfs, path))),
    tryRoot: (path) => orUndefined(() => readWhole(join(rootfs, path)))
  }
}
