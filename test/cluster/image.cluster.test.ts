/** The image of every service: what is in it, that it can be built again to the byte, and that each service starts from it under the confinement of its pods. */
import { afterAll, beforeAll, expect } from "bun:test"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildImage, buildRootfs } from "#dev/image/image.ts"
import { binaryPath, environment } from "#dev/image/rootfs.ts"
import type { Entry } from "#dev/image/tar.ts"
import { startConfined, writeRoot } from "#test/cluster/deployment/confined.ts"
import { readImage, writeImage } from "#test/cluster/deployment/gatehouseImage.ts"
import { eventually, Hopeless } from "#test/shared/until.ts"
import { clusterFolder } from "#test/cluster/cluster.ts"
import { highestTier } from "#test/cluster/tier.ts"
import { freePort } from "#test/shared/freePort.ts"
import { skipUnless } from "#test/shared/skip.ts"

// It needs no cluster, but what a node needs of the machine.
const { reason, tier } = highestTier()
const { describe, test } = skipUnless(tier === "node", reason)

const away = "postgres://nobody@127.0.0.1:1/none"
const identity = { IDENTITY_ISSUER: "https://gate.example.org", IDENTITY_JWKS_URL: "http://127.0.0.1:1/keys" }
const kubeconfig = "/etc/gatehouse/kubeconfig"
/** What each service needs to start; everything that it asks for is away. */
const services: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  gateway: {
    GATEWAY_PUBLIC_URL: "https://gate.example.org",
    GATEWAY_FILE: "/etc/gatehouse/gateway.yaml",
    GATEWAY_DATABASE_URL: away,
    GATEWAY_SECRET: "0123456789abcdefghijklmnopqrstuvwxyz"
  },
  admin: { ...identity, ADMIN_DATABASE_URL: away, ADMIN_BACKUP_DIR: "/tmp/backups", KUBERNETES: kubeconfig },
  scheduler: {
    ...identity,
    SCHEDULER_DATABASE_URL: away,
    KUBERNETES: kubeconfig,
    GATEWAY_URL: "http://127.0.0.1:1",
    WORKLOAD_TOKEN_FILE: "/etc/gatehouse/token"
  },
  monitor: { ...identity, MONITOR_DATABASE_URL: away },
  data: {
    ...identity,
    DATA_DATABASE_URL: away.replace("nobody", "data:none"),
    DATA_QUERY_DATABASE_URL: away.replace("nobody", "data_query:none"),
    DATA_WRITE_DATABASE_URL: away.replace("nobody", "data_write:none")
  },
  dashboard: identity,
  hello: {
    ...identity,
    HELLO_DATABASE_URL: away,
    GATEWAY_URL: "http://127.0.0.1:1",
    WORKLOAD_TOKEN_FILE: "/etc/gatehouse/token"
  }
}

const nowhere = `
apiVersion: v1
kind: Config
current-context: nowhere
clusters: [{ name: nowhere, cluster: { server: "https://127.0.0.1:1" } }]
contexts: [{ name: nowhere, context: { cluster: nowhere, user: nobody } }]
users: [{ name: nobody, user: { token: not-a-token } }]
`

const settings = `
providers:
  - { id: corp, kind: oidc, label: Login, issuer: "https://127.0.0.1:1", clientId: gatehouse, clientSecret: { file: /etc/gatehouse/token } }
firstOwner: { provider: corp, email: you@example.org }
routes:
  - { id: dashboard, path: /, upstream: "http://127.0.0.1:1", service: dashboard, rules: [{ action: read }] }
`

