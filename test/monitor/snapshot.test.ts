/** The snapshot for people: percentages and rates that are null, never 0, where nothing is known. */
import { describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { HostSnapshot } from "#shared/api/monitor.ts"
import { percent, rate } from "#monitor/rates.ts"
import { snapshotOf } from "#monitor/snapshot.ts"
import { cpus, cpuTimes, netDevice, readingOf } from "#test/monitor/readings.ts"

const disk = (counters: ReadonlyArray<number>, device = "sda") => ({
  device,
  major: "8",
  minor: "0",
  counters,
  rotational: false,
  udev: {}
})
const fileSystem = (answer: { readonly [Key in "blocks" | "free" | "available" | "files" | "filesFree"]: number }) => ({
  device: "/dev/sda1",
  mountpoint: "/",
  fstype: "ext4",
  major: "8",
  minor: "1",
  readonly: false,
  answer: { blockSize: 4096, ...answer }
})
const empty = readingOf(0, {})

describe("rates", () => {
  test("are null without an earlier value, after a reset and over no time", () => {
    expect(rate(undefined, 5, 1)).toBeNull()
    expect(rate(5, 4, 1)).toBeNull()
    expect(rate(4, 5, 0)).toBeNull()
    expect(rate(4, 4, 2)).toBe(0)
    expect(rate(4, 10, 2)).toBe(3)
  })

  test("percentages of nothing are unknown", () => {
    expect(percent(0, 0)).toBeNull()
    expect(percent(null, 5)).toBeNull()
    expect(percent(6, 5)).toBe(100)
  })
})

describe("snapshot", () => {
  test("fits its schema when everything is unknown, and nothing unknown is 0", () => {
    const snapshot = snapshotOf(undefined, empty, "host")
    expect(Schema.decodeUnknownSync(HostSnapshot)(snapshot)).toEqual(snapshot)
    expect(JSON.stringify(snapshot)).not.toMatch(/:0[,}]/u)
    for (const section of Object.values(snapshot.sections)) expect(section.status).toBe("unavailable")
  })

  test("has no rate in its first sample", () => {
    const snapshot = snapshotOf(
      undefined,
      readingOf(1, {
        cpu: cpus({ "0": cpuTimes({ user: 5, idle: 5 }) }),
        diskstats: [disk([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])],
        netdev: [netDevice("eth0", { receive_bytes: 7 })]
      }),
      "host"
    )
    expect(snapshot.cpu).toEqual({
      usedPercent: null,
      userPercent: null,
      systemPercent: null,
      iowaitPercent: null,
      stealPercent: null,
      cores: [{ cpu: "0", usedPercent: null }]
    })
    const { device, ...rates } = snapshot.disks[0]!
    expect([device, ...new Set(Object.values(rates))]).toEqual(["sda", null])
    expect(snapshot.network[0]!.receiveBytesPerSecond).toBeNull()
  })

  test("counts processor time without idle and iowait, and guest time once", () => {
    const before = cpuTimes({ user: 10, idle: 10, iowait: 10, guest: 10 })
    const after = cpuTimes({ user: 11, system: 1, idle: 15, iowait: 12, steal: 1, guest: 10.5 })
    const { cpu } = snapshotOf(
      readingOf(0, { cpu: cpus({ "0": before, "1": cpuTimes({ idle: 1 }) }) }),
      readingOf(10, { cpu: cpus({ "0": after, "1": cpuTimes({ idle: 11 }) }) }),
      "host"
    )
    expect(cpu.usedPercent).toBe(15)
    expect([cpu.userPercent, cpu.systemPercent, cpu.iowaitPercent, cpu.stealPercent]).toEqual([5, 5, 10, 5])
    expect(cpu.cores.map(({ usedPercent }) => usedPercent)).toEqual([30, 0])
  })

  test("is unknown for a processor that started anew, and for the whole with it", () => {
    const { cpu } = snapshotOf(
      readingOf(0, { cpu: cpus({ "0": cpuTimes({ idle: 100 }), "1": cpuTimes({ idle: 1 }) }) }),
      readingOf(10, { cpu: cpus({ "0": cpuTimes({ idle: 1 }), "1": cpuTimes({ idle: 6, user: 5 }) }) }),
      "host"
    )
    expect(cpu.usedPercent).toBeNull()
    expect(cpu.cores).toEqual([
      { cpu: "0", usedPercent: null },
      { cpu: "1", usedPercent: 50 }
    ])
  })

  test("gives disks in bytes, shares and seconds", () => {
    const { disks } = snapshotOf(
      readingOf(0, { diskstats: [disk([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])] }),
      readingOf(2, { diskstats: [disk([10, 0, 100, 30, 30, 0, 200, 50, 1, 500, 4000])] }),
      "host"
    )
    expect(disks[0]).toEqual({
      device: "sda",
      readBytesPerSecond: 50 * 512,
      writtenBytesPerSecond: 100 * 512,
      readsPerSecond: 5,
      writesPerSecond: 15,
      busyPercent: 25,
      awaitSeconds: 0.002,
      queueLength: 2
    })
  })

  test("is null, not a spike, for the counter that fell and for it alone", () => {
    const { network } = snapshotOf(
      readingOf(0, { netdev: [netDevice("eth0", { receive_bytes: 1000, transmit_bytes: 1000 })] }),
      readingOf(1, { netdev: [netDevice("eth0", { receive_bytes: 10, transmit_bytes: 1500 }), netDevice("new0", {})] }),
      "host"
    )
    expect([network[0]!.receiveBytesPerSecond, network[0]!.transmitBytesPerSecond]).toEqual([null, 500])
    expect(network[1]!.receiveBytesPerSecond).toBeNull()
  })

  test("stays finite and never negative with counters beyond 2^53", () => {
    const huge = 2 ** 63
    const { network } = snapshotOf(
      readingOf(0, { netdev: [netDevice("eth0", { receive_bytes: huge })] }),
      readingOf(1, { netdev: [netDevice("eth0", { receive_bytes: huge + 4096 })] }),
      "host"
    )
    expect(network[0]!.receiveBytesPerSecond).toBe(4096)
  })

  test("gives disk use as df does, the root's reserve apart", () => {
    const one = fileSystem({ blocks: 1000, free: 400, available: 300, files: 100, filesFree: 75 })
    const { filesystems } = snapshotOf(undefined, readingOf(1, { filesystem: [one] }), "host")
    expect(filesystems[0]).toMatchObject({
      sizeBytes: 4_096_000,
      usedBytes: 600 * 4096,
      availableBytes: 300 * 4096,
      inodesUsedPercent: 25,
      error: null
    })
    expect(filesystems[0]!.usedPercent).toBeCloseTo((600 / 900) * 100, 10)
  })

  test("does not know the inodes of a filesystem that has none", () => {
    const one = fileSystem({ blocks: 10, free: 4, available: 3, files: 0, filesFree: 0 })
    const { filesystems } = snapshotOf(undefined, readingOf(1, { filesystem: [one] }), "host")
    expect(filesystems[0]!.inodesUsedPercent).toBeNull()
  })

  test("takes used memory from what is available, and leaves it unknown on kernels that do not say", () => {
    const of = (fields: Record<string, number>) =>
      snapshotOf(undefined, readingOf(1, { meminfo: new Map(Object.entries(fields)) }), "host").memory
    expect(of({ MemTotal_bytes: 100, MemAvailable_bytes: 25, SwapTotal_bytes: 0, SwapFree_bytes: 0 })).toEqual({
      totalBytes: 100,
      availableBytes: 25,
      usedBytes: 75,
      usedPercent: 75,
      swapTotalBytes: 0,
      swapUsedBytes: 0,
      swapUsedPercent: null
    })
    expect(of({ MemTotal_bytes: 100 }).usedPercent).toBeNull()
  })

  test("gives pressure as the kernel's average and over the interval", () => {
    const stall = (total: number) => ({ cpu: { some: { avg10: 1.5, total } } })
    const { pressure } = snapshotOf(readingOf(0, { pressure: stall(5) }), readingOf(10, { pressure: stall(7) }), "host")
    expect(pressure.cpuSome).toEqual({ avg10Percent: 1.5, percent: 20 })
    expect(pressure.ioFull).toEqual({ avg10Percent: null, percent: null })
  })

  test("says that a container's network and mounts are not the host's", () => {
    const reading = readingOf(1, { netdev: [], filesystem: [], loadavg: { load1: 1, load5: 1, load15: 1 } })
    const { sections } = snapshotOf(undefined, reading, "container")
    expect([sections["network"]!.status, sections["filesystems"]!.status, sections["load"]!.status]).toEqual([
      "degraded",
      "degraded",
      "ok"
    ])
  })
})
