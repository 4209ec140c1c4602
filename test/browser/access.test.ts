/** Users, grants and roles in a real browser: what an owner can do, and that nobody else is offered it. */
import { describe, expect } from "bun:test"
import type { Page } from "playwright-core"
import { problemOf, problemResponse } from "#shared/problem.ts"
import { browserTest, usePages } from "./openPage.ts"

const open = usePages()
const row = (page: Page, name: string) => page.getByRole("row").filter({ hasText: name })

describe("someone who is no owner", () => {
  browserTest("sees no Access in the navigation, and at its address why not", async () => {
    const { page, stub } = await open("/access", { as: "Lukas Steiner" })
    await page.getByText("You may not see users and roles").waitFor()
    await page.getByText("auth:read").waitFor()
    expect(await page.getByRole("link", { name: "Access" }).count()).toBe(0)
    await page.goto(`${stub.origin}/sessions`)
    await page.getByRole("heading", { level: 1, name: "Sessions & tokens" }).waitFor()
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    expect(new URL(page.url()).pathname).toBe("/sessions")
  })

  browserTest("with auth:read alone sees users and roles, and no button that changes them", async () => {
    const { page } = await open("/access", {
      as: "Nora Lind",
      rights: [{ environment: "*", service: "auth", action: "read", effect: "allow" }]
    })
    await row(page, "Jonas Weber").waitFor()
    expect(await page.getByRole("button", { name: /Grant|Disable|Remove|grant/u }).count()).toBe(0)
    await page.getByRole("link", { name: "Roles" }).click()
    await page.getByText("CI jobs that apply to nightly").waitFor()
    expect(await page.getByRole("button", { name: /Edit|Delete|New role/u }).count()).toBe(0)
  })
})

describe("users", () => {
  browserTest("are found by name and e-mail, page by page, with the search in the address", async () => {
    const { page } = await open("/access")
    await row(page, "Jonas Weber").waitFor()
    expect(await row(page, "Victor Ruiz").count()).toBe(0)
    await page.getByRole("button", { name: "Show more" }).click()
    await row(page, "Victor Ruiz").getByText("disabled").waitFor()
    await page.getByRole("searchbox").fill("amira.h")
    await row(page, "Jonas Weber").waitFor({ state: "detached" })
    await row(page, "Amira Haddad").waitFor()
    expect(new URL(page.url()).searchParams.get("q")).toBe("amira.h")
    await page.reload()
    await row(page, "Amira Haddad").waitFor()
    expect(await page.getByRole("searchbox").inputValue()).toBe("amira.h")
    await page.getByRole("searchbox").fill("nobody at all")
    await page.getByText("Nobody matches").waitFor()
  })

  browserTest("one is disabled after a question, and enabled again", async () => {
    const { page, stub } = await open("/access")
    await page.getByRole("button", { name: "Disable Jonas Weber" }).click()
    await page.getByRole("dialog").getByText("signed out everywhere").waitFor()
    await page.getByRole("dialog").getByRole("button", { name: "Disable" }).click()
    await row(page, "Jonas Weber").getByText("disabled").waitFor()
    await page.getByRole("button", { name: "Enable Jonas Weber" }).click()
    await page.getByRole("dialog").getByRole("button", { name: "Enable" }).click()
    await page.getByRole("button", { name: "Disable Jonas Weber" }).waitFor()
    expect(stub.calls.map(({ body }) => body)).toEqual(['{"disabled":true}', '{"disabled":false}'])
  })

  browserTest("nobody is offered to disable themselves", async () => {
    const { page } = await open("/access")
    await row(page, "Olga Owner").waitFor()
    expect(await page.getByRole("button", { name: "Disable Olga Owner" }).count()).toBe(0)
  })
})

