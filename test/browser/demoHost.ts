/** A small server's life as numbers: snapshots and history that agree with each other; pure, must keep no state. */
import type { History, HistoryAggregate, HistoryMetric, HostSnapshot } from "#shared/api/monitor.ts"

/** Between 0 and 1, smooth, the same for the same time. */
const wave = (at: number, period: number, shift = 0) => 0.5 + 0.5 * Math.sin((at / period) * 2 * Math.PI + shift)
const noise = (at: number, seed: number) => {
  const value = Math.sin(at * 12.9898 + seed * 78.233) * 43_758.5453
  return value - Math.floor(value)
}
const burst = (at: number, every: number, length: number, seed: number) =>
  (at + seed * 97) % every < length ? 0.4 + 0.6 * noise(Math.floor(at / 4), seed) : 0.05 * noise(at, seed)

const MiB = 1024 ** 2
const GiB = 1024 ** 3

const used = (at: number) =>
  14 + 16 * wave(at, 86_400, 1) + 9 * wave(at, 340) + 26 * burst(at, 180, 24, 1) + 5 * noise(at, 2)
const iowait = (at: number) => 0.4 + 6 * burst(at, 180, 24, 3)
const memory = (at: number) => 58 + 6 * wave(at, 86_400, 2) + 1.2 * wave(at, 400, 1)
const load = (at: number) => 0.35 + used(at - 20) / 55
const received = (at: number) => (0.2 + 1.6 * wave(at, 86_400, 1.2) + 3.2 * burst(at, 140, 30, 4)) * MiB
const sent = (at: number) => (0.5 + 2.1 * wave(at, 86_400, 1.2) + 4.4 * burst(at, 140, 30, 5)) * MiB
const read = (at: number) => 1.8 * burst(at, 180, 24, 6) * MiB
const written = (at: number) => (0.4 + 7 * burst(at, 180, 24, 7)) * MiB

const filesystems = [
  { mountpoint: "/", device: "/dev/vda1", fstype: "ext4", size: 78 * GiB, percent: 46.2 },
  { mountpoint: "/var/lib/rancher", device: "/dev/vdb1", fstype: "xfs", size: 196 * GiB, percent: 87.4 },
  { mountpoint: "/var/backups", device: "/dev/vdc1", fstype: "ext4", size: 98 * GiB, percent: 31.9 },
  { mountpoint: "/boot/efi", device: "/dev/vda15", fstype: "vfat", size: 0.12 * GiB, percent: 9.8 }
]

const at1 = (seconds: number, value: (at: number) => number, factor = 1) => value(seconds) * factor

/** The host at a time, in seconds since the epoch. */
export const snapshotAt = (at: number): HostSnapshot => {
  const usedPercent = used(at)
  const memoryPercent = memory(at)
  const total = 7.75 * GiB
  const pressure = (percent: number) => ({ avg10Percent: percent, percent })
  const ok = { status: "ok" } as const
  return {
    at: new Date(at * 1000).toISOString(),
    host: {
      name: "k3s-1.example.net",
      kernel: "6.12.43+deb13-amd64",
      bootTime: new Date((at - 3_471_200) * 1000).toISOString(),
      uptimeSeconds: 3_471_200
    },
    cpu: {
      usedPercent,
      userPercent: usedPercent * 0.68,
      systemPercent: usedPercent * 0.32,
      iowaitPercent: iowait(at),
      stealPercent: 0.3 * noise(at, 9),
      cores: [
        { cpu: "0", usedPercent: Math.min(100, usedPercent * 1.24) },
        { cpu: "1", usedPercent: usedPercent * 0.76 }
      ]
    },
    memory: {
      totalBytes: total,
      usedBytes: (total * memoryPercent) / 100,
      availableBytes: total * (1 - memoryPercent / 100),
      usedPercent: memoryPercent,
      swapTotalBytes: 2 * GiB,
      swapUsedBytes: 0.21 * GiB,
      swapUsedPercent: 10.5
    },
    load: { load1: load(at), load5: load(at - 60) * 0.9, load15: load(at - 200) * 0.82, load1PerCore: load(at) / 2 },
    filesystems: filesystems.map(({ percent, size, ...rest }) => ({
      ...rest,
      sizeBytes: size,
      usedBytes: (size * percent) / 100,
      availableBytes: size * (1 - percent / 100),
      usedPercent: percent,
      inodesUsedPercent: percent / 4,
      readonly: false,
      error: null
    })),
    disks: [
      { device: "vda", share: 0.2 },
      { device: "vdb", share: 0.8 }
    ].map(({ device, share }) => ({
      device,
      readBytesPerSecond: at1(at, read, share),
      writtenBytesPerSecond: at1(at, written, share),
      readsPerSecond: at1(at, read, share) / 16_384,
      writesPerSecond: at1(at, written, share) / 16_384,
      busyPercent: at1(at, iowait, share * 4),
      awaitSeconds: 0.0006 + at1(at, iowait, 0.0004),
      queueLength: at1(at, iowait, 0.05)
    })),
    network: [
      { device: "eth0", share: 1 },
      { device: "flannel.1", share: 0.24 },
      { device: "cni0", share: 0.61 }
    ].map(({ device, share }) => ({
      device,
      up: true,
      receiveBytesPerSecond: at1(at, received, share),
      transmitBytesPerSecond: at1(at, sent, share),
      receivePacketsPerSecond: at1(at, received, share) / 900,
      transmitPacketsPerSecond: at1(at, sent, share) / 900,
      errorsPerSecond: 0,
      dropsPerSecond: device === "eth0" ? 0.2 : 0
    })),
    pressure: {
      cpuSome: pressure(2.4 * wave(at, 90) + 5 * burst(at, 180, 24, 1)),
      memorySome: pressure(0),
      memoryFull: pressure(0),
      ioSome: pressure(iowait(at) * 0.8),
      ioFull: pressure(iowait(at) * 0.5)
    },
    temperatures: [],
    sections: {
      host: ok,
      cpu: ok,
      memory: ok,
      load: ok,
      filesystems: ok,
      disks: ok,
      network: ok,
      pressure: ok,
      temperatures: { status: "unavailable", reason: "this machine has no sensors" }
    }
  }
}

