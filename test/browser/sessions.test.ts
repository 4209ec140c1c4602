/** Sessions and tokens in a real browser: ending them, and a token that is shown once and kept nowhere. */
import { describe, expect } from "bun:test"
import type { Page } from "playwright-core"
import { problemOf, problemResponse } from "#shared/problem.ts"
import { browserTest, usePages } from "./openPage.ts"

const open = usePages()

const createToken = async (page: Page, fill: (dialog: ReturnType<Page["getByRole"]>) => Promise<void>) => {
  await page.getByRole("button", { name: "New access token" }).click()
  const dialog = page.getByRole("dialog", { name: "New access token" })
  await fill(dialog)
  await dialog.getByRole("button", { name: "Create token" }).click()
  const shown = page.getByRole("dialog", { name: "Your access token" })
  await shown.waitFor()
  return shown
}

/** Everything this browser would still have after the dialog is gone. */
const kept = (page: Page) =>
  page.evaluate(() =>
    [
      document.documentElement.outerHTML,
      location.href,
      JSON.stringify({ ...localStorage }),
      JSON.stringify({ ...sessionStorage }),
      JSON.stringify(history.state)
    ].join("\n")
  )

describe("sessions", () => {
  browserTest("the current one is marked and has no button that would cut the branch one sits on", async () => {
    const { page } = await open("/sessions")
    const row = page.getByRole("row").filter({ hasText: "Firefox on Linux" })
    await row.getByText("this session").waitFor()
    expect(await row.getByRole("button").count()).toBe(0)
    expect(await page.getByRole("row").filter({ hasText: "Backup check on nas" }).innerText()).toContain(
      "Refresh token"
    )
  })

  browserTest("one is ended after a question, and is gone", async () => {
    const { page, stub } = await open("/sessions")
    const victim = stub.sessions.find(({ userAgent }) => userAgent?.includes("iPhone"))!
    await page.getByRole("button", { name: "End Safari on iOS" }).click()
    await page.getByRole("dialog").getByText("can no longer act as you").waitFor()
    await page.getByRole("dialog").getByRole("button", { name: "End", exact: true }).click()
    await page.getByRole("row").filter({ hasText: "Safari on iOS" }).waitFor({ state: "detached" })
    expect(stub.calls.map(({ method, path }) => `${method} ${path}`)).toEqual([`DELETE /auth/sessions/${victim.id}`])
  })

  browserTest("all others are ended, and only this one stays", async () => {
    const { page, stub } = await open("/sessions")
    await page.getByRole("button", { name: "End all others" }).click()
    await page.getByRole("button", { name: "End 3" }).click()
    await page.getByRole("dialog").waitFor({ state: "detached" })
    expect(stub.sessions.map(({ current }) => current)).toEqual([true])
    expect(await page.getByRole("button", { name: "End all others" }).count()).toBe(0)
  })

  browserTest("a refusal is told where the question was asked", async () => {
    const { page, stub } = await open("/sessions")
    stub.state.refusal = problemResponse(problemOf(409, "conflict", "the session is being renewed"))
    await page.getByRole("button", { name: "End Safari on iOS" }).click()
    await page.getByRole("dialog").getByRole("button", { name: "End", exact: true }).click()
    await page.getByRole("dialog").getByText("The session is being renewed.").waitFor()
  })
})

describe("tokens", () => {
  browserTest("a token carries what was chosen, is shown with a ready command, and leaves no trace", async () => {
    const { page, stub } = await open("/sessions")
    const shown = await createToken(page, async (dialog) => {
      await dialog.getByLabel("Label").fill("Laptop script")
    })
    const token = await shown.getByLabel("Access token", { exact: true }).inputValue()
    expect(await shown.getByLabel("Try it", { exact: true }).inputValue()).toBe(
      `curl -H "Authorization: Bearer ${token}" ${stub.origin}/monitor/host`
    )
    expect(await shown.getByLabel("Refresh token", { exact: true }).count()).toBe(0)
    expect(Object.fromEntries(new URLSearchParams(stub.calls[0]!.body))).toEqual({
      grant_type: "urn:gatehouse:grant-type:session",
      scope: "monitor:read",
      label: "Laptop script"
    })
    await shown.getByRole("button", { name: "Done" }).click()
    await shown.waitFor({ state: "detached" })
    expect(await kept(page)).not.toContain(token)
  })

  browserTest("one that lasts comes with a refresh token", async () => {
    const { page, stub } = await open("/sessions")
    const shown = await createToken(page, async (dialog) => {
      await dialog.getByLabel("auth:read").check()
      await dialog.getByLabel("Until ended").check()
    })
    expect(await shown.getByLabel("Refresh token", { exact: true }).inputValue()).toStartWith("gthr_")
    expect(new URLSearchParams(stub.calls[0]!.body).get("scope")).toBe("monitor:read auth:read offline_access")
  })

  browserTest("only rights that the person holds are offered", async () => {
    const { page } = await open("/sessions", { as: "Lukas Steiner" })
    await page.getByRole("button", { name: "New access token" }).click()
    const dialog = page.getByRole("dialog")
    await dialog.getByLabel("admin:plan").waitFor()
    expect(await dialog.getByLabel("auth:write").count()).toBe(0)
    expect(await dialog.getByLabel("monitor:processes").count()).toBe(0)
  })

  browserTest("the copy button copies the whole value", async () => {
    const { page } = await open("/sessions", { permissions: ["clipboard-read", "clipboard-write"] })
    const shown = await createToken(page, async () => {})
    await shown.getByRole("button", { name: "Copy access token" }).click()
    await shown.getByText("Copied").waitFor()
    const token = await shown.getByLabel("Access token", { exact: true }).inputValue()
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(token)
  })
})
