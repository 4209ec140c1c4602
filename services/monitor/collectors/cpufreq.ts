/** Clock frequencies of the processors, where a driver controls them. */
import { gauge, type Sample, sample } from "../family.ts"
import { NoData } from "../files.ts"
import { valueOf } from "../parse.ts"
import type { Collector } from "./collector.ts"

export interface CpuFrequency {
  readonly cpu: string
  /** kHz, by the file in cpufreq/. */
  readonly kilohertz: Readonly<Record<string, number>>
  readonly governor: string
  readonly governors: ReadonlyArray<string>
}

const attributes: ReadonlyArray<readonly [file: string, name: string, help: string]> = [
  ["cpuinfo_cur_freq", "frequency_hertz", "Current CPU thread frequency in hertz."],
  ["cpuinfo_avg_freq", "frequency_avg_hertz", "Average CPU thread frequency in hertz."],
  ["cpuinfo_min_freq", "frequency_min_hertz", "Minimum CPU thread frequency in hertz."],
  ["cpuinfo_max_freq", "frequency_max_hertz", "Maximum CPU thread frequency in hertz."],
  ["scaling_cur_freq", "scaling_frequency_hertz", "Current scaled CPU thread frequency in hertz."],
  ["scaling_min_freq", "scaling_frequency_min_hertz", "Minimum scaled CPU thread frequency in hertz."],
  ["scaling_max_freq", "scaling_frequency_max_hertz", "Maximum scaled CPU thread frequency in hertz."]
]

const root = "devices/system/cpu"

export const cpufreq: Collector<ReadonlyArray<CpuFrequency>> = {
  read: (files) => {
    const found = files.list(root).flatMap((name): ReadonlyArray<CpuFrequency> => {
      const cpu = /^cpu(\d+)$/u.exec(name)?.[1]
      const text = (file: string) => files.trySys(`${root}/${name}/cpufreq/${file}`)
      if (cpu === undefined || text("scaling_governor") === undefined) return []
      const kilohertz: Record<string, number> = {}
      for (const [file] of attributes) {
        const value = valueOf(text(file))
        if (value !== undefined) kilohertz[file] = value
      }
      const governors = (text("scaling_available_governors") ?? "").split(" ").filter((one) => one !== "")
      return [{ cpu, kilohertz, governor: text("scaling_governor")!, governors }]
    })
    if (found.length === 0) {
      throw new NoData({
        file: `${root}/*/cpufreq`,
        problem: "missing",
        detail: "no frequency driver, as on most virtual machines"
      })
    }
    return found
  },
  families: (value) => [
    ...attributes.map(([file, name, help]) => {
      const samples = value.flatMap(({ cpu, kilohertz }): ReadonlyArray<Sample> => {
        const one = kilohertz[file]
        return one === undefined ? [] : [sample(one * 1000, { cpu })]
      })
      return gauge(`node_cpu_${name}`, help, samples)
    }),
    gauge(
      "node_cpu_scaling_governor",
      "Current enabled CPU frequency governor.",
      value.flatMap(({ cpu, governor, governors }) =>
        governors.map((one) => sample(one === governor ? 1 : 0, { cpu, governor: one }))
      )
    )
  ]
}
