/** The secrets an environment starts from: strong, each where it is needed and nowhere else, and never written over. */
import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Result } from "effect"
import { parseAllDocuments } from "yaml"
import { initialSecrets, secretManifests, writeOnce } from "#install/initialSecrets.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-secrets-"))
afterAll(() => rmSync(folder, { recursive: true }))

const valuesOf = (name: string) => initialSecrets("prod").find((one) => one.name === name)?.values

describe("the secrets of an environment", () => {
  test("are one Kubernetes Secret per consumer, the monitor's in its own namespace", () => {
    const documents = parseAllDocuments(secretManifests("prod")).map((one) => one.toJS())
    for (const { kind, stringData, type } of documents) {
      expect({ kind, type }).toEqual({ kind: "Secret", type: "Opaque" })
      expect(Object.keys(stringData)).not.toBeEmpty()
    }
    const places = documents.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
    expect(places.filter((place) => place.startsWith("prod-monitoring/"))).toEqual(["prod-monitoring/monitor-secrets"])
    expect(new Set(places).size).toBe(places.length)
  })

  test("give a service and its database the same password", () => {
    const made = initialSecrets("prod")
    const value = (name: string, key: string) => made.find((one) => one.name === name)?.values[key]
    for (const [service, database, key] of [
      ["gateway-secrets", "gateway-db-secrets", "gateway-password"],
      ["admin-secrets", "logging-db-secrets", "admin-password"],
      ["scheduler-secrets", "logging-db-secrets", "scheduler-password"],
      ["monitor-secrets", "logging-db-secrets", "monitor-password"],
      ["hello-secrets", "data-db-secrets", "hello-password"]
    ] as const) {
      expect(new URL(value(service, "database-url")!).password).toBe(value(database, key)!)
    }
  })

  test("security: are 256 random bits each, no two alike, and new each time", () => {
    const random = (made: ReturnType<typeof initialSecrets>) =>
      made.flatMap(({ values }) => Object.entries(values).filter(([key]) => !key.endsWith("url")))
    const [first, second] = [random(initialSecrets("prod")), random(initialSecrets("prod"))]
    for (const [, value] of first) expect(Buffer.from(value, "base64url").length).toBe(32)
    const texts = [...first, ...second].map(([, value]) => value)
    expect(new Set(texts).size).toBe(texts.length)
  })

  test("hold what the identity provider gave, if it gave it", () => {
    expect(initialSecrets("prod", "from the provider")[0]?.values["oidc-client-secret"]).toBe("from the provider")
    expect(valuesOf("gateway-secrets")?.["oidc-client-secret"]).toHaveLength(43)
  })
})

describe("writing them", () => {
  test("security: makes a file for its owner alone", async () => {
    const file = join(folder, "new.yaml")
    await Effect.runPromise(writeOnce(file, "a: b\n"))
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readFileSync(file, "utf8")).toBe("a: b\n")
  })

  test("leaves a file that is there as it is", async () => {
    const file = join(folder, "there.yaml")
    writeFileSync(file, "first")
    const written = await Effect.runPromise(Effect.result(writeOnce(file, "second")))
    expect(Result.isFailure(written) && written.failure.message).toBe(`${file}: is there already and stays`)
    expect(readFileSync(file, "utf8")).toBe("first")
  })

  test("says why where it cannot", async () => {
    const written = await Effect.runPromise(Effect.result(writeOnce(join(folder, "no/such/folder"), "x")))
    expect(Result.isFailure(written) && written.failure.reason).toBe("ENOENT")
  })
})