describe("the image", () => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-image-test-"))
  const root = join(folder, "root")
  const files = join(folder, "files")
  let entries: ReadonlyArray<Entry> = []
  let archive = ""

  beforeAll(async () => {
    archive = await writeImage(process.env[clusterFolder] ?? folder)
    entries = await buildRootfs()
    writeRoot(root, entries)
    mkdirSync(files)
    writeFileSync(join(files, "gateway.yaml"), settings)
    writeFileSync(join(files, "token"), "not-a-token")
    writeFileSync(join(files, "kubeconfig"), nowhere)
  }, 240_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test("has at most 60 MB, compressed", () => {
    expect(statSync(archive).size).toBeLessThanOrEqual(60e6)
  })

  test("is the same to the byte when it is built again", () => {
    const again = buildImage(entries, 0)
    expect(again.digest).toBe(readImage(archive).index.manifests[0]!.digest)
    expect(again.bytes.equals(readFileSync(archive))).toBe(true)
  }, 120_000)

  test("security: holds one program, one user who is not root, and no shell", () => {
    const executable = entries.filter(({ mode = 0 }) => (mode & 0o111) !== 0 && mode !== 0o1777).map(({ path }) => path)
    expect(executable.filter((path) => !/^lib(?:64)?\//u.test(path))).toEqual([binaryPath])
    expect(entries.some(({ mode = 0 }) => (mode & 0o6000) !== 0)).toBe(false)
    expect(readImage(archive).config.config.User).toBe("65532:65532")
  })

  test("holds nothing that only development needs", () => {
    const binary = Buffer.from(entries.find(({ path }) => path === binaryPath)!.data!)
    for (const foreign of ["oidc-provider:", "pg-symlinks.json", "April Approver"]) {
      expect([foreign, binary.includes(foreign)]).toEqual([foreign, false])
    }
    // Whose path would be another on another machine, and the image with it.
    expect(binary.includes(import.meta.dir.replace(/\/test\/cluster$/u, "/"))).toBe(false)
  })

  test("tells a gateway to have as many requests under way as the bootstrap does", () => {
    const told = /BUN_CONFIG_MAX_HTTP_REQUESTS:-(\d+)/u.exec(readFileSync("bootstrap", "utf8"))?.[1]
    expect(readImage(archive).config.config.Env).toContain(`BUN_CONFIG_MAX_HTTP_REQUESTS=${told}`)
  })

  const mounts = Object.fromEntries(
    ["gateway.yaml", "token", "kubeconfig"].map((name) => [`/etc/gatehouse/${name}`, join(files, name)])
  )
  const start = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
    startConfined({ folder, root, args: [`/${binaryPath}`, ...args], env: { ...environment, ...env }, mounts })

  for (const [name, own] of Object.entries(services)) {
    test(`security: ${name} runs as an unprivileged user without a capability on a read-only root, answers and ends`, async () => {
      const port = await freePort(2)
      const env = {
        HOST: "127.0.0.1",
        PORT: String(port),
        INTERNAL_PORT: String(port + 1),
        ENVIRONMENT: "test",
        ...own
      }
      const container = await start([name], env)
      const answer = await eventually(
        `${name} answers`,
        async () => {
          if (await Promise.race([container.exited.then(() => true), Bun.sleep(0).then(() => false)])) {
            throw new Hopeless(await container.output())
          }
          return await fetch(`http://127.0.0.1:${port + 1}/livez`)
        },
        30
      )
      expect(answer.status).toBe(200)
      // What it depends on is away: it says so rather than nothing.
      expect([200, 503]).toContain((await fetch(`http://127.0.0.1:${port + 1}/readyz`)).status)
      expect(Number(container.status("Uid").split("\t")[0])).toBeGreaterThanOrEqual(10_000)
      for (const kind of ["CapEff", "CapPrm", "CapBnd"])
        expect([kind, container.status(kind)]).toEqual([kind, "0".repeat(16)])
      expect(container.status("NoNewPrivs")).toBe("1")
      expect(container.readOnly()).toBe(true)
      container.signal("SIGTERM")
      expect(await container.exited).toBe(0)
    })
  }

  test("serves the built web app as the dashboard", async () => {
    const port = await freePort(2)
    const env = { HOST: "127.0.0.1", PORT: String(port), INTERNAL_PORT: String(port + 1), ENVIRONMENT: "test" }
    const container = await start(["dashboard"], { ...env, ...identity })
    await eventually("it answers", async () => (await fetch(`http://127.0.0.1:${port + 1}/livez`)).ok, 30)
    // The pages are for who comes through the gateway; a build that is not there stops the start.
    expect([200, 401]).toContain((await fetch(`http://127.0.0.1:${port}/`)).status)
    container.signal("SIGTERM")
    expect(await container.exited).toBe(0)
  })

  test("refuses to be the development platform, and says where that is", async () => {
    const container = await start(["dev"], {})
    expect(await container.exited).toBe(1)
    expect(await container.output()).toContain("start it from a checkout with: npm start")
  })
})
