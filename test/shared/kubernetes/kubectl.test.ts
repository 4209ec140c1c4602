/** kubectl works against the simulated cluster on a port; skipped where there is none. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { SimulatedCluster } from "#shared/kubernetes/simulated/cluster.ts"
import { applyTo, demoBadRelease, makeDemoCluster } from "#dev/demoCluster.ts"
import { skipUnless } from "#test/shared/skip.ts"

setDefaultTimeout(120_000)

const program = Bun.which("kubectl")
const { describe, test } = skipUnless(program !== null, "there is no kubectl on the PATH")

describe("kubectl on the simulated cluster", () => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-kubectl-"))
  const path = join(folder, "config")
  let cluster: SimulatedCluster
  let server: Bun.Server<undefined>
  let clock: ReturnType<typeof setInterval>
  beforeAll(async () => {
    ;({ cluster } = await makeDemoCluster({ namespaces: ["dev"], now: Date.now(), speed: 5 }))
    await applyTo(cluster, demoBadRelease("dev"))
    clock = setInterval(() => cluster.advanceTo(Date.now()), 50)
    server = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch: cluster.fetch })
    writeFileSync(
      path,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        "current-context": "c",
        clusters: [{ name: "c", cluster: { server: `http://127.0.0.1:${server.port}` } }],
        contexts: [{ name: "c", context: { cluster: "c", user: "c", namespace: "dev" } }],
        users: [{ name: "c", user: {} }]
      })
    )
  })
  afterAll(async () => {
    clearInterval(clock)
    cluster.close()
    await server.stop(true)
    rmSync(folder, { recursive: true, force: true })
  })
  const kubectl = async (args: ReadonlyArray<string>, stdin?: object) => {
    const child = Bun.spawn([program!, "--kubeconfig", path, "--cache-dir", join(folder, "cache"), ...args], {
      stdio: [stdin === undefined ? "ignore" : Buffer.from(JSON.stringify(stdin)), "pipe", "pipe"]
    })
    const [out, complaint] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
    return { code: await child.exited, out, complaint }
  }

  test("lists, describes and reads logs", async () => {
    const got = await kubectl(["get", "deployments,statefulsets,pods"])
    expect(got.out).toMatch(/deployment\.apps\/web +3\/3 +1 +3/u)
    expect(got.out).toMatch(/statefulset\.apps\/cache +2\/2/u)
    expect((await kubectl(["describe", "deployment", "web"])).out).toContain("MinimumReplicasAvailable")
    expect((await kubectl(["logs", "deployment/api", "--tail=1"])).out).toMatch(/^GET \/healthz 200 #\d+\n$/u)
  })

  test("undoes a bad release, and restarts", async () => {
    expect((await kubectl(["rollout", "history", "deployment/web"])).out).toContain("new configuration format")
    expect((await kubectl(["rollout", "undo", "deployment/web"])).out).toBe("deployment.apps/web rolled back\n")
    const done = await kubectl(["rollout", "status", "deployment/web", "--timeout=60s"])
    expect(done.out).toContain('deployment "web" successfully rolled out')
    await kubectl(["rollout", "restart", "statefulset/cache"])
    expect(await kubectl(["rollout", "status", "statefulset/cache", "--timeout=60s"])).toMatchObject({ code: 0 })
  })

  test("applies, tells what it does not know, and shows differences", async () => {
    const object = (image: string, extra = {}) => ({
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "hello" },
      spec: {
        selector: { matchLabels: { app: "hello" } },
        template: {
          metadata: { labels: { app: "hello" } },
          spec: { containers: [{ name: "main", image, ...extra }] }
        }
      }
    })
    const apply = ["apply", "--server-side", "-f", "-"]
    expect((await kubectl(apply, object("hello:1"))).out).toBe("deployment.apps/hello serverside-applied\n")
    const refused = await kubectl(apply, object("hello:1", { imag: "x" }))
    expect(refused.code).toBe(1)
    expect(refused.complaint).toContain("imag")
    const differs = await kubectl(["diff", "--server-side", "-f", "-"], object("hello:2"))
    expect(differs.code).toBe(1)
    expect(differs.out).toContain("+      - image: hello:2")
    expect((await kubectl(["delete", "deployment", "hello"])).code).toBe(0)
  })
})