describe("grants", () => {
  browserTest("one is added with role, environment, end and reason, and removed again", async () => {
    const { page, stub } = await open("/access")
    await page.getByRole("button", { name: "Add a grant for Mei Tanaka" }).click()
    const dialog = page.getByRole("dialog", { name: "Grant for Mei Tanaka" })
    await dialog.getByLabel("Role").selectOption("operator")
    await dialog.getByText("applies, restarts, scales and undoes").waitFor()
    await dialog.getByLabel("Environment").selectOption("nightly")
    await dialog.getByLabel("How long").selectOption("8 hours")
    await dialog.getByLabel("Reason").fill("On call tonight")
    await dialog.getByRole("button", { name: "Add grant" }).click()
    await dialog.waitFor({ state: "detached" })
    await row(page, "Mei Tanaka").getByText("8 hours left").waitFor()
    const sent = JSON.parse(stub.calls[0]!.body) as Record<string, string>
    expect(sent).toMatchObject({ role: "operator", environment: "nightly", reason: "On call tonight" })
    expect((Date.parse(sent["expiresAt"]!) - Date.now()) / 3_600_000).toBeCloseTo(8, 1)

    await row(page, "Mei Tanaka").getByRole("button", { name: "Remove the grant operator in nightly" }).click()
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click()
    await row(page, "Mei Tanaka").getByText("8 hours left").waitFor({ state: "detached" })
    expect(stub.calls[1]).toMatchObject({ method: "DELETE" })
  })

  browserTest("the last owner's grant stays, and the dialog says why", async () => {
    const { page, stub } = await open("/access")
    stub.state.refusal = problemResponse(problemOf(409, "conflict", "the last owner cannot be removed"))
    await row(page, "Olga Owner").getByRole("button", { name: "Remove the grant owner" }).click()
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click()
    await page.getByRole("dialog").getByText("The last owner cannot be removed.").waitFor()
    await page.keyboard.press("Escape")
    await row(page, "Olga Owner").getByText("owner", { exact: true }).first().waitFor()
  })
})

describe("roles", () => {
  browserTest("a new one is made of rows of rights", async () => {
    const { page, stub } = await open("/access?view=roles")
    await page.getByRole("button", { name: "New role" }).click()
    const dialog = page.getByRole("dialog", { name: "New role" })
    await dialog.getByLabel("Name").fill("viewer")
    await dialog.getByText("There is already a role of this name").waitFor()
    await dialog.getByLabel("Name").fill("watcher")
    await dialog.getByLabel("Description").fill("Sees the host")
    await dialog.getByLabel("Service of right 1").fill("monitor")
    await dialog.getByLabel("Action of right 1").fill("read")
    await dialog.getByRole("button", { name: "Add right" }).click()
    await dialog.getByLabel("Effect of right 2").selectOption("never")
    await dialog.getByLabel("Service of right 2").fill("admin")
    await dialog.getByLabel("Action of right 2").fill("*")
    await dialog.getByRole("button", { name: "Save role" }).click()
    await page.getByRole("region", { name: "Role watcher" }).waitFor()
    expect(stub.calls[0]!.path).toBe("/auth/roles/watcher")
    expect(JSON.parse(stub.calls[0]!.body)).toEqual({
      description: "Sees the host",
      rights: [
        { environment: "*", service: "monitor", action: "read", effect: "allow" },
        { environment: "nightly", service: "admin", action: "*", effect: "deny" }
      ]
    })
  })

  browserTest("a refused right is told at its row", async () => {
    const { page, stub } = await open("/access?view=roles")
    const fault = { pointer: "/rights/1/action", detail: "an action or *" }
    stub.state.refusal = problemResponse({ ...problemOf(422, "invalid_input"), errors: [fault] })
    await page.getByRole("button", { name: "Edit deployer" }).click()
    const dialog = page.getByRole("dialog", { name: "Role deployer" })
    await dialog.getByLabel("Action of right 2").fill("Apply!")
    await dialog.getByRole("button", { name: "Save role" }).click()
    await dialog.getByRole("listitem").nth(1).getByText("action: an action or *").waitFor()
  })

  browserTest("a built-in one cannot be deleted, another can", async () => {
    const { page } = await open("/access?view=roles")
    await page.getByRole("button", { name: "Edit viewer" }).waitFor()
    expect(await page.getByRole("button", { name: "Delete viewer" }).count()).toBe(0)
    await page.getByRole("button", { name: "Delete deployer" }).click()
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click()
    await page.getByRole("region", { name: "Role deployer" }).waitFor({ state: "detached" })
  })
})
