/** The first process's net/netstat, net/snmp and net/snmp6: protocol counters of the host's network. */
import { sample, untyped } from "../family.ts"
import { type HostFiles, NoData } from "../files.ts"
import { fieldsOf, linesOf, malformed, numberOf, truncated } from "../parse.ts"
import type { Collector } from "./collector.ts"

/** node_exporter's default choice of `<protocol>_<field>`. */
const wanted =
  /^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$/u

/** By `<protocol>_<field>`. */
export type NetStats = ReadonlyMap<string, number>

/** Text of net/netstat or net/snmp: each protocol has a line of names and a line of values. */
export const parseNetStat = (text: string, file: string): NetStats => {
  const lines = linesOf(text, file)
  const fields = new Map<string, number>()
  for (let index = 0; index < lines.length; index += 2) {
    const names = fieldsOf(lines[index]!)
    const values = fieldsOf(lines[index + 1] ?? "")
    if (names.length !== values.length) throw truncated(file, "a protocol has more names than values")
    if (names[0] !== values[0]) throw malformed(file, "names and values of two protocols")
    const protocol = names[0]!.slice(0, -1)
    for (let column = 1; column < names.length; column++) {
      fields.set(`${protocol}_${names[column]!}`, numberOf(values[column], file))
    }
  }
  return fields
}

/** Text of net/snmp6: `Ip6InReceives 3` → `Ip6_InReceives`. */
export const parseSnmp6 = (text: string): NetStats =>
  new Map(
    // Without IPv6 the file may be empty.
    (text === "" ? [] : linesOf(text, "net/snmp6")).flatMap((line) => {
      const [name, value] = fieldsOf(line)
      const six = name!.indexOf("6")
      if (six === -1) return []
      return [[`${name!.slice(0, six + 1)}_${name!.slice(six + 1)}`, numberOf(value, "net/snmp6")] as const]
    })
  )

const snmp6Of = (files: HostFiles): NetStats => {
  try {
    return parseSnmp6(files.first("net/snmp6"))
  } catch (error) {
    if (error instanceof NoData && error.problem === "missing") return new Map()
    throw error
  }
}

export const netstat: Collector<NetStats> = {
  read: (files) =>
    new Map(
      [
        ...parseNetStat(files.first("net/netstat"), "net/netstat"),
        ...parseNetStat(files.first("net/snmp"), "net/snmp"),
        ...snmp6Of(files)
      ].filter(([name]) => wanted.test(name))
    ),
  families: (value) =>
    [...value].map(([name, amount]) =>
      untyped(`node_netstat_${name}`, `Statistic ${name.replace("_", "")}.`, [sample(amount)])
    )
}
