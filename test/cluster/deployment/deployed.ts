/** Environments as they stand on the tests' node, with their edge; must leave no process of this machine's behind. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { demoUsers } from "#dev/demoUsers.ts"
import { build } from "#test/cluster/build.ts"
import type { Cluster } from "#test/cluster/cluster.ts"
import { imageArchive } from "#test/cluster/images.ts"
import { environments as everywhere } from "#test/manifests/render.ts"
import type { Way } from "#test/scenarios/browserJar.ts"
import { type Edge, startEdge } from "./edge.ts"
import {
  applyClusterObjects,
  applyEnvironment,
  clientSecret,
  originOf,
  providerId,
  removeEnvironments
} from "./environment.ts"
import { writeTrustingImage } from "./gatehouseImage.ts"
import { type Environment, site } from "./manifests.ts"
import { writePostgresImage } from "./postgresImage.ts"

/** The tests' workload under names that the environments' admission policy allows. */
const images = { good: "gatehouse.local/workload:1", crash: "gatehouse.local/workload:2-crash" } as const

export interface Deployed {
  readonly edge: Edge
  readonly way: Way
  readonly images: typeof images
  /** What was applied, by environment. */
  readonly overlays: Map<Environment, string>
  readonly add: (environment: Environment) => Promise<void>
  /** Ends the edge. The environments stay: the cluster ends soon, or who comes next takes them away. */
  readonly stop: () => Promise<void>
}

const writeWorkloadImages = async (folder: string): Promise<string> => {
  const files = { "/workload": await build("workload") }
  const path = join(folder, "workload-images.tar")
  const release = (name: string, mode: string) => ({
    name,
    files,
    entrypoint: ["/workload"],
    command: [mode],
    user: 10_001,
    environment: [`RELEASE=${name.slice(name.lastIndexOf(":") + 1)}`]
  })
  writeFileSync(path, imageArchive([release(images.good, "serve"), release(images.crash, "crash")]))
  return path
}

/** Imports the images, starts the edge and applies `environments`; does not wait for their pods. */
export const deploy = async (cluster: Cluster, environments: ReadonlyArray<Environment>): Promise<Deployed> => {
  await removeEnvironments(cluster)
  const edge = await startEdge(cluster, {
    clientSecret,
    clients: everywhere.map((name) => ({ clientId: `gatehouse-${name}`, origin: originOf(name), providerId })),
    users: demoUsers.map((user) => (user.id === "owner" ? { ...user, email: "you@example.org" } : user))
  })
  const overlays = new Map<Environment, string>()
  const add = async (environment: Environment) => {
    overlays.set(environment, await applyEnvironment(cluster, edge, environment, site(cluster)))
  }
  try {
    const { folder, importImage } = cluster
    await Promise.all([
      importImage(writePostgresImage(folder)),
      writeTrustingImage(folder, edge.authority.cert).then(importImage),
      writeWorkloadImages(folder).then(importImage)
    ])
    await applyClusterObjects(cluster)
    for (const environment of environments) await add(environment)
  } catch (error) {
    await edge.stop()
    throw error
  }
  return { edge, way: { provider: providerId, fetch: edge.fetch }, images, overlays, add, stop: edge.stop }
}
