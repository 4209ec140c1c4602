/** docs/acceptance.yaml says of every published check how it is met: by a rule that exists, by a proof that exists, or not and why. */
import { describe, expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { resolve } from "node:path"
import { Schema } from "effect"
import { parse } from "yaml"
import { rules } from "./lint/rules.ts"

const root = resolve(import.meta.dir, "../..")
const Reason = Schema.String.check(Schema.isMinLength(20))
const Answer = Schema.Union([
  Schema.NonEmptyString,
  Schema.Struct({ proof: Schema.NonEmptyString }),
  Schema.Struct({ waived: Reason }),
  Schema.Struct({ open: Reason })
])
const decode = Schema.decodeUnknownSync(Schema.Record(Schema.String, Schema.Record(Schema.String, Answer)), {
  onExcessProperty: "error"
})
const lists = decode(parse(readFileSync(resolve(root, "docs/acceptance.yaml"), "utf8")))
const answers = Object.entries(lists).flatMap(([list, checks]) =>
  Object.entries(checks).map(([id, answer]) => ({ id: `${list}/${id}`, answer }))
)

describe("docs/acceptance.yaml", () => {
  test("names rules that there are", () => {
    const names = new Set(rules.map(({ name }) => name))
    const unknown = answers.filter(({ answer }) => typeof answer === "string" && !names.has(answer))
    expect(unknown).toEqual([])
  })

  test("names proofs that there are", () => {
    const missing = answers.filter(
      ({ answer }) => typeof answer === "object" && "proof" in answer && !existsSync(resolve(root, answer.proof))
    )
    expect(missing).toEqual([])
  })

  test("has every list whole", () => {
    const sizes = Object.fromEntries(Object.entries(lists).map(([list, checks]) => [list, Object.keys(checks).length]))
    expect(sizes).toMatchObject({
      "pod-security-standards": 18,
      "kube-linter": 54,
      "kube-score": 36,
      polaris: 43,
      "nsa-cisa": 22,
      checkov: 35,
      "cis-k3s": 31,
      ours: 8
    })
  })
})
