/** The record of actions: append-only, chained, found again by filter and page, and open about tampering. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { ActionPage, ChainCheck } from "#shared/api/admin.ts"
import { type Admin, deployment, elsewhere, inNamespace, operator, owner, startAdmin } from "#test/admin/callers.ts"
import { until } from "#test/shared/until.ts"

let admin: Admin
beforeAll(async () => {
  admin = await startAdmin()
  for (const name of ["a", "b"]) await elsewhere(admin.cluster).create("dev", deployment(name, "registry.test/web:1"))
  await elsewhere(admin.cluster).create("prod", deployment("a", "registry.test/web:1"))
  const body = (name: string) => ({ kind: "Deployment", name, reason: "a test" })
  await admin.ask("/admin/ns/dev/pause", { as: operator, body: body("a") })
  await admin.ask("/admin/ns/dev/pause", { as: owner, body: body("b") })
  await admin.ask("/admin/ns/dev/pause", { as: owner, body: body("b") })
  await admin.ask("/admin/ns/dev/scale", { as: owner, body: { ...body("b"), replicas: 2 } })
  await admin.ask("/admin/ns/prod/restart", { as: inNamespace(owner, "prod"), body: body("a") })
})
afterAll(() => admin.stop())

const both = { id: "auditor", scope: "admin:read admin:read:prod" }
const page = async (query = "") => {
  const { body, status } = await admin.ask(`/admin/actions${query}`, { as: both })
  if (status !== 200) throw new Error(JSON.stringify(body))
  return Schema.decodeUnknownSync(ActionPage)(body)
}
const brief = async (query: string) => (await page(query)).items.map(({ action, name }) => `${action} ${name}`)
const check = async () => Schema.decodeUnknownSync(ChainCheck)((await admin.ask("/admin/actions/verify")).body)

describe("actions", () => {
  test("are listed newest first", async () => {
    expect(await brief("")).toEqual(["restart a", "scale b", "pause b", "pause b", "pause a"])
  })

  test.each([
    ["?namespace=prod", ["restart a"]],
    ["?name=b&action=pause", ["pause b", "pause b"]],
    ["?actor=operator", ["pause a"]],
    ["?state=unchanged", ["pause b"]],
    ["?kind=StatefulSet", []],
    ["?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z", []],
    ["?since=2020-01-01T00:00:00Z&action=scale", ["scale b"]]
  ])("are found by %s", async (query, found) => {
    expect(await brief(query)).toEqual(found)
  })

  test("are paged without a gap or a repetition, whatever is added meanwhile", async () => {
    const first = await page("?limit=2")
    await admin.ask("/admin/ns/dev/scale", { body: { kind: "Deployment", name: "b", reason: "more", replicas: 3 } })
    const seen = [...first.items]
    for (let cursor = first.nextCursor; cursor !== null;) {
      const next = await page(`?limit=2&cursor=${cursor}`)
      seen.push(...next.items)
      cursor = next.nextCursor
    }
    expect(seen.map(({ action, name }) => `${action} ${name}`)).toEqual([
      "restart a",
      "scale b",
      "pause b",
      "pause b",
      "pause a"
    ])
  })

  test.each([
    "cursor=x",
    "cursor=c2VxOjA",
    "cursor=",
    "limit=0",
    "limit=201",
    "state=done",
    "since=yesterday",
    "since=2026-02-30T00:00:00Z",
    "since=0000-01-01T00:00:00Z",
    "until=2026-01-01T00:00:00%2B23:59",
    "name=a%00b",
    "other=1"
  ])("with %s are 422", async (query) => {
    expect((await admin.ask(`/admin/actions?${query}`)).status).toBe(422)
  })

  test("tell what the rollout after them came to", async () => {
    const { items } = await page("?name=a&action=restart")
    const done = await until("the rollout's end", async () => {
      admin.cluster.advance(1)
      const { body } = await admin.ask(`/admin/actions/${items[0]!.id}`, { as: both })
      return body["rollout"] === null ? undefined : body
    })
    expect(done["rollout"]).toMatchObject({ phase: "complete" })
  })

  test("are unknown under an id that there is not", async () => {
    for (const id of ["x", "01900000-0000-7000-8000-000000000000"]) {
      expect((await admin.ask(`/admin/actions/${id}`)).status).toBe(404)
    }
  })
})

describe("the workloads' own view", () => {
  test("names the last change and who made it", async () => {
    const last = await until("the last change", async () => {
      const { body } = await admin.ask("/admin/ns/dev/workloads")
      const found = (body["items"] as ReadonlyArray<{ name: string; lastChange: unknown }>).find(
        ({ name }) => name === "a"
      )
      return found?.lastChange ?? undefined
    })
    expect(last).toMatchObject({ action: "pause", actor: { id: "operator" } })
  })

  test("names who brought a revision about, and why", async () => {
    const items = await until("the revision's author", async () => {
      admin.cluster.advance(1)
      const { body } = await admin.ask("/admin/ns/prod/Deployment/a/history", { as: both })
      const found = body["items"] as ReadonlyArray<{ actor: unknown }>
      return found.some(({ actor }) => actor !== null) ? found : undefined
    })
    expect(items).toMatchObject([
      { revision: 1, actor: null },
      { revision: 2, actor: { id: "owner" }, reason: "a test", onlyRestartedAt: true }
    ])
  })
})

describe("security: the record", () => {
  test("is refused every change and removal, to the service's own role too", async () => {
    for (const statement of [
      "UPDATE actions.action_events SET content = '{}'",
      "DELETE FROM actions.action_events",
      "TRUNCATE actions.action_events"
    ]) {
      expect(await admin.query(statement).then(String, String)).toContain("append-only")
    }
    const rights = await admin.query(`SELECT privilege FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) privilege
      WHERE has_table_privilege('admin', 'actions.action_events', privilege)`)
    expect(rights).toEqual([])
  })

  test("names the first row that is not what was written, or gone", async () => {
    expect(await check()).toMatchObject({ ok: true, brokenAt: null })
    await admin.query("CREATE TABLE actions.original AS SELECT * FROM actions.action_events")
    /** What the verification says after a superuser has switched the guard off and done that; then all is as before. */
    const tampered = async (statement: string) => {
      await admin.query("ALTER TABLE actions.action_events DISABLE TRIGGER append_only")
      await admin.query(statement)
      const { brokenAt } = await check()
      await admin.query("DELETE FROM actions.action_events")
      await admin.query("INSERT INTO actions.action_events SELECT * FROM actions.original")
      await admin.query("ALTER TABLE actions.action_events ENABLE TRIGGER append_only")
      return brokenAt
    }
    const [{ last }] = (await admin.query("SELECT max(seq)::int AS last FROM actions.action_events")) as [
      { last: number }
    ]
    expect(
      await tampered("UPDATE actions.action_events SET content = replace(content, 'a test', 'another') WHERE seq = 3")
    ).toBe("row 3")
    expect(await tampered("UPDATE actions.action_events SET actor = 'nobody' WHERE seq = 4")).toBe("row 4")
    expect(await tampered("UPDATE actions.action_events SET at = at + interval '1 hour' WHERE seq = 2")).toBe("row 2")
    expect(await tampered("DELETE FROM actions.action_events WHERE seq = 2")).toBe("row 2")
    expect(await tampered(`DELETE FROM actions.action_events WHERE seq = ${last}`)).toBe(`row ${last}`)
    expect(await check()).toMatchObject({ ok: true, rows: last })
  })
})
