/** The rule on faults that hit many workloads at once: their cause is in none of them; pure. */
import type { Spread } from "./IncidentStore.ts"
import type { Finding } from "./judge.ts"
import type { View } from "./view.ts"

/** At least so many workloads, and this share of all. */
const least = 3
const share = 0.3

const many = (count: number, of: number) => count >= least && count >= of * share

/**
 * The finding, if so many workloads began to fail within five minutes, or if they did (`standing`) and as many still fail.
 * Undefined otherwise.
 */
export const clusterWide = (view: View, spread: Spread, standing: boolean, now: number): Finding | undefined => {
  const [first] = view.workloads
  const all = view.workloads.length
  if (first === undefined || !(many(spread.lately, all) || (standing && many(spread.open, all)))) return undefined
  const { namespace } = first.workload
  return {
    key: `${namespace}/Cluster/cluster//cluster_wide`,
    class: "cluster_wide",
    namespace,
    kind: "Cluster",
    name: "cluster",
    uid: `cluster/${namespace}`,
    generation: 0,
    revision: null,
    revisionUid: null,
    podCount: 0,
    restarts: 0,
    pod: null,
    container: null,
    reason: `${Math.max(spread.lately, spread.open)} of ${all} workloads fail`,
    exitCode: null,
    impact: "unknown",
    firstSeenAt: now
  }
}
