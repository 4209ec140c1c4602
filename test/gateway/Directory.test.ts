/** The administration of users, roles and grants over HTTP (R5, R25): who may, what is refused and how, and that somebody always may. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Problem } from "#shared/api/problem.ts"
import type { Grant, Role } from "#shared/domain/rights.ts"
import { type GatewayFixture, type Person, provider, startGateway } from "#test/gateway/fixture.ts"

setDefaultTimeout(60_000)

let gateway: GatewayFixture
let owner: Person

beforeAll(async () => {
  gateway = await startGateway({ settings: { providers: [provider], routes: [] } })
  owner = await gateway.person()
})
afterAll(() => gateway?.stop())

const call = (method: string, path: string, body?: unknown, by: Person = owner, headers: Record<string, string> = {}) =>
  gateway.ask(path, {
    method,
    headers: {
      cookie: by.cookie,
      origin: gateway.origin,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
  })
const get = async <A>(path: string, by: Person = owner): Promise<A> =>
  (await call("GET", path, undefined, by)).json() as A
const problem = async (answer: Response | Promise<Response>) => {
  const found = await answer
  expect(found.headers.get("content-type")).toBe("application/problem+json")
  expect(found.headers.get("cache-control")).toBe("no-store")
  return (await found.json()) as Problem
}
/** Status, and the JSON pointers named. */
const faults = async (answer: Promise<Response>) => {
  const found = await problem(answer)
  return [found.status, ...new Set((found.errors ?? []).map((one) => one.pointer))]
}
const audit = (event: string, subject: string) =>
  gateway.database.query(
    `SELECT actor, detail, request_id AS "requestId" FROM audit WHERE event = '${event}' AND subject = '${subject}' ORDER BY id`
  )
const role = (name: string, rights: ReadonlyArray<unknown> = []) =>
  call("PUT", `/auth/roles/${name}`, { description: `role ${name}`, rights })
const allow = (service: string, action: string, environment = "*") => ({
  environment,
  service,
  action,
  effect: "allow"
})
const grant = (userId: string, of: string, environment = "*", more: object = {}, headers = {}, by = owner) =>
  call("POST", "/auth/grants", { userId, role: of, environment, ...more }, by, headers)
/** Somebody who holds exactly these rights. */
let counter = 0
const personWith = async (...rights: ReadonlyArray<unknown>) => {
  const name = `own-${counter++}`
  await role(name, rights)
  return gateway.person([{ role: name }])
}

const routes: ReadonlyArray<readonly [method: string, path: string, body: unknown, action: "read" | "write"]> = [
  ["GET", "/auth/users", undefined, "read"],
  ["GET", "/auth/roles", undefined, "read"],
  ["GET", "/auth/grants", undefined, "read"],
  ["PATCH", "/auth/users/00000000-0000-7000-8000-000000000000", { disabled: false }, "write"],
  ["PUT", "/auth/roles/some", { description: "x", rights: [] }, "write"],
  ["DELETE", "/auth/roles/none", undefined, "write"],
  ["POST", "/auth/grants", { userId: "00000000-0000-7000-8000-000000000000", role: "x", environment: "*" }, "write"],
  ["DELETE", "/auth/grants/00000000-0000-7000-8000-000000000000", undefined, "write"]
]

