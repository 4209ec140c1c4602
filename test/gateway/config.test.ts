/** R20: a setting that is unknown, missing, weak or unsafe stops the start, by its key's name and never by its value. */
import { afterAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duration, Effect, Redacted, Result } from "effect"
import { stringify } from "yaml"
import { gatewayConfig } from "#gateway/config.ts"
import type { Env } from "#shared/config.ts"
import { provider, startGateway } from "#test/gateway/fixture.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

const folder = mkdtempSync(join(tmpdir(), "gatehouse-config-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const file = (content: string) => {
  const path = join(folder, `file-${files++}`)
  writeFileSync(path, content)
  return path
}
const settings = (more: object = {}) => ({
  providers: [{ id: "hub", kind: "github", clientId: "c", clientSecret: { env: "HUB_SECRET" } }],
  routes: [{ id: "start", path: "/", upstream: "http://127.0.0.1:1", service: "dashboard", public: true }],
  ...more
})
const secret = "a good secret: 32 bytes and more"
const good: Env = {
  ENVIRONMENT: "prod",
  GATEWAY_PUBLIC_URL: "https://gate.example.org",
  GATEWAY_FILE: file(stringify(settings())),
  GATEWAY_DATABASE_URL: "postgres://gateway:planted-password@db/gateway",
  GATEWAY_SECRET: secret,
  HUB_SECRET: "planted-client-secret",
  HOME: "/root",
  GATEWAY_SERVICE_HOST: "10.0.0.1",
  GATEWAY_PORT_8080_TCP_ADDR: "10.0.0.1"
}
const read = (env: Env) => Effect.runSync(Effect.result(gatewayConfig({ ...good, ...env })))
const without = (key: string) => ({ [key]: undefined })

test("a good environment is read, with the defaults of the rest", () => {
  const result = read({})
  if (Result.isFailure(result)) throw result.failure
  const config = result.success
  expect(config).toMatchObject({
    environment: "prod",
    publicUrl: "https://gate.example.org",
    hosts: ["gate.example.org"]
  })
  expect(Duration.toHours(config.limits.idle)).toBe(12)
  expect(Duration.toDays(config.limits.absolute)).toBe(7)
  expect(String(config.secret)).not.toContain(secret)
  expect(JSON.stringify({ secret: config.secret, url: config.databaseUrl })).not.toMatch(/planted|good secret/u)
})
test("secrets come from files too, without their last line end", () => {
  const result = read({
    GATEWAY_SECRET: undefined,
    GATEWAY_SECRET_FILE: file(`${secret}\n`),
    GATEWAY_FILE: file(
      stringify(
        settings({ providers: [{ ...settings().providers[0], clientSecret: { file: file("from the file\n") } }] })
      )
    )
  })
  if (Result.isFailure(result)) throw result.failure
  expect(Redacted.value(result.success.secret)).toBe(secret)
  expect(Redacted.value(result.success.providers[0]!.clientSecret)).toBe("from the file")
})

const workloadPair = generateKeyPairSync("ec", { namedCurve: "P-256" })
const workloadKey = workloadPair.publicKey.export({ format: "jwk" })
const withWorkload = (key: object | string): Env => ({
  GATEWAY_FILE: file(
    stringify(
      settings({
        workloads: [
          {
            id: "ci",
            role: "viewer",
            identity: { key: { file: file(typeof key === "string" ? key : JSON.stringify(key)) } }
          }
        ]
      })
    )
  )
})
const privateJwk = workloadPair.privateKey.export({ format: "jwk" })
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" })
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({ format: "jwk" })
const wrongKeys: ReadonlyArray<readonly [what: string, content: object | string, detail: string]> = [
  ["no JSON", "planted-secret", "is no public JWK or JWKS"],
  ["nothing", "", "is no public JWK or JWKS"],
  ["no key", { keys: [] }, "is no public JWK or JWKS"],
  ["an RSA key", rsa, "is no public JWK or JWKS"],
  ["a key of another curve", p384, "is no public JWK or JWKS"],
  ["a key for HS256", { kty: "oct", k: "planted-secret" }, "is no public JWK or JWKS"],
  ["a key for encryption", { ...workloadKey, use: "enc" }, "is no public JWK or JWKS"],
  ["a key for another algorithm", { ...workloadKey, alg: "ES384" }, "is no public JWK or JWKS"],
  ["a point off the curve", { ...workloadKey, x: workloadKey.y, y: workloadKey.x }, "no point of P-256"],
  ["a private key", privateJwk, "holds a private key"],
  ["a private key among public ones", { keys: [workloadKey, { ...privateJwk, kid: "b" }] }, "holds a private key"],
  ["two keys of one id", { keys: [workloadKey, workloadKey] }, "two keys of one id"]
]
test("workloads are read with their keys, which alone are looked at", () => {
  const result = read(withWorkload({ keys: [{ ...workloadKey, kid: "one", "x-note": 1 }] }))
  if (Result.isFailure(result)) throw result.failure
  const [workload] = result.success.workloads
  expect(workload).toMatchObject({ id: "ci", label: "ci", role: "viewer", environment: "prod" })
  const { identity } = workload!
  expect(identity._tag === "Key" && [...identity.keys.keys()]).toEqual(["one"])
})
const wrong: ReadonlyArray<readonly [what: string, env: Env, key: string]> = [
  ["an unknown key of ours", { GATEWAY_SESION_IDLE: "planted-value" }, "GATEWAY_SESION_IDLE"],
  ["another unknown key of ours", { TRUSTED_PROXY: "planted-value" }, "TRUSTED_PROXY"],
  ["no secret", without("GATEWAY_SECRET"), "GATEWAY_SECRET"],
  ["an empty secret", { GATEWAY_SECRET: "" }, "GATEWAY_SECRET"],
  ["a secret of 31 bytes", { GATEWAY_SECRET: "planted-secret-of-31-bytes-long" }, "GATEWAY_SECRET"],
  ["a secret of one repeated byte", { GATEWAY_SECRET: "p".repeat(64) }, "GATEWAY_SECRET"],
  ["a secret twice", { GATEWAY_SECRET_FILE: "/dev/null" }, "GATEWAY_SECRET"],
  [
    "a secret file that is not there",
    { GATEWAY_SECRET: undefined, GATEWAY_SECRET_FILE: "/no/such" },
    "GATEWAY_SECRET_FILE"
  ],
  ["no DB", without("GATEWAY_DATABASE_URL"), "GATEWAY_DATABASE_URL"],
  ["a DB of another kind", { GATEWAY_DATABASE_URL: "mysql://u:planted-password@db/x" }, "GATEWAY_DATABASE_URL"],
  ["a DB that is no URL", { GATEWAY_DATABASE_URL: "planted-password" }, "GATEWAY_DATABASE_URL"],
  ["no environment", without("ENVIRONMENT"), "ENVIRONMENT"],
  ["an environment that is no label", { ENVIRONMENT: "Prod/planted-value" }, "ENVIRONMENT"],
  ["no public URL", without("GATEWAY_PUBLIC_URL"), "GATEWAY_PUBLIC_URL"],
  ["a public URL that is none", { GATEWAY_PUBLIC_URL: "planted-value" }, "GATEWAY_PUBLIC_URL"],
  ["plain http beyond this machine", { GATEWAY_PUBLIC_URL: "http://gate.example.org" }, "GATEWAY_PUBLIC_URL"],
  [
    "plain http at a name that only looks local",
    { GATEWAY_PUBLIC_URL: "http://localhost.evil.test" },
    "GATEWAY_PUBLIC_URL"
  ],
  ["a public URL with a path", { GATEWAY_PUBLIC_URL: "https://gate.example.org/gate" }, "GATEWAY_PUBLIC_URL"],
  [
    "a public URL with a password",
    { GATEWAY_PUBLIC_URL: "https://u:planted-value@gate.example.org" },
    "GATEWAY_PUBLIC_URL"
  ],
  ["another scheme", { GATEWAY_PUBLIC_URL: "ftp://gate.example.org" }, "GATEWAY_PUBLIC_URL"],
  ["no file", without("GATEWAY_FILE"), "GATEWAY_FILE"],
  ["a file that is not there", { GATEWAY_FILE: "/no/such" }, "GATEWAY_FILE"],
  ["a file that is no YAML", { GATEWAY_FILE: file("routes: [") }, "GATEWAY_FILE"],
  ["a file with an unknown key", { GATEWAY_FILE: file(stringify(settings({ route: [] }))) }, "/route"],
  [
    "a route for a host that is not ours",
    {
      GATEWAY_FILE: file(stringify(settings({ routes: [{ ...settings().routes[0], hosts: ["other.test"] }] })))
    },
    "routes.0.hosts"
  ],
  ["a client secret that is not set", { HUB_SECRET: undefined }, "HUB_SECRET"],
  ["an empty client secret", { HUB_SECRET: "" }, "HUB_SECRET"],
  [
    "a client secret file that is empty",
    {
      GATEWAY_FILE: file(
        stringify(settings({ providers: [{ ...settings().providers[0], clientSecret: { file: "/dev/null" } }] }))
      )
    },
    "providers.hub.clientSecret"
  ],
  [
    "a client secret in the file itself",
    {
      GATEWAY_FILE: file(
        stringify(settings({ providers: [{ ...settings().providers[0], clientSecret: "planted-value" }] }))
      )
    },
    "/providers/0/clientSecret"
  ],
  ...wrongKeys.map(
    ([what, content, detail]) => [`a workload's key file with ${what}`, withWorkload(content), detail] as const
  ),
  [
    "a workload's key file that is not there",
    {
      GATEWAY_FILE: file(
        stringify(settings({ workloads: [{ id: "ci", role: "viewer", identity: { key: { file: "/nowhere/x" } } }] }))
      )
    },
    "workloads.ci.identity.key.file: the file /nowhere/x cannot be read"
  ],
  [
    "one key for two workloads",
    {
      GATEWAY_FILE: file(
        stringify(
          settings({
            workloads: ["ci", "two"].map((id) => ({
              id,
              role: "viewer",
              identity: { key: { file: file(JSON.stringify(workloadKey)) } }
            }))
          })
        )
      )
    },
    'workloads.two.identity.key.file: the same key is that of workload "ci"'
  ],
  [
    "a workload of Kubernetes without Kubernetes",
    {
      GATEWAY_FILE: file(
        stringify(
          settings({
            workloads: [
              { id: "a", role: "viewer", identity: { kubernetes: { namespace: "prod", serviceAccount: "a" } } }
            ]
          })
        )
      )
    },
    "GATEWAY_KUBERNETES: is off"
  ],
  ["an idle limit that is no duration", { GATEWAY_SESSION_IDLE: "planted-value" }, "GATEWAY_SESSION_IDLE"],
  ["an absolute limit beyond what cookies live", { GATEWAY_SESSION_ABSOLUTE: "401 days" }, "GATEWAY_SESSION_ABSOLUTE"],
  ["proxies that are no networks", { TRUSTED_PROXIES: "10.0.0.0/8, planted-value" }, "TRUSTED_PROXIES"],
  ["everybody as a proxy", { TRUSTED_PROXIES: "0.0.0.0/0" }, "TRUSTED_PROXIES"]
]
describe("R20: the start is refused, by the key's name", () => {
  for (const [what, env, key] of wrong) {
    test(what, () => {
      const result = read(env)
      if (Result.isSuccess(result)) throw new Error("it was taken")
      expect(result.failure.message).toContain(key)
    })
  }
  test("and never with a secret's value", () => {
    for (const [, env] of wrong) {
      const result = read(env)
      if (Result.isSuccess(result)) throw new Error("it was taken")
      const told = `${result.failure.message} ${JSON.stringify(result.failure)} ${String(result.failure)}`
      for (const kept of ["planted-secret", "planted-password", "planted-client-secret", secret]) {
        expect(told).not.toContain(kept)
      }
    }
  })
})

test("R20: a reloaded file with a route for a host that is not ours leaves the old one in force", async () => {
  const route = (path: string, more: object = {}) => ({
    ...settings().routes[0],
    path,
    upstream: "http://127.0.0.1:1",
    ...more
  })
  const log = spyOn(console, "log").mockImplementation(() => {})
  const gateway = await startGateway({ settings: { providers: [provider], routes: [route("/one")] } })
  try {
    expect((await gateway.ask("/one")).status).toBe(502)
    gateway.writeSettings({ providers: [provider], routes: [route("/two", { hosts: ["other.test"] })] })
    await until("the fault is logged", async () => {
      await gateway.ask("/one")
      return log.mock.calls.some(([line]) => String(line).includes("other.test is no public host name"))
    })
    expect((await gateway.ask("/one")).status).toBe(502)
  } finally {
    log.mockRestore()
    await gateway.stop()
  }
})
