/** The hardening checks on the rendered environments: nothing is found but what is accepted, and every rule finds what it is for. */
import { describe, expect, test } from "bun:test"
import { exceptions, lint } from "./lint/exceptions.ts"
import { breached } from "./lint/rule.ts"
import { rules } from "./lint/rules.ts"
import { cannotRender, clusterObjects, everything, overlay, placeOf } from "./render.ts"
import { skipUnless } from "#test/shared/skip.ts"

const { test: rendered } = skipUnless(cannotRender() === undefined, cannotRender() ?? "")
const objects = cannotRender() === undefined ? everything() : []
/** One environment is enough to break. */
const one = cannotRender() === undefined ? [...clusterObjects(), ...overlay("dev")] : []

describe("the rendered environments", () => {
  rendered("have no finding that nobody accepted", () => {
    const open = lint(objects).filter(({ exception }) => exception === undefined)
    expect(open.map(({ detail, object, rule }) => `${placeOf(object)}: ${rule}: ${detail}`)).toEqual([])
  })

  rendered("need every exception there is", () => {
    const accepted = exceptions()
    const used = new Set(lint(objects, accepted).map(({ exception }) => exception))
    expect(accepted.filter((exception) => !used.has(exception))).toEqual([])
  })
})

test("an exception for one object excuses no other", () => {
  const finding = (name: string) =>
    lint(
      [{ apiVersion: "v1", kind: "Role", metadata: { name, namespace: "dev" }, rules: [] }],
      [{ rule: "stable-versions", object: "<env>/Role/one", reason: "so that it can be tried here" }]
    ).find(({ rule }) => rule === "stable-versions")
  const role = (name: string) =>
    lint(
      [{ apiVersion: "extensions/v1beta1", kind: "Role", metadata: { name, namespace: "dev" }, rules: [] }],
      [{ rule: "stable-versions", object: "<env>/Role/one", reason: "so that it can be tried here" }]
    ).find(({ rule }) => rule === "stable-versions")
  expect(finding("one")).toBeUndefined()
  expect(role("one")?.exception).toBeDefined()
  expect(role("another")).toMatchObject({ exception: undefined })
})

describe("each rule finds what it is for:", () => {
  test.each(rules.map(({ name }) => name))("%s has something that breaks it", (name) => {
    expect(rules.filter((rule) => rule.name === name)).toHaveLength(1)
    expect(rules.find((rule) => rule.name === name)?.breaches).not.toBeEmpty()
  })

  for (const rule of rules) {
    rendered(rule.name, () => {
      const before = rule.check(one).length
      for (const breach of rule.breaches) expect(rule.check(breached(one, breach)).length).toBeGreaterThan(before)
    })
  }
})
