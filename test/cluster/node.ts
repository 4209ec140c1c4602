/** placeholder */
import type { Cluster } from "#test/cluster/cluster.ts"
import type { NodeNetwork } from "#test/cluster/nodeNetwork.ts"
import type { Supervisor } from "#test/cluster/supervisor.ts"
export const startNode = async (_s: Supervisor, _c: Cluster, _n: NodeNetwork): Promise<void> => {
  throw new Error("the node tier is not there yet")
}
