/** A workload's page in a real browser: its parts in words, undo with preview, logs of before the crash, and no button that admin refuses. */
import { describe, expect } from "bun:test"
import type { Page } from "playwright-core"
import { browserTest, usePages } from "./openPage.ts"
import { refused } from "./stub/answers.ts"

const open = usePages()
const address = "/workloads/nightly/Deployment/shop-api"
const dialog = (page: Page) => page.getByRole("dialog")
const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true })

describe("a workload", () => {
  browserTest("says where its rollout stands and why it does not go on", async () => {
    const { page } = await open(address)
    const rollout = page.getByRole("region", { name: "Rollout" })
    await rollout.getByText("1 out of 3 new replicas have been updated").waitFor()
    await rollout.getByText("keeps crashing, waits before its next start").first().waitFor()
    expect(await rollout.getByRole("progressbar").getAttribute("value")).toBe("1")
    const failing = page.getByRole("region", { name: "Revision 5" })
    await failing.getByText("the program's own error").waitFor()
    await failing.getByText("14 restarts").waitFor()
    await page.getByRole("region", { name: "Conditions" }).getByText("has timed out progressing").waitFor()
  })

  browserTest("leads to the proposal that waits for it", async () => {
    const { page } = await open(address)
    await page.getByRole("link", { name: "Look at it" }).click()
    await page.getByRole("heading", { level: 1, name: /Undo Deployment shop-api/u }).waitFor()
  })

  browserTest("is looked at again when the stream tells that it has changed", async () => {
    const { page, stub } = await open(address)
    await page.getByText("1 out of 3 new replicas have been updated").waitFor()
    const [first] = stub.admin.workloads
    stub.admin.tellWorkload({ ...first!, restarts: 15, health: { status: "Healthy", reason: "" } })
    await page.locator(".page-title").getByText("Healthy").waitFor()
    await page.getByRole("region", { name: "Rollout" }).getByText("15", { exact: true }).waitFor()
  })

  browserTest("that is not there is told", async () => {
    const { page } = await open("/workloads/nightly/Deployment/nothing")
    await page.getByText("There is no such workload").waitFor()
  })

  browserTest("shows events of its own, its environment without secrets, and YAML", async () => {
    const { page } = await open(`${address}?tab=events`)
    await page.getByText("62 times").waitFor()
    await page.getByRole("link", { name: "Environment" }).click()
    await page.getByText("*** from Secret orders-db, key url").waitFor()
    await page.getByRole("link", { name: "YAML" }).click()
    await page.getByRole("region", { name: "YAML" }).last().getByText("kind: Deployment").waitFor()
  })
})

