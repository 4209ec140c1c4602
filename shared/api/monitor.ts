/** The monitor's API (`/monitor/*`): what a snapshot, an event of the stream and a piece of history look like; pure. */
import { Schema } from "effect"

/** Percent 0–100, bytes, seconds or per second, as the field's name says; null where it is not (yet) known, never 0. */
const known = Schema.NullOr(Schema.Finite)

/** `degraded`: values are shown but may not be the host's; `unavailable`: the section is empty. `reason` says why. */
export const SectionStatus = Schema.Struct({
  status: Schema.Literals(["ok", "degraded", "unavailable"]),
  reason: Schema.optionalKey(Schema.String)
})
export type SectionStatus = typeof SectionStatus.Type

/** Share of time some (all) tasks waited for the resource: the kernel's 10 s average, and our own over the last interval. */
export const Pressure = Schema.Struct({ avg10Percent: known, percent: known })

/** GET /monitor/host and each event of GET /monitor/stream. Rates are null in the first sample and after a counter reset. */
export const HostSnapshot = Schema.Struct({
  at: Schema.String.annotate({ format: "date-time" }),
  host: Schema.Struct({
    name: Schema.NullOr(Schema.String),
    kernel: Schema.NullOr(Schema.String),
    bootTime: Schema.NullOr(Schema.String),
    uptimeSeconds: known
  }),
  cpu: Schema.Struct({
    usedPercent: known,
    userPercent: known,
    systemPercent: known,
    iowaitPercent: known,
    stealPercent: known,
    cores: Schema.Array(Schema.Struct({ cpu: Schema.String, usedPercent: known }))
  }),
  memory: Schema.Struct({
    totalBytes: known,
    availableBytes: known,
    usedBytes: known,
    usedPercent: known,
    swapTotalBytes: known,
    swapUsedBytes: known,
    swapUsedPercent: known
  }),
  load: Schema.Struct({ load1: known, load5: known, load15: known, load1PerCore: known }),
  filesystems: Schema.Array(
    Schema.Struct({
      device: Schema.String,
      mountpoint: Schema.String,
      fstype: Schema.String,
      sizeBytes: known,
      usedBytes: known,
      availableBytes: known,
      usedPercent: known,
      inodesUsedPercent: known,
      readonly: Schema.Boolean,
      error: Schema.NullOr(Schema.String)
    })
  ),
  disks: Schema.Array(
    Schema.Struct({
      device: Schema.String,
      readBytesPerSecond: known,
      writtenBytesPerSecond: known,
      readsPerSecond: known,
      writesPerSecond: known,
      busyPercent: known,
      awaitSeconds: known,
      queueLength: known
    })
  ),
  network: Schema.Array(
    Schema.Struct({
      device: Schema.String,
      up: Schema.NullOr(Schema.Boolean),
      receiveBytesPerSecond: known,
      transmitBytesPerSecond: known,
      receivePacketsPerSecond: known,
      transmitPacketsPerSecond: known,
      errorsPerSecond: known,
      dropsPerSecond: known
    })
  ),
  pressure: Schema.Struct({
    cpuSome: Pressure,
    memorySome: Pressure,
    memoryFull: Pressure,
    ioSome: Pressure,
    ioFull: Pressure
  }),
  temperatures: Schema.Array(Schema.Struct({ sensor: Schema.String, celsius: known, criticalCelsius: known })),
  /** One entry per section above (`cpu`, `memory`, `load`, `filesystems`, `disks`, `network`, `pressure`, `temperatures`, `host`). */
  sections: Schema.Record(Schema.String, SectionStatus)
})
export type HostSnapshot = typeof HostSnapshot.Type

/** Query of GET /monitor/stream: seconds between two events, 2 unless told. */
export const StreamQuery = Schema.Struct({
  interval: Schema.optionalKey(
    Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: 60 }))
  )
})
export type StreamQuery = typeof StreamQuery.Type

/** GET /monitor/selfcheck: does the monitor see the host, which collectors found nothing, and how to mend that. */
export const SelfCheck = Schema.Struct({
  at: Schema.String.annotate({ format: "date-time" }),
  status: Schema.Literals(["ok", "degraded"]),
  checks: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      status: Schema.Literals(["ok", "degraded"]),
      detail: Schema.String,
      remedy: Schema.optionalKey(Schema.String)
    })
  ),
  /** `seconds` is what the collector took; `reason` and `remedy` are null where it succeeded or none is known. */
  collectors: Schema.Array(
    Schema.Struct({
      collector: Schema.String,
      success: Schema.Boolean,
      seconds: Schema.Finite,
      reason: Schema.NullOr(Schema.String),
      remedy: Schema.NullOr(Schema.String)
    })
  )
})
export type SelfCheck = typeof SelfCheck.Type

/** The series kept in history. Those with a label are kept per mount point or device. */
export const historyMetrics = {
  "cpu.used_percent": { unit: "percent", label: null },
  "cpu.iowait_percent": { unit: "percent", label: null },
  "cpu.steal_percent": { unit: "percent", label: null },
  "memory.used_percent": { unit: "percent", label: null },
  "memory.available_bytes": { unit: "bytes", label: null },
  "memory.swap_used_percent": { unit: "percent", label: null },
  "load.load1": { unit: "load", label: null },
  "pressure.cpu_some_percent": { unit: "percent", label: null },
  "pressure.memory_some_percent": { unit: "percent", label: null },
  "pressure.io_some_percent": { unit: "percent", label: null },
  "filesystem.used_percent": { unit: "percent", label: "mountpoint" },
  "disk.read_bytes_per_second": { unit: "bytes/s", label: "device" },
  "disk.written_bytes_per_second": { unit: "bytes/s", label: "device" },
  "disk.busy_percent": { unit: "percent", label: "device" },
  "network.receive_bytes_per_second": { unit: "bytes/s", label: "device" },
  "network.transmit_bytes_per_second": { unit: "bytes/s", label: "device" }
} as const
export type HistoryMetric = keyof typeof historyMetrics
export const HistoryMetric = Schema.Literals(Object.keys(historyMetrics) as Array<HistoryMetric>)

/** How the samples of one step become one point. */
export const HistoryAggregate = Schema.Literals(["avg", "min", "max"])

/**
 * GET /monitor/history. `from` and `to` are RFC 3339 times, `step` whole seconds (10 at least). Without `to`, now; without
 * `from`, one hour before `to`; without `step`, the finest that gives at most 500 points. `label` picks one mount point or
 * device; without it every one is a series of its own.
 */
export const HistoryQuery = Schema.Struct({
  metric: HistoryMetric,
  from: Schema.optionalKey(Schema.String),
  to: Schema.optionalKey(Schema.String),
  step: Schema.optionalKey(Schema.FiniteFromString.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(10))),
  agg: Schema.optionalKey(HistoryAggregate),
  label: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(500)))
})
export type HistoryQuery = typeof HistoryQuery.Type

/** `points` are [time in seconds since the epoch, value]; a step without samples is null, so gaps stay gaps. */
export const History = Schema.Struct({
  metric: HistoryMetric,
  unit: Schema.String,
  agg: HistoryAggregate,
  from: Schema.String,
  to: Schema.String,
  step: Schema.Int,
  series: Schema.Array(
    Schema.Struct({
      label: Schema.NullOr(Schema.String),
      points: Schema.Array(Schema.Tuple([Schema.Int, known]))
    })
  )
})
export type History = typeof History.Type