describe("who may administer", () => {
  test("nobody without a login: 401, before the body is looked at", async () => {
    for (const [method, path, body] of routes) {
      for (const sent of [body, "{", { evil: true }]) {
        if (body === undefined && sent !== undefined) continue
        const answer = await gateway.ask(path, {
          method,
          headers: { origin: gateway.origin, "content-type": "application/json" },
          ...(sent === undefined ? {} : { body: typeof sent === "string" ? sent : JSON.stringify(sent) })
        })
        expect([method, path, answer.status]).toEqual([method, path, 401])
        expect(answer.headers.get("www-authenticate")).toBe("Bearer")
      }
    }
  })
  test("reading needs auth:read, changing auth:write, of this environment", async () => {
    const reader = await personWith(allow("auth", "read"))
    const writer = await personWith(allow("auth", "write", "test"))
    const elsewhere = await personWith(allow("auth", "*", "prod"))
    const denied = await personWith(allow("*", "*"), { ...allow("auth", "*"), effect: "deny" })
    for (const [method, path, body, action] of routes) {
      const status = async (by: Person) => (await call(method, path, body, by)).status
      const allowed = (code: number) => code !== 403 && code !== 401
      expect([method, path, allowed(await status(reader))]).toEqual([method, path, action === "read"])
      expect([method, path, allowed(await status(writer))]).toEqual([method, path, action === "write"])
      expect([method, path, await status(elsewhere)]).toEqual([method, path, 403])
      expect([method, path, await status(denied)]).toEqual([method, path, 403])
    }
  })
  test("a change by cookie comes from our own pages, by token from anywhere", async () => {
    for (const headers of [{ origin: "https://evil.test" }, { origin: "null" }]) {
      expect((await call("PUT", "/auth/roles/csrf", { description: "x", rights: [] }, owner, headers)).status).toBe(403)
    }
    const token = await gateway.token(owner, "auth:write")
    const answer = await gateway.ask("/auth/roles/by-token", {
      method: "PUT",
      headers: { authorization: `Bearer ${token}`, origin: "https://evil.test", "content-type": "application/json" },
      body: JSON.stringify({ description: "x", rights: [] })
    })
    expect(answer.status).toBe(200)
  })
  test("HEAD is as GET, other methods are 405 and unknown paths 404", async () => {
    const head = await call("HEAD", "/auth/users")
    expect([head.status, await head.text()]).toEqual([200, ""])
    expect((await call("DELETE", "/auth/users")).status).toBe(405)
    expect((await call("GET", "/auth/nothing")).status).toBe(404)
  })
})

describe("GET /auth/users", () => {
  test("is paged by limit and cursor, each user once, with their grants", async () => {
    for (let n = 0; n < 7; n++) await gateway.person([{ role: "viewer" }, { role: "developer", environment: "dev" }])
    const all = await gateway.database.query("SELECT id FROM users ORDER BY id")
    const seen: Array<string> = []
    let query = "limit=3"
    for (;;) {
      const found = await get<{
        items: ReadonlyArray<{ id: string; grants: ReadonlyArray<Grant> }>
        nextCursor: string | null
      }>(`/auth/users?${query}`)
      expect(found.items.length).toBeLessThanOrEqual(3)
      seen.push(...found.items.map((user) => user.id))
      if (found.nextCursor === null) {
        expect(
          found.items
            .at(-1)!
            .grants.map((one) => one.role)
            .sort()
        ).toEqual(["developer", "viewer"])
        break
      }
      query = `limit=3&cursor=${found.nextCursor}`
    }
    expect(seen).toEqual(all.map((row) => row["id"] as string))
  })
  test("refuses a bad limit with 422 and its pointer, a bad cursor with 400", async () => {
    for (const path of ["/auth/users", "/auth/grants"]) {
      for (const bad of ["0", "201", "abc", "-1", "1e9", "1.5", "%20", "NaN"]) {
        expect(await faults(call("GET", `${path}?limit=${bad}`))).toEqual([422, "/query/limit"])
      }
      for (const bad of ["abc", "'", "..%2f".replace("%2f", ""), "1"]) {
        expect((await call("GET", `${path}?cursor=${encodeURIComponent(bad)}`)).status).toBe(400)
      }
      expect((await call("GET", `${path}?limit=200`)).status).toBe(200)
      expect(await faults(call("GET", `${path}?offset=1`))).toEqual([422, "/query/offset"])
      expect((await call("GET", `${path}?__proto__=1`)).status).toBe(422)
      expect((await call("GET", `${path}?constructor=1`)).status).toBe(422)
    }
  })
  test("searches name, e-mail and subject by text, in which % _ \\ and quotes stand for themselves", async () => {
    for (const [subject, name, email] of [
      ["s-1", "100% sure", "a_b@x.test"],
      ["s-2", "100 sure", "axb@x.test"],
      ["s-3", "back\\slash", null],
      ["s-4", "O'Neil; DROP TABLE users", null]
    ]) {
      await gateway.database.query(
        `INSERT INTO users (provider, issuer, subject, name, email)
         VALUES ('hub', 'search', '${subject}', $t$${name}$t$, ${email === null ? "NULL" : `'${email}'`})`
      )
    }
    const search = async (q: string) => {
      const found = await get<{ items: ReadonlyArray<{ subject: string; issuer: string }> }>(
        `/auth/users?q=${encodeURIComponent(q)}`
      )
      return found.items.filter((user) => user.issuer === "search").map((user) => user.subject)
    }
    expect(await search("100%")).toEqual(["s-1"])
    expect(await search("A_B@")).toEqual(["s-1"])
    expect(await search("\\sl")).toEqual(["s-3"])
    expect(await search("o'neil; drop")).toEqual(["s-4"])
    expect(await search("S-")).toEqual(["s-1", "s-2", "s-3", "s-4"])
    expect(await search("%")).toEqual(["s-1"])
    expect((await call("GET", `/auth/users?q=${"x".repeat(201)}`)).status).toBe(422)
    expect((await call("GET", "/auth/users?q=a%00b")).status).toBe(422)
  })
})

