/** A release that crashes, through the public door: found, proposed once, refused to those who may not decide, approved, undone, verified, also when the whole platform is killed in the middle. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Browser, Page } from "playwright-core"
import { approveInBrowser } from "#test/browser/approval.ts"
import { chromiumPath, startChromium } from "#test/browser/chromium.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { dataFolder, explained, type PlatformProcess, startPlatformProcess } from "./platformProcess.ts"
import { freePort } from "#test/shared/freePort.ts"
import { deployment, logIn, play, proposalsFor, quickPatience, type Told } from "./story.ts"

setDefaultTimeout(180_000)
const { test: inBrowser } = skipUnless(chromiumPath !== undefined, "there is no chromium on this machine")

const folder = dataFolder()
let platform: PlatformProcess
let browser: Browser | undefined
let told: Told
/** What the approver's page showed before the decision, and the page; where there is a browser. */
let shown: string | undefined
let page: Page | undefined
/** What was tried at the door while the proposal was open. */
const refusals: Record<string, number> = {}

beforeAll(async () => {
  const port = await freePort(2)
  platform = await startPlatformProcess(folder.path, port, { env: quickPatience })
  const { origin } = platform
  browser = chromiumPath === undefined ? undefined : await startChromium()
  const person = browser
  const story = play({
    // A person decides at a browser; where there is none, by API.
    ...(person === undefined
      ? {}
      : {
          approve: async (proposal) => {
            ;({ page, shown } = await approveInBrowser(person, origin, proposal))
          }
        }),
    origin,
    namespace: "dev",
    name: "checkout",
    goodImage: "registry.example/checkout:1",
    badImage: "registry.example/checkout:2-crash",
    at: async (point) => {
      if (point === "proposed") {
        const [viewer, operator] = [await logIn(origin, "viewer"), await logIn(origin, "operator")]
        const [proposal] = await proposalsFor(viewer, "checkout")
        const approve = `/admin/proposals/${proposal?.id}/approve`
        const decision = { digest: proposal?.digest ?? "", reason: "I would like to" }
        refusals["viewer approves"] = (await viewer.post(approve, decision)).status
        refusals["operator approves"] = (await operator.post(approve, decision)).status
        const manifest = deployment("checkout", "dev", "registry.example/checkout:3")
        refusals["viewer plans"] = (await viewer.post("/admin/ns/dev/plan", { manifest })).status
      }
      if (point !== "detected" && point !== "approved") return
      platform.signal("SIGKILL")
      await platform.exited
      platform = await startPlatformProcess(folder.path, port, { env: quickPatience })
    }
  })
  told = await explained(() => platform, story)
})
afterAll(async () => {
  await browser?.close()
  platform?.signal("SIGTERM")
  await platform?.exited
  folder.remove()
})

describe("a release that crashes", () => {
  test("is found within 90 s and proposed to be undone exactly once", () => {
    expect(told.detectedSeconds).toBeLessThan(90)
    expect(told.proposals).toBe(1)
  })

  test("is undone by admin in the name of the scheduler and of the approver", () => {
    expect(told).toMatchObject({ undone: true, verified: true })
    expect(told.chain.action).toMatchObject({
      action: "undo",
      state: "succeeded",
      actor: { name: "scheduler" },
      approver: { name: "April Approver" }
    })
  })

  test("leaves a chain from incident to verification that anybody who may read can read", () => {
    const { action, decision, evidence, incident, proposal, verification } = told.chain
    expect(incident).toMatchObject({ class: "crash_loop", kind: "Deployment", name: "checkout", remedy: "verified" })
    expect(evidence).toMatchObject({ exitCode: 3, container: "app" })
    expect(evidence?.previousLog.at(-1)).toContain("fatal: cannot open configuration")
    expect(proposal?.id).toBe(action?.proposalId ?? "none")
    expect(decision).toMatchObject({ decision: "approved", actor: { name: "April Approver" } })
    expect(verification?.result).toBe("verified")
    expect(told.chain.timeline.map(({ event }) => event)).toEqual(
      expect.arrayContaining(["opened", "evidence", "proposed", "verifying", "verified"])
    )
  })

  inBrowser("is shown to who decides with what the container said, how it ended and what the undo changes", () => {
    for (const text of ["fatal: cannot open configuration", "CrashLoopBackOff", "checkout:2-crash", "checkout:1"]) {
      expect(shown).toContain(text)
    }
  })

  inBrowser("can be followed from the incident to its verification on the incident's page", async () => {
    await page!.goto(`${platform.origin}/incidents/${told.chain.incident.id}`)
    await page!.getByRole("heading", { name: told.chain.incident.title }).waitFor()
    const text = await page!.locator("main").innerText()
    expect(text).toContain("April Approver")
    expect(text).toContain(told.chain.verification?.message ?? "no verification")
  })

  test("cannot be approved or changed by those without the right", () => {
    expect(refusals).toEqual({ "viewer approves": 403, "operator approves": 403, "viewer plans": 403 })
  })

  test("leaves an audit chain that holds", async () => {
    const viewer = await logIn(platform.origin, "viewer")
    expect(await viewer.get("/admin/actions/verify")).toMatchObject({ ok: true, brokenAt: null })
  })
})
