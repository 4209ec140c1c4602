/** /proc/vmstat: page faults, paging, swapping and out-of-memory kills. */
import { sample, untyped } from "../family.ts"
import { linesOf, numberOf, truncated } from "../parse.ts"
import type { Collector } from "./collector.ts"

/** node_exporter's default choice of fields. */
const wanted = /^(oom_kill|pgpg|pswp|pg.*fault).*/u

/** Text of /proc/vmstat → the wanted fields. */
export const parseVmStat = (text: string): ReadonlyMap<string, number> => {
  const fields = linesOf(text, "vmstat").map((line) => {
    const [name, value, more] = line.split(" ")
    if (more !== undefined || value === undefined) throw truncated("vmstat", "a line is not `name number`")
    return [name!, numberOf(value, "vmstat")] as const
  })
  return new Map(fields.filter(([name]) => wanted.test(name)))
}

export const vmstat: Collector<ReadonlyMap<string, number>> = {
  read: (files) => parseVmStat(files.proc("vmstat")),
  families: (value) =>
    [...value].map(([field, amount]) =>
      untyped(`node_vmstat_${field}`, `/proc/vmstat information field ${field}.`, [sample(amount)])
    )
}