describe("PATCH /auth/users/:id", () => {
  test("disables: every session ends, tokens too, and the audit tells; enables again", async () => {
    const somebody = await gateway.person([{ role: "viewer" }])
    const token = await gateway.token(somebody)
    const path = `/auth/users/${somebody.userId}`
    const answer = await call("PATCH", path, { disabled: true })
    expect([answer.status, ((await answer.json()) as { disabled: boolean }).disabled]).toEqual([200, true])
    expect((await call("GET", "/auth/me", undefined, somebody)).status).toBe(401)
    expect((await gateway.ask("/auth/me", { headers: { authorization: `Bearer ${token}` } })).status).toBe(401)
    expect(await gateway.database.query(`SELECT 1 FROM sessions WHERE user_id = '${somebody.userId}'`)).toEqual([])
    expect((await call("PATCH", path, { disabled: false })).status).toBe(200)
    expect((await call("GET", "/auth/me", undefined, somebody)).status).toBe(401)
    for (const event of ["user.disabled", "user.enabled"]) {
      const rows = await audit(event, somebody.userId)
      expect(rows).toMatchObject([{ actor: owner.userId }])
    }
  })
  test("refuses what is no such change", async () => {
    const path = `/auth/users/${owner.userId}`
    expect(await faults(call("PATCH", path, {}))).toEqual([422, "/disabled"])
    expect(await faults(call("PATCH", path, { disabled: "true" }))).toEqual([422, "/disabled"])
    expect(await faults(call("PATCH", path, { disabled: false, admin: true }))).toEqual([422, "/admin"])
    expect((await call("PATCH", path, '{"disabled":false,"__proto__":{"admin":true}}')).status).toBe(422)
    expect((await call("PATCH", path, '{"disabled":false,"constructor":{}}')).status).toBe(422)
    expect(await faults(call("PATCH", "/auth/users/abc", { disabled: true }))).toEqual([422, "/params/id"])
    expect((await call("PATCH", "/auth/users/00000000-0000-7000-8000-000000000000", { disabled: true })).status).toBe(
      404
    )
  })
})

describe("bodies", () => {
  const put = (body: string, type = "application/json") =>
    call("PUT", "/auth/roles/bodies", body, owner, { "content-type": type })
  test("must be JSON, whole, of the right type and size; nothing of them is repeated", async () => {
    for (const bad of ["", "{", "{}}", "nul", "\u0000", "{'a':1}"])
      expect([400, 422]).toContain((await put(bad)).status)
    expect((await put("{}", "text/plain")).status).toBe(415)
    expect((await put("{}", "application/x-www-form-urlencoded")).status).toBe(415)
    const large = JSON.stringify({ description: "planted-secret".repeat(30_000), rights: [] })
    const answer = await put(large)
    expect(answer.status).toBe(413)
    expect(await answer.text()).not.toContain("planted-secret")
    const deep = `{"description":"x","rights":${"[".repeat(70)}${"]".repeat(70)}}`
    expect((await put(deep)).status).toBe(400)
    const wrong = await put(JSON.stringify({ description: { secret: "planted-secret" }, rights: "planted-secret" }))
    expect(wrong.status).toBe(422)
    expect(await wrong.text()).not.toContain("planted-secret")
    for (const top of ["[]", "null", "1", '"x"']) expect((await put(top)).status).toBe(422)
  })
  test("with every fault named at once", async () => {
    expect(await faults(role("faulty", [{ environment: "PROD", service: "", action: "*", effect: "maybe" }]))).toEqual([
      422,
      "/rights/0/environment",
      "/rights/0/service",
      "/rights/0/effect"
    ])
  })
  test("an error names the request, by the id that the audit has, not by one the client made up", async () => {
    const made = "00000000-0000-7000-8000-000000000001"
    const found = await problem(call("PUT", "/auth/roles/ids", {}, owner, { "x-request-id": made }))
    expect(found.instance).toMatch(/^[0-9a-f-]{36}$/u)
    expect(found.instance).not.toBe(made)
  })
})

