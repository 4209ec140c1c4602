/** The overview in a real browser: charts that move, words for what is missing, and honesty about a lost stream. */
import { describe, expect } from "bun:test"
import type { Page } from "playwright-core"
import { clockTime } from "#dashboard/format.ts"
import { browserTest, usePages } from "./openPage.ts"

const open = usePages()

const status = (page: Page, word: string) => page.getByRole("status").getByText(word, { exact: true })
const card = (page: Page, name: string) => page.getByRole("region", { name, exact: true })
const picture = (page: Page, name: string) =>
  card(page, name)
    .locator("canvas")
    .evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL())

describe("live values", () => {
  browserTest("the charts and numbers move with the stream", async () => {
    const { page, stub } = await open("/")
    await status(page, "Live").waitFor()
    const before = await picture(page, "CPU")
    stub.tick(2, (snapshot) => ({ ...snapshot, cpu: { ...snapshot.cpu, usedPercent: 91.5 } }))
    await card(page, "CPU").locator(".value", { hasText: "91.5" }).waitFor()
    expect(await picture(page, "CPU")).not.toBe(before)
  })

  browserTest("the last five minutes are there from the start", async () => {
    const { page, stub } = await open("/")
    await status(page, "Live").waitFor()
    await stub.untilHistory(1, (asked) => asked.get("metric") === "cpu.used_percent")
    // The oldest point that the keyboard can reach is minutes old, though the stream has sent one value.
    const chart = card(page, "CPU").locator(".chart-frame")
    await chart.focus()
    await page.waitForFunction(
      (latest) => {
        const frame = document.activeElement!
        frame.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true }))
        const shown = frame.parentElement!.querySelector(".cursor-time")?.textContent
        return shown !== undefined && shown !== latest
      },
      clockTime(stub.state.at * 1000)
    )
  })

  browserTest("what is not known is a dash, never 0", async () => {
    const { page, stub } = await open("/")
    await status(page, "Live").waitFor()
    stub.tick(2, (snapshot) => ({
      ...snapshot,
      load: { load1: null, load5: null, load15: null, load1PerCore: null }
    }))
    await card(page, "Load").locator(".value", { hasText: "–" }).waitFor()
  })

  browserTest("a section that is degraded or unavailable says so and why", async () => {
    const { page, stub } = await open("/")
    await status(page, "Live").waitFor()
    stub.tick(2, (snapshot) => ({
      ...snapshot,
      pressure: {
        cpuSome: { avg10Percent: null, percent: null },
        memorySome: { avg10Percent: null, percent: null },
        memoryFull: { avg10Percent: null, percent: null },
        ioSome: { avg10Percent: null, percent: null },
        ioFull: { avg10Percent: null, percent: null }
      },
      sections: {
        ...snapshot.sections,
        pressure: { status: "unavailable", reason: "the kernel has no pressure information" },
        memory: { status: "degraded", reason: "the values are this container's" }
      }
    }))
    await card(page, "Pressure").getByText("Unavailable: the kernel has no pressure information").waitFor()
    await card(page, "Memory").getByText("Degraded: the values are this container's").waitFor()
    expect(await card(page, "Pressure").locator("canvas").count()).toBe(0)
  })

  browserTest("a filesystem that fills up is named above the charts and in words at its bar", async () => {
    const { page } = await open("/")
    await page.getByRole("list", { name: "Needs attention" }).getByText("/var/lib/rancher is 87").waitFor()
    await card(page, "Filesystems").getByText("filling up").waitFor()
  })

  browserTest("the pressed device is the one in the chart", async () => {
    const { page } = await open("/")
    await status(page, "Live").waitFor()
    const chart = card(page, "Network").getByRole("img")
    expect(await chart.getAttribute("aria-label")).toStartWith("Network eth0")
    await card(page, "Network").getByRole("button", { name: "cni0" }).click()
    await page.getByRole("img", { name: /^Network cni0/u }).waitFor()
  })
})

describe("the cluster's tiles", () => {
  browserTest("say what waits, what is sick, what rolls out and what was done last", async () => {
    const { page } = await open("/")
    await card(page, "1 proposal waits").getByText("Undo Deployment shop-api to revision 4").waitFor()
    await card(page, "Workloads").getByRole("link", { name: "1 Degraded" }).waitFor()
    await card(page, "Rollouts").getByText("stalled").waitFor()
    await card(page, "Incidents").getByText("thumbnails cannot pull its image").waitFor()
    await card(page, "Last actions").getByText("restart Deployment checkout").waitFor()
    await card(page, "Workloads").getByRole("link", { name: "1 Degraded" }).click()
    await page.waitForURL("**/workloads?health=Degraded")
  })

  browserTest("change with the stream, and are told to be old without one", async () => {
    const { page, stub } = await open("/")
    await card(page, "1 proposal waits").waitFor()
    stub.admin.streams.tell("proposal", { ...stub.admin.proposals[0]!, state: "expired" })
    await card(page, "Proposals").getByText("Nothing waits for a decision.").waitFor()
    stub.admin.state.status = 503
    stub.admin.streams.cut()
    await page
      .getByRole("alert")
      .getByText(/^Stale since/u)
      .waitFor()
    await card(page, "Workloads").waitFor()
  })

  browserTest("are not there for who may not see them, and neither are their pages", async () => {
    const { page } = await open("/", {
      as: "Nora Lind",
      rights: [{ environment: "*", service: "monitor", action: "read", effect: "allow" }]
    })
    await status(page, "Live").waitFor()
    expect(await page.locator(".tile").count()).toBe(0)
    for (const name of ["Workloads", "Proposals", "Apply", "Actions", "Incidents", "Jobs", "Schedules"]) {
      expect(await page.getByRole("link", { name, exact: true }).count()).toBe(0)
    }
  })
})

