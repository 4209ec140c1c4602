/** The monitor's settings: defaults, patterns, and what stops the start by name. */
import { describe, expect, test } from "bun:test"
import { Duration } from "effect"
import { ConfigInvalid } from "#shared/config.ts"
import { configOf } from "#test/monitor/tree.ts"

const failure = (env: Record<string, string>) =>
  configOf(env).then(
    () => undefined,
    (error: unknown) => error
  )

describe("monitor config", () => {
  test("takes the host's own root, /proc and /sys unless told", async () => {
    const config = await configOf()
    expect(config.prefixes).toEqual({ rootfs: "/", procfs: "/proc", sysfs: "/sys" })
    expect(Duration.toSeconds(config.historyInterval)).toBe(10)
  })

  test("takes /proc and /sys from below MONITOR_ROOTFS", async () => {
    const config = await configOf({ MONITOR_ROOTFS: "/host/root", MONITOR_SYSFS: "/host/sys" })
    expect(config.prefixes).toEqual({ rootfs: "/host/root", procfs: "/host/root/proc", sysfs: "/host/sys" })
  })

  test("leaves out what node_exporter leaves out, and pods' mounts", async () => {
    const { disks, fsTypes, mounts } = await configOf()
    for (const path of ["/proc", "/sys/fs/cgroup", "/dev/shm", "/var/lib/docker/overlay2/x/merged"]) {
      expect([path, mounts(path)]).toEqual([path, false])
    }
    expect(mounts("/var/lib/kubelet/pods/1/volumes/x")).toBe(false)
    expect(mounts("/device")).toBe(true)
    expect(["overlay", "cgroup2", "nfs4", "fuse.sshfs", "cifs"].some(fsTypes)).toBe(false)
    expect(["ext4", "xfs", "tmpfs", "zfs"].every(fsTypes)).toBe(true)
    expect(["loop0", "sda1", "nvme0n1p2", "zram0"].some(disks)).toBe(false)
    expect(["sda", "nvme0n1", "dm-0", "vda"].every(disks)).toBe(true)
  })

  test("takes only what an include pattern matches", async () => {
    const { fsTypes } = await configOf({ MONITOR_FILESYSTEM_FS_TYPE_INCLUDE: "^nfs4$" })
    expect([fsTypes("nfs4"), fsTypes("ext4")]).toEqual([true, false])
  })

  test("refuses include and exclude together, bad patterns, unknown keys and short intervals, naming the key", async () => {
    const both = { MONITOR_DISK_INCLUDE: "a", MONITOR_DISK_EXCLUDE: "b" }
    for (const [env, key] of [
      [both, "MONITOR_DISK_INCLUDE"],
      [{ MONITOR_NETWORK_EXCLUDE: "(" }, "MONITOR_NETWORK_EXCLUDE"],
      [{ MONITOR_ROOTFS: "host" }, "MONITOR_ROOTFS"],
      [{ MONITOR_HISTORY_INTERVAL: "100 millis" }, "MONITOR_HISTORY_INTERVAL"],
      [{ MONITOR_DATABASE_UR: "x" }, "MONITOR_DATABASE_UR"],
      [{ MONITOR_DATABASE_URL: "" }, "MONITOR_DATABASE_URL"]
    ] as const) {
      const error = await failure(env)
      expect(error).toBeInstanceOf(ConfigInvalid)
      expect((error as ConfigInvalid).key).toBe(key)
    }
  })
})
