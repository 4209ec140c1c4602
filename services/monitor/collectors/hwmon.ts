/** /sys/class/hwmon: temperatures, fans, voltages and power from the machine's sensors, as lm-sensors sees them. */
import { basename, dirname } from "node:path"
import type { Family } from "../family.ts"
import { type HostFiles, NoData } from "../files.ts"
import type { Collector } from "./collector.ts"
import { type Chip, familiesOfChip, type Sensor, sensorTypes } from "./hwmonNames.ts"

const root = "class/hwmon"

/** Lower case, and only what a metric's name may hold. */
export const clean = (name: string) =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9:_]/gu, "_")
    .replace(/^_+|_+$/gu, "")

/** `temp1_max` → temp, 1, max; undefined for what is no sensor's file. */
export const explode = (file: string) => {
  const found = /^([^0-9]+)([0-9]*)(?:_(.+))?$/u.exec(file)
  if (found === null || !sensorTypes.has(found[1]!)) return undefined
  return { type: found[1]!, sensor: `${found[1]!}${Number(found[2])}`, property: found[3] ?? "" }
}

const listOr = (files: HostFiles, path: string): ReadonlyArray<string> => {
  try {
    return files.list(path)
  } catch {
    return []
  }
}

const sensorsOf = (files: HostFiles, folder: string): ReadonlyArray<Sensor> => {
  const sensors = new Map<string, { readonly type: string; readonly values: Map<string, string> }>()
  for (const path of [folder, `${folder}/device`]) {
    for (const file of listOr(files, path)) {
      const parts = explode(file)
      // A driver may refuse (EAGAIN, ENODATA) while its sensor sleeps: then there is no value, and no waiting.
      const value = parts === undefined ? undefined : files.trySys(`${path}/${file}`)
      if (parts === undefined || value === undefined) continue
      const sensor = sensors.get(parts.sensor) ?? { type: parts.type, values: new Map<string, string>() }
      sensor.values.set(parts.property, value)
      sensors.set(parts.sensor, sensor)
    }
  }
  return [...sensors].map(([name, { type, values }]) => ({ name, type, values }))
}

/** The chip's name from its place on the bus; the numbers of hwmon folders change with the order of loading. */
const baseNameOf = (files: HostFiles, folder: string): string => {
  const device = files.resolve(`${folder}/device`)
  if (device !== undefined) {
    const name = clean(basename(device))
    const bus = clean(basename(dirname(device)))
    if (name !== "") return bus === "" ? name : `${bus}_${name}`
  }
  const given = clean(files.trySys(`${folder}/name`) ?? "")
  return given === "" ? clean(basename(files.resolve(folder) ?? folder)) : given
}

const count = (all: ReadonlyArray<string>, one: string) => all.filter((other) => other === one).length

const read = (files: HostFiles): ReadonlyArray<Chip> => {
  const folders = files.list(root).map((name) => `${root}/${name}`)
  if (folders.length === 0)
    throw new NoData({ file: root, problem: "missing", detail: "no sensors, as on most virtual machines" })
  const found = folders.map((folder) => ({
    folder,
    base: baseNameOf(files, folder),
    name: (files.trySys(`${folder}/name`) ?? "").trim()
  }))
  const bases = found.map(({ base }) => base)
  const both = found.map(({ base, name }) => `${base}\0${name}`)
  return found.map(({ base, folder, name }) => {
    // Two chips of one device are told apart by their names or, failing that, by their folders.
    const own = clean(name)
    const suffix = own === "" || count(both, `${base}\0${name}`) > 1 ? clean(basename(folder)) : own
    const chip = count(bases, base) > 1 ? `${base}_${suffix}` : base
    return { chip, chipName: own, sensors: sensorsOf(files, folder) }
  })
}

export const hwmon: Collector<ReadonlyArray<Chip>> = {
  read,
  families: (chips): ReadonlyArray<Family> => chips.flatMap((chip) => familiesOfChip(chip))
}
