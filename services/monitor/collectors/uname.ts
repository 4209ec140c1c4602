/** The host's name and kernel; the name from files, because uname(2) gives the container's. */
import { machine, release, version } from "node:os"
import { gauge, sample } from "../family.ts"
import type { HostFiles } from "../files.ts"
import type { Collector } from "./collector.ts"

export interface Uname {
  readonly release: string
  readonly version: string
  readonly machine: string
  /** Empty where the host has no etc/hostname. */
  readonly nodename: string
  readonly domainname: string
}

const read = (files: HostFiles): Uname => {
  // Names in /proc are the reader's own UTS namespace's: right only on the host itself. The kernel is everybody's.
  const own = files.rootfs === "/"
  return {
    release: release(),
    version: version(),
    machine: machine(),
    nodename: own ? files.proc("sys/kernel/hostname").trimEnd() : (files.tryRoot("etc/hostname")?.trim() ?? ""),
    domainname: own ? files.proc("sys/kernel/domainname").trimEnd() : "(none)"
  }
}

export const uname: Collector<Uname> = {
  read,
  families: (value) => [
    gauge("node_uname_info", "Labeled system information as provided by the uname system call.", [
      sample(1, { sysname: "Linux", ...value })
    ])
  ]
}