describe("the cursor", () => {
  browserTest("it shows the same moment in every chart, by mouse and by keyboard", async () => {
    const { page, stub } = await open("/")
    await status(page, "Live").waitFor()
    await stub.untilHistory(14)
    stub.tick()
    await card(page, "CPU")
      .locator(".chart-frame")
      .hover({ position: { x: 300, y: 40 } })
    const times = page.locator(".cursor-time")
    await times.nth(5).waitFor()
    expect(new Set(await times.allInnerTexts()).size).toBe(1)
    await page.mouse.move(2, 2)
    await times.first().waitFor({ state: "detached" })
    await card(page, "Memory").locator(".chart-frame").focus()
    await page.keyboard.press("Home")
    await times.nth(5).waitFor()
    const first = await times.first().innerText()
    await page.keyboard.press("ArrowRight")
    await page.waitForFunction((text) => document.querySelector(".cursor-time")?.textContent !== text, first)
    await page.keyboard.press("Escape")
    await times.first().waitFor({ state: "detached" })
  })
})

describe("history", () => {
  browserTest("a range is asked from history and is part of the address", async () => {
    const { page, stub } = await open("/")
    await status(page, "Live").waitFor()
    await page.getByRole("radio", { name: "24 h" }).check({ force: true })
    await page.waitForURL("**/?range=24h")
    await page.getByRole("img", { name: /^Filesystems used/u }).waitFor()
    const query = stub.histories.at(-1)!
    const seconds = (Date.now() - Date.parse(query.get("from")!)) / 1000
    expect(seconds).toBeCloseTo(86_400, -2)
    await page.getByRole("radio", { name: "Peak" }).check({ force: true })
    await stub.untilHistory(1, (asked) => asked.get("agg") === "max")
  })

  browserTest("history that cannot be had is told and can be tried again", async () => {
    const { page } = await open("/")
    await status(page, "Live").waitFor()
    await page.route("**/monitor/history**", (route) => route.fulfill({ status: 503, body: "" }))
    await page.getByRole("radio", { name: "1 h" }).check({ force: true })
    await page.getByText("This could not be loaded").waitFor()
    await page.unroute("**/monitor/history**")
    await page.getByRole("button", { name: "Try again" }).click()
    await card(page, "CPU").locator("canvas").waitFor()
  })
})

describe("a lost stream", () => {
  browserTest("it is stale since the last value, then live again with the hole filled from history", async () => {
    const { page, stub } = await open("/")
    await status(page, "Live").waitFor()
    await stub.untilHistory(14)
    stub.state.monitorStatus = 503
    stub.cut()
    await page.getByText(/^Stale since \d\d:\d\d:\d\d, reconnecting\.$/u).waitFor()
    await status(page, "Stale").waitFor()
    const asked = stub.histories.length
    stub.state.at += 60
    stub.state.monitorStatus = 200
    await status(page, "Live").waitFor()
    await page.getByRole("alert").waitFor({ state: "detached" })
    await stub.untilHistory(asked + 14)
  })

  browserTest("trying now does not wait for the next attempt", async () => {
    const { page, stub } = await open("/")
    await status(page, "Live").waitFor()
    stub.state.monitorStatus = 503
    stub.cut()
    await status(page, "Stale").waitFor()
    stub.state.monitorStatus = 200
    await page.getByRole("button", { name: "Try now" }).click()
    await status(page, "Live").waitFor()
  })

  browserTest("a stream that no longer sends counts as lost", async () => {
    const { page, stub } = await open("/sessions")
    await page.clock.install()
    await page.goto(stub.origin)
    await status(page, "Live").waitFor()
    await page.clock.runFor(10_500)
    await page.getByText("No value came for 10 seconds.").waitFor()
  })

  browserTest("a session that ended stops the attempts and offers the login", async () => {
    const { page, stub } = await open("/")
    await status(page, "Live").waitFor()
    stub.state.loggedIn = false
    stub.cut()
    await status(page, "Ended").waitFor()
    await page.getByText("Your session is over.").waitFor()
    await page.getByRole("button", { name: "Sign in again" }).click()
    await page.waitForURL("**/auth/login?return_to=%2F")
  })

  browserTest("a hidden page closes the stream and opens it when seen again", async () => {
    const { page, stub } = await open("/")
    await status(page, "Live").waitFor()
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => true })
      document.dispatchEvent(new Event("visibilitychange"))
    })
    await status(page, "Paused").waitFor()
    await stub.untilStreams(0)
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => false })
      document.dispatchEvent(new Event("visibilitychange"))
    })
    await status(page, "Live").waitFor()
  })
})
