/** What a collector yields: metric families and their samples, in node_exporter's terms; must read nothing and format nothing. */

/** `untyped` is what node_exporter gives to fields of kernel tables whose meaning differs from line to line. */
export type MetricType = "counter" | "gauge" | "untyped"

export type Labels = Readonly<Record<string, string>>

/** One series' value. Counters of the kernel are 64 bit; above 2^53 a value is the nearest double, as everywhere in Prometheus. */
export interface Sample {
  readonly labels: Labels
  readonly value: number
}

/** All samples of one metric name. */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: MetricType
  readonly samples: ReadonlyArray<Sample>
}

const none: Labels = {}

/** A sample, without labels unless given. */
export const sample = (value: number, labels: Labels = none): Sample => ({ labels, value })

export const counter = (name: string, help: string, samples: ReadonlyArray<Sample>): Family => ({
  name,
  help,
  type: "counter",
  samples
})

export const gauge = (name: string, help: string, samples: ReadonlyArray<Sample>): Family => ({
  name,
  help,
  type: "gauge",
  samples
})

export const untyped = (name: string, help: string, samples: ReadonlyArray<Sample>): Family => ({
  name,
  help,
  type: "untyped",
  samples
})
