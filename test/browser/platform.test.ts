/** A person's first minute with the real platform in a real browser: log in through OAuth, see the host, make a token, give a role, log out. */
import { afterAll, afterEach, beforeAll, describe, expect } from "bun:test"
import type { Browser, BrowserContext, Page } from "playwright-core"
import { get } from "#test/scenarios/browserJar.ts"
import { dataFolder, type PlatformProcess, startPlatformProcess } from "#test/scenarios/platformProcess.ts"
import { chromiumPath, startChromium } from "./chromium.ts"
import { browserTest } from "./openPage.ts"

/** Chooses a demo user on the provider's page. */
const choose = (page: Page, name: string) => page.getByRole("button", { name: new RegExp(name, "u") }).click()

describe("the platform in a browser", () => {
  const folder = dataFolder()
  let platform: PlatformProcess
  let browser: Browser
  const contexts: Array<BrowserContext> = []

  beforeAll(async () => {
    if (chromiumPath === undefined) return
    platform = await startPlatformProcess(folder.path)
    browser = await startChromium()
  }, 60_000)
  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close()
  })
  afterAll(async () => {
    await browser?.close()
    platform?.signal("SIGTERM")
    await platform?.exited
    folder.remove()
  }, 60_000)

  /** A browser of its own that has gone to `path` and was sent to log in. */
  const visit = async (path: string) => {
    const context = await browser.newContext()
    contexts.push(context)
    const page = await context.newPage()
    await page.goto(platform.origin + path)
    return { context, page }
  }
  const logIn = async (name: string, path = "/") => {
    const visited = await visit(path)
    await visited.page.getByRole("link", { name: "Continue with development login" }).click()
    await choose(visited.page, name)
    await visited.page.waitForURL(platform.origin + path)
    return visited
  }

  browserTest("a demo user logs in and sees charts of this host that move", async () => {
    const { page } = await logIn("Vera Viewer")
    await page.getByRole("status").getByText("Live", { exact: true }).waitFor()
    const canvas = page.getByRole("region", { name: "CPU", exact: true }).locator("canvas")
    const before = await canvas.evaluate((element) => (element as HTMLCanvasElement).toDataURL())
    await page.waitForFunction((earlier) => {
      const chart = [...document.querySelectorAll("canvas")][0]
      return chart !== undefined && chart.toDataURL() !== earlier
    }, before)
    expect(await page.getByRole("link", { name: "Access" }).count()).toBe(0)
  })

  browserTest("two tabs that both began a login both end logged in", async () => {
    const { context, page } = await visit("/")
    const second = await context.newPage()
    await second.goto(`${platform.origin}/sessions`)
    await page.getByRole("link", { name: "Continue with development login" }).click()
    await second.getByRole("link", { name: "Continue with development login" }).click()
    await choose(page, "Otto Operator")
    await page.waitForURL(`${platform.origin}/`)
    await choose(second, "Otto Operator")
    await second.waitForURL(`${platform.origin}/sessions`)
    await second.getByText("Otto Operator").first().waitFor()
    await page.reload()
    await page.getByText("Otto Operator").first().waitFor()
  })

  browserTest("a token made on the page opens the API to curl", async () => {
    const { page } = await logIn("Vera Viewer", "/sessions")
    await page.getByRole("button", { name: "New access token" }).click()
    await page.getByRole("dialog").getByRole("button", { name: "Create token" }).click()
    const shown = page.getByRole("dialog", { name: "Your access token" })
    const token = await shown.getByLabel("Access token", { exact: true }).inputValue()
    expect((await get(`${platform.origin}/monitor/host`, token)).status).toBe(200)
  })

  browserTest("an operator previews an undo, restarts a workload, and finds the record of it", async () => {
    const { page } = await logIn("Otto Operator", "/workloads")
    await page.getByRole("link", { name: "api", exact: true }).click()
    await page.getByRole("button", { name: "Undo", exact: true }).click()
    await page.getByRole("dialog").getByText("What changes").waitFor()
    await page.keyboard.press("Escape")
    await page.getByRole("button", { name: "Restart", exact: true }).click()
    await page.getByRole("dialog").getByLabel("Reason").fill("Picks up the new settings")
    await page.getByRole("dialog").getByRole("button", { name: "Restart" }).click()
    await page.getByText("Rollout complete").waitFor()
    await page.getByRole("link", { name: "Record" }).click()
    await page.getByRole("region", { name: "Record" }).getByText("Picks up the new settings").waitFor()
    await page.goto(`${platform.origin}/actions`)
    await page.getByRole("button", { name: "Check the records" }).click()
    await page.getByText(/records are as they were written/u).waitFor()
  })

  browserTest("a viewer reads a log and is offered nothing that changes the cluster", async () => {
    const { page } = await logIn("Vera Viewer", "/workloads/dev/Deployment/api?tab=logs")
    await page.getByText("Following", { exact: true }).waitFor()
    await page.locator(".log-line").first().waitFor()
    await page.getByText("needs the scope admin:restart:dev").waitFor()
    for (const name of ["Restart", "Undo", "Pause", "Scale"]) {
      expect(await page.getByRole("button", { name, exact: true }).isDisabled()).toBe(true)
    }
  })

  browserTest("somebody without a role is told so and let in as soon as an owner gives one", async () => {
    const newcomer = await visit("/")
    await newcomer.page.getByRole("link", { name: "Continue with development login" }).click()
    await choose(newcomer.page, "Nico Newcomer")
    await newcomer.page.getByRole("heading", { name: "Not allowed" }).waitFor()

    const owner = await logIn("Olga Owner", "/access")
    const users = await owner.page.request.get(`${platform.origin}/auth/users?q=Nico`)
    const { items } = (await users.json()) as { readonly items: ReadonlyArray<{ readonly id: string }> }
    const given = await owner.page.request.post(`${platform.origin}/auth/grants`, {
      headers: { origin: platform.origin },
      data: { userId: items[0]!.id, role: "viewer", environment: "*" }
    })
    expect(given.status()).toBe(201)
    await newcomer.page.goto(`${platform.origin}/`)
    await newcomer.page.getByRole("status").getByText("Live", { exact: true }).waitFor()
  })

  browserTest("logging out ends the session, in every tab", async () => {
    const { context, page } = await logIn("Dev Developer")
    const second = await context.newPage()
    await second.goto(`${platform.origin}/sessions`)
    await second.getByText("Dev Developer").first().waitFor()
    const status = await page.evaluate(async () => (await fetch("/auth/logout", { method: "POST" })).status)
    expect(status).toBeLessThan(400)
    // The page may just be on its way there by itself, refused what it asked for, which ends a reload.
    await second.reload().catch(() => {})
    await second.getByRole("link", { name: "Continue with development login" }).waitFor()
  })
})
