/** Starts a cluster that ends with this process, however that ends; must leave nothing on the machine. */
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { nameOf, thisProcess } from "#test/cluster/alive.ts"
import { build } from "#test/cluster/build.ts"
import { attachCluster, type Cluster, clusterFolder, type Coordinates } from "#test/cluster/cluster.ts"
import { administrator, startControlPlane } from "#test/cluster/controlPlane.ts"
import { namePrefix, removeLeftBehind, supervisorFile } from "#test/cluster/leftBehind.ts"
import { startNode, startRuntime } from "#test/cluster/node.ts"
import { nodeNetwork, removeNodeNetwork } from "#test/cluster/nodeNetwork.ts"
import { issueAll } from "#test/cluster/pki.ts"
import { type OwnSupervisor, startSupervisor } from "#test/cluster/supervisor.ts"
import { freePort } from "#test/shared/freePort.ts"
import { highestTier, type Tier, type Verdict } from "#test/cluster/tier.ts"

export interface OwnCluster extends Cluster {
  /** Ends it and removes everything of it; rejects if something is left. */
  readonly stop: () => Promise<void>
}

/** Such as "node tier", or "control-plane tier, as a node needs root". */
export const describeTier = (tier: Tier, reason: string): string =>
  `${tier === "node" ? "node" : "control-plane"} tier${reason === "" ? "" : `, as ${reason}`}`

const choose = (wanted: Tier | "highest", verdict: Verdict): { readonly tier: Tier; readonly reason: string } => {
  const { reason, tier } = verdict
  if (tier === undefined) throw new Error(`no cluster can run here: ${reason}`)
  if (wanted === "node" && tier !== "node") throw new Error(`no node can run here: ${reason}`)
  if (wanted === "controlplane") return { tier: wanted, reason: tier === "node" ? "no more was asked for" : reason }
  return { tier, reason }
}

const startIn = async (folder: string, tier: Tier, reason: string, own: (supervisor: OwnSupervisor) => void) => {
  const [program, supervising] = [await build("controlplane"), await build("supervisor")]
  if (tier === "node") for (const inPods of ["workload", "dns"] as const) await build(inPods)
  const supervisor = await startSupervisor(supervising, folder, tier === "node" ? basename(folder) : undefined)
  own(supervisor)
  writeFileSync(join(folder, supervisorFile), nameOf(supervisor.pid))
  mkdirSync(join(folder, "logs"))

  const network = tier === "node" ? await nodeNetwork(supervisor) : undefined
  const two = network === undefined ? await freePort(2) : undefined
  const [port, etcdPort] = two === undefined ? [6443, 2379] : [two, two + 1]
  const address = network?.nodeAddress ?? "127.0.0.1"
  const endpoints = { address, port, etcdPort }
  const server = `https://${address}:${endpoints.port}`
  const coordinates: Coordinates = { tier, reason, program, server, ...network }
  await issueAll(supervisor, folder, { address, server })
  writeFileSync(join(folder, "cluster.json"), JSON.stringify(coordinates))
  const request = administrator(folder, server)
  if (network !== undefined) await startRuntime(supervisor, folder, network)
  await startControlPlane(supervisor, folder, { program, tier, endpoints, request })
  const cluster = attachCluster(folder)
  if (network !== undefined) await startNode(supervisor, cluster, network)
  return cluster
}

const end = async (supervisor: OwnSupervisor, tier: Tier): Promise<void> => {
  await supervisor.end()
  if (tier === "node") removeNodeNetwork(supervisor.pid)
}

/** Builds what is missing, removes what dead clusters left, and starts one. At most one per process: Bun keeps TLS settings. */
export const startCluster = async (options: { readonly tier: Tier | "highest" }): Promise<OwnCluster> => {
  const { reason, tier } = choose(options.tier, highestTier())
  await removeLeftBehind()
  // Short, as the path of a socket has at most 104 characters; its name tells whose it is.
  const folder = realpathSync(mkdtempSync(join(tmpdir(), `${namePrefix}${thisProcess()}-`)))
  // Containers with users of their own pass through it.
  chmodSync(folder, 0o711)
  let supervisor: OwnSupervisor | undefined
  try {
    const cluster = await startIn(folder, tier, reason, (started) => (supervisor = started))
    return { ...cluster, stop: () => end(supervisor!, tier) }
  } catch (error) {
    if (supervisor === undefined) rmSync(folder, { recursive: true, force: true })
    else await end(supervisor, tier)
    throw error
  }
}

let starting: Promise<Cluster> | undefined

/** The run's cluster (test/cluster/run.ts), or for a suite that runs alone, one that ends with its process. */
export const testCluster = (): Promise<Cluster> => {
  const running = process.env[clusterFolder]
  if (running !== undefined) return Promise.resolve(attachCluster(running))
  return (starting ??= startCluster({ tier: "highest" }))
}
