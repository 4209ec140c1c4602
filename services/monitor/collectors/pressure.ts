/** /proc/pressure: the share of time tasks waited for a resource. */
import { counter, type Family, sample } from "../family.ts"
import { type HostFiles, NoData } from "../files.ts"
import { truncated } from "../parse.ts"
import type { Collector } from "./collector.ts"

export interface Stall {
  /** The kernel's average over 10 s, percent. */
  readonly avg10: number
  /** Seconds since boot. */
  readonly total: number
}

/** `some`: at least one task waited; `full`: all did. */
export interface ResourcePressure {
  readonly some?: Stall
  readonly full?: Stall
}

export const pressureResources = ["cpu", "io", "memory", "irq"] as const
export type PressureResource = (typeof pressureResources)[number]
export type Pressures = Readonly<Partial<Record<PressureResource, ResourcePressure>>>

const row = /^(some|full) avg10=(\d+\.\d+) avg60=\d+\.\d+ avg300=\d+\.\d+ total=(\d+)$/u

/** Text of one file of /proc/pressure; its last line may lack an end. */
export const parsePressure = (text: string, file: string): ResourcePressure => {
  const found = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const parts = row.exec(line)
      if (parts === null) throw truncated(file, "a line is not whole")
      return [parts[1]!, { avg10: Number(parts[2]), total: Number(parts[3]) / 1000 / 1000 }] as const
    })
  return Object.fromEntries(found)
}

const readOne = (files: HostFiles, resource: PressureResource): ResourcePressure | undefined => {
  const file = `pressure/${resource}`
  try {
    const value = parsePressure(files.proc(file), file)
    if (resource !== "irq" && value.some === undefined) throw truncated(file, "no `some` line")
    if (resource !== "cpu" && value.full === undefined) throw truncated(file, "no `full` line")
    return value
  } catch (error) {
    // Kernels before 4.20 have none of them, before 6.1 no `irq`.
    if (error instanceof NoData && error.problem === "missing") return undefined
    throw error
  }
}

const families = (value: Pressures): ReadonlyArray<Family> => {
  const one = (name: string, help: string, stall: Stall | undefined) =>
    counter(`node_pressure_${name}_seconds_total`, help, stall === undefined ? [] : [sample(stall.total)])
  return [
    one("cpu_waiting", "Total time in seconds that processes have waited for CPU time", value.cpu?.some),
    one("io_waiting", "Total time in seconds that processes have waited due to IO congestion", value.io?.some),
    one("io_stalled", "Total time in seconds no process could make progress due to IO congestion", value.io?.full),
    one("memory_waiting", "Total time in seconds that processes have waited for memory", value.memory?.some),
    one(
      "memory_stalled",
      "Total time in seconds no process could make progress due to memory congestion",
      value.memory?.full
    ),
    one("irq_stalled", "Total time in seconds no process could make progress due to IRQ congestion", value.irq?.full)
  ]
}

export const pressure: Collector<Pressures> = {
  read: (files) => {
    const found = pressureResources.flatMap((resource) => {
      const value = readOne(files, resource)
      return value === undefined ? [] : [[resource, value] as const]
    })
    if (found.length === 0) {
      throw new NoData({
        file: "pressure",
        problem: "missing",
        detail: "the kernel keeps no PSI (4.20 and later, psi=1)"
      })
    }
    return Object.fromEntries(found)
  },
  families
}
