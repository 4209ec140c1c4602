/** What a monitor sees of its host in real namespaces, and that it never passes its own off as the host's. */
import { afterAll, describe, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { makeFolder, removeFolders } from "#test/monitor/tree.ts"

afterAll(removeFolders)

const script = join(import.meta.dir, "view.ts")

/** Runs `view.ts` as a pod would run: in PID, network, mount and host name namespaces of its own, after `mounts`. */
const inPod = (mounts: string, env: Record<string, string>) => {
  const command = `hostname a-pod && ${mounts} && exec "$0" "$1"`
  const result = spawnSync("unshare", ["-m", "-n", "-p", "-u", "-f", "sh", "-c", command, process.execPath, script], {
    env: { ...process.env, ...env },
    encoding: "utf8"
  })
  return result.status === 0 ? (JSON.parse(result.stdout.trim().split("\n").at(-1)!) as Seen) : undefined
}

/** What `view.ts` prints. */
export interface Seen {
  readonly view: string
  readonly name: string | null
  readonly interfaces: ReadonlyArray<string>
  readonly mountpoints: ReadonlyArray<string>
  readonly network: string
  /** Names of the network families exposed as metrics. */
  readonly exposed: number
  readonly conntrack: string
}

const own = "mount -t proc proc /proc"
const host = makeFolder()
mkdirSync(join(host, "root"))
const root = join(host, "root")
const seen = inPod(`mount --rbind / ${root} && ${own}`, { MONITOR_ROOTFS: root })
if (seen === undefined) console.log("skipped: no namespaces can be made here (needs root and unshare)")

describe.if(seen !== undefined)("a pod without hostNetwork and hostPID", () => {
  test("sees the host's interfaces, mounts and name through the host's files", () => {
    const outside = Bun.spawnSync([process.execPath, script]).stdout.toString().trim().split("\n").at(-1)!
    const { interfaces, mountpoints } = JSON.parse(outside) as Seen
    expect(seen).toMatchObject({ view: "host", interfaces, mountpoints, network: "ok" })
    expect(seen!.name).not.toBe("a-pod")
    expect(seen!.exposed).toBeGreaterThan(0)
    expect(seen!.conntrack).toStartWith("netns")
  })

  test("shows nothing for the host's where its /proc turns out to be its own", () => {
    const blind = inPod(`mount --rbind / ${root} && ${own}`, { MONITOR_ROOTFS: root, MONITOR_PROCFS: "/proc" })
    expect(blind).toMatchObject({ view: "pod", interfaces: [], mountpoints: [], network: "degraded", exposed: 0 })
    expect(blind!.conntrack).toStartWith("netns")
  })

  test("marks its own for people and keeps it from Prometheus where it was given nothing of the host", () => {
    const alone = inPod(own, {})
    expect(alone).toMatchObject({ view: "container", interfaces: ["lo"], network: "degraded", exposed: 0 })
  })

  test("says that the host is hidden where /proc is mounted with hidepid for another user", () => {
    const hidden = join(host, "hidden")
    mkdirSync(hidden)
    // A user of its own with a copy of the runtime it may execute.
    const command = `mount -t proc -o hidepid=2 proc ${hidden} && mount --rbind / ${root} && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$0" "$1"`
    const result = spawnSync("unshare", ["-m", "-n", "sh", "-c", command, process.execPath, script], {
      env: { ...process.env, MONITOR_ROOTFS: root, MONITOR_PROCFS: hidden },
      encoding: "utf8"
    })
    if (result.status !== 0) {
      console.log("skipped: no other user can run the runtime here")
      return
    }
    const blind = JSON.parse(result.stdout.trim().split("\n").at(-1)!) as Seen
    expect(blind).toMatchObject({ view: "host", interfaces: [], mountpoints: [], network: "degraded", exposed: 0 })
  })
})
