/** From a manifest to a change in a real browser: faults at their line, the plan before the confirmation, production by name. */
import { describe, expect } from "bun:test"
import type { Page } from "playwright-core"
import { problemOf, problemResponse } from "#shared/problem.ts"
import { browserTest, usePages } from "./openPage.ts"

const open = usePages()
const manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: catalog\nspec:\n  paused: off\n"
const dialog = (page: Page) => page.getByRole("dialog")
const field = (page: Page) => page.getByRole("textbox", { name: /^Manifest/u })
const plan = async (page: Page) => {
  await field(page).fill(manifest)
  await page.getByRole("button", { name: "Plan", exact: true }).click()
  await page.getByRole("region", { name: "Plan" }).waitFor()
}

describe("apply", () => {
  browserTest("plans, shows what changes, asks why and tells what came of it", async () => {
    const { page, stub } = await open("/apply")
    await page.getByText("There is no manifest yet.").waitFor()
    await plan(page)
    const planned = page.getByRole("region", { name: "Plan" })
    await planned.getByText("registry.example.net/shop/catalog:1.20.0").waitFor()
    await planned.getByText("no readinessProbe").waitFor()
    await page.getByRole("button", { name: "Apply to nightly" }).click()
    await dialog(page).getByLabel("Reason").fill("Release 1.20.0")
    await dialog(page).getByRole("button", { name: "Apply" }).click()
    const result = page.getByRole("status", { name: "Result" })
    await result.getByText("configured").waitFor()
    await result.getByText("2/2 ready").waitFor()
    expect(JSON.parse(stub.calls[0]!.body)).toEqual({ manifest })
    expect(JSON.parse(stub.calls[1]!.body)).toEqual({ planId: stub.admin.state.plan.planId, reason: "Release 1.20.0" })
  })

  browserTest("a refused manifest is told with its line, and nothing can be applied", async () => {
    const { page, stub } = await open("/apply")
    const detail = "off means false to kubectl and a text to others"
    const errors = [{ pointer: "/objects/0/spec/paused", detail, line: 6, code: "ambiguous_scalar" }]
    stub.admin.state.planRefusal = problemResponse({ ...problemOf(422, "manifest_refused"), errors })
    await field(page).fill(manifest)
    await page.getByRole("button", { name: "Plan", exact: true }).click()
    await page.getByRole("alert").getByText("off means false to kubectl").waitFor()
    await page.getByRole("alert").getByText("Line 6:").waitFor()
    await page.getByRole("alert").getByText("object 1, spec.paused").waitFor()
    await page.getByText("ambiguous_scalar").waitFor()
    expect(await page.locator(".excerpt-fault").innerText()).toContain("paused: off")
    expect(await page.getByRole("button", { name: /^Apply to/u }).count()).toBe(0)
  })

  browserTest("a conflict, an expired plan and one without changes cannot be applied", async () => {
    const { page, stub } = await open("/apply")
    const { state } = stub.admin
    const [first, ...rest] = state.plan.objects
    state.plan = {
      ...state.plan,
      objects: [{ ...first!, conflicts: [{ field: ".spec.replicas", manager: "horizontal-pod-autoscaler" }] }, ...rest]
    }
    await plan(page)
    await page.getByText("Fields belong to somebody else").waitFor()
    expect(await page.getByRole("button", { name: "Apply to nightly" }).isDisabled()).toBe(true)
    state.plan = { ...state.plan, expiresAt: new Date(Date.now() - 1000).toISOString() }
    await plan(page)
    await page.getByText("The plan has expired: plan again.").waitFor()
    state.plan = { ...state.plan, expiresAt: new Date(Date.now() + 60_000).toISOString(), objects: rest.slice(1) }
    await page.getByRole("button", { name: "Plan again" }).click()
    await page.getByText("Nothing would change.").waitFor()
  })

  browserTest("a manifest that is changed after its plan has to be planned anew", async () => {
    const { page } = await open("/apply")
    await plan(page)
    await field(page).fill(`${manifest}# more`)
    await page.getByRole("region", { name: "Plan" }).waitFor({ state: "detached" })
  })

  browserTest("a file is read, and on production the namespace is typed", async () => {
    const { page, stub } = await open("/apply", { environment: "prod" })
    await page.locator('input[type="file"]').setInputFiles({
      name: "catalog.yaml",
      mimeType: "application/yaml",
      buffer: Buffer.from(manifest)
    })
    await page.waitForFunction(() => document.querySelector("textarea")!.value.includes("catalog"))
    await page.getByRole("button", { name: "Plan", exact: true }).click()
    await page.getByRole("button", { name: "Apply to prod" }).click()
    await dialog(page).getByLabel("Reason").fill("Release 1.20.0")
    const apply = dialog(page).getByRole("button", { name: "Apply" })
    expect(await apply.isDisabled()).toBe(true)
    await dialog(page).getByLabel("Type prod to confirm").fill("prod")
    await apply.click()
    await page.getByRole("status", { name: "Result" }).waitFor()
    expect(stub.calls.at(-1)!.path).toBe("/admin/ns/prod/apply")
  })
})
