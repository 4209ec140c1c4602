/** Secrets of a real KV v2 server, to which a service account of a real cluster opens the door: the contract that the played one passes too. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { testCluster } from "#test/cluster/launch.ts"
import { type SecretStore, startSecretStore } from "#test/cluster/secretStore.ts"
import { kvContract } from "#test/shared/secrets/kvContract.ts"
import { kvConfig, makeReader } from "#test/shared/secrets/reader.ts"

const cluster = await testCluster()
let store: SecretStore
beforeAll(async () => {
  store = await startSecretStore(cluster)
}, 600_000)
afterAll(() => store?.stop())

kvContract("real", () => store)

describe("security: the door of a real KV server", () => {
  const refused = async (tokenFile: string) => {
    const reader = await makeReader(kvConfig(store, { tokenFile }))
    const found = await reader.read("secret://app/open#a")
    await reader.dispose()
    return found
  }
  test("opens to its service account", async () => {
    expect(await refused(store.tokenFile)).toMatchObject({ value: "1" })
  })
  test("stays shut for another service account", async () => {
    expect(await refused(await store.tokenOf("other"))).toMatchObject({ failure: "SecretForbidden" })
  })
  test("stays shut for a token that is meant for somebody else", async () => {
    expect(await refused(await store.tokenOf("app", "gateway.test"))).toMatchObject({ failure: "SecretForbidden" })
  })
  test("stays shut for what is no token", async () => {
    expect(await refused(store.caFile)).toMatchObject({ failure: "SecretForbidden" })
  })
})
