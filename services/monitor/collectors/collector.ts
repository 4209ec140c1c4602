/** The shape of a collector: reading and parsing on one side, node_exporter's families on the other. */
import type { Effect } from "effect"
import type { Family } from "../family.ts"
import type { HostFiles, NoData } from "../files.ts"

export interface Collector<A> {
  /** Reads and parses; throws NoData. An effect where that takes waiting. */
  readonly read: (files: HostFiles) => A | Effect.Effect<A, NoData>
  readonly families: (value: A) => ReadonlyArray<Family>
}
