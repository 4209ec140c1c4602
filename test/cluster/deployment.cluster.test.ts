/** One environment as real pods of the image just built, used through nginx by people whom an identity provider vouches for; must apply nothing but what is shipped. */
import { afterAll, beforeAll, expect } from "bun:test"
import { demoUsers } from "#dev/demoUsers.ts"
import { type Edge, issuer, startEdge } from "#test/cluster/deployment/edge.ts"
import {
  allReady,
  applyClusterObjects,
  applyEnvironment,
  clientSecret,
  originOf,
  providerId,
  workloadsOf
} from "#test/cluster/deployment/environment.ts"
import { writeTrustingImage } from "#test/cluster/deployment/gatehouseImage.ts"
import { noPostgresImage, writePostgresImage } from "#test/cluster/deployment/postgresImage.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { skipUnless } from "#test/shared/skip.ts"

const cluster = await testCluster()
const reason = cluster.tier === "node" ? noPostgresImage() : "only a node has real pods"
const { describe, test } = skipUnless(reason === undefined, reason ?? "")
const environment = "dev"

describe("an environment on a real node", () => {
  let edge: Edge
  let overlay = ""

  beforeAll(async () => {
    const origin = originOf(environment)
    edge = await startEdge(cluster, {
      clientSecret,
      clients: [{ clientId: `gatehouse-${environment}`, origin, providerId }],
      users: demoUsers.map((user) => (user.id === "owner" ? { ...user, email: "you@example.org" } : user))
    })
    await cluster.importImage(await writeTrustingImage(cluster.folder, edge.authority.cert))
    await cluster.importImage(writePostgresImage(cluster.folder))
    await applyClusterObjects(cluster)
    overlay = await applyEnvironment(cluster, edge, environment, { apiServer: cluster.nodeAddress!, issuer })
  }, 240_000)
  afterAll(async () => {
    await edge?.stop()
  })

  test("has every pod ready", async () => {
    expect(workloadsOf(overlay).length).toBeGreaterThan(9)
    await allReady(cluster, environment)
  })
})
