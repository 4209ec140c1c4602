/** A person's approval of an undo at a real browser, on a real platform; for the stories that need one. */
import type { Browser, Page } from "playwright-core"
import type { Proposal } from "#shared/api/admin.ts"

/** Opens the proposal as the demo's approver, reads it, and approves it with a reason; gives what the page showed and the page. */
export const approveInBrowser = async (
  browser: Browser,
  origin: string,
  { id }: Proposal
): Promise<{ readonly page: Page; readonly shown: string }> => {
  const page = await browser.newPage()
  await page.goto(`${origin}/auth/login?provider=dev&login_hint=approver&return_to=/proposals/${id}`)
  const approve = page.getByRole("button", { name: "Approve the undo" })
  await approve.waitFor()
  const shown = await page.locator("main").innerText()
  await approve.click()
  await page.getByRole("dialog").getByRole("textbox").fill("the evidence is clear")
  await page.getByRole("dialog").getByRole("button", { name: "Approve", exact: true }).click()
  // Until it is recorded: what comes after may kill everything.
  await approve.waitFor({ state: "detached" })
  return { page, shown }
}
