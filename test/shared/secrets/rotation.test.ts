/** Secrets that change while they are in use: followed to their file, refused if they cannot be, and a database's pool that goes on with the new one. */
import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer, Logger, ManagedRuntime, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { readConfig, secret } from "#shared/config.ts"
import { follow } from "#shared/secrets/rotation.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { freshDatabase } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-rotation-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** In one step, as the kubelet does it. */
const write = (name: string, text: string) => {
  writeFileSync(join(folder, "new"), text)
  renameSync(join(folder, "new"), join(folder, name))
  return join(folder, name)
}

const readFrom = (file: string) => Effect.runPromise(readConfig(secret("APP_KEY"), { APP_KEY_FILE: file }, ["APP_"]))

test("a secret in use is the newest that is acceptable, and the log tells of each change without a value", async () => {
  const file = write("key", "hunter2-one\n")
  const found = await readFrom(file)
  const logged: Array<string> = []
  await Effect.runPromise(
    Effect.gen(function* () {
      const followed = yield* follow(found, (value) => value.startsWith("hunter2"))
      const current = () => Redacted.value(followed.current())
      /** Passes the time in which a file is looked at again, until the look has been. */
      const looked = (expected: string, lines: number) =>
        Effect.gen(function* () {
          while (logged.length < lines) {
            yield* TestClock.adjust("2 seconds")
            yield* TestClock.withLive(Effect.sleep("1 millis"))
          }
          expect([current(), logged.length]).toEqual([expected, lines])
        })
      expect(current()).toBe("hunter2-one")
      write("key", "hunter2-two\n")
      yield* looked("hunter2-two", 1)
      write("key", "worse")
      yield* looked("hunter2-two", 2)
      rmSync(file)
      yield* looked("hunter2-two", 3)
      write("key", "hunter2-three")
      yield* looked("hunter2-three", 5)
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Layer.mergeAll(
          TestClock.layer(),
          Logger.layer([Logger.map(Logger.formatJson, (line) => void logged.push(line))])
        )
      )
    )
  )
  expect(logged.join()).not.toContain("hunter2")
  expect(logged.join()).not.toContain("worse")
  expect(logged.filter((line) => line.includes("the new one is in use"))).toHaveLength(2)
})

test("a secret that was no file's stays what it is", async () => {
  const fixed = await Effect.runPromise(readConfig(secret("APP_KEY"), { APP_KEY: "x" }, ["APP_"]))
  const current = await Effect.runPromise(Effect.scoped(Effect.map(follow(fixed), (followed) => followed.current())))
  expect(Redacted.value(current)).toBe("x")
})

test("a database's new connections are made with the new URL, without a restart", async () => {
  const database = await freshDatabase("data", "hello")
  const url = await readFrom(write("url", database.url))
  const runtime = ManagedRuntime.make(
    Database.layer({ name: "test", url, applicationName: "rotation", migrations: {}, maxConnections: 2 }).pipe(
      Layer.provideMerge(Logger.layer([]))
    )
  )
  const who = () =>
    runtime.runPromise(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const rows = yield* (yield* Database).run(sql<{ readonly who: string }>`SELECT current_user::text AS who`)
        return rows[0]!.who
      }).pipe(Effect.catchTag("Unavailable", () => Effect.succeed("nobody")))
    )
  try {
    await runtime.context()
    expect(await who()).toBe("hello")
    write("url", "no URL at all")
    write("url", database.url.replace("user=hello", "user=data"))
    // As after a rotation that ends what the old password had opened.
    await until("the new role", async () => {
      await database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rotation'")
      return (await who()) === "data"
    })
  } finally {
    await runtime.dispose()
    await database.drop()
  }
})
