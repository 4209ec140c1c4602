/** Secrets of a KV v2 server that is played: the contract, and how often and when the server is asked for what. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test"
import { Duration } from "effect"
import { kvContract } from "./kvContract.ts"
import { playKvServer } from "./playedKvServer.ts"
import { kvConfig, makeReader } from "./reader.ts"

const server = playKvServer()
afterAll(() => server.stop())
beforeEach(() => {
  Object.assign(server.counts, { logins: 0, renewals: 0, reads: 0 })
  Object.assign(server.behaviour, { lease: 3600, renewable: true, instead: undefined })
})

kvContract("played", () => server)

describe("the store", () => {
  test("asks once for what many want at a time, and for all keys of a secret together", async () => {
    await server.put("app/many", { a: "1", b: "2" })
    const reader = await makeReader(kvConfig(server))
    const found = await Promise.all(["a", "b", "a", "b"].map((key) => reader.read(`secret://app/many#${key}`)))
    expect(found).toMatchObject([{ value: "1" }, { value: "2" }, { value: "1" }, { value: "2" }])
    expect(server.counts).toEqual({ logins: 1, renewals: 0, reads: 1 })
    await reader.dispose()
  })
  test("renews its token in its last third, and logs in when it has run out or cannot be renewed", async () => {
    await server.put("app/token", { key: "1" })
    const reader = await makeReader(kvConfig(server))
    const read = () => reader.read("secret://app/token#key")
    await read()
    await reader.pass(2399)
    await read()
    expect(server.counts).toMatchObject({ logins: 1, renewals: 0 })
    await reader.pass(60)
    await read()
    expect(server.counts).toMatchObject({ logins: 1, renewals: 1 })
    await reader.pass(3700)
    await read()
    expect(server.counts).toMatchObject({ logins: 2, renewals: 1 })
    server.behaviour.renewable = false
    await reader.pass(3700)
    await read()
    await reader.pass(2500)
    await read()
    expect(server.counts).toMatchObject({ logins: 4, renewals: 1 })
    // Near its longest life a token is renewed for a moment only.
    server.behaviour.renewable = true
    await reader.pass(3700)
    await read()
    server.behaviour.lease = 6
    await reader.pass(2500)
    await read()
    expect(server.counts).toMatchObject({ logins: 6, renewals: 2 })
    await reader.dispose()
  })
  test("serves the last answer of a server that is gone, asks it again every few seconds only, and no longer than the limit", async () => {
    await server.put("app/gone", { key: "kept" })
    const reader = await makeReader(kvConfig(server))
    const read = () => reader.read("secret://app/gone#key")
    await read()
    await server.goAway()
    await reader.pass(60)
    expect(await read()).toMatchObject({ value: "kept" })
    server.comeBack()
    server.counts.reads = 0
    await server.put("app/gone", { key: "newer" })
    // It was away a moment ago.
    expect(await read()).toMatchObject({ value: "kept" })
    expect(server.counts.reads).toBe(0)
    await reader.pass(5)
    expect(await read()).toMatchObject({ value: "newer" })
    await server.goAway()
    await reader.pass(601)
    expect(await read()).toMatchObject({ failure: "SecretStoreUnavailable" })
    server.comeBack()
    await reader.dispose()
  })
  test("serves nothing old if it is told to, and nothing that was refused since", async () => {
    await server.put("app/strict", { key: "1" })
    const strict = await makeReader(kvConfig(server, { stale: Duration.zero }))
    const reader = await makeReader(kvConfig(server))
    await strict.read("secret://app/strict#key")
    await reader.read("secret://app/strict#key")
    await server.remove("app/strict")
    await reader.pass(30)
    expect(await reader.read("secret://app/strict#key")).toMatchObject({ failure: "SecretNotFound" })
    await server.seal()
    await strict.pass(31)
    await reader.pass(31)
    expect(await strict.read("secret://app/strict#key")).toMatchObject({ failure: "SecretStoreUnavailable" })
    expect(await reader.read("secret://app/strict#key")).toMatchObject({ failure: "SecretStoreUnavailable" })
    await server.unseal()
    await strict.dispose()
    await reader.dispose()
  })
  test("takes no answer that is not as agreed, nor one without end", async () => {
    await server.put("app/odd", { key: "1" })
    for (const [instead, reason] of [
      [new Response("<html>"), "format"],
      [Response.json({ data: {} }), "format"],
      [new Response("x".repeat(2 * 1024 * 1024)), "format"],
      [new Response(null, { status: 500 }), "status 500"],
      [new Response(null, { status: 429 }), "status 429"],
      [Response.redirect("https://127.0.0.1:1/"), "unreachable"]
    ] as const) {
      const reader = await makeReader(kvConfig(server))
      server.behaviour.instead = instead
      const found = await reader.read("secret://app/odd#key")
      expect(found).toMatchObject({ failure: "SecretStoreUnavailable", message: expect.stringContaining(reason) })
      server.behaviour.instead = undefined
      expect(await reader.read("secret://app/odd#key")).toMatchObject({ value: "1" })
      await reader.dispose()
    }
  })
  test("says which of its own files cannot be read", async () => {
    for (const changes of [{ tokenFile: "/nowhere/token" }, { caFile: "/nowhere/ca" }]) {
      const reader = await makeReader(kvConfig(server, changes))
      const found = await reader.read("secret://app/odd#key")
      expect(found).toMatchObject({ failure: "SecretForbidden", message: expect.stringContaining("/nowhere/") })
      await reader.dispose()
    }
  })
  test("security: does not believe another authority's certificate", async () => {
    const reader = await makeReader(kvConfig(server, { caFile: server.otherCaFile }))
    expect(await reader.read("secret://app/odd#key")).toMatchObject({ failure: "SecretStoreUnavailable" })
    expect(server.counts).toEqual({ logins: 0, renewals: 0, reads: 0 })
    await reader.dispose()
  })
})
