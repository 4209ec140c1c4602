/** The dashboard's shell in a real browser: environment, navigation, keyboard, themes, narrow screens, the way to the login. */
import { describe, expect } from "bun:test"
import type { Page } from "playwright-core"
import { browserTest, usePages } from "./openPage.ts"

const open = usePages()

const heading = (page: Page, name: string) => page.getByRole("heading", { level: 1, name })
const background = (page: Page) => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)

describe("environment", () => {
  browserTest("production is told by words, colour and an edge; another environment by its name", async () => {
    const prod = await open("/", { environment: "prod" })
    const badge = prod.page.locator("aside .environment")
    expect(await badge.innerText()).toMatch(/prod\s+production/iu)
    expect(await prod.page.locator(".environment-edge").count()).toBe(1)
    const color = await badge.evaluate((element) => getComputedStyle(element).backgroundColor)
    const nightly = await open("/", { environment: "nightly" })
    const other = nightly.page.locator("aside .environment")
    expect(await other.innerText()).toMatch(/nightly\s+environment/u)
    expect(await nightly.page.locator(".environment-edge").count()).toBe(0)
    expect(await other.evaluate((element) => getComputedStyle(element).backgroundColor)).not.toBe(color)
    expect(await prod.page.title()).toContain("prod")
  })
})

describe("login", () => {
  browserTest("someone without a session is sent to the login and back to where they were", async () => {
    const { page } = await open("/access?view=roles", { before: (stub) => (stub.state.loggedIn = false) })
    await page.waitForURL("**/auth/login**")
    expect(new URL(page.url()).searchParams.get("return_to")).toBe("/access?view=roles")
  })

  browserTest("signing out ends the session and shows the login", async () => {
    const { page, stub } = await open("/sessions")
    await page.getByRole("button", { name: "Olga Owner" }).click()
    await page.getByRole("button", { name: "Sign out" }).click()
    await page.waitForURL("**/auth/login")
    expect(stub.calls.map(({ method, path }) => `${method} ${path}`)).toEqual(["POST /auth/logout"])
  })

  browserTest("a gateway that does not answer is told, and trying again works", async () => {
    const { page } = await open("/sessions")
    await page.route("**/auth/me", (route) => route.abort())
    await page.reload()
    await page.getByText("The gateway cannot be reached").waitFor()
    await page.unroute("**/auth/me")
    await page.getByRole("button", { name: "Try again" }).click()
    await heading(page, "Sessions & tokens").waitFor()
  })
})

describe("navigation", () => {
  browserTest("g and a letter go to a page, whose heading takes the focus", async () => {
    const { page } = await open("/")
    await heading(page, "k3s-1").waitFor()
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await heading(page, "Sessions & tokens").waitFor()
    expect(new URL(page.url()).pathname).toBe("/sessions")
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Sessions & tokens")
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await heading(page, "Access").waitFor()
    await page.goBack()
    await heading(page, "Sessions & tokens").waitFor()
  })

  browserTest("every page has its key", async () => {
    const { page } = await open("/")
    await heading(page, "k3s-1").waitFor()
    for (const [key, title] of [
      ["w", "Workloads"],
      ["p", "Proposals"],
      ["y", "Apply"],
      ["t", "Actions"],
      ["i", "Incidents"],
      ["j", "Jobs"],
      ["c", "Schedules"]
    ] as const) {
      await page.keyboard.press("g")
      await page.keyboard.press(key)
      await heading(page, title).waitFor()
      expect(await page.evaluate(() => document.activeElement?.textContent)).toBe(title)
    }
  })

  browserTest("a part of the page that cannot be fetched is told, and loading the page again brings it", async () => {
    const { page } = await open("/sessions")
    await heading(page, "Sessions & tokens").waitFor()
    await page.route("**/Workloads-*.js", (route) => route.abort())
    await page.getByRole("link", { name: "Workloads" }).click()
    await page.getByText("This part of the page could not be fetched.").waitFor()
    await page.unroute("**/Workloads-*.js")
    await page.getByRole("button", { name: "Try again" }).click()
    await heading(page, "Workloads").waitFor()
  })

  browserTest("slash goes to the search, and letters typed there stay letters", async () => {
    const { page } = await open("/access")
    await page.getByText("Jonas Weber").waitFor()
    await page.keyboard.press("/")
    await page.keyboard.type("gs?")
    expect(await page.getByRole("searchbox").inputValue()).toBe("gs?")
    expect(new URL(page.url()).pathname).toBe("/access")
    expect(await page.getByRole("dialog").count()).toBe(0)
  })

  browserTest("the shortcuts open with ?, keep the focus inside and close with Escape", async () => {
    const { page } = await open("/sessions")
    const create = page.getByRole("button", { name: "New access token" })
    await create.focus()
    await page.keyboard.press("?")
    const dialog = page.getByRole("dialog", { name: "Keyboard shortcuts" })
    await dialog.waitFor()
    for (let presses = 0; presses < 6; presses++) {
      await page.keyboard.press("Tab")
      const inside = await page.evaluate(() => {
        const active = document.activeElement
        return active === document.body || document.querySelector("dialog")!.contains(active)
      })
      expect(inside).toBe(true)
    }
    await page.keyboard.press("Escape")
    await dialog.waitFor({ state: "detached" })
    expect(await create.evaluate((element) => element === document.activeElement)).toBe(true)
  })

  browserTest("the first stop of the keyboard skips to the content", async () => {
    const { page } = await open("/sessions")
    await heading(page, "Sessions & tokens").waitFor()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("content")
  })

  browserTest("an address nobody serves is told, with a way back", async () => {
    const { page } = await open("/no/such/page")
    await page.getByText("There is no such page").waitFor()
    await page.getByRole("link", { name: "Go to the overview" }).click()
    await heading(page, "k3s-1").waitFor()
  })
})

