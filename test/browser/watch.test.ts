/** Jobs, schedules and incidents in a real browser: live rows, a log without gap or double, the chain of an incident. */
import { describe, expect } from "bun:test"
import type { Page } from "playwright-core"
import { browserTest, usePages } from "./openPage.ts"

const open = usePages()
const row = (page: Page, name: string) => page.getByRole("row").filter({ hasText: name })
const dialog = (page: Page) => page.getByRole("dialog")
const running = "/queue/0190e0b0-0000-7000-8000-000000001009"

describe("jobs", () => {
  browserTest("are listed, filtered by the address, and move with the stream", async () => {
    const { page, stub } = await open("/queue")
    await row(page, "nightly-reindex").getByText("Running").waitFor()
    const job = stub.watch.jobs.find(({ schedule }) => schedule === "nightly-reindex")!
    await stub.watch.streams.untilOpen(1)
    stub.watch.tellJob({ ...job, state: "succeeded", finishedAt: new Date().toISOString() })
    await row(page, "nightly-reindex").getByText("Succeeded").waitFor()
    await page.getByLabel("State").selectOption("Failed")
    await row(page, "nightly-reindex").waitFor({ state: "detached" })
    await row(page, "no space left on device").waitFor()
    expect(new URL(page.url()).searchParams.get("state")).toBe("failed")
  })

  browserTest("are searched by the server, and what the stream tells is searched too", async () => {
    const { page, stub } = await open("/queue")
    await row(page, "nightly-reindex").waitFor()
    await page.getByRole("searchbox", { name: "Search the jobs" }).fill("NO SPACE left")
    await row(page, "nightly-reindex").waitFor({ state: "detached" })
    await row(page, "no space left on device").waitFor()
    expect(new URL(page.url()).searchParams.get("q")).toBe("NO SPACE left")
    const other = stub.watch.jobs.find(({ schedule }) => schedule === "nightly-reindex")!
    await stub.watch.streams.untilOpen(1)
    stub.watch.tellJob({ ...other, state: "succeeded" })
    stub.watch.tellJob({
      ...other,
      id: other.id.replace(/9$/u, "f"),
      kind: "report.daily",
      reason: "no space left here"
    })
    await row(page, "no space left here").waitFor()
    expect(await row(page, "nightly-reindex").count()).toBe(1)
  })

  browserTest("the log of one is followed, and goes on after a lost connection without gap or double", async () => {
    const { page, stub } = await open(running)
    const log = page.getByRole("log")
    await log.getByText("shard 3: connection reset").waitFor()
    stub.watch.logs.tell("line", { id: 7, at: new Date().toISOString(), attempt: 2, level: "info", message: "before" })
    await log.getByText("before").waitFor()
    stub.watch.logs.cut()
    stub.watch.logs.tell("line", {
      id: 8,
      at: new Date().toISOString(),
      attempt: 2,
      level: "info",
      message: "meanwhile"
    })
    await log.getByText("meanwhile").waitFor()
    expect(await log.getByText("before").count()).toBe(1)
    expect(stub.watch.logs.resumed).toEqual(["", "7"])
    stub.watch.logs.tell("end", { state: "succeeded" })
    await page.getByText("Complete", { exact: true }).waitFor()
  })

  browserTest("one is cancelled with a reason, then run again", async () => {
    const { page, stub } = await open(running)
    await page.getByRole("button", { name: "Cancel" }).click()
    await dialog(page).getByLabel("Reason").fill("Wrong index")
    await dialog(page).getByRole("button", { name: "Cancel the job" }).click()
    await page.locator(".page-title").getByText("Cancelled").waitFor()
    await page.getByRole("button", { name: "Run it again" }).click()
    await page.getByRole("link", { name: "retry of an earlier one" }).waitFor()
    expect(stub.calls.map(({ path }) => path.split("/").at(-1))).toEqual(["cancel", "retry"])
    expect(stub.calls.every(({ idempotencyKey }) => idempotencyKey !== null)).toBe(true)
  })

  browserTest("secrets in a payload come masked; someone who may only read is offered nothing", async () => {
    const { page } = await open(running, { as: "Mei Tanaka" })
    await page.getByRole("region", { name: "Payload" }).getByText('"token": "***"').waitFor()
    await page.getByText("It needs the right scheduler:write").waitFor()
    expect(await page.getByRole("button", { name: "Cancel" }).isDisabled()).toBe(true)
  })
})

