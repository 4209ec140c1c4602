/** The audit list in a real browser: filters in the address, the record, the check of the chain, files to take along. */
import { describe, expect } from "bun:test"
import { readFileSync } from "node:fs"
import type { Page } from "playwright-core"
import { browserTest, usePages } from "./openPage.ts"

const open = usePages()
const row = (page: Page, name: string) => page.getByRole("row").filter({ hasText: name })

describe("actions", () => {
  browserTest("are listed with who and why, and filtered by the address", async () => {
    const { page } = await open("/actions")
    await row(page, "restart Deployment mailer").getByText("approved by Amira Haddad").waitFor()
    await page.getByLabel("State").selectOption("Failed")
    await row(page, "restart Deployment mailer").waitFor({ state: "detached" })
    await row(page, "scale Deployment catalog").waitFor()
    expect(new URL(page.url()).searchParams.get("state")).toBe("failed")
    await page.getByRole("searchbox").fill("nothing")
    await page.getByText("No action matches").waitFor()
    await page.getByRole("searchbox").fill("")
    await page.getByLabel("State").selectOption("Every state")
    await row(page, "restart Deployment mailer").waitFor()
    await page.getByLabel("Actor").selectOption("Jonas Weber")
    await row(page, "restart Deployment mailer").waitFor({ state: "detached" })
    await row(page, "apply Deployment shop-api").waitFor()
  })

  browserTest("a new one appears by itself", async () => {
    const { page, stub } = await open("/actions")
    await row(page, "restart Deployment mailer").waitFor()
    const fresh = { ...stub.admin.actions[0]!, id: "0190e0b0-0000-7000-8000-000000000999", name: "fresh" }
    stub.admin.actions.unshift({ ...fresh, createdAt: new Date().toISOString() })
    stub.admin.streams.tell("action", stub.admin.actions[0])
    await row(page, "restart Deployment fresh").waitFor()
  })

  browserTest("one shows its record, results and what it came to", async () => {
    const { page } = await open("/actions")
    await page.getByRole("link", { name: "apply Deployment shop-api" }).click()
    await page.getByText("container api waits in CrashLoopBackOff").waitFor()
    const record = page.getByRole("region", { name: "Record" })
    await record.getByText("Release 2.8.0: new payment provider").waitFor()
    await record.getByText(/nightly\/Deployment\//u).waitFor()
    await page.getByRole("list", { name: "Objects" }).getByText("ConfigMap shop-api").waitFor()
  })

  browserTest("the chain is checked, and a broken one is named", async () => {
    const { page, stub } = await open("/actions")
    await page.getByRole("button", { name: "Check the records" }).click()
    await page.getByText("All 1284 records are as they were written").waitFor()
    stub.admin.state.chain = { ok: false, rows: 1284, brokenAt: "row-77" }
    await page.getByRole("button", { name: "Check the records" }).click()
    await page.getByText("Tampered with from record").waitFor()
    await page.getByText("row-77").waitFor()
  })

  browserTest("what is shown is taken along, and no cell becomes a formula", async () => {
    const { page } = await open("/actions", {
      before: ({ admin }) => {
        admin.actions[0] = { ...admin.actions[0]!, reason: '=HYPERLINK("http://evil","x"), or not' }
      }
    })
    await row(page, "restart Deployment mailer").waitFor()
    const download = page.waitForEvent("download")
    await page.getByRole("button", { name: "CSV" }).click()
    const csv = readFileSync((await (await download).path())!, "utf8")
    expect(csv.split("\r\n")[0]).toStartWith("id,created_at")
    expect(csv).toContain(`"'=HYPERLINK(""http://evil"",""x""), or not"`)
    const second = page.waitForEvent("download")
    await page.getByRole("button", { name: "JSON" }).click()
    const json = JSON.parse(readFileSync((await (await second).path())!, "utf8")) as ReadonlyArray<unknown>
    expect(json).toHaveLength(6)
  })
})
