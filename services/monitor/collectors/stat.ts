/** /proc/stat: processor times, interrupts, context switches, boot time; the processor times are exposed by `cpu`. */
import { counter, gauge, sample } from "../family.ts"
import { fieldsOf, linesOf, numberOf, truncated } from "../parse.ts"
import type { Collector } from "./collector.ts"

export const cpuModes = [
  "user",
  "nice",
  "system",
  "idle",
  "iowait",
  "irq",
  "softirq",
  "steal",
  "guest",
  "guestNice"
] as const
export type CpuMode = (typeof cpuModes)[number]

/** Seconds spent per mode since boot. `guest` is already inside `user`, `guestNice` inside `nice`. */
export type CpuTimes = Readonly<Record<CpuMode, number>>

export interface Stat {
  /** By processor number; the kernel's total row is not among them. */
  readonly cpus: ReadonlyMap<string, CpuTimes>
  readonly interrupts: number
  readonly contextSwitches: number
  readonly forks: number
  /** Seconds since the epoch. */
  readonly bootTime: number
  readonly running: number
  readonly blocked: number
}

/** USER_HZ, the unit of times in /proc/stat: 100 on every architecture Linux is still built for. */
const ticksPerSecond = 100
const file = "stat"

/** Text of /proc/stat. The lines that follow the processors are all needed: without them the text is cut off. */
export const parseStat = (text: string): Stat => {
  const cpus = new Map<string, CpuTimes>()
  const single = new Map<string, number>()
  for (const line of linesOf(text, file)) {
    const space = line.indexOf(" ")
    const key = line.slice(0, space)
    if (/^cpu\d+$/u.test(key)) {
      const fields = fieldsOf(line.slice(space))
      if (fields.length < 4) throw truncated(file, key)
      const times = cpuModes.map((mode, index) => {
        const field = fields[index]
        return [mode, field === undefined ? 0 : numberOf(field, file) / ticksPerSecond] as const
      })
      cpus.set(key.slice(3), Object.fromEntries(times) as CpuTimes)
    } else if (key !== "cpu" && key !== "softirq") {
      const end = line.indexOf(" ", space + 1)
      single.set(key, numberOf(line.slice(space + 1, end === -1 ? undefined : end), file))
    }
  }
  const one = (key: string) => {
    const value = single.get(key)
    if (value === undefined) throw truncated(file, `no ${key}`)
    return value
  }
  if (cpus.size === 0) throw truncated(file, "no processor")
  return {
    cpus,
    interrupts: one("intr"),
    contextSwitches: one("ctxt"),
    forks: one("processes"),
    bootTime: one("btime"),
    running: one("procs_running"),
    blocked: one("procs_blocked")
  }
}

export const stat: Collector<Stat> = {
  read: (files) => parseStat(files.proc(file)),
  families: (value) => [
    counter("node_intr_total", "Total number of interrupts serviced.", [sample(value.interrupts)]),
    counter("node_context_switches_total", "Total number of context switches.", [sample(value.contextSwitches)]),
    counter("node_forks_total", "Total number of forks.", [sample(value.forks)]),
    gauge("node_boot_time_seconds", "Node boot time, in unixtime.", [sample(value.bootTime)]),
    gauge("node_procs_running", "Number of processes in runnable state.", [sample(value.running)]),
    gauge("node_procs_blocked", "Number of processes blocked waiting for I/O to complete.", [sample(value.blocked)])
  ]
}
