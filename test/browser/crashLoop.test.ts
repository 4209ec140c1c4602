/** The story on the real platform with its decision made by a person at a real browser: the evidence read, the undo approved, the chain followed to its end. */
import { afterAll, beforeAll, describe, expect } from "bun:test"
import type { Browser, Page } from "playwright-core"
import { dataFolder, type PlatformProcess, startPlatformProcess } from "#test/scenarios/platformProcess.ts"
import { play, quickPatience, type Told } from "#test/scenarios/story.ts"
import { approveInBrowser } from "./approval.ts"
import { chromiumPath, startChromium } from "./chromium.ts"
import { browserTest } from "./openPage.ts"

describe("a release that crashes", () => {
  const folder = dataFolder()
  let platform: PlatformProcess
  let browser: Browser
  let page: Page
  let told: Told
  /** What the page showed before the decision. */
  let shown = ""

  beforeAll(async () => {
    if (chromiumPath === undefined) return
    platform = await startPlatformProcess(folder.path, undefined, { env: quickPatience })
    browser = await startChromium()
    told = await play({
      origin: platform.origin,
      namespace: "dev",
      name: "cart",
      goodImage: "registry.example/cart:1",
      badImage: "registry.example/cart:2-crash",
      approve: async (proposal) => {
        ;({ page, shown } = await approveInBrowser(browser, platform.origin, proposal))
      }
    })
  }, 180_000)
  afterAll(async () => {
    await browser?.close()
    platform?.signal("SIGTERM")
    await platform?.exited
    folder.remove()
  }, 60_000)

  browserTest("is shown with what the container said, how it ended and what the undo changes", async () => {
    expect(shown).toContain("fatal: cannot open configuration")
    expect(shown).toContain("CrashLoopBackOff")
    expect(shown).toContain("registry.example/cart:2-crash")
    expect(shown).toContain("registry.example/cart:1")
  })

  browserTest("is undone by the approval of a person at the page, and verified", async () => {
    expect(told).toMatchObject({ proposals: 1, undone: true, verified: true })
    expect(told.chain.decision).toMatchObject({ actor: { name: "April Approver" }, reason: "the evidence is clear" })
  })

  browserTest("can be followed from the incident to its verification on the incident's page", async () => {
    await page.goto(`${platform.origin}/incidents/${told.chain.incident.id}`)
    await page.getByRole("heading", { name: told.chain.incident.title }).waitFor()
    const text = await page.locator("main").innerText()
    expect(text).toContain("April Approver")
    expect(text).toContain(told.chain.verification?.message ?? "no verification")
  })
})
