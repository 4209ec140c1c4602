/** The secrets an environment starts from: strong, each where it is needed and nowhere else, and never written over. */
import { afterAll, describe, expect, test } from "bun:test"
import { X509Certificate } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Result } from "effect"
import { parseAllDocuments } from "yaml"
import { initialSecrets, renewedCertificates, secretManifests, writeOnce } from "#install/initialSecrets.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-secrets-"))
afterAll(() => rmSync(folder, { recursive: true }))

const now = Date.now()
const valuesOf = (name: string) => initialSecrets("prod", now).find((one) => one.name === name)?.values

describe("the secrets of an environment", () => {
  test("are one Kubernetes Secret per consumer, the monitor's in its own namespace", () => {
    const documents = parseAllDocuments(secretManifests("prod", now)).map((one) => one.toJS())
    for (const { data, kind, metadata, type } of documents) {
      const expected = metadata.name.endsWith("-db-tls") ? "kubernetes.io/tls" : "Opaque"
      expect({ kind, type }).toEqual({ kind: "Secret", type: expected })
      expect(Object.keys(data)).not.toBeEmpty()
    }
    const places = documents.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)
    expect(places.filter((place) => place.startsWith("prod-monitoring/"))).toEqual([
      "prod-monitoring/monitor-secrets",
      "prod-monitoring/database-authority"
    ])
    expect(new Set(places).size).toBe(places.length)
  })

  test("give a service and its database the same password", () => {
    const made = initialSecrets("prod", now)
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
      made.flatMap(({ values }) => Object.entries(values).filter(([key]) => !/(?:url|\.crt|\.key)$/u.test(key)))
    const [first, second] = [random(initialSecrets("prod", now)), random(initialSecrets("prod", now))]
    for (const [, value] of first) expect(Buffer.from(value, "base64url").length).toBe(32)
    const texts = [...first, ...second].map(([, value]) => value)
    expect(new Set(texts).size).toBe(texts.length)
  })

  test("security: let every client believe the environment's databases alone, by name", () => {
    const urls = initialSecrets("prod", now)
      .flatMap(({ values }) => Object.values(values))
      .filter((value) => value.startsWith("postgres://"))
    expect(urls).toHaveLength(12)
    for (const text of urls) {
      const { hostname, searchParams } = new URL(text)
      expect(Object.fromEntries(searchParams)).toEqual({
        sslmode: "verify-full",
        sslrootcert: "/run/secrets/database/ca.crt"
      })
      const database = hostname.replace(/\.prod$/u, "")
      expect(new X509Certificate(valuesOf(`${database}-tls`)!["tls.crt"]!).checkHost(hostname)).toBe(hostname)
    }
  })

  test("hold what the identity provider gave, if it gave it", () => {
    expect(initialSecrets("prod", now, "from the provider")[0]?.values["oidc-client-secret"]).toBe("from the provider")
    expect(valuesOf("gateway-secrets")?.["oidc-client-secret"]).toHaveLength(43)
  })
})

describe("renewed certificates", () => {
  const inForce = join(folder, "ca.crt")
  const renew = (at: number) => Effect.runPromise(Effect.result(renewedCertificates("prod", at, inForce)))
  const textOf = (manifests: string, name: string, key: string) => {
    const document = parseAllDocuments(manifests)
      .map((one) => one.toJS())
      .find(({ metadata }) => metadata.name === name)
    return Buffer.from(document.data[key], "base64").toString()
  }
  const certificatesIn = (text: string) =>
    text.split(/(?<=-----END CERTIFICATE-----\n)/u).map((one) => new X509Certificate(one))

  test("are believed beside those in force, until these have ended", async () => {
    writeFileSync(inForce, valuesOf("database-authority")!["ca.crt"]!)
    const [old] = certificatesIn(readFileSync(inForce, "utf8"))
    const year = 365 * 86_400_000
    const first = await renew(now + year)
    if (Result.isFailure(first)) throw first.failure
    const believed = textOf(first.success.authority, "database-authority", "ca.crt")
    const [next, kept, ...more] = certificatesIn(believed)
    expect([kept?.fingerprint256, more]).toEqual([old?.fingerprint256, []])
    const server = new X509Certificate(textOf(first.success.databases, "data-db-tls", "tls.crt"))
    expect(server.verify(next!.publicKey)).toBe(true)
    expect(server.verify(old!.publicKey)).toBe(false)
    writeFileSync(inForce, believed)
    const second = await renew(now + 2.5 * year)
    if (Result.isFailure(second)) throw second.failure
    const left = certificatesIn(textOf(second.success.authority, "database-authority", "ca.crt"))
    expect(left.map(({ fingerprint256 }) => fingerprint256).slice(1)).toEqual([next!.fingerprint256])
  })

  test("are believed alone where there were none", async () => {
    const made = await Effect.runPromise(renewedCertificates("prod", now))
    expect(certificatesIn(textOf(made.authority, "database-authority", "ca.crt"))).toHaveLength(1)
  })

  test("touch no password, and have both namespaces told", async () => {
    writeFileSync(inForce, valuesOf("database-authority")!["ca.crt"]!)
    const made = await renew(now)
    if (Result.isFailure(made)) throw made.failure
    const places = (text: string) =>
      parseAllDocuments(text).map((one) => `${one.toJS().metadata.namespace}/${one.toJS().metadata.name}`)
    expect(places(made.success.authority)).toEqual(["prod/database-authority", "prod-monitoring/database-authority"])
    expect(places(made.success.databases)).toEqual(["prod/gateway-db-tls", "prod/logging-db-tls", "prod/data-db-tls"])
  })

  test("are refused beside a file that holds no authority", async () => {
    for (const [text, reason] of [
      ["", "no certificates in PEM"],
      ["-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n", "no certificates in PEM"]
    ] as const) {
      writeFileSync(inForce, text)
      const made = await renew(now)
      expect(Result.isFailure(made) && made.failure.message).toBe(`${inForce}: ${reason}`)
    }
    rmSync(inForce)
    const made = await renew(now)
    expect(Result.isFailure(made) && made.failure.message).toBe(`${inForce}: ENOENT`)
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
