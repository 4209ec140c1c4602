/** A release that crashes, through the public door: found, proposed once, refused to those who may not decide, approved, undone, verified, also when the whole platform is killed in the middle. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { dataFolder, type PlatformProcess, startPlatformProcess } from "./platformProcess.ts"
import { freePorts } from "./freePort.ts"
import { deployment, logIn, play, proposalsFor, quickPatience, type Told } from "./story.ts"

setDefaultTimeout(180_000)

const folder = dataFolder()
let platform: PlatformProcess
let told: Told
/** What was tried at the door while the proposal was open. */
const refusals: Record<string, number> = {}

beforeAll(async () => {
  const port = await freePorts()
  platform = await startPlatformProcess(folder.path, port, { env: quickPatience })
  const { origin } = platform
  told = await play({
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
})
afterAll(async () => {
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

  test("cannot be approved or changed by those without the right", () => {
    expect(refusals).toEqual({ "viewer approves": 403, "operator approves": 403, "viewer plans": 403 })
  })

  test("leaves an audit chain that holds", async () => {
    const viewer = await logIn(platform.origin, "viewer")
    expect(await viewer.get("/admin/actions/verify")).toMatchObject({ ok: true, brokenAt: null })
  })
})
