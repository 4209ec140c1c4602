/** Which suites run beside which: those that want real pods one after the other on a node, the others meanwhile on a control plane of their own; pure. */
import type { Tier } from "#test/cluster/tier.ts"

export interface Lane {
  /** What its cluster is. */
  readonly tier: Tier
  /** One after the other, in this order: they share the cluster, and some take a part of it away for a while. */
  readonly files: ReadonlyArray<string>
}

const suites = (...names: ReadonlyArray<string>) => names.map((name) => `test/cluster/${name}.cluster.test.ts`)

/**
 * What asks an API server, a cluster or containers that it starts itself, or nobody. Some of these stop or freeze the API
 * server, which is why they have one of their own: on the node's, every suite beside them would see its outage. Where they ask
 * for pods, it is enough that they are made.
 */
const withoutNode = suites(
  // First, as it builds what the deployment runs.
  "image",
  "leftBehind",
  "admin",
  "backupSets",
  "build",
  "controlPlane",
  "lanes",
  "playedKubelet",
  "policies",
  "rollouts",
  "secretStore",
  "workloadTokens",
  // Last, as they leave the environments where they are.
  "admission",
  "environments"
)

/** What mostly waits, for crash loops, lost kubelets and reboots, comes first: beside it there is room for the other lane. */
const waiting = suites("node", "kubernetes", "crashLoop")
/** What keeps the machine busy comes last, when the other lane has ended: thirty pods that start want it for themselves. */
const busy = suites("deployment")

/** Every suite that is told where it belongs. */
export const namedSuites: ReadonlyArray<string> = [...withoutNode, ...waiting, ...busy]

/** Of a suite that is named nowhere: between the two. */
const order: ReadonlyArray<string> = [...withoutNode, ...waiting, "", ...busy]
const rank = (file: string): number => order.indexOf(order.includes(file) ? file : "")

/** In the order of the lanes: what needs no node first, what is busy last. */
export const inOrder = (files: ReadonlyArray<string>): ReadonlyArray<string> =>
  files.toSorted((one, other) => rank(one) - rank(other) || (one < other ? -1 : 1))

/** Every one of `files` in one lane; a suite that is named nowhere here gets the node. Lanes without a suite are left out. */
export const lanesOf = (files: ReadonlyArray<string>): ReadonlyArray<Lane> =>
  [
    { tier: "node" as const, files: inOrder(files).filter((file) => !withoutNode.includes(file)) },
    { tier: "controlplane" as const, files: inOrder(files).filter((file) => withoutNode.includes(file)) }
  ].filter((lane) => lane.files.length > 0)