describe("roles", () => {
  test("are made, read, replaced and deleted, each change in the audit", async () => {
    const rights = [allow("monitor", "read"), { ...allow("admin", "undo", "prod"), effect: "deny" }]
    expect((await role("team", rights)).status).toBe(200)
    const list = await get<{ items: ReadonlyArray<Role> }>("/auth/roles")
    expect(list.items.find((one) => one.name === "team")).toEqual({
      name: "team",
      description: "role team",
      builtIn: false,
      rights: rights as unknown as Role["rights"]
    })
    expect((await role("team", [])).status).toBe(200)
    expect((await call("DELETE", "/auth/roles/team")).status).toBe(204)
    expect((await call("DELETE", "/auth/roles/team")).status).toBe(404)
    expect(await audit("role.saved", "team")).toHaveLength(2)
    expect(await audit("role.deleted", "team")).toHaveLength(1)
  })
  test("that are built in can be edited and stay built in, not deleted", async () => {
    const saved = await call("PUT", "/auth/roles/approver", {
      description: "changed",
      rights: [allow("admin", "approve")]
    })
    expect(((await saved.json()) as Role).builtIn).toBe(true)
    expect((await call("DELETE", "/auth/roles/approver")).status).toBe(409)
  })
  test("that somebody holds are not deleted, unless the grant has run out", async () => {
    await role("held", [])
    const somebody = await gateway.person([{ role: "held" }])
    expect((await call("DELETE", "/auth/roles/held")).status).toBe(409)
    await gateway.database.query(
      `UPDATE grants SET expires_at = now() - interval '1 second' WHERE user_id = '${somebody.userId}'`
    )
    expect((await call("DELETE", "/auth/roles/held")).status).toBe(204)
  })
  test("have a name and rights of the known form", async () => {
    for (const name of ["Team", "1team", "te am", "t".repeat(64), "*"]) {
      expect(await faults(role(encodeURIComponent(name)))).toEqual([422, "/params/name"])
    }
    expect(
      (
        await role(
          "many",
          Array.from({ length: 501 }, () => allow("a", "b"))
        )
      ).status
    ).toBe(422)
    expect((await call("PUT", "/auth/roles/long", { description: "x".repeat(501), rights: [] })).status).toBe(422)
  })
})

