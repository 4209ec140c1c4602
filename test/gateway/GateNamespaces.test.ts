/** R5 for a service of several namespaces: what the gateway lets through and what its identity token says agree with the rights, in each namespace by itself. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { Effect, Layer } from "effect"
import { decodeJwt } from "jose"
import { type Caller, Gate } from "#gateway/Gate.ts"
import { Keys } from "#gateway/Keys.ts"
import { makeSnapshot, Rights } from "#gateway/Rights.ts"
import { Sessions } from "#gateway/Sessions.ts"
import { Tokens } from "#gateway/Tokens.ts"
import { identityHeader } from "#shared/auth.ts"
import { may } from "#shared/domain/identity.ts"
import type { GrantId, UserId } from "#shared/domain/ids.ts"
import { decide, type Right, rightsOf, type Role } from "#shared/domain/rights.ts"
import { type Echo, type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"

setDefaultTimeout(60_000)

describe("through the public door", () => {
  let echo: EchoUpstream
  let gateway: GatewayFixture
  beforeAll(async () => {
    echo = startEcho()
    const rules = [{ methods: ["GET"], action: "read" }, { action: "undo" }]
    gateway = await startGateway({
      settings: {
        providers: [provider],
        routes: [
          {
            id: "admin",
            path: "/admin",
            upstream: echo.url,
            service: "admin",
            namespaces: ["prod", "nightly", "test"],
            rules
          },
          { id: "narrow", path: "/narrow", upstream: echo.url, service: "admin", rules }
        ]
      }
    })
  })
  afterAll(async () => {
    await gateway?.stop()
    await echo?.stop()
  })
  const ask = (by: Person, path: string, method = "GET") =>
    gateway.ask(path, { method, headers: { cookie: by.cookie, origin: gateway.origin } })
  const scopes = async (by: Person, path: string) => {
    const told = (await (await ask(by, path)).json()) as Echo
    return String(decodeJwt(told.headers[identityHeader]!)["scope"]).split(" ").sort()
  }

  test("who holds the action in any of them passes, and the token says where", async () => {
    const somebody = await gateway.person([
      { role: "viewer", environment: "test" },
      { role: "operator", environment: "nightly" }
    ])
    expect((await ask(somebody, "/admin/x")).status).toBe(200)
    expect((await ask(somebody, "/admin/x", "POST")).status).toBe(200)
    expect(await scopes(somebody, "/admin/x")).toEqual([
      "admin:apply:nightly",
      "admin:pause:nightly",
      "admin:plan:nightly",
      "admin:read",
      "admin:read:nightly",
      "admin:restart:nightly",
      "admin:resume:nightly",
      "admin:scale:nightly",
      "admin:undo:nightly"
    ])
  })
  test("who holds it in none of them, or in another namespace, does not", async () => {
    for (const grants of [
      [],
      [{ role: "viewer", environment: "test" }],
      [{ role: "operator", environment: "dev" }],
      [{ role: "viewer", environment: "*" }]
    ]) {
      const somebody = await gateway.person(grants)
      const answer = await ask(somebody, "/admin/x", "POST")
      expect([grants, answer.status]).toEqual([grants, 403])
    }
  })
  test("a route of the same service without them stays with its environment, also for a token that is reused", async () => {
    const nightly = await gateway.person([{ role: "operator", environment: "nightly" }])
    expect((await ask(nightly, "/admin/x")).status).toBe(200)
    expect((await ask(nightly, "/narrow/x")).status).toBe(403)
    const everywhere = await gateway.person([{ role: "viewer", environment: "*" }])
    expect(await scopes(everywhere, "/admin/x")).toEqual(["admin:read", "admin:read:nightly", "admin:read:prod"])
    expect(await scopes(everywhere, "/narrow/x")).toEqual(["admin:read"])
    expect(await scopes(everywhere, "/admin/x")).toHaveLength(3)
  })
  test("an access token that is confined is confined in every namespace", async () => {
    const owner = await gateway.person()
    const token = await gateway.token(owner, "admin:undo")
    const by = (method: string) =>
      gateway.ask("/admin/x", { method, headers: { authorization: `Bearer ${token}` } }) as Promise<Response>
    expect((await by("GET")).status).toBe(403)
    const told = (await (await by("POST")).json()) as Echo
    expect(decodeJwt(told.headers[identityHeader]!)["scope"]).toBe("admin:undo admin:undo:prod admin:undo:nightly")
  })
})

/** A gate that signs nothing: its identity tokens are their claims as JSON. */
const plainGate = () =>
  Effect.runPromise(
    Gate.use(Effect.succeed).pipe(
      Effect.provide(
        Layer.provide(
          Gate.layer({ issuer: "https://gate.test" }),
          Layer.mergeAll(
            Layer.mock(Keys)({
              sign: (_typ, claims) => JSON.stringify(claims),
              verifying: () => undefined,
              generation: () => ""
            }),
            Layer.mock(Rights)({ peek: () => undefined }),
            Layer.mock(Sessions)({
              idleSeconds: 1,
              peek: () => undefined,
              peekById: () => undefined,
              wasReplaced: () => false
            }),
            Layer.mock(Tokens)({ verify: () => "none" })
          )
        )
      )
    )
  )

