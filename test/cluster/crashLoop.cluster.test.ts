/** The story of test/scenarios on real pods: a real crash loop, undone through the public door; must use nothing of the platform's inside. */
import { afterAll, beforeAll, expect } from "bun:test"
import type { Proposal } from "#shared/api/admin.ts"
import { approveInBrowser } from "#test/browser/approval.ts"
import { chromiumPath, startChromium } from "#test/browser/chromium.ts"
import { removeEnvironments } from "#test/cluster/deployment/environment.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { workloadImages } from "#test/cluster/images.ts"
import { freePort } from "#test/shared/freePort.ts"
import { dataFolder, explained, type PlatformProcess, startPlatformProcess } from "#test/scenarios/platformProcess.ts"
import { play, quickPatience } from "#test/scenarios/story.ts"
import { skipUnless } from "#test/shared/skip.ts"

const cluster = await testCluster()
const { describe, test } = skipUnless(cluster.tier === "node", "only a node has pods that crash")
const namespace = "dev"

describe("a release that crashes on a real node", () => {
  const folder = dataFolder()
  let platform: PlatformProcess

  beforeAll(async () => {
    // What another suite has left of that name.
    await removeEnvironments(cluster)
    await cluster.openNamespace(namespace)
    platform = await startPlatformProcess(folder.path, await freePort(2), {
      env: quickPatience,
      args: ["--kubeconfig", cluster.kubeconfig]
    })
  })
  afterAll(async () => {
    platform?.signal("SIGTERM")
    await platform?.exited
    folder.remove()
    await cluster.tryKubectl(["delete", "namespace", namespace, "--wait=false"])
  })

  test("is found, proposed once with what the dead container said, approved, undone and verified", async () => {
    const { origin } = platform
    // By a person at a browser, or, where there is none, by API.
    const browser = chromiumPath === undefined ? undefined : await startChromium()
    const approval =
      browser === undefined
        ? {}
        : {
            approve: async (proposal: Proposal) => {
              const { shown } = await approveInBrowser(browser, origin, proposal)
              expect(shown).toContain("fatal: cannot open configuration")
            }
          }
    const story = play({
      ...approval,
      origin,
      namespace,
      name: "checkout",
      goodImage: workloadImages.good,
      badImage: workloadImages.crash
    })
    const pods = () => cluster.tryKubectl(["-n", namespace, "get", "pods,replicasets,events", "-o", "wide"])
    const told = await explained(
      () => platform,
      story,
      async () => (await pods()).stdout
    )
    await browser?.close()
    expect(told).toMatchObject({ proposals: 1, undone: true, verified: true })
    expect(told.chain.evidence).toMatchObject({ exitCode: 3, container: "app" })
    expect(told.chain.evidence?.previousLog.join("\n")).toContain("fatal: cannot open configuration")
    const image = ["-o", "jsonpath={.spec.template.spec.containers[0].image}"]
    expect(await cluster.kubectl(["-n", namespace, "get", "deployment", "checkout", ...image])).toBe(
      workloadImages.good
    )
  }, 240_000)
})