describe("schedules", () => {
  browserTest("one is run now, paused and resumed", async () => {
    const { page, stub } = await open("/schedules")
    await page.getByRole("button", { name: "Pause nightly-reindex" }).click()
    await row(page, "nightly-reindex").getByText("paused").waitFor()
    await page.getByRole("button", { name: "Resume nightly-reindex" }).click()
    await row(page, "nightly-reindex").getByText("paused").waitFor({ state: "detached" })
    await page.getByRole("button", { name: "Run daily-report now" }).click()
    await page.getByRole("heading", { level: 1, name: "report.daily" }).waitFor()
    expect(stub.calls.map(({ path }) => path)).toEqual([
      "/jobs/schedules/nightly-reindex/pause",
      "/jobs/schedules/nightly-reindex/resume",
      "/jobs/schedules/daily-report/trigger"
    ])
  })

  browserTest("a new one is made, and its next runs are shown as the scheduler understands them", async () => {
    const { page, stub } = await open("/schedules")
    await row(page, "daily-report").waitFor()
    await page.getByRole("button", { name: "New schedule" }).click()
    await dialog(page).getByLabel(/^Name/u).fill("health")
    await dialog(page).getByText("There is already a schedule of this name").waitFor()
    await dialog(page).getByLabel(/^Name/u).fill("price-sync")
    await dialog(page).getByLabel("Cron").fill("*/15 8-18 * * 1-5")
    await dialog(page).getByLabel("Time zone").fill("Europe/Zurich")
    await dialog(page).getByLabel("Job").selectOption("http.call")
    await dialog(page).getByLabel("Payload").fill("[1]")
    await dialog(page).getByText("This is no JSON object.").waitFor()
    await dialog(page).getByLabel("Payload").fill('{"path":"/sync"}')
    await dialog(page).getByRole("button", { name: "Save and preview" }).click()
    const slots = dialog(page).getByRole("list", { name: "Next slots" }).getByRole("listitem")
    await slots.first().waitFor()
    expect(await slots.count()).toBe(3)
    await dialog(page).getByRole("button", { name: "Done" }).click()
    await row(page, "price-sync").waitFor()
    expect(JSON.parse(stub.calls[0]!.body)).toEqual({
      cron: "*/15 8-18 * * 1-5",
      timeZone: "Europe/Zurich",
      kind: "http.call",
      payload: { path: "/sync" },
      overlap: "skip",
      missed: "once"
    })
  })

  browserTest("an edit does not save the masks of secrets as their values", async () => {
    const { page } = await open("/schedules")
    await page.getByRole("button", { name: "Edit nightly-reindex" }).click()
    await dialog(page).getByText("the present one is not shown").waitFor()
    expect(await dialog(page).getByLabel("Payload").inputValue()).toBe("")
    expect(await dialog(page).getByRole("button", { name: /^Save/u }).isDisabled()).toBe(true)
  })

  browserTest("an edit begins with the payload as it is, where nothing in it is secret", async () => {
    const { page } = await open("/schedules")
    await page.getByRole("button", { name: "Edit invoice-export" }).click()
    expect(JSON.parse(await dialog(page).getByLabel("Payload").inputValue())).toEqual({ note: "as it was" })
  })

  browserTest("built-in ones cannot be deleted, others can", async () => {
    const { page } = await open("/schedules")
    await row(page, "nightly-reindex").waitFor()
    expect(await page.getByRole("button", { name: "Delete health" }).count()).toBe(0)
    await page.getByRole("button", { name: "Delete nightly-reindex" }).click()
    await dialog(page).getByRole("button", { name: "Delete" }).click()
    await row(page, "nightly-reindex").waitFor({ state: "detached" })
  })
})

describe("incidents", () => {
  browserTest("open ones are shown with impact and remedy, live", async () => {
    const { page, stub } = await open("/incidents")
    await row(page, "shop-api crashes").getByText("Users are not affected").waitFor()
    await row(page, "thumbnails").getByText("An image that cannot be pulled").waitFor()
    expect(await row(page, "catalog runs out of memory").count()).toBe(0)
    await stub.watch.streams.untilOpen(1)
    stub.watch.tellIncident({ ...stub.watch.incidents[0]!, state: "resolved", resolvedAt: new Date().toISOString() })
    await row(page, "shop-api crashes").waitFor({ state: "detached" })
    await page.getByRole("radio", { name: "Resolved" }).check({ force: true })
    await row(page, "catalog runs out of memory").getByText("flapping").waitFor()
  })

  browserTest("one shows the chain from finding to verification, and leads to its proposal", async () => {
    const { page } = await open("/incidents")
    await page.getByRole("link", { name: "shop-api crashes since revision 5" }).click()
    const chain = page.getByRole("list", { name: "From finding to verification" })
    await chain.getByText("Waiting for a decision").waitFor()
    expect(await chain.getByRole("listitem").allInnerTexts()).toHaveLength(5)
    await page.getByRole("region", { name: "Timeline" }).getByText("held for 60 s").waitFor()
    await chain.getByRole("link", { name: "undo to revision 4" }).click()
    await page.getByRole("heading", { level: 1, name: /Undo Deployment shop-api/u }).waitFor()
  })

  browserTest("one is acknowledged, and muted for a while with a reason", async () => {
    const { page, stub } = await open("/incidents/0190e0b0-0000-7000-8000-000000000701")
    await page.getByRole("button", { name: "I have seen it" }).click()
    await page.locator(".page-title").getByText("seen by Olga Owner").waitFor()
    await page.getByRole("button", { name: "Mute" }).click()
    await dialog(page).getByLabel("How long").selectOption("1 day")
    await dialog(page).getByLabel("Reason").fill("Known, the provider is being set up")
    await dialog(page).getByRole("button", { name: "Mute" }).click()
    await page.locator(".page-title").getByText("muted").waitFor()
    const { until } = JSON.parse(stub.calls[1]!.body) as { until: string }
    expect((Date.parse(until) - Date.now()) / 3_600_000).toBeCloseTo(24, 1)
  })

  browserTest("a watchman that sees nothing says so", async () => {
    const { page } = await open("/incidents", {
      before: ({ watch }) => (watch.state.watch = { state: "stale", since: new Date().toISOString() })
    })
    await page.getByText(/The watchman does not see the cluster since/u).waitFor()
  })
})
