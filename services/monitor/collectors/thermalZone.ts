/** /sys/class/thermal: temperatures of the firmware's zones and states of cooling devices. */
import { gauge, sample } from "../family.ts"
import { type HostFiles, NoData } from "../files.ts"
import { valueOf } from "../parse.ts"
import type { Collector } from "./collector.ts"

export interface Thermal {
  readonly zones: ReadonlyArray<{ readonly zone: string; readonly type: string; readonly celsius: number }>
  readonly cooling: ReadonlyArray<{
    readonly name: string
    readonly type: string
    readonly current: number
    readonly maximum: number
  }>
}

const root = "class/thermal"

/** A zone or device that refuses to be read (EINVAL, EAGAIN, ENODATA while its sensor sleeps) is left out, the others stay. */
const read = (files: HostFiles): Thermal => {
  const names = files.list(root)
  const at = (path: string) => files.trySys(`${root}/${path}`)
  const zones = names.flatMap((name) => {
    const number = /^thermal_zone(\d+)$/u.exec(name)?.[1]
    const milli = number === undefined ? undefined : valueOf(at(`${name}/temp`))
    return milli === undefined ? [] : [{ zone: number!, type: at(`${name}/type`) ?? "", celsius: milli / 1000 }]
  })
  const cooling = names.flatMap((name) => {
    const number = /^cooling_device(\d+)$/u.exec(name)?.[1]
    const current = number === undefined ? undefined : valueOf(at(`${name}/cur_state`))
    const maximum = number === undefined ? undefined : valueOf(at(`${name}/max_state`))
    if (current === undefined || maximum === undefined) return []
    return [{ name: number!, type: at(`${name}/type`) ?? "", current, maximum }]
  })
  if (zones.length === 0 && cooling.length === 0) {
    throw new NoData({
      file: root,
      problem: "missing",
      detail: "no readable zone or cooling device, as on most virtual machines"
    })
  }
  return { zones, cooling }
}

export const thermalZone: Collector<Thermal> = {
  read,
  families: ({ cooling, zones }) => [
    gauge(
      "node_thermal_zone_temp",
      "Zone temperature in Celsius",
      zones.map(({ celsius, type, zone }) => sample(celsius, { zone, type }))
    ),
    gauge(
      "node_cooling_device_cur_state",
      "Current throttle state of the cooling device",
      cooling.map(({ current, name, type }) => sample(current, { name, type }))
    ),
    gauge(
      "node_cooling_device_max_state",
      "Maximum throttle state of the cooling device",
      cooling.map(({ maximum, name, type }) => sample(maximum, { name, type }))
    )
  ]
}
