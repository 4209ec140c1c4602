/** What every store of secrets does, files or server: the one suite that each must pass. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { SecretsConfig } from "#shared/secrets/settings.ts"
import { makeReader, type Reader } from "./reader.ts"

export interface StoreTarget {
  readonly config: () => SecretsConfig
  /** Writes the whole secret in one step. */
  readonly put: (path: string, values: Readonly<Record<string, string>>) => Promise<void>
  readonly remove: (path: string) => Promise<void>
  /** Seconds after which a new value is read by everybody. */
  readonly noticed: number
}

export const storeContract = (name: string, target: StoreTarget) => {
  describe(`a store of secrets (${name})`, () => {
    let reader: Reader
    beforeAll(async () => {
      reader = await makeReader(target.config())
    })
    afterAll(() => reader?.dispose())

    test("gives each key of a secret as it was written", async () => {
      const text = "line one\nline two: ü, 'quotes', \"more\" and = signs "
      await target.put("app/first", { user: "ursula", password: text })
      expect(await reader.read("secret://app/first#user")).toMatchObject({ value: "ursula" })
      expect(await reader.read("secret://app/first#password")).toMatchObject({ value: text })
    })

    test("has none where there is none: no secret, no key, or removed", async () => {
      await target.put("app/short", { key: "one" })
      expect(await reader.read("secret://app/nothing#key")).toMatchObject({ failure: "SecretNotFound" })
      expect(await reader.read("secret://app/short#other")).toEqual({
        failure: "SecretNotFound",
        message: "secret://app/short#other: there is no such secret"
      })
      expect(await reader.read("secret://app/short#key")).toMatchObject({ value: "one" })
      await target.remove("app/short")
      await reader.pass(target.noticed)
      expect(await reader.read("secret://app/short#key")).toMatchObject({ failure: "SecretNotFound" })
    })

    test("gives a new value to who asks again, with another version", async () => {
      await target.put("app/rotated", { password: "old" })
      const old = await reader.read("secret://app/rotated#password")
      expect(await reader.read("secret://app/rotated#password")).toEqual(old)
      await target.put("app/rotated", { password: "new" })
      await reader.pass(target.noticed)
      const fresh = await reader.read("secret://app/rotated#password")
      expect([old, fresh]).toMatchObject([{ value: "old" }, { value: "new" }])
      expect("version" in old && "version" in fresh && old.version !== fresh.version).toBe(true)
    })

    test("tells who follows a secret of its value and of each new one, and of nothing else", async () => {
      await target.put("app/followed", { password: "one", other: "x" })
      const next = await reader.follow("secret://app/followed#password")
      expect(await next()).toBe("one")
      // Another key of the same secret changes, and then it is gone for a while.
      await target.put("app/followed", { password: "one", other: "y" })
      await reader.pass(target.noticed)
      await target.remove("app/followed")
      await reader.pass(target.noticed)
      expect(await reader.read("secret://app/followed#password")).toMatchObject({ failure: "SecretNotFound" })
      await target.put("app/followed", { password: "two", other: "y" })
      expect(await reader.passUntil(next(), target.noticed)).toBe("two")
    })

    test("security: shows a value in no failure and no log", async () => {
      await target.put("app/quiet", { password: "hunter2-value", other: "hunter2-other" })
      expect(await reader.read("secret://app/quiet#password")).toMatchObject({ value: "hunter2-value" })
      const missing = await reader.read("secret://app/quiet#nothing")
      expect(JSON.stringify([missing, reader.logged])).not.toContain("hunter2")
    })
  })
}