test("the token's scopes, read by a service, are the user's rights in each namespace, on 3,000 random users", async () => {
  const gate = await plainGate()
  let seed = 20261126
  const next = () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(next() * from.length)]!
  const some = <A>(from: ReadonlyArray<A>): Array<A> => from.filter(() => next() < 0.5)
  const environments = ["prod", "nightly", "dev", "team"]
  const services = ["admin", "data"]
  const actions = ["read", "undo", "apply"]
  const or = (list: ReadonlyArray<string>) => pick([...list, "*"])
  const seen = { yes: 0, no: 0 }
  for (let round = 0; round < 3000; round++) {
    const userId = `user-${round}`
    const rights = Array.from({ length: Math.floor(next() * 6) }, (): Right => ({
      environment: or(environments),
      service: or(services),
      action: or(actions),
      effect: next() < 0.25 ? "deny" : "allow"
    }))
    const roles = new Map<string, Role>([["one", { name: "one", description: "", builtIn: false, rights }]])
    const grants = [
      {
        id: "0190e0a0-0000-7000-8000-000000000001" as GrantId,
        userId: userId as UserId,
        role: "one",
        environment: or(environments),
        expiresAt: null,
        reason: null
      }
    ]
    const snapshot = makeSnapshot(`${round}`, roles, new Map([[userId, { name: "x", disabled: false, grants }]]), 0)
    const scope =
      next() < 0.5
        ? undefined
        : new Set(Array.from({ length: 1 + Math.floor(next() * 3) }, () => `${or(["admin", "data"])}:${or(actions)}`))
    const caller: Caller = { userId, sessionId: `session-${round}`, via: "bearer", authTime: 0, scope }
    const environment = pick(environments)
    const namespaces = some(environments.filter((one) => one !== environment))
    const service = pick(services)
    const target = { environment, namespaces, service }
    const token = gate.identityToken(snapshot, caller, { ...target, method: pick(["GET", "POST"]), path: "/x" })
    const principal = {
      environment,
      scopes: new Set((JSON.parse(token!) as { readonly scope: string }).scope.split(" "))
    }
    const held = rightsOf(grants, roles, 0)
    for (const action of actions) {
      const covered =
        scope === undefined ||
        [`${service}:${action}`, `${service}:*`, `*:${action}`, "*:*"].some((one) => scope.has(one))
      const allowed = (namespace: string) =>
        covered && decide(held, { environment: namespace, service, action }) === "allow"
      for (const namespace of environments) {
        const expected = (namespace === environment || namespaces.includes(namespace)) && allowed(namespace)
        const found = may(principal, service, action, namespace)
        expect([round, held, scope, target, action, namespace, found]).toEqual([
          round,
          held,
          scope,
          target,
          action,
          namespace,
          expected
        ])
        seen[found ? "yes" : "no"]++
      }
      expect(gate.allows(snapshot, caller, { ...target, action })).toBe([environment, ...namespaces].some(allowed))
    }
  }
  expect(Math.min(seen.yes, seen.no)).toBeGreaterThan(1000)
})
