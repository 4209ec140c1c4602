/** What the KV store makes of a server's answers, the played one's and the real one's alike. */
import { describe, expect, test } from "bun:test"
import { storeContract } from "./contract.ts"
import type { KvTarget } from "./kvServer.ts"
import { kvConfig, makeReader, type Reader } from "./reader.ts"

type Test = (reader: Reader) => Promise<void>

export const kvContract = (name: string, server: () => KvTarget) => {
  const withReader =
    (body: Test, changes: Parameters<typeof kvConfig>[1] = {}) =>
    async () => {
      const reader = await makeReader(kvConfig(server(), changes))
      try {
        await body(reader)
      } finally {
        await server().unseal()
        await reader.dispose()
      }
    }
  storeContract(name, {
    config: () => kvConfig(server()),
    put: (path, values) => server().put(path, values),
    remove: (path) => server().remove(path),
    noticed: 30
  })

  describe(`a KV server (${name})`, () => {
    test(
      "gives an old version to who asks for it",
      withReader(async (reader) => {
        for (const key of ["first", "second"]) await server().put("app/versions", { key })
        expect(await reader.read("secret://app/versions?version=1#key")).toEqual({ value: "first", version: "1" })
        expect(await reader.read("secret://app/versions#key")).toEqual({ value: "second", version: "2" })
        expect(await reader.read("secret://app/versions?version=9#key")).toMatchObject({ failure: "SecretNotFound" })
        await server().remove("app/versions")
        expect(await reader.read("secret://app/versions?version=1#key")).toMatchObject({ value: "first" })
        expect(await reader.read("secret://app/versions?version=2#key")).toMatchObject({ failure: "SecretNotFound" })
      })
    )
    test(
      "has no secret in a value that is no text",
      withReader(async (reader) => {
        await server().put("app/odd", { number: 7, object: { a: 1 }, text: "7" })
        for (const key of ["number", "object"]) {
          expect(await reader.read(`secret://app/odd#${key}`)).toMatchObject({
            failure: "SecretStoreUnavailable",
            message: expect.stringContaining("format")
          })
        }
        expect(await reader.read("secret://app/odd#text")).toMatchObject({ value: "7" })
      })
    )
    test(
      "security: does not give what the role may not read, and says which role",
      withReader(async (reader) => {
        await server().put("other/secret", { key: "hunter2" })
        expect(await reader.read("secret://other/secret#key")).toEqual({
          failure: "SecretForbidden",
          message: `secret://other/secret#key: the role ${server().role} may not read it`.replace("#key", "")
        })
      })
    )
    test(
      "security: lets nobody in with another's role or token",
      withReader(
        async (reader) => {
          expect(await reader.read("secret://app/any#key")).toMatchObject({
            failure: "SecretForbidden",
            message: expect.stringContaining("the login as nobody is refused")
          })
        },
        { role: "nobody" }
      )
    )
    test(
      "logs in again when its token was revoked",
      withReader(async (reader) => {
        await server().put("app/revoked", { key: "one" })
        expect(await reader.read("secret://app/revoked#key")).toMatchObject({ value: "one" })
        await server().put("app/revoked", { key: "two" })
        await server().revokeTokens()
        await reader.pass(30)
        expect(await reader.read("secret://app/revoked#key")).toMatchObject({ value: "two" })
      })
    )
    test(
      "that is sealed still serves what it said last, up to the limit, and says so",
      withReader(async (reader) => {
        await server().put("app/sealed", { key: "kept" })
        expect(await reader.read("secret://app/sealed#key")).toMatchObject({ value: "kept" })
        await server().seal()
        await reader.pass(60)
        expect(await reader.read("secret://app/sealed#key")).toMatchObject({ value: "kept" })
        expect(reader.logged.filter((line) => line.includes("is away"))).toHaveLength(1)
        expect(await reader.metrics()).toMatch(/gatehouse_secrets_stale_seconds\S* 60/u)
        // What was never read cannot be had.
        expect(await reader.read("secret://app/unread#key")).toMatchObject({
          failure: "SecretStoreUnavailable",
          message: expect.stringContaining("sealed 503")
        })
        await reader.pass(541)
        expect(await reader.read("secret://app/sealed#key")).toMatchObject({ failure: "SecretStoreUnavailable" })
        await server().unseal()
        expect(await reader.read("secret://app/sealed#key")).toMatchObject({ value: "kept" })
        expect(reader.logged.filter((line) => line.includes("answers again"))).toHaveLength(1)
        expect(await reader.metrics()).toMatch(/gatehouse_secrets_stale_seconds\S* 0/u)
      })
    )
    test(
      "security: is believed by a certificate of its own authority only",
      withReader(
        async (reader) => {
          expect(await reader.read("secret://app/any#key")).toMatchObject({
            failure: "SecretStoreUnavailable",
            message: expect.stringContaining("unreachable")
          })
        },
        { caFile: undefined }
      )
    )
    test(
      "security: is named in a failure without its token, the login's or the address's secrets",
      withReader(async (reader) => {
        await server().put("app/leak", { key: "hunter2" })
        await reader.read("secret://app/leak#key")
        await server().seal()
        await reader.pass(601)
        const failure = await reader.read("secret://app/leak#key")
        const jwt = (await Bun.file(server().tokenFile).text()).trim()
        const told = JSON.stringify([failure, reader.logged])
        expect(told).not.toContain("hunter2")
        expect(told).not.toContain(jwt)
        expect(told).not.toMatch(/hvs\.|s\.[A-Za-z0-9]{24}/u)
      })
    )
  })
}
