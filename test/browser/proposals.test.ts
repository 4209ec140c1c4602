/** Proposals in a real browser: the evidence, the decision by keyboard, and that only what was read can be approved. */
import { describe, expect } from "bun:test"
import type { Page } from "playwright-core"
import { refused } from "./stub/answers.ts"
import { browserTest, usePages } from "./openPage.ts"

const open = usePages()

const openPending = async (page: Page) => {
  await page.getByRole("link", { name: "Undo Deployment shop-api to revision 4" }).click()
  await page.getByRole("heading", { level: 1, name: "Undo Deployment shop-api to revision 4" }).waitFor()
}
const dialog = (page: Page) => page.getByRole("dialog")

describe("proposals", () => {
  browserTest("those that wait come first and are counted in the navigation", async () => {
    const { page } = await open("/proposals")
    const waiting = page.getByRole("region", { name: "Waiting for a decision" })
    await waiting.getByText("keeps crashing since revision 5").waitFor()
    await waiting.getByText(/11.h \d\d.min left/u).waitFor()
    await page.getByRole("row").filter({ hasText: "Restart Deployment mailer" }).getByText("Carried out").waitFor()
    expect(await page.getByRole("link", { name: /Proposals 1 waiting/u }).count()).toBe(1)
    expect(await page.title()).toStartWith("(1) Proposals")
  })

  browserTest("one shows why: container, exit code, last lines, events, and what would change", async () => {
    const { page } = await open("/proposals")
    await openPending(page)
    const seen = page.getByRole("region", { name: "What was seen" })
    await seen.getByText("CrashLoopBackOff").waitFor()
    await seen.getByText("the program's own error").waitFor()
    await page.getByRole("region", { name: "Last lines before the crash" }).getByText("exiting with code 1").waitFor()
    await page.getByRole("region", { name: "Template changes" }).getByText("shop-api:2.7.4").waitFor()
    await page.getByRole("region", { name: "Events" }).getByText("62 times").waitFor()
  })

  browserTest("is approved by the keyboard alone, with a reason and the digest that was shown", async () => {
    const { page, stub } = await open("/proposals")
    await page.getByRole("link", { name: "Undo Deployment shop-api to revision 4" }).focus()
    await page.keyboard.press("Enter")
    const approve = page.getByRole("button", { name: "Approve the undo" })
    await approve.waitFor()
    await page.waitForFunction(() => document.activeElement?.tagName === "H1")
    for (
      let presses = 0;
      presses < 20 && !(await approve.evaluate((one) => one === document.activeElement));
      presses++
    ) {
      await page.keyboard.press("Tab")
    }
    await page.keyboard.press("Enter")
    await dialog(page).getByText("What changes").waitFor()
    expect(await dialog(page).getByRole("button", { name: "Approve" }).isDisabled()).toBe(true)
    await dialog(page).getByLabel("Reason").focus()
    await page.keyboard.type("2.8.0 needs a service that is not there yet")
    await page.keyboard.press("Enter")
    await page.getByText("Carried out").waitFor()
    await page.getByText("2.8.0 needs a service that is not there yet").waitFor()
    const [sent] = stub.calls
    expect(sent!.path).toMatch(/^\/admin\/proposals\/[^/]+\/approve$/u)
    expect(JSON.parse(sent!.body)).toEqual({
      digest: stub.admin.proposals[0]!.digest,
      reason: "2.8.0 needs a service that is not there yet"
    })
    expect(sent!.idempotencyKey).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u)
    await page.getByRole("link", { name: "What was done" }).waitFor()
    expect(await page.getByRole("button", { name: "Approve the undo" }).count()).toBe(0)
  })

  browserTest("on production the name is typed before it can be approved", async () => {
    const { page, stub } = await open("/proposals", { environment: "prod" })
    await openPending(page)
    await page.getByRole("button", { name: "Approve the undo" }).click()
    await dialog(page).getByLabel("Reason").fill("Back to what works")
    const approve = dialog(page).getByRole("button", { name: "Approve" })
    await dialog(page).getByLabel("Type shop-api to confirm").fill("shop-ap")
    expect(await approve.isDisabled()).toBe(true)
    await dialog(page).getByLabel("Type shop-api to confirm").fill("shop-api")
    await approve.click()
    await page.getByText("Carried out").waitFor()
    expect(stub.calls).toHaveLength(1)
  })

  browserTest("one that changes while it is read cannot be approved any more", async () => {
    const { page, stub } = await open("/proposals")
    await openPending(page)
    await page.getByRole("button", { name: "Approve the undo" }).click()
    await dialog(page).getByLabel("Reason").fill("Back to what works")
    stub.admin.streams.tell("proposal", { ...stub.admin.proposals[0]!, digest: "0".repeat(64) })
    await dialog(page).getByText("This has changed while you read it").waitFor()
    expect(await dialog(page).getByRole("button", { name: "Approve" }).isDisabled()).toBe(true)
  })

  browserTest("a refusal keeps the dialog and its words, and trying again is the same wish", async () => {
    const { page, stub } = await open("/proposals")
    await openPending(page)
    await page.getByRole("button", { name: "Approve the undo" }).click()
    await dialog(page).getByLabel("Reason").fill("Back to what works")
    stub.state.refusal = refused(503, "audit_unavailable", "the audit log cannot be written, so nothing is changed")
    await dialog(page).getByRole("button", { name: "Approve" }).click()
    await dialog(page).getByText("The audit log cannot be written, so nothing is changed.").waitFor()
    stub.state.refusal = undefined
    await dialog(page).getByRole("button", { name: "Approve" }).click()
    await page.getByText("Carried out").waitFor()
    expect(stub.calls).toHaveLength(2)
    expect(stub.calls[1]!.idempotencyKey).toBe(stub.calls[0]!.idempotencyKey)
  })

  browserTest("is rejected with a reason", async () => {
    const { page, stub } = await open("/proposals")
    await openPending(page)
    await page.getByRole("button", { name: "Reject" }).click()
    await dialog(page).getByLabel("Reason").fill("The provider comes up in five minutes")
    await dialog(page).getByRole("button", { name: "Reject" }).click()
    await page.getByText("Rejected by").waitFor()
    expect(JSON.parse(stub.calls[0]!.body)).toEqual({ reason: "The provider comes up in five minutes" })
  })

  browserTest("someone who may not decide sees the buttons off and why", async () => {
    const { page } = await open("/proposals", {
      before: ({ admin }) => admin.forbid("approve", "You need the right admin:approve.")
    })
    await openPending(page)
    await page.getByText("You need the right admin:approve.").waitFor()
    expect(await page.getByRole("button", { name: "Approve the undo" }).isDisabled()).toBe(true)
    expect(await page.getByRole("button", { name: "Reject" }).isDisabled()).toBe(true)
  })

  browserTest("where four eyes are asked for, who proposed it cannot decide", async () => {
    const { page } = await open("/proposals", {
      environment: "prod",
      before: ({ admin, users }) => {
        const olga = users.find(({ name }) => name === "Olga Owner")!
        admin.proposals[0] = { ...admin.proposals[0]!, proposer: { id: olga.id, name: olga.name } }
      }
    })
    await openPending(page)
    await page.getByText("here somebody else has to decide").waitFor()
    expect(await page.getByRole("button", { name: "Approve the undo" }).isDisabled()).toBe(true)
  })

  browserTest("log lines and reasons that look like markup stay text", async () => {
    const evil = "<script>document.title='owned'</script><a href='javascript:alert(1)'>x</a>"
    const { page } = await open("/proposals", {
      before: ({ admin }) => {
        const first = admin.proposals[0]!
        admin.proposals[0] = { ...first, summary: evil, evidence: { ...first.evidence, previousLog: [evil] } }
      }
    })
    await openPending(page)
    await page.locator(".log-block").getByText(evil, { exact: true }).waitFor()
    expect(await page.locator('main a[href^="javascript:"]').count()).toBe(0)
    expect(await page.title()).not.toContain("owned")
  })
})
