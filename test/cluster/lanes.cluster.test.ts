/** The lanes of a run and their sum: every suite runs in exactly one, says what it says in one piece, and one that was never heard of is a failure. */
import { expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { inBlocks, together } from "#test/cluster/laneRun.ts"
import { lanesOf, namedSuites } from "#test/cluster/lanes.ts"

const suite = (name: string) => `test/cluster/${name}.cluster.test.ts`
const all = [...new Bun.Glob("test/cluster/**/*.cluster.test.ts").scanSync()].sort()

test("every suite runs in exactly one lane", () => {
  const lanes = lanesOf(all)
  expect(lanes.map(({ tier }) => tier)).toEqual(["node", "controlplane"])
  expect(lanes.flatMap(({ files }) => files).sort()).toEqual(all)
})

test("every suite that the lanes name is there", () => {
  expect(namedSuites.filter((file) => !existsSync(file))).toEqual([])
})

test("a suite that no lane names gets the node, after what waits and before what is busy", () => {
  const files = [suite("deployment"), suite("new"), suite("node"), suite("another")]
  expect(lanesOf(files)).toEqual([
    { tier: "node", files: [suite("node"), suite("another"), suite("new"), suite("deployment")] }
  ])
})

test("what a suite says is printed in one piece when it has ended, with its seconds", () => {
  const printed: Array<string> = []
  let time = 0
  const blocks = inBlocks(
    (lines) => printed.push(lines.join("\n")),
    () => time
  )
  for (const [at, line] of [
    [0, "Kubernetes at https://10.0.0.1"],
    [1000, "test/cluster/a.cluster.test.ts:"],
    [2000, "(pass) one"],
    [4000, ""],
    [4000, "test/cluster/b.cluster.test.ts:"],
    [5400, "(fail) two"]
  ] as const) {
    time = at
    blocks.take(line)
  }
  blocks.end()
  expect(printed).toEqual([
    "Kubernetes at https://10.0.0.1",
    "... test/cluster/a.cluster.test.ts",
    "\ntest/cluster/a.cluster.test.ts: 3 s\n(pass) one",
    "... test/cluster/b.cluster.test.ts",
    "\ntest/cluster/b.cluster.test.ts: 1 s\n(fail) two"
  ])
})

test("sums add up, and a lane that gave none counts each of its suites as a failure", () => {
  const lanes = [
    { tier: "node" as const, files: ["a", "b"] },
    { tier: "controlplane" as const, files: ["c", "d"] }
  ]
  const sum = { passed: 3, failed: 1, skips: [{ title: "x", reason: "y" }], faults: ["b: no test of it ran"] }
  expect(together(lanes, [sum, sum])).toMatchObject({ passed: 6, failed: 2 })
  expect(together(lanes, [sum, undefined])).toEqual({
    passed: 3,
    failed: 3,
    skips: sum.skips,
    faults: ["b: no test of it ran", "c: no test of it ran", "d: no test of it ran"]
  })
})