describe("themes", () => {
  browserTest("it follows the system until one is chosen, and remembers the choice", async () => {
    const { page } = await open("/sessions", { colorScheme: "dark" })
    await heading(page, "Sessions & tokens").waitFor()
    const dark = await background(page)
    await page.emulateMedia({ colorScheme: "light" })
    const light = await background(page)
    expect(light).not.toBe(dark)
    await page.getByRole("button", { name: "Olga Owner" }).click()
    await page.getByRole("radio", { name: "Dark" }).check({ force: true })
    expect(await background(page)).toBe(dark)
    await page.reload()
    await heading(page, "Sessions & tokens").waitFor()
    expect(await background(page)).toBe(dark)
  })
})

describe("a screen 360 px wide", () => {
  for (const [path, landmark] of [
    ["/", "/var/lib/rancher is 87"],
    ["/?range=24h", "/var/lib/rancher is 87"],
    ["/workloads", "keeps crashing (exit code 1)"],
    ["/workloads/prod/Deployment/shop-api", "the program's own error"],
    ["/workloads/prod/Deployment/shop-api?tab=revisions", "same as 3, but restarted"],
    ["/workloads/prod/Deployment/shop-api?tab=logs&previous=true", "exiting with code 1"],
    ["/workloads/prod/Deployment/shop-api?tab=yaml", "apiVersion"],
    ["/apply", "There is no manifest yet."],
    ["/proposals", "keeps crashing since revision 5"],
    ["/proposals/0190e0b0-0000-7000-8000-000000000601", "exiting with code 1"],
    ["/actions", "Not needed until spring"],
    ["/actions/0190e0b0-0000-7000-8000-000000000201", "Release 2.8.0: new payment provider"],
    ["/queue", "of nightly-reindex"],
    ["/queue/0190e0b0-0000-7000-8000-000000001009", "shard 3: connection reset"],
    ["/schedules", "nightly-reindex"],
    ["/incidents", "shop-api crashes since revision 5"],
    ["/incidents/0190e0b0-0000-7000-8000-000000000701", "held for 60 s"],
    ["/sessions", "Safari on iOS"],
    ["/access", "Jonas Weber"],
    ["/access?view=roles", "CI jobs that apply to nightly"]
  ] as const) {
    browserTest(`${path} does not scroll sideways`, async () => {
      const { page } = await open(path, { viewport: { width: 360, height: 740 }, environment: "prod" })
      await page.getByText(landmark).first().waitFor()
      const beyond = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth
      )
      expect(beyond).toBe(0)
    })
  }

  browserTest("the navigation is a drawer that closes when a page was chosen", async () => {
    const { page } = await open("/", { viewport: { width: 360, height: 740 } })
    await page.getByRole("button", { name: "Open navigation" }).click()
    await page.getByRole("dialog", { name: "Navigation" }).getByRole("link", { name: "Sessions & tokens" }).click()
    await heading(page, "Sessions & tokens").waitFor()
    expect(await page.getByRole("dialog").count()).toBe(0)
  })
})
