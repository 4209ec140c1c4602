/** The browser's rule for offering buttons: the same answer as the gateway's decision, for every combination. */
import { describe, expect, test } from "bun:test"
import { allows, scopesOf } from "#dashboard/rights.ts"
import { builtInRoles, decide, type Right } from "#shared/domain/rights.ts"
import { makeMe, makeRoles, makeUsers } from "#test/browser/demoPeople.ts"

const environments = ["prod", "nightly", "*"]
const services = ["auth", "monitor", "*"]
const actions = ["read", "write", "*"]
const effects = ["allow", "deny"] as const

const rights: ReadonlyArray<Right> = environments.flatMap((environment) =>
  services.flatMap((service) =>
    actions.flatMap((action) => effects.map((effect) => ({ environment, service, action, effect })))
  )
)
const demands = ["prod", "nightly"].flatMap((environment) =>
  ["auth", "monitor"].flatMap((service) => ["read", "write"].map((action) => ({ environment, service, action })))
)

describe("a button is offered", () => {
  test("exactly where the gateway would allow, for every pair of rights and every demand", () => {
    for (const first of rights) {
      for (const second of [undefined, ...rights]) {
        const held = second === undefined ? [first] : [first, second]
        for (const { action, environment, service } of demands) {
          const allowed = decide(held, { environment, service, action }) === "allow"
          expect(allows(held, environment, service, action)).toBe(allowed)
        }
      }
    }
  })

  test("never without rights", () => {
    expect(allows([], "prod", "monitor", "read")).toBe(false)
  })
})

describe("the scopes of a token", () => {
  const scopes = (name: string, environment: string) =>
    scopesOf(
      makeMe(
        makeUsers().find((user) => user.name === name)!,
        environment,
        makeRoles()
      )
    )

  test("name what a wildcard stands for", () => {
    expect(scopes("Olga Owner", "prod")).toEqual([
      "monitor:read",
      "monitor:processes",
      "admin:read",
      "admin:plan",
      "admin:apply",
      "admin:restart",
      "admin:undo",
      "admin:pause",
      "admin:resume",
      "admin:scale",
      "admin:approve",
      "scheduler:read",
      "scheduler:write",
      "dashboard:read",
      "auth:read",
      "auth:write"
    ])
  })

  test("are those of this environment only", () => {
    expect(scopes("Lukas Steiner", "nightly")).toContain("admin:plan")
    expect(scopes("Lukas Steiner", "prod")).not.toContain("admin:plan")
    expect(scopes("Lukas Steiner", "dev")).toEqual([])
  })

  test("hold every action a built-in role names", () => {
    const operator = builtInRoles.find(({ name }) => name === "operator")!
    const held = scopes("Amira Haddad", "prod")
    for (const { action, service } of operator.rights) expect(held).toContain(`${service}:${action}`)
  })
})
