/** The wall clock, which containers share with their host. */
import { gauge, sample } from "../family.ts"
import type { Collector } from "./collector.ts"

/** Seconds since the epoch. `now` is the service's clock, in milliseconds. */
export const makeTime = (now: () => number): Collector<number> => ({
  read: () => now() / 1000,
  families: (value) => [gauge("node_time_seconds", "System time in seconds since epoch (1970).", [sample(value)])]
})