describe("grants", () => {
  test("are made, listed for all and for one user, and revoked, each change in the audit", async () => {
    const somebody = await gateway.person([])
    const answer = await grant(somebody.userId, "viewer", "prod", {
      reason: "on call",
      expiresAt: "2099-01-01T00:00:00+02:00"
    })
    expect(answer.status).toBe(201)
    const made = (await answer.json()) as Grant
    expect(made).toMatchObject({ role: "viewer", reason: "on call", expiresAt: "2098-12-31T22:00:00.000Z" })
    const list = await get<{ items: ReadonlyArray<Grant> }>(`/auth/grants?userId=${somebody.userId}`)
    expect(list.items).toEqual([made])
    const all = await get<{ items: ReadonlyArray<Grant> }>("/auth/grants?limit=200")
    expect(all.items).toContainEqual(made)
    expect((await call("DELETE", `/auth/grants/${made.id}`)).status).toBe(204)
    expect((await call("DELETE", `/auth/grants/${made.id}`)).status).toBe(404)
    expect((await call("DELETE", "/auth/grants/abc")).status).toBe(404)
    expect((await get<{ items: unknown }>("/auth/grants?userId=abc")).items).toEqual([])
    for (const event of ["grant.created", "grant.revoked"]) {
      expect(await audit(event, somebody.userId)).toMatchObject([
        { actor: owner.userId, detail: { role: "viewer", environment: "prod" } }
      ])
    }
  })
  test("that exist already are 409; one that ran out is as if it were not there", async () => {
    const somebody = await gateway.person([])
    expect((await grant(somebody.userId, "viewer")).status).toBe(201)
    expect((await grant(somebody.userId, "viewer")).status).toBe(409)
    expect((await grant(somebody.userId, "viewer", "prod")).status).toBe(201)
    await gateway.database.query(`UPDATE grants SET expires_at = now() WHERE user_id = '${somebody.userId}'`)
    expect((await grant(somebody.userId, "viewer")).status).toBe(201)
  })
  test("need an existing user and role and a time to come, each named", async () => {
    const nobody = "00000000-0000-7000-8000-000000000000"
    expect(await faults(grant(nobody, "nothing", "*", { expiresAt: "2001-01-01T00:00:00Z" }))).toEqual([
      422,
      "/expiresAt",
      "/userId",
      "/role"
    ])
    for (const bad of [
      "tomorrow",
      "2099",
      "2099-01-01",
      "2099-13-01T00:00:00Z",
      "2099-01-01T00:00:00",
      "",
      "Jan 1 2099"
    ]) {
      expect(await faults(grant(owner.userId, "viewer", "*", { expiresAt: bad }))).toEqual([422, "/expiresAt"])
    }
    expect(await faults(grant("x", "viewer"))).toEqual([422, "/userId"])
    expect(await faults(grant(owner.userId, "viewer", "PROD"))).toEqual([422, "/environment"])
    expect(await faults(grant(owner.userId, "viewer", "*", { reason: "x".repeat(501) }))).toEqual([422, "/reason"])
    expect((await grant(owner.userId, "viewer", "*", { reason: "a\u0000b" })).status).toBe(400)
  })
  test("with an Idempotency-Key are made once, whoever repeats; the same key for another grant is 409", async () => {
    const somebody = await gateway.person([])
    const key = { "idempotency-key": `key-${somebody.userId}` }
    const answers = await Promise.all(Array.from({ length: 5 }, () => grant(somebody.userId, "viewer", "*", {}, key)))
    expect(answers.map((one) => one.status).sort()).toEqual([200, 200, 200, 200, 201])
    const ids = new Set(await Promise.all(answers.map(async (one) => ((await one.json()) as Grant).id)))
    expect(ids.size).toBe(1)
    expect(await audit("grant.created", somebody.userId)).toHaveLength(1)
    expect((await grant(somebody.userId, "developer", "*", {}, key)).status).toBe(409)
    const other = await gateway.person()
    expect((await grant(somebody.userId, "developer", "*", {}, key, other)).status).toBe(201)
    for (const bad of ["", " ", "x".repeat(201), "ä"]) {
      const headers = { "idempotency-key": encodeURIComponent(bad) === bad ? bad : "a b" }
      expect((await grant(somebody.userId, "operator", "*", {}, headers)).status).toBe(400)
    }
  })
})

