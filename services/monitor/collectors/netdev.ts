/** The first process's net/dev: bytes, packets and errors of each of the host's network interfaces. */
import { counter, sample } from "../family.ts"
import type { Filter } from "../filter.ts"
import { fieldsOf, linesOf, malformed, numberOf, truncated, valueOf } from "../parse.ts"
import type { Collector } from "./collector.ts"

/** node_exporter's names of the sixteen columns, in the kernel's order. */
export const netColumns = [
  "receive_bytes",
  "receive_packets",
  "receive_errs",
  "receive_drop",
  "receive_fifo",
  "receive_frame",
  "receive_compressed",
  "receive_multicast",
  "transmit_bytes",
  "transmit_packets",
  "transmit_errs",
  "transmit_drop",
  "transmit_fifo",
  "transmit_colls",
  "transmit_carrier",
  "transmit_compressed"
] as const
export type NetColumn = (typeof netColumns)[number]

export interface NetDevice {
  readonly device: string
  readonly counters: Readonly<Record<NetColumn, number>>
  /** Packets no protocol took, which only /sys counts; undefined where it does not. */
  readonly noHandler?: number | undefined
}

const file = "net/dev"

/** Text of net/dev. A name may hold colons (an alias, `eth0:1`): it ends at the last one. */
export const parseNetDev = (text: string): ReadonlyArray<NetDevice> => {
  const [first, second, ...rows] = linesOf(text, file)
  if (second === undefined || !first!.includes("|")) throw truncated(file, "no heading")
  return rows.map((row) => {
    const colon = row.lastIndexOf(":")
    if (colon === -1) throw malformed(file, "a row without an interface")
    const fields = fieldsOf(row.slice(colon + 1))
    if (fields.length < netColumns.length) throw truncated(file, "a row has too few columns")
    const counters = netColumns.map((name, index) => [name, numberOf(fields[index], file)] as const)
    return { device: row.slice(0, colon).trim(), counters: Object.fromEntries(counters) as Record<NetColumn, number> }
  })
}

export const makeNetDev = (shown: Filter): Collector<ReadonlyArray<NetDevice>> => ({
  read: (files) =>
    parseNetDev(files.first(file))
      .filter(({ device }) => shown(device))
      .map((one) => ({
        ...one,
        noHandler: valueOf(files.trySys(`class/net/${one.device}/statistics/rx_nohandler`))
      })),
  families: (devices) => [
    ...netColumns.map((column) =>
      counter(
        `node_network_${column}_total`,
        `Network device statistic ${column}.`,
        devices.map(({ counters, device }) => sample(counters[column], { device }))
      )
    ),
    counter(
      "node_network_receive_nohandler_total",
      "Network device statistic receive_nohandler.",
      devices.flatMap(({ device, noHandler }) => (noHandler === undefined ? [] : [sample(noHandler, { device })]))
    )
  ]
})
