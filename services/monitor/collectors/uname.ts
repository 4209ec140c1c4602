/** The host's name and kernel, from files: uname(2) would give the container's name. */
import { arch } from "node:os"
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

/** Node's name of an architecture → the kernel's. */
const machines: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64", arm: "armv7l", ia32: "i686" }

const read = (files: HostFiles): Uname => {
  const kernel = (name: string) => files.proc(`sys/kernel/${name}`).trimEnd()
  // hostname and domainname of /proc are the reader's own namespace's: right only on the host itself.
  const own = files.rootfs === "/"
  return {
    release: kernel("osrelease"),
    version: kernel("version"),
    machine: machines[arch()] ?? arch(),
    nodename: own ? kernel("hostname") : (files.tryRoot("etc/hostname")?.trim() ?? ""),
    domainname: own ? kernel("domainname") : "(none)"
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