describe("R25: somebody may always change rights", () => {
  const fresh = async (
    body: (own: GatewayFixture, ask: typeof call, people: ReadonlyArray<Person>) => Promise<void>
  ) => {
    const own = await startGateway({ settings: { providers: [provider], routes: [] } })
    try {
      const people = [await own.person(), await own.person()]
      const ask: typeof call = (method, path, json, by = people[0]!) =>
        own.ask(path, {
          method,
          headers: { cookie: by.cookie, origin: own.origin, "content-type": "application/json" },
          ...(json === undefined ? {} : { body: JSON.stringify(json) })
        })
      await body(own, ask, people)
    } finally {
      await own.stop()
    }
  }
  const grantOf = async (own: GatewayFixture, person: Person) => {
    const rows = await own.database.query(`SELECT id FROM grants WHERE user_id = '${person.userId}'`)
    return rows[0]!["id"] as string
  }

  test("one's own last right is not given up, by no way; another's is taken; the last owner's is not", () =>
    fresh(async (own, ask, [one, two]) => {
      const mine = await grantOf(own, one!)
      const others = await grantOf(own, two!)
      expect((await ask("DELETE", `/auth/grants/${mine}`)).status).toBe(409)
      expect((await ask("PATCH", `/auth/users/${one!.userId}`, { disabled: true })).status).toBe(409)
      expect((await ask("PUT", "/auth/roles/owner", { description: "x", rights: [] })).status).toBe(409)
      const deny = { environment: "*", service: "auth", action: "*", effect: "deny" }
      const all = { ...deny, service: "*", effect: "allow" }
      expect((await ask("PUT", "/auth/roles/owner", { description: "x", rights: [all, deny] })).status).toBe(409)
      await ask("PUT", "/auth/roles/barred", { description: "x", rights: [deny] })
      const barred = await ask("POST", "/auth/grants", { userId: one!.userId, role: "barred", environment: "*" })
      expect(barred.status).toBe(409)
      expect((await ask("DELETE", `/auth/grants/${others}`)).status).toBe(204)
      // Two now holds a narrower right to change rights, and finds one the last of the owners.
      await ask("PUT", "/auth/roles/changer", {
        description: "x",
        rights: [{ ...all, service: "auth", action: "write" }]
      })
      const lent = { userId: two!.userId, role: "changer", environment: "*", expiresAt: "2099-01-01T00:00:00Z" }
      expect((await ask("POST", "/auth/grants", lent)).status).toBe(201)
      expect((await ask("DELETE", `/auth/grants/${mine}`, undefined, two)).status).toBe(409)
      expect((await ask("PATCH", `/auth/users/${one!.userId}`, { disabled: true }, two)).status).toBe(409)
      expect((await ask("GET", "/auth/users")).status).toBe(200)
      expect(await own.database.query("SELECT 1 FROM users WHERE disabled")).toEqual([])
    }))

  test("a workload that may change rights is no owner that could be left alone with them", () =>
    fresh(async (own, ask, [one, two]) => {
      const workload = await own.person()
      await own.database.query(`UPDATE users SET provider = 'workload' WHERE id = '${workload.userId}'`)
      expect((await ask("DELETE", `/auth/grants/${await grantOf(own, two!)}`)).status).toBe(204)
      const last = await grantOf(own, one!)
      expect((await ask("DELETE", `/auth/grants/${last}`)).status).toBe(409)
      expect((await ask("DELETE", `/auth/grants/${last}`, undefined, workload)).status).toBe(409)
      expect((await ask("PATCH", `/auth/users/${one!.userId}`, { disabled: true }, workload)).status).toBe(409)
      // Its own right is one that an owner may take.
      expect((await ask("DELETE", `/auth/grants/${await grantOf(own, workload)}`)).status).toBe(204)
      expect((await ask("GET", "/auth/users")).status).toBe(200)
    }))

  test("two owners who remove each other at the same time leave one", () =>
    fresh(async (own, ask, [one, two]) => {
      const [mine, others] = await Promise.all([grantOf(own, one!), grantOf(own, two!)])
      const answers = await Promise.all([
        ask("DELETE", `/auth/grants/${others}`, undefined, one),
        ask("DELETE", `/auth/grants/${mine}`, undefined, two)
      ])
      const statuses = answers.map((answer) => answer.status).sort()
      expect(statuses[0]).toBe(204)
      expect([403, 409]).toContain(statuses[1]!)
      expect(await own.database.query("SELECT 1 FROM grants WHERE role = 'owner'")).toHaveLength(1)
    }))

  test("two owners who disable each other at the same time leave one", () =>
    fresh(async (own, ask, [one, two]) => {
      const answers = await Promise.all([
        ask("PATCH", `/auth/users/${two!.userId}`, { disabled: true }, one),
        ask("PATCH", `/auth/users/${one!.userId}`, { disabled: true }, two)
      ])
      expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1)
      expect(await own.database.query("SELECT 1 FROM users WHERE disabled")).toHaveLength(1)
    }))
})

describe("the audit", () => {
  test("can be neither changed nor emptied, not even by the DB's superuser by accident", async () => {
    const before = await gateway.database.query("SELECT count(*)::int AS n FROM audit")
    for (const statement of ["UPDATE audit SET event = 'x'", "DELETE FROM audit", "TRUNCATE audit"]) {
      expect(gateway.database.query(statement)).rejects.toThrow("append-only")
    }
    expect(await gateway.database.query("SELECT count(*)::int AS n FROM audit")).toEqual(before)
  })
  test("names the request by the id that its answer had", async () => {
    const answer = await role("audited", [])
    expect(answer.status).toBe(200)
    const rows = await audit("role.saved", "audited")
    expect(rows[0]!["requestId"]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/u)
  })
  test("has no row for a change that was refused", async () => {
    const before = await gateway.database.query("SELECT count(*)::int AS n FROM audit")
    await call("DELETE", "/auth/roles/owner")
    await grant(owner.userId, "nothing")
    expect(await gateway.database.query("SELECT count(*)::int AS n FROM audit")).toEqual(before)
  })
})