const scalar: Partial<Record<HistoryMetric, (snapshot: HostSnapshot) => number | null>> = {
  "cpu.used_percent": ({ cpu }) => cpu.usedPercent,
  "cpu.iowait_percent": ({ cpu }) => cpu.iowaitPercent,
  "cpu.steal_percent": ({ cpu }) => cpu.stealPercent,
  "memory.used_percent": ({ memory: m }) => m.usedPercent,
  "memory.swap_used_percent": ({ memory: m }) => m.swapUsedPercent,
  "load.load1": ({ load: l }) => l.load1,
  "pressure.cpu_some_percent": ({ pressure }) => pressure.cpuSome.percent,
  "pressure.memory_some_percent": ({ pressure }) => pressure.memorySome.percent,
  "pressure.io_some_percent": ({ pressure }) => pressure.ioSome.percent
}

type Labelled = (snapshot: HostSnapshot) => ReadonlyArray<readonly [label: string, value: number | null]>
const labelled: Partial<Record<HistoryMetric, Labelled>> = {
  "filesystem.used_percent": ({ filesystems: all }) => all.map((one) => [one.mountpoint, one.usedPercent]),
  "disk.read_bytes_per_second": ({ disks }) => disks.map((disk) => [disk.device, disk.readBytesPerSecond]),
  "disk.written_bytes_per_second": ({ disks }) => disks.map((disk) => [disk.device, disk.writtenBytesPerSecond]),
  "network.receive_bytes_per_second": ({ network }) => network.map((one) => [one.device, one.receiveBytesPerSecond]),
  "network.transmit_bytes_per_second": ({ network }) => network.map((one) => [one.device, one.transmitBytesPerSecond])
}

export interface HistoryAsked {
  readonly metric: HistoryMetric
  readonly from: number
  readonly to: number
  readonly step: number
  readonly agg: typeof HistoryAggregate.Type
}

const valuesAt = (metric: HistoryMetric, at: number): ReadonlyArray<readonly [string | null, number | null]> => {
  const snapshot = snapshotAt(at)
  return labelled[metric]?.(snapshot) ?? [[null, scalar[metric]?.(snapshot) ?? null]]
}

/** What the monitor would answer, with a hole at `hole` (seconds, both ends) where it was not running. */
export const historyOf = ({ agg, from, metric, step, to }: HistoryAsked, hole?: readonly [number, number]): History => {
  const first = Math.ceil(from / step) * step
  const times = Array.from({ length: Math.floor((to - first) / step) + 1 }, (_, index) => first + index * step)
  const series = new Map<string | null, Array<readonly [number, number | null]>>()
  for (const at of times) {
    const missing = hole !== undefined && at >= hole[0] && at <= hole[1]
    const samples = Array.from({ length: 8 }, (_, index) => valuesAt(metric, at + (index * step) / 8))
    samples[0]!.forEach(([label], index) => {
      const values = samples.map((sample) => sample[index]![1] ?? 0)
      const value = agg === "max" ? Math.max(...values) : values.reduce((sum, one) => sum + one, 0) / values.length
      const points = series.get(label) ?? []
      points.push([at, missing ? null : value])
      series.set(label, points)
    })
  }
  return {
    metric,
    unit: "",
    agg,
    step,
    from: new Date(from * 1000).toISOString(),
    to: new Date(to * 1000).toISOString(),
    series: [...series].map(([label, points]) => ({ label, points }))
  }
}
