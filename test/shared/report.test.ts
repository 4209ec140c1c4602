/** The sum at the end of `npm test`: every way in which tests can fail to run counts as a failure. */
import { expect, test } from "bun:test"
import { sumUp } from "#test/shared/report.ts"

const suite = (...cases: ReadonlyArray<string>) =>
  `<?xml version="1.0" encoding="UTF-8"?><testsuites name="bun test"><testsuite name="a">${cases.join("\n")}</testsuite></testsuites>`
const one = (name: string, inner = "", group = "", file = "test/a.test.ts") => {
  const tag = `<testcase name="${name}" classname="${group}" time="0" file="${file}" line="2" assertions="0"`
  return inner === "" ? `${tag} />` : `${tag}>\n  ${inner}\n</testcase>`
}
const skipped = "<skipped />"

test("counts passes, failures and errors", () => {
  const report = suite(
    one("a"),
    one("b", '<failure type="E" message="x &gt; y">x&#10;</failure>'),
    one("c", "<error/>")
  )
  expect(sumUp(report, ["test/a.test.ts"], 1)).toEqual({ passed: 1, failed: 2, skips: [], faults: [] })
})

test("lists what was skipped with its reason, from the title of the test or of its group, and no hooks", () => {
  const report = suite(
    one("looks &quot;good&quot; (skipped: no chromium &amp; no (other) browser)", skipped),
    one("inner", skipped, "outer (skipped: not root)"),
    one("(unnamed)", skipped, "outer (skipped: not root)"),
    one("passes (skipped: elsewhere)")
  )
  expect(sumUp(report, ["test/a.test.ts"], 0)).toEqual({
    passed: 1,
    failed: 0,
    faults: [],
    skips: [
      { title: 'looks "good"', reason: "no chromium & no (other) browser" },
      { title: "outer > inner", reason: "not root" }
    ]
  })
})

test("counts a skip without a reason, and a test that is still to do, as failures", () => {
  const report = suite(one("a", skipped), one("b", '<skipped message="TODO" />'))
  expect(sumUp(report, ["test/a.test.ts"], 0)).toMatchObject({ passed: 0, failed: 2, skips: [] })
})

test("counts a file of which no test ran as a failure", () => {
  const summary = sumUp(suite(one("a")), ["test/a.test.ts", "test/b.test.ts"], 0)
  expect(summary).toEqual({ passed: 1, failed: 1, skips: [], faults: ["test/b.test.ts: no test of it ran"] })
})

test("counts a bad end that no test explains, a signal, and an empty run as failures", () => {
  expect(sumUp(suite(one("a")), ["test/a.test.ts"], 134).faults).toEqual(["the runner ended with 134"])
  expect(sumUp(suite(one("a")), ["test/a.test.ts"], null, "SIGTERM").faults).toEqual([
    "the runner was ended by SIGTERM"
  ])
  expect(sumUp("", [], 0)).toMatchObject({ passed: 0, failed: 1, faults: ["no test ran"] })
})
