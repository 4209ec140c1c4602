/** The first process's mountinfo: what is mounted where on the host; pure. */
import { linesOf, malformed, truncated } from "../parse.ts"

export interface Mount {
  readonly device: string
  /** As the host sees it: without the prefix below which its root is mounted here. */
  readonly mountpoint: string
  readonly fstype: string
  readonly major: string
  readonly minor: string
  readonly readonly: boolean
}

const file = "mountinfo"

/** Blank, tab, line feed and backslash are written as `\040`, `\011`, `\012`, `\134` (proc(5)). */
const unescape = (text: string) =>
  text.replace(/\\(0[0-7]{2}|1[0-7]{2})/gu, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

const stripPrefix = (path: string, rootfs: string): string => {
  if (rootfs === "/") return path
  const prefix = rootfs.endsWith("/") ? rootfs.slice(0, -1) : rootfs
  if (path === prefix) return "/"
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path
}

/** Text of mountinfo (proc(5)): fields, any number of optional ones, a dash, type, source, options of the filesystem itself. */
export const parseMountInfo = (text: string, rootfs: string): ReadonlyArray<Mount> =>
  linesOf(text, file).map((line) => {
    const fields = line.split(" ")
    const dash = fields.indexOf("-", 6)
    if (dash === -1 || fields.length < dash + 4) throw truncated(file, "a line has too few fields")
    const number = /^(\d+):(\d+)$/u.exec(fields[2]!)
    if (number === null) throw malformed(file, "a device number is not major:minor")
    const own = fields[5]!.split(",")
    const shared = fields[dash + 3]!.split(",")
    return {
      // Left as the kernel wrote it, as node_exporter does: it is a label, not a path to open.
      device: fields[dash + 2]!,
      mountpoint: stripPrefix(unescape(fields[4]!), rootfs),
      fstype: fields[dash + 1]!,
      major: number[1]!,
      minor: number[2]!,
      readonly: own.includes("ro") || shared.includes("ro") || shared.includes("emergency_ro")
    }
  })