describe("what may be done to it", () => {
  browserTest("a restart asks why, is sent once with a key, and is followed to its end", async () => {
    const { page, stub } = await open(address)
    await button(page, "Restart").click()
    await dialog(page).getByLabel("Reason").fill("New certificate")
    await dialog(page).getByRole("button", { name: "Restart" }).click()
    await dialog(page).waitFor({ state: "detached" })
    await page.getByText("deployment.apps/shop-api restart").waitFor()
    expect(stub.calls).toHaveLength(1)
    expect(stub.calls[0]!.path).toBe("/admin/ns/nightly/restart")
    expect(JSON.parse(stub.calls[0]!.body)).toEqual({ kind: "Deployment", name: "shop-api", reason: "New certificate" })
    expect(stub.calls[0]!.idempotencyKey).not.toBeNull()
    const at = new Date().toISOString()
    const rollout = { phase: "complete" as const, message: "successfully rolled out", at }
    stub.admin.streams.tell("action", { ...stub.admin.actions[0]!, rollout })
    await page.getByText("Rollout complete: successfully rolled out").waitFor()
  })

  browserTest("another reason is another wish: it gets another key", async () => {
    const { page, stub } = await open(address)
    await button(page, "Restart").click()
    stub.state.refusal = refused(503, "backup_failed", "the backup could not be written")
    for (const reason of ["One", "One", "Two"]) {
      await dialog(page).getByLabel("Reason").fill(reason)
      const answered = page.waitForResponse("**/restart")
      await dialog(page).getByRole("button", { name: "Restart" }).click()
      await answered
      await dialog(page).getByRole("button", { name: "Restart", disabled: false }).waitFor()
    }
    const keys = stub.calls.map(({ idempotencyKey }) => idempotencyKey)
    expect(keys[1]).toBe(keys[0]!)
    expect(keys[2]).not.toBe(keys[0]!)
  })

  browserTest("what admin would refuse is off, with its reason in sight", async () => {
    const { page } = await open(address, {
      before: ({ admin }) => {
        admin.forbid("restart", "Frozen until Monday 08:00.")
        admin.forbid("scale", "Frozen until Monday 08:00.")
      }
    })
    await page.getByText("Frozen until Monday 08:00.").waitFor()
    await page.getByText("Restart, Scale:").waitFor()
    expect(await button(page, "Restart").isDisabled()).toBe(true)
    expect(await button(page, "Scale").isDisabled()).toBe(true)
    expect(await button(page, "Undo").isDisabled()).toBe(false)
  })

  browserTest("nothing is offered before admin has said what may be done, and all of it once it can", async () => {
    const { page, stub } = await open("/sessions")
    await page.route("**/admin/capabilities", (route) => route.fulfill({ status: 503, body: "" }))
    await page.goto(stub.origin + address)
    await page.getByText("The platform could not answer").first().waitFor()
    for (const name of ["Restart", "Undo", "Pause", "Scale"]) expect(await button(page, name).isDisabled()).toBe(true)
    await page.unroute("**/admin/capabilities")
    await page.getByText("The platform could not answer").first().waitFor({ state: "detached" })
    expect(await button(page, "Restart").isDisabled()).toBe(false)
  })

  browserTest("a paused one is resumed before it is restarted or undone", async () => {
    const { page, stub } = await open("/workloads/nightly/Deployment/search")
    await page.getByText("It is paused: resume it first.").waitFor()
    expect(await button(page, "Restart").isDisabled()).toBe(true)
    await button(page, "Resume").click()
    await dialog(page).getByLabel("Reason").fill("The index is built")
    await dialog(page).getByRole("button", { name: "Resume" }).click()
    await button(page, "Pause").waitFor()
    expect(await button(page, "Restart").isDisabled()).toBe(false)
    expect(stub.calls[0]!.path).toBe("/admin/ns/nightly/resume")
  })

  browserTest("it is scaled within bounds", async () => {
    const { page, stub } = await open(address)
    await button(page, "Scale").click()
    await dialog(page).getByLabel("Reason").fill("Black Friday")
    await dialog(page).getByLabel("Replicas").fill("101")
    await dialog(page).getByText("A whole number from 0 to 100.").waitFor()
    expect(await dialog(page).getByRole("button", { name: "Scale" }).isDisabled()).toBe(true)
    await dialog(page).getByLabel("Replicas").fill("5")
    await dialog(page).getByRole("button", { name: "Scale" }).click()
    await dialog(page).waitFor({ state: "detached" })
    expect(JSON.parse(stub.calls[0]!.body)).toMatchObject({ replicas: 5, reason: "Black Friday" })
  })
})

describe("an undo", () => {
  browserTest("is previewed with fields, lost annotations and warnings, then asks why, then is done", async () => {
    const { page, stub } = await open(`${address}?tab=revisions`)
    await page.getByRole("button", { name: "Undo to revision 4" }).click()
    await dialog(page).getByText("differs from that of revision 3 only in restartedAt").waitFor()
    await dialog(page).getByText("registry.example.net/shop/shop-api:2.7.4").waitFor()
    await dialog(page).getByText("team.example.net/on-call").waitFor()
    await dialog(page).getByLabel("Back to").selectOption("3")
    await dialog(page).getByText("back to revision 3").waitFor()
    expect(await dialog(page).getByRole("button", { name: "Undo" }).isDisabled()).toBe(true)
    await dialog(page).getByLabel("Reason").fill("2.8.0 does not start")
    await dialog(page).getByRole("button", { name: "Undo" }).click()
    await page.getByText("deployment.apps/shop-api rolled back").waitFor()
    const sent = stub.calls.map(({ body }) => JSON.parse(body) as Record<string, unknown>)
    expect(sent.filter((one) => one["dryRun"] !== true)).toEqual([
      { kind: "Deployment", name: "shop-api", reason: "2.8.0 does not start", toRevision: 3 }
    ])
  })

  browserTest("goes to the last good one unless told otherwise, and on production asks for the name", async () => {
    const { page, stub } = await open("/workloads/prod/Deployment/shop-api", { environment: "prod" })
    await button(page, "Undo").click()
    await dialog(page).getByText("back to revision 4").waitFor()
    expect(JSON.parse(stub.calls[0]!.body)).toMatchObject({ toRevision: "last-known-good", dryRun: true })
    await dialog(page).getByLabel("Reason").fill("2.8.0 does not start")
    await page.keyboard.press("Enter")
    expect(await dialog(page).getByRole("button", { name: "Undo" }).isDisabled()).toBe(true)
    await dialog(page).getByLabel("Type shop-api to confirm").fill("shop-api")
    await page.keyboard.press("Enter")
    await dialog(page).waitFor({ state: "detached" })
    expect(JSON.parse(stub.calls.at(-1)!.body)).toMatchObject({ toRevision: 4, reason: "2.8.0 does not start" })
  })

  browserTest("goes to the one before where none is known to have been good", async () => {
    const { page, stub } = await open(address, {
      before: ({ admin }) => {
        admin.state.history = admin.state.history.map((one) => ({ ...one, health: "unknown" as const }))
      }
    })
    await button(page, "Undo").click()
    await dialog(page).getByText("back to revision 4").waitFor()
    expect(stub.calls.map(({ body }) => (JSON.parse(body) as { toRevision: unknown }).toRevision)).toEqual([4])
    expect(await dialog(page).getByText("The last one known to be good").count()).toBe(0)
  })

  browserTest("two revisions are compared; change causes stay text", async () => {
    const evil = "<b onmouseover=alert(1)>cause</b>"
    const { page } = await open(`${address}?tab=revisions`, {
      before: ({ admin }) => {
        admin.state.history[0] = { ...admin.state.history[0]!, changeCause: evil }
      }
    })
    await page.getByText(evil, { exact: true }).waitFor()
    await page.getByText("same as 3, but restarted").waitFor()
    await page.getByRole("button", { name: "Compare revision 3 with the current one" }).click()
    await dialog(page).getByText("spec.containers[0].image").waitFor()
    await dialog(page).getByLabel("From").selectOption("1")
    await dialog(page).getByText("spec.containers[0].image").waitFor()
  })
})

