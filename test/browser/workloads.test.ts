/** The workload list in a real browser: live, filtered by the address, honest about a lost stream, safe with what the cluster says. */
import { describe, expect } from "bun:test"
import type { Page } from "playwright-core"
import { browserTest, usePages } from "./openPage.ts"

const open = usePages()

const row = (page: Page, name: string) => page.getByRole("row").filter({ hasText: name })
const status = (page: Page, word: string) => page.getByRole("status").getByText(word, { exact: true })
const names = (page: Page) => page.locator("tbody .cell-link").allInnerTexts()

describe("the list of workloads", () => {
  browserTest("shows the sick ones first, each with its reason", async () => {
    const { page } = await open("/workloads")
    await row(page, "shop-api").getByText("container api of the new revision keeps crashing (exit code 1)").waitFor()
    expect((await names(page)).slice(0, 3)).toEqual(["shop-api", "checkout", "search"])
    await row(page, "shop-api").getByText("2/3").waitFor()
    await row(page, "shop-api").getByText("shop-api:2.8.0").waitFor()
    await row(page, "shop-api").getByText("by Jonas Weber").waitFor()
  })

  browserTest("is filtered and sorted by the address, and the address by the page", async () => {
    const { page } = await open("/workloads?kind=Deployment&sort=-restarts&q=shop")
    await row(page, "shop-api").waitFor()
    expect((await names(page))[0]).toBe("shop-api")
    expect(await names(page)).not.toContain("log-shipper")
    await page.getByRole("searchbox").fill("")
    await row(page, "gateway").waitFor()
    await page.getByRole("button", { name: /Degraded/u }).click()
    await row(page, "gateway").waitFor({ state: "detached" })
    expect(new URL(page.url()).searchParams.get("health")).toBe("Degraded")
    await page.reload()
    await row(page, "shop-api").waitFor()
    expect(await names(page)).toEqual(["shop-api"])
    await page.getByRole("columnheader", { name: "Workload" }).getByRole("button").click()
    expect(await page.getByRole("columnheader", { name: "Workload" }).getAttribute("aria-sort")).toBe("ascending")
  })

  browserTest("changes as the stream tells, also what is new and what is gone", async () => {
    const { page, stub } = await open("/workloads")
    await status(page, "Live").waitFor()
    const checkout = stub.admin.workloads.find(({ name }) => name === "checkout")!
    stub.admin.tellWorkload({ ...checkout, ready: 4, health: { status: "Healthy", reason: "" } })
    await row(page, "checkout").getByText("4/4").waitFor()
    stub.admin.streams.tell("workload", { ...checkout, name: "fresh", uid: "fresh" })
    await row(page, "fresh").waitFor()
    const { kind, namespace } = checkout
    stub.admin.streams.tell("workload_deleted", { namespace, kind, name: "fresh" })
    await row(page, "fresh").waitFor({ state: "detached" })
  })

  browserTest("someone without the right is told which one, and not offered the page", async () => {
    const { page } = await open("/workloads", { as: "Nora Lind" })
    await page.getByText("You may not see the workloads").waitFor()
    await page.getByText("admin:read").waitFor()
    expect(await page.getByRole("link", { name: "Workloads" }).count()).toBe(0)
  })

  browserTest("g and w go there, slash to its search", async () => {
    const { page } = await open("/sessions")
    await page.getByRole("heading", { level: 1, name: "Sessions & tokens" }).waitFor()
    await page.keyboard.press("g")
    await page.keyboard.press("w")
    await row(page, "shop-api").waitFor()
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Workloads")
    await page.keyboard.press("/")
    await page.keyboard.type("mailer")
    await row(page, "shop-api").waitFor({ state: "detached" })
    await row(page, "mailer").waitFor()
  })
})

