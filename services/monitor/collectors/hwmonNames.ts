/** node_exporter's names and units for the files of hwmon sensors (Documentation/hwmon/sysfs-interface); pure. */
import { counter, type Family, gauge, sample } from "../family.ts"

/** One sensor: its files by what follows `temp1_`; the file `temp1` itself is "". */
export interface Sensor {
  /** `temp1`, `fan2`. */
  readonly name: string
  readonly type: string
  readonly values: ReadonlyMap<string, string>
}

export interface Chip {
  /** Unique and the same after a restart, as far as the hardware allows. */
  readonly chip: string
  readonly chipName: string
  readonly sensors: ReadonlyArray<Sensor>
}

export const sensorTypes: ReadonlySet<string> = new Set([
  "vrm",
  "beep_enable",
  "update_interval",
  "in",
  "cpu",
  "fan",
  "pwm",
  "temp",
  "curr",
  "power",
  "energy",
  "humidity",
  "intrusion",
  "freq"
])

/** Go's ParseFloat for what drivers write. */
const numberIn = (text: string | undefined): number | undefined =>
  text !== undefined && /^[+-]?\d+(?:\.\d+)?$/u.test(text) ? Number(text) : undefined

const cleanElement = (name: string) =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9:_]/gu, "_")
    .replace(/^_+|_+$/gu, "")

/** What one file of a sensor becomes: the name's ending, the help and the factor. */
const unitOf = (type: string, element: string): readonly [suffix: string, help: string, factor: number] => {
  const shown = element === "" ? "input" : element
  if (element === "fault" || element === "alarm") return ["", `Hardware sensor ${element} status (${type})`, 1]
  if (element === "beep") return ["_enabled", "Hardware monitor sensor has beeping enabled", 1]
  if (type === "in" || type === "cpu") return ["_volts", `Hardware monitor for voltage (${element})`, 0.001]
  if (type === "temp" && element !== "type") return ["_celsius", `Hardware monitor for temperature (${shown})`, 0.001]
  if (type === "curr") return ["_amps", `Hardware monitor for current (${element})`, 0.001]
  if (type === "energy") return ["_joule_total", `Hardware monitor for joules used so far (${element})`, 1e-6]
  if (type === "power" && element === "accuracy") return ["", "Hardware monitor power meter accuracy, as a ratio", 1e-6]
  if (type === "power" && /^average_interval(?:_min|_max)?$/u.test(element)) {
    return ["_seconds", `Hardware monitor power usage update interval (${element})`, 0.001]
  }
  if (type === "power") return ["_watt", `Hardware monitor for power usage in watts (${element})`, 1e-6]
  if (type === "humidity") {
    const help = "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage)"
    return ["", `${help} (${element})`, 1e-6]
  }
  if (type === "fan" && ["input", "min", "max", "target"].includes(element)) {
    return ["_rpm", `Hardware monitor for fan revolutions per minute (${element})`, 1]
  }
  return ["", `Hardware monitor ${type} element ${element}`, 1]
}

/** Micro-units are divided, as node_exporter does, so that the last digit is the same. */
const scaled = (value: number, factor: number) => (factor === 1e-6 ? value / 1e6 : value * factor)

const elementsOf = (chip: string, { name: sensor, type, values }: Sensor): ReadonlyArray<Family> =>
  [...values].flatMap(([element, text]): ReadonlyArray<Family> => {
    const value = numberIn(text)
    if (element === "label" || value === undefined) return []
    const prefix = `node_hwmon_${type}`
    const plain = element === "" || (element === "input" && !values.has(""))
    const name = plain ? prefix : `${prefix}_${cleanElement(element)}`
    if (type === "freq" && element === "input") {
      const label = values.get("label")
      if (label === undefined) return []
      const help = "Hardware monitor for GPU frequency in MHz"
      return [gauge(`${name}_freq_mhz`, help, [sample(value / 1e6, { chip, sensor: cleanElement(label) })])]
    }
    const [suffix, help, factor] = unitOf(type, element)
    const make = type === "energy" ? counter : gauge
    return [make(name + suffix, help, [sample(scaled(value, factor), { chip, sensor })])]
  })

const single: Readonly<
  Record<string, readonly [name: string, help: string, value: (text: string) => number | undefined]>
> = {
  beep_enable: ["node_hwmon_beep_enabled", "Hardware beep enabled", (text) => (text === "1" ? 1 : 0)],
  vrm: ["node_hwmon_voltage_regulator_version", "Hardware voltage regulator", numberIn],
  update_interval: [
    "node_hwmon_update_interval_seconds",
    "Hardware monitor update interval",
    (text) => {
      const value = numberIn(text)
      return value === undefined ? undefined : value * 0.001
    }
  ]
}

const familiesOf = (chip: string, sensor: Sensor): ReadonlyArray<Family> => {
  const label = sensor.values.get("label")
  const labelled =
    label === undefined
      ? []
      : [
          gauge("node_hwmon_sensor_label", "Label for given chip and sensor", [
            sample(1, { chip, sensor: sensor.name, label })
          ])
        ]
  const alone = single[sensor.type]
  if (alone === undefined) return [...labelled, ...elementsOf(chip, sensor)]
  const [name, help, read] = alone
  const value = read(sensor.values.get("") ?? "")
  return value === undefined
    ? labelled
    : [...labelled, gauge(name, help, [sample(value, { chip, sensor: sensor.name })])]
}

/** Everything one chip measures. */
export const familiesOfChip = ({ chip, chipName, sensors }: Chip): ReadonlyArray<Family> => [
  ...(chipName === ""
    ? []
    : [
        gauge("node_hwmon_chip_names", "Annotation metric for human-readable chip names", [
          sample(1, { chip, chip_name: chipName })
        ])
      ]),
  ...sensors.flatMap((sensor) => familiesOf(chip, sensor))
]