describe("logs", () => {
  browserTest("the log from before the crash is one link away and stays text", async () => {
    const evil = "<img src=x onerror=\"document.title='owned'\">"
    const { page, stub } = await open(address, { before: ({ admin }) => admin.state.previousLog.push(evil) })
    await page.getByRole("link", { name: "Logs before the crash" }).click()
    const log = page.getByRole("log")
    await log.getByText("exiting with code 1").waitFor()
    await log.getByText(evil, { exact: true }).waitFor()
    await page.getByText("Complete", { exact: true }).waitFor()
    expect(Object.fromEntries(stub.admin.logsAsked[0]!)).toEqual({
      pod: "shop-api-7d9f6c5b8-x2k9p",
      container: "api",
      previous: "true",
      tailLines: "500"
    })
    expect(await page.title()).not.toContain("owned")
  })

  browserTest("the current one is followed, filtered, and held while somebody reads further up", async () => {
    const { page, stub } = await open(`${address}?tab=logs`)
    const log = page.getByRole("log")
    await log.getByText("GET /healthz 200 39 ms").waitFor()
    await page.getByText("Following", { exact: true }).waitFor()
    const tell = (text: string) => stub.admin.logs.tell("line", { at: new Date().toISOString(), text })
    tell("one more line")
    await log.getByText("one more line").waitFor()
    await log.evaluate((element) => element.scrollTo(0, 0))
    await page.getByText("Held while you read").waitFor()
    tell("while away")
    await page.getByRole("button", { name: "1 new lines, go to the newest" }).click()
    await page.getByText("Following", { exact: true }).waitFor()
    expect(await log.evaluate((one) => one.scrollHeight - one.scrollTop - one.clientHeight)).toBeLessThan(40)
    await page.getByRole("searchbox").fill("away")
    await log.getByText("one more line").waitFor({ state: "detached" })
    await page.getByText("1 of 42 lines").waitFor()
  })

  browserTest("another container is chosen, init ones too, and is in the address", async () => {
    const { page, stub } = await open(`${address}?tab=logs`)
    await page.getByRole("log").getByText("GET /healthz 200 0 ms").waitFor()
    await page.getByLabel("Container").selectOption({ label: "migrate (init): Completed" })
    await page.waitForURL(/container=migrate/u)
    await page.getByText("Following", { exact: true }).waitFor()
    expect(stub.admin.logsAsked.at(-1)!.get("container")).toBe("migrate")
  })

  browserTest("a container that was never restarted says that there is no earlier log", async () => {
    const { page } = await open("/sessions")
    await page.route("**/logs?**", (route) =>
      route.fulfill({
        status: 404,
        contentType: "application/problem+json",
        body: JSON.stringify({
          type: "about:blank",
          title: "Not found",
          status: 404,
          code: "no_previous",
          detail: "no previous terminated container"
        })
      })
    )
    await page.goto(new URL(`${address}?tab=logs&previous=true`, page.url()).href)
    await page.getByText("No previous terminated container.").waitFor()
    await page.getByRole("button", { name: "Try again" }).waitFor()
  })

  browserTest("what is shown is saved as a file", async () => {
    const { page } = await open(`${address}?tab=logs&previous=true`)
    await page.getByText("exiting with code 1").waitFor()
    const download = page.waitForEvent("download")
    await page.getByRole("button", { name: "Save" }).click()
    expect((await download).suggestedFilename()).toBe("shop-api-7d9f6c5b8-x2k9p-api-previous.log")
  })
})
