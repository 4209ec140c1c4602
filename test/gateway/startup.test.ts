/** R20 at the process: a bad setting ends it with the key's name; a DB that is away does not, and is found when it comes. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { provider, startGateway } from "#test/gateway/fixture.ts"
import { freePort } from "#test/shared/freePort.ts"
import { privatePostgres } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

const root = join(import.meta.dir, "../..")
let folder: string
let env: Record<string, string>
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gatehouse-startup-"))
  writeFileSync(join(folder, "good.yaml"), "providers: []\nroutes: []\n")
  writeFileSync(join(folder, "bad.yaml"), "providers: []\nroutes: []\nsurprise: planted-value\n")
  env = {
    PATH: process.env["PATH"] ?? "",
    HOST: "127.0.0.1",
    PORT: String(await freePort()),
    INTERNAL_PORT: String(await freePort()),
    ENVIRONMENT: "test",
    GATEWAY_PUBLIC_URL: "http://localhost:8080",
    GATEWAY_FILE: join(folder, "good.yaml"),
    GATEWAY_DATABASE_URL: "postgres://gateway:planted-password@127.0.0.1:1/gateway",
    GATEWAY_SECRET: "planted-secret of more than 32 bytes"
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const run = async (changed: Record<string, string | undefined>) => {
  const given = Object.fromEntries(Object.entries({ ...env, ...changed }).filter(([, value]) => value !== undefined))
  const child = Bun.spawn([process.execPath, "services/cli.ts", "gateway"], {
    cwd: root,
    env: given as Record<string, string>,
    stdio: ["ignore", "pipe", "pipe"]
  })
  // One that starts although it should not must not outlive the test.
  const watchdog = setTimeout(() => child.kill("SIGKILL"), 30_000)
  const [code, out, err] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text()
  ])
  clearTimeout(watchdog)
  return { code, text: out + err }
}

describe("R20: `gatehouse gateway` exits 1, names the key and shows no value", () => {
  const cases: Readonly<Record<string, readonly [changed: () => Record<string, string | undefined>, key: string]>> = {
    "unknown key": [() => ({ GATEWAY_SECRETS: "planted-value" }), "GATEWAY_SECRETS"],
    "missing secret": [() => ({ GATEWAY_SECRET: undefined }), "GATEWAY_SECRET"],
    "weak secret": [() => ({ GATEWAY_SECRET: "planted-weak" }), "GATEWAY_SECRET"],
    "plain http beyond loopback": [() => ({ GATEWAY_PUBLIC_URL: "http://gate.test" }), "GATEWAY_PUBLIC_URL"],
    "bad file": [() => ({ GATEWAY_FILE: join(folder, "bad.yaml") }), "GATEWAY_FILE"],
    "an unknown log level": [() => ({ LOG_LEVEL: "planted-value" }), "LOG_LEVEL"]
  }
  for (const [what, [changed, key]] of Object.entries(cases)) {
    test.concurrent(what, async () => {
      const { code, text } = await run(changed())
      expect([code, text]).toEqual([1, expect.stringContaining(key)])
      expect(text).not.toContain("planted-")
      expect(text).not.toContain("    at ")
    })
  }
})

test("R20: started without its DB it serves the login page, refuses what is protected with 503, and recovers without a restart", async () => {
  const postgres = privatePostgres()
  await postgres.start()
  const url = postgres.url("gateway", "gateway")
  await postgres.stop()
  const gateway = await startGateway({
    settings: {
      providers: [provider],
      routes: [{ id: "x", path: "/x", upstream: "http://127.0.0.1:1", service: "x", rules: [{ action: "read" }] }]
    },
    database: { url, query: (text) => postgres.query("gateway", text), drop: async () => {} },
    awaitReady: false
  })
  try {
    const cookie = { cookie: `__Host-gatehouse=${"A".repeat(43)}` }
    const login = await gateway.ask("/auth/login", { headers: { accept: "text/html" } })
    expect([login.status, await login.text()]).toEqual([200, expect.stringContaining("Continue with Hub")])
    for (const path of ["/x", "/auth/me", "/auth/users"]) {
      const answer = await gateway.ask(path, { headers: cookie })
      expect([path, answer.status]).toEqual([path, 503])
      expect(answer.headers.getSetCookie()).toEqual([])
      expect((await gateway.ask(path)).status).toBe(401)
    }
    expect((await gateway.ask("/auth/login?provider=hub")).status).toBe(503)
    expect((await gateway.ask("/.well-known/jwks.json")).status).toBe(503)
    const ready = await gateway.service.internal(new Request("http://i/readyz"))
    expect(ready.status).toBe(503)
    expect(await ready.text()).toContain("the gateway DB is unavailable")
    await postgres.start()
    await until("it is ready", async () => (await gateway.service.internal(new Request("http://i/readyz"))).ok, 15)
    const person = await gateway.person()
    expect((await gateway.ask("/x", { headers: { cookie: person.cookie } })).status).toBe(502)
    expect((await gateway.ask("/auth/login?provider=hub")).status).toBe(302)
  } finally {
    await gateway.stop()
    await postgres.dispose()
  }
})
