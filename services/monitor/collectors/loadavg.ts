/** /proc/loadavg: how many tasks run or wait without being interruptible, averaged over 1, 5 and 15 minutes. */
import { gauge, sample } from "../family.ts"
import { fieldsOf, linesOf, numberOf, truncated } from "../parse.ts"
import type { Collector } from "./collector.ts"

export interface Load {
  readonly load1: number
  readonly load5: number
  readonly load15: number
}

/** Text of /proc/loadavg. */
export const parseLoad = (text: string): Load => {
  const fields = fieldsOf(linesOf(text, "loadavg")[0]!)
  if (fields.length < 3) throw truncated("loadavg", "fewer than three averages")
  const at = (index: number) => numberOf(fields[index], "loadavg")
  return { load1: at(0), load5: at(1), load15: at(2) }
}

export const loadavg: Collector<Load> = {
  read: (files) => parseLoad(files.proc("loadavg")),
  families: (value) => [
    gauge("node_load1", "1m load average.", [sample(value.load1)]),
    gauge("node_load5", "5m load average.", [sample(value.load5)]),
    gauge("node_load15", "15m load average.", [sample(value.load15)])
  ]
}