describe("a lost stream", () => {
  browserTest("is told with its time, and resumes after the last event so that nothing is missed", async () => {
    const { page, stub } = await open("/workloads")
    await status(page, "Live").waitFor()
    const mailer = stub.admin.workloads.find(({ name }) => name === "mailer")!
    stub.admin.tellWorkload({ ...mailer, restarts: 3 })
    await row(page, "mailer").getByText("3", { exact: true }).waitFor()
    stub.admin.state.status = 503
    stub.admin.streams.cut()
    await page.getByText(/^Stale since \d\d:\d\d:\d\d, reconnecting\.$/u).waitFor()
    await row(page, "mailer").waitFor()
    stub.admin.tellWorkload({ ...mailer, restarts: 4 })
    stub.admin.state.status = 200
    await page.getByRole("button", { name: "Try now" }).click()
    await row(page, "mailer").getByText("4", { exact: true }).waitFor()
    await page.getByRole("alert").waitFor({ state: "detached" })
    expect(stub.admin.streams.resumed.filter((id) => id !== "")).toEqual(["2"])
  })

  browserTest("one that ends in order is taken up where it ended, and nobody is alarmed", async () => {
    const { page, stub } = await open("/sessions")
    await page.clock.install()
    await page.goto(`${stub.origin}/workloads`)
    await status(page, "Live").waitFor()
    const mailer = stub.admin.workloads.find(({ name }) => name === "mailer")!
    stub.admin.tellWorkload({ ...mailer, restarts: 3 })
    await row(page, "mailer").getByText("3", { exact: true }).waitFor()
    const last = String(stub.admin.streams.newest())
    await page.clock.runFor(6000)
    stub.admin.streams.end()
    await stub.admin.streams.untilResumed(last)
    stub.admin.tellWorkload({ ...mailer, restarts: 4 })
    await row(page, "mailer").getByText("4", { exact: true }).waitFor()
    expect(await page.getByRole("alert").count()).toBe(0)
  })

  browserTest("a silent one counts as lost, one that only beats does not", async () => {
    const { page, stub } = await open("/sessions")
    await page.clock.install()
    await page.goto(`${stub.origin}/workloads`)
    await status(page, "Live").waitFor()
    await page.clock.runFor(7000)
    stub.admin.streams.beat()
    await page.evaluate(() => fetch("/auth/me"))
    await page.clock.runFor(7000)
    expect(await page.getByRole("alert").count()).toBe(0)
    // It cannot be had again, so that the banner stays.
    stub.admin.state.status = 503
    await page.clock.runFor(7000)
    await page
      .getByRole("alert")
      .getByText(/^Stale since/u)
      .waitFor()
  })

  browserTest("a cluster that the platform itself does not see is told", async () => {
    const { page, stub } = await open("/workloads")
    await status(page, "Live").waitFor()
    stub.admin.streams.tell("stale", { since: new Date().toISOString() })
    await page.getByText(/The cluster is not seen since/u).waitFor()
    stub.admin.streams.tell("stale", { since: null })
    await page.getByText(/The cluster is not seen since/u).waitFor({ state: "detached" })
  })

  browserTest("a reset begins anew with the snapshot that follows", async () => {
    const { page, stub } = await open("/workloads")
    await row(page, "mailer").waitFor()
    stub.admin.streams.tell("reset", { reason: "too old" })
    stub.admin.streams.tell("snapshot", {
      workloads: [stub.admin.workloads[0]],
      proposals: [],
      actions: [],
      staleSince: null
    })
    await row(page, "mailer").waitFor({ state: "detached" })
    await row(page, "shop-api").waitFor()
  })
})

describe("what the cluster says", () => {
  browserTest("stays text, whatever it looks like", async () => {
    const evil = "<img src=x onerror=\"document.title='owned'\">"
    const { page } = await open("/workloads", {
      before: ({ admin }) => {
        const first = admin.workloads[0]!
        admin.workloads[0] = {
          ...first,
          images: [`registry.example.net/${evil}:1`, "javascript:alert(1)"],
          health: { status: "Degraded", reason: evil }
        }
      }
    })
    await row(page, "shop-api").getByText(evil, { exact: true }).waitFor()
    expect(await page.locator("main img").count()).toBe(0)
    expect(await page.locator('a[href^="javascript:"]').count()).toBe(0)
    expect(await page.title()).not.toContain("owned")
  })
})
