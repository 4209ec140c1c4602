/** Secrets by reference in a service's settings: from files and from a KV server, what stops the start, and that no value is told. */
import { afterAll, describe, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Fiber, Redacted, References, Result } from "effect"
import { TestClock } from "effect/testing"
import { type Env, readConfig, secret, strongSecret } from "#shared/config.ts"
import { playKvServer } from "./playedKvServer.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-settings-"))
const server = playKvServer()
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const key = secret("APP_KEY")

const read = async (env: Env, config = key) => {
  const result = await Effect.runPromise(
    Effect.result(readConfig(config, env, ["APP_"])).pipe(Effect.provideService(References.MinimumLogLevel, "None"))
  )
  return Result.isSuccess(result) ? Redacted.value(result.success) : result.failure.message
}

const write = (path: string, text: string) => {
  mkdirSync(join(folder, path, ".."), { recursive: true })
  writeFileSync(join(folder, path), text)
}

const kv = {
  SECRETS: "kv",
  SECRETS_KV_ADDRESS: server.address,
  SECRETS_KV_CA_FILE: server.caFile,
  SECRETS_KV_ROLE: server.role,
  SECRETS_KV_TOKEN_FILE: server.tokenFile
}

describe("a secret by reference", () => {
  test("is read from the folder of mounted secrets", async () => {
    write("app-secrets/key", "from a file\n")
    expect(await read({ SECRETS_DIR: folder, APP_KEY_REF: "secret://app-secrets#key" })).toBe("from a file")
  })
  test("is read from a KV server, where the settings name one", async () => {
    await server.put("app/settings", { key: "from a server" })
    expect(await read({ ...kv, APP_KEY_REF: "secret://app/settings#key" })).toBe("from a server")
  })
  test("is judged like any other: a weak one stops the start", async () => {
    write("app-secrets/weak", "short")
    const env = { SECRETS_DIR: folder, APP_KEY_REF: "secret://app-secrets#weak" }
    expect(await read(env, strongSecret("APP_KEY"))).toContain("weak secret")
  })
  test("is the only source of its secret", async () => {
    for (const more of [{ APP_KEY: "hunter2" }, { APP_KEY_FILE: join(folder, "app-secrets/key") }]) {
      const told = await read({ SECRETS_DIR: folder, APP_KEY_REF: "secret://app-secrets#key", ...more })
      expect(told).toBe("APP_KEY: set it, APP_KEY_FILE or APP_KEY_REF, and only one of them")
    }
  })
  test("security: stops the start if it leads nowhere or out, named by its key and without a value", async () => {
    write("hunter2", "hunter2-value")
    for (const [reference, detail] of [
      ["secret://app-secrets#none", "there is no such secret"],
      ["secret://none#key", "there is no such secret"],
      ["secret://../x#hunter2", "must be secret://path#key"],
      ["hunter2-value", "must be secret://path#key"]
    ] as const) {
      const told = await read({ SECRETS_DIR: join(folder), APP_KEY_REF: reference })
      expect(told).toStartWith("APP_KEY_REF: ")
      expect(told).toContain(detail)
      expect(told).not.toContain("hunter2-value")
    }
  })
  test("is waited for while its store is sealed, and given up by name after a while", async () => {
    await server.put("app/late", { key: "late" })
    const start = (whenAsked: Effect.Effect<unknown>) =>
      Effect.runPromise(
        Effect.gen(function* () {
          yield* Effect.promise(server.seal)
          const { promise: asked, resolve } = Promise.withResolvers<void>()
          server.behaviour.onAsked = resolve
          const env = { ...kv, APP_KEY_REF: "secret://app/late#key" }
          const reading = yield* Effect.forkChild(Effect.result(readConfig(key, env, ["APP_"])))
          yield* Effect.promise(() => asked)
          yield* whenAsked
          // Real answers come between the seconds of this clock, five of which are too long for one.
          while (reading.pollUnsafe() === undefined) {
            yield* TestClock.adjust("1 second")
            yield* TestClock.withLive(Effect.sleep("50 millis"))
          }
          const result = yield* Fiber.join(reading)
          return Result.isSuccess(result) ? Redacted.value(result.success) : result.failure.message
        }).pipe(Effect.provideService(References.MinimumLogLevel, "None"), Effect.provide(TestClock.layer()))
      )
    expect(await start(Effect.promise(server.unseal))).toBe("late")
    expect(await start(Effect.void)).toBe(`APP_KEY_REF: the secret store ${new URL(server.address).host}: sealed 503`)
    await server.unseal()
  })
})

describe("the settings of the store", () => {
  const refused: ReadonlyArray<readonly [Env, string]> = [
    [{ SECRETS: "vault" }, "SECRETS"],
    [{ SECRETS_DIRR: "/x" }, "SECRETS_DIRR"],
    [{ SECRETS_DIR: "relative" }, "SECRETS_DIR"],
    [{ SECRETS: "kv" }, "SECRETS_KV_ADDRESS"],
    [{ SECRETS: "kv", SECRETS_KV_ADDRESS: "https://bao" }, "SECRETS_KV_ROLE"],
    [{ ...kv, SECRETS_KV_ADDRESS: "http://bao.prod.svc:8200" }, "SECRETS_KV_ADDRESS"],
    [{ ...kv, SECRETS_KV_ADDRESS: "ftp://bao" }, "SECRETS_KV_ADDRESS"],
    [{ ...kv, SECRETS_KV_MOUNT: "../sys" }, "SECRETS_KV_MOUNT"],
    [{ ...kv, SECRETS_KV_LOGIN: "a b" }, "SECRETS_KV_LOGIN"],
    [{ ...kv, SECRETS_KV_STALE: "2 days" }, "SECRETS_KV_STALE"],
    [{ ...kv, SECRETS_KV_REFRESH: "0 seconds" }, "SECRETS_KV_REFRESH"]
  ]
  for (const [env, name] of refused) {
    test(`name ${name} if it cannot be: ${JSON.stringify(env[name] ?? "")}`, async () => {
      expect(await read({ APP_KEY: "x", ...env })).toStartWith(`${name}: `)
    })
  }
  test("ask nothing of a server that no secret refers to", async () => {
    server.counts.logins = 0
    expect(await read({ ...kv, SECRETS_KV_ADDRESS: "http://127.0.0.1:1", APP_KEY: "x" })).toBe("x")
    expect(server.counts.logins).toBe(0)
  })
})
