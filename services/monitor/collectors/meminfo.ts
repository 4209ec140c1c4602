/** /proc/meminfo: every field under node_exporter's name, in bytes where the kernel says kB. */
import { gauge, sample } from "../family.ts"
import { linesOf, malformed, truncated } from "../parse.ts"
import type { Collector } from "./collector.ts"

/** By node_exporter's field name, `Active_anon_bytes`; bytes, or pages for the `HugePages_` counts. */
export type MemInfo = ReadonlyMap<string, number>

const row = /^([A-Za-z0-9_]+)(?:\(([A-Za-z0-9_]+)\))?:\s+(\d+)( kB)?$/u

/** Text of /proc/meminfo. */
export const parseMemInfo = (text: string): MemInfo => {
  const fields = new Map<string, number>()
  for (const line of linesOf(text, "meminfo")) {
    const found = row.exec(line)
    if (found === null) throw malformed("meminfo", "a line is not `name: number kB`")
    const [, name, part, digits, unit] = found
    const key = part === undefined ? name! : `${name}_${part}`
    if (unit === undefined) fields.set(key, Number(digits))
    else fields.set(`${key}_bytes`, Number(digits) * 1024)
  }
  if (!fields.has("MemTotal_bytes") || !fields.has("MemFree_bytes"))
    throw truncated("meminfo", "no MemTotal or MemFree")
  return fields
}

export const meminfo: Collector<MemInfo> = {
  read: (files) => parseMemInfo(files.proc("meminfo")),
  families: (value) =>
    [...value].map(([field, amount]) =>
      gauge(`node_memory_${field}`, `Memory information field ${field}.`, [sample(amount)])
    )
}
