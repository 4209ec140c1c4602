/** Actions as a file: every row whole, no cell a formula. */
import { describe, expect, test } from "bun:test"
import { csvOf } from "#dashboard/screens/actions/export.ts"
import { action } from "#test/browser/demoActions.ts"

describe("actions as CSV", () => {
  test("quote what needs it and disarm what a spreadsheet would run", () => {
    const rows = csvOf([action(1, "dev", { reason: '=1+1, "x"', message: "-2" })]).split("\r\n")
    expect(rows[1]).toContain(`"'=1+1, ""x"""`)
    expect(rows[1]).toContain(",'-2,")
    expect(rows).toHaveLength(3)
  })
})
