/** Connections the kernel's firewall tracks, and how many it can. */
import { gauge, sample } from "../family.ts"
import { NoData } from "../files.ts"
import { numberOf } from "../parse.ts"
import type { Collector } from "./collector.ts"

export interface Conntrack {
  readonly entries: number
  readonly limit: number
}

const folder = "sys/net/netfilter"

export const conntrack: Collector<Conntrack> = {
  read: (files) => {
    // Whatever /proc it is read through, this file shows the reader's own network namespace.
    if (!files.sameNetwork) {
      throw new NoData({ file: folder, problem: "netns", detail: "shows the pod's connections; needs hostNetwork" })
    }
    const one = (name: string) => numberOf(files.proc(`${folder}/${name}`).trimEnd(), `${folder}/${name}`)
    return { entries: one("nf_conntrack_count"), limit: one("nf_conntrack_max") }
  },
  families: (value) => [
    gauge("node_nf_conntrack_entries", "Number of currently allocated flow entries for connection tracking.", [
      sample(value.entries)
    ]),
    gauge("node_nf_conntrack_entries_limit", "Maximum size of connection tracking table.", [sample(value.limit)])
  ]
}
