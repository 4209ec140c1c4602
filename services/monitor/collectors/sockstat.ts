/** The first process's net/sockstat and net/sockstat6: sockets in use on the host. */
import { readFileSync } from "node:fs"
import { type Family, gauge, sample } from "../family.ts"
import { type HostFiles, NoData } from "../files.ts"
import { fieldsOf, linesOf, numberOf, truncated } from "../parse.ts"
import type { Collector } from "./collector.ts"

/** `TCP inuse` → 3, in the file's order. */
export type SocketStats = ReadonlyArray<{ readonly protocol: string; readonly field: string; readonly value: number }>

/** Text of net/sockstat or net/sockstat6: a protocol, then names and values by turns. */
export const parseSockStat = (text: string, file: string): SocketStats =>
  linesOf(text, file).flatMap((line) => {
    const [protocol, ...fields] = fieldsOf(line)
    if (fields.length === 0 || fields.length % 2 === 1) throw truncated(file, "a name without a value")
    return Array.from({ length: fields.length / 2 }, (_, index) => ({
      protocol: protocol!.slice(0, -1),
      field: fields[index * 2]!,
      value: numberOf(fields[index * 2 + 1], file)
    }))
  })

/** AT_PAGESZ, include/uapi/linux/auxvec.h */
const pageSizeEntry = 6n

/** Bytes of a memory page: the kernel tells every process in its auxiliary vector, pairs of 64-bit numbers. */
const pageSize = (): number => {
  try {
    const vector = readFileSync("/proc/self/auxv")
    for (let offset = 0; offset + 16 <= vector.length; offset += 16) {
      if (vector.readBigUInt64LE(offset) === pageSizeEntry) return Number(vector.readBigUInt64LE(offset + 8))
    }
  } catch {
    // No Linux, no such file.
  }
  return 4096
}

const readOne = (files: HostFiles, file: string): SocketStats => {
  try {
    return parseSockStat(files.first(file), file)
  } catch (error) {
    if (error instanceof NoData && error.problem === "missing") return []
    throw error
  }
}

const familyOf = (name: string, help: string, value: number): Family =>
  gauge(`node_sockstat_${name}`, help, [sample(value)])

export const makeSockStat = (pageBytes = pageSize()): Collector<SocketStats> => ({
  read: (files) => [...readOne(files, "net/sockstat"), ...readOne(files, "net/sockstat6")],
  families: (value) =>
    value.flatMap(({ field, protocol, value: amount }) => {
      if (protocol === "sockets") return [familyOf("sockets_used", "Number of IPv4 sockets in use.", amount)]
      const one = (name: string, count: number) =>
        familyOf(`${protocol}_${name}`, `Number of ${protocol} sockets in state ${name}.`, count)
      // `mem` counts pages.
      return field === "mem" ? [one(field, amount), one("mem_bytes", amount * pageBytes)] : [one(field, amount)]
    })
})
