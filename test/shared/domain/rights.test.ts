/** The one decision function, against examples of each rule and against a naive reading of the rules on random rights. */
import { expect, test } from "bun:test"
import type { GrantId, UserId } from "#shared/domain/ids.ts"
import { builtInRoles, decide, type Grant, type Right, rightsOf, type Role } from "#shared/domain/rights.ts"

const right = (text: string): Right => {
  const [effect, environment, service, action] = text.split(" ") as ["allow" | "deny", string, string, string]
  return { effect, environment, service, action }
}
const demand = (text: string) => {
  const [environment, service, action] = text.split(" ") as [string, string, string]
  return { environment, service, action }
}
const role = (name: string, ...rights: ReadonlyArray<string>): Role => ({
  name,
  description: "",
  builtIn: false,
  rights: rights.map(right)
})
const grant = (roleName: string, environment: string, expiresAt: string | null = null): Grant => ({
  id: "0190e0a0-0000-7000-8000-000000000001" as GrantId,
  userId: "0190e0a0-0000-7000-8000-000000000002" as UserId,
  role: roleName,
  environment,
  expiresAt,
  reason: null
})
const book = (...roles: ReadonlyArray<Role>) => new Map(roles.map((one) => [one.name as string, one]))

test("leaves what no right names unmatched", () => {
  expect(decide([], demand("prod admin undo"))).toBe("unmatched")
  for (const near of ["allow nightly admin undo", "allow prod data undo", "allow prod admin apply"]) {
    expect(decide([right(near)], demand("prod admin undo"))).toBe("unmatched")
  }
})

test("takes * for every environment, service or action, and nothing else as a pattern", () => {
  for (const wide of ["allow * admin undo", "allow prod * undo", "allow prod admin *", "allow * * *"]) {
    expect(decide([right(wide)], demand("prod admin undo"))).toBe("allow")
  }
  for (const odd of ["allow pro* admin undo", "allow prod admin.* undo", "allow PROD admin undo"]) {
    expect(decide([right(odd)], demand("prod admin undo"))).toBe("unmatched")
  }
})

test("lets a deny beat every allow, whatever their order and width", () => {
  const allow = right("allow prod admin undo")
  for (const deny of [right("deny prod admin undo"), right("deny * * *"), right("deny prod * undo")]) {
    expect(decide([allow, deny], demand("prod admin undo"))).toBe("deny")
    expect(decide([deny, allow], demand("prod admin undo"))).toBe("deny")
  }
  expect(decide([allow, right("deny nightly admin undo")], demand("prod admin undo"))).toBe("allow")
})

test("narrows a role's rights to the grant's environment, and gives nothing where the two differ", () => {
  const roles = book(role("mixed", "allow * admin undo", "allow nightly data read", "deny prod admin scale"))
  expect(rightsOf([grant("mixed", "prod")], roles, 0)).toEqual([
    right("allow prod admin undo"),
    right("deny prod admin scale")
  ])
  expect(rightsOf([grant("mixed", "nightly")], roles, 0)).toEqual([
    right("allow nightly admin undo"),
    right("allow nightly data read")
  ])
  expect(rightsOf([grant("mixed", "*")], roles, 0)).toEqual(roles.get("mixed")!.rights)
})

test("never turns a nightly grant into a right on prod", () => {
  const rights = rightsOf([grant("owner", "nightly")], book(...builtInRoles), 0)
  expect(decide(rights, demand("nightly admin undo"))).toBe("allow")
  expect(decide(rights, demand("prod admin undo"))).toBe("unmatched")
})

test("ends a grant at the very millisecond it expires", () => {
  const until = "2026-01-01T00:00:00.000Z"
  const at = Date.parse(until)
  const held = (now: number) => rightsOf([grant("one", "prod", until)], book(role("one", "allow * a b")), now).length
  expect([held(at - 1), held(at), held(at + 1)]).toEqual([1, 0, 0])
})

test("gives nothing for a role that is not there", () => {
  expect(rightsOf([grant("gone", "*")], book(), 0)).toEqual([])
})

test("keeps every built-in role but owner from rights on rights, and viewers from every change", () => {
  const of = (name: string) => builtInRoles.find((one) => one.name === name)!.rights
  for (const name of ["viewer", "developer", "operator", "approver", "watchman", "microservice"]) {
    expect(of(name).some(({ service }) => service === "*" || service === "gateway")).toBe(false)
  }
  expect(new Set(of("viewer").map(({ action }) => action))).toEqual(new Set(["read"]))
  expect(decide(of("operator"), demand("prod admin approve"))).toBe("unmatched")
  // Whoever finds and proposes neither decides nor acts.
  expect(new Set(of("watchman").map(({ action, service }) => `${service}:${action}`))).toEqual(
    new Set(["admin:read", "admin:propose", "monitor:read", "scheduler:read", "hello:read", "hello:greet"])
  )
  expect(decide(of("owner"), demand("prod gateway rights"))).toBe("allow")
})

/** A small generator with a seed, so that a failure can be repeated. */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

test("agrees with a naive reading of the rules on 20,000 random users", () => {
  const next = random(20260730)
  const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(next() * from.length)]!
  const environments = ["prod", "nightly", "dev"]
  const services = ["admin", "data"]
  const actions = ["read", "write"]
  const or = (list: ReadonlyArray<string>) => pick([...list, "*"])
  const seen = { allow: 0, deny: 0, unmatched: 0 }
  for (let round = 0; round < 20_000; round++) {
    const roles = ["a", "b", "c"].map((name) =>
      role(
        name,
        ...Array.from(
          { length: Math.floor(next() * 3) },
          () => `${next() < 0.25 ? "deny" : "allow"} ${or(environments)} ${or(services)} ${or(actions)}`
        )
      )
    )
    const now = 1000
    const grants = Array.from({ length: Math.floor(next() * 4) }, () =>
      grant(
        pick(["a", "b", "c", "gone"]),
        or(environments),
        pick([null, null, new Date(pick([999, 1000, 1001])).toISOString()])
      )
    )
    const wanted = { environment: pick(environments), service: pick(services), action: pick(actions) }
    const matching = grants
      .filter((one) => one.expiresAt === null || Date.parse(one.expiresAt) > now)
      .filter((one) => ["*", wanted.environment].includes(one.environment))
      .flatMap((one) => roles.find(({ name }) => name === one.role)?.rights ?? [])
      .filter((one) => ["*", wanted.environment].includes(one.environment))
      .filter((one) => ["*", wanted.service].includes(one.service))
      .filter((one) => ["*", wanted.action].includes(one.action))
    const expected = matching.some(({ effect }) => effect === "deny")
      ? "deny"
      : matching.length > 0
        ? "allow"
        : "unmatched"
    const decision = decide(rightsOf(grants, book(...roles), now), wanted)
    if (decision !== expected)
      expect({ round, roles, grants, wanted, decision }).toEqual({ decision: expected } as never)
    seen[decision]++
  }
  // All three outcomes came up often enough to mean something.
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(300)
})
