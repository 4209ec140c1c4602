/** Backups on disk: how long they stay, that a changed one is not believed, and that no reference leads out of their folder. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "bun:test"
import { Duration, Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { parse } from "yaml"
import { Backups, type BackupOptions, backupText } from "#admin/Backups.ts"
import { parseManifest } from "#admin/manifest/parseManifest.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-backups-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const configMap = (name: string): KubernetesObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: {
    name,
    namespace: "dev",
    uid: "u",
    resourceVersion: "7",
    generation: 3,
    creationTimestamp: "2026-01-01T00:00:00Z",
    managedFields: [{ manager: "x" }],
    labels: { on: "yes" }
  },
  data: { mode: "0400", flag: "off", time: "22:22", date: "2026-01-01", text: "a\nb\n" },
  status: { phase: "x" }
})

const run = <A, E>(
  body: (backups: Backups["Service"]) => Effect.Effect<A, E>,
  options: Partial<BackupOptions> = {}
): Promise<A> =>
  Effect.runPromise(
    Backups.use(body).pipe(
      Effect.provide(Backups.layer({ folder, keepCount: 3, keepAge: Duration.days(10), minFreeBytes: 0, ...options })),
      Effect.provide(TestClock.layer())
    )
  )
const files = (name: string) =>
  readdirSync(join(folder, "dev", "ConfigMap", name))
    .filter((file) => file.endsWith(".yaml"))
    .toSorted()

describe("a backup", () => {
  test("is the object as it can be applied again: text stays text, to our own strict reading too", () => {
    const text = backupText(configMap("a"))
    const { metadata, status: _, ...rest } = configMap("a")
    const expected = { ...rest, metadata: { name: metadata.name, namespace: "dev", labels: { on: "yes" } } }
    expect(parse(text)).toEqual(expected)
    const own = parseManifest(text)
    expect(own._tag === "Success" ? own.success[0]?.tree : own.failure).toEqual(expected)
  })

  test("is read again by its namespace alone", async () => {
    const reference = await run((backups) => backups.write(configMap("read"), uuidv7(1)))
    expect(parse(await run((backups) => backups.read("dev", reference)))).toMatchObject({ data: { mode: "0400" } })
    const foreign = await run((backups) => Effect.result(backups.read("prod", reference)))
    expect(Result.isFailure(foreign) && foreign.failure._tag).toBe("InvalidInput")
  })

  test("security: that was changed on disk is not believed", async () => {
    const reference = await run((backups) => backups.write(configMap("changed"), uuidv7(1)))
    writeFileSync(join(folder, reference), "kind: Evil\n")
    const result = await run((backups) => Effect.result(backups.read("dev", reference)))
    expect(Result.isFailure(result) && result.failure._tag).toBe("BackupCorrupt")
  })

  test("security: a reference that leads elsewhere is none", async () => {
    writeFileSync(join(folder, "secret.yaml"), "x")
    for (const reference of [
      "../secret.yaml",
      "dev/../../etc/passwd",
      "dev/ConfigMap/../secret.yaml",
      "dev/ConfigMap/a/../../../secret.yaml",
      "dev/ConfigMap/a/19700101T000000000Z-01900000-0000-7000-8000-000000000000.yaml/../x",
      "/etc/passwd",
      "dev\\ConfigMap",
      ""
    ]) {
      const result = await run((backups) => Effect.result(backups.read("dev", reference)))
      expect([reference, Result.isFailure(result) && result.failure._tag]).toEqual([reference, "InvalidInput"])
    }
  })

  test("security: an object whose name is no file name is not written", async () => {
    for (const name of ["../x", "a/b", "", ".."]) {
      const result = await run((backups) => Effect.result(backups.write(configMap(name), uuidv7(1))))
      expect([name, Result.isFailure(result) && result.failure._tag]).toEqual([name, "BackupFailed"])
    }
  })
})

describe("retention", () => {
  test("keeps the newest few of each object", async () => {
    await run(
      Effect.fnUntraced(function* (backups) {
        for (let index = 0; index < 5; index++) {
          yield* TestClock.adjust("1 hour")
          yield* backups.prune(yield* backups.write(configMap("many"), uuidv7(index)))
        }
      })
    )
    expect(files("many").map((file) => file.slice(0, 15))).toEqual([
      "19700101T030000",
      "19700101T040000",
      "19700101T050000"
    ])
    expect(readdirSync(join(folder, "dev", "ConfigMap", "many"))).toHaveLength(6)
  })

  test("drops what is too old, and never the newest", async () => {
    await run(
      Effect.fnUntraced(function* (backups) {
        yield* backups.write(configMap("old"), uuidv7(1))
        yield* TestClock.adjust("9 days")
        const reference = yield* backups.write(configMap("old"), uuidv7(2))
        yield* backups.prune(reference)
        expect(files("old")).toHaveLength(2)
        yield* TestClock.adjust("2 days")
        yield* backups.prune(reference)
        expect(files("old")).toHaveLength(1)
        yield* TestClock.adjust("400 days")
        yield* backups.prune(reference)
        expect(files("old").map((file) => reference.endsWith(file))).toEqual([true])
      })
    )
  })
})
