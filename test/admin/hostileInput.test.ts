/** What a hostile or careless sender, or a hostile workload, may put into text and numbers: refused, or kept so that nothing breaks on it later. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Admin, deployment, elsewhere, startAdmin } from "#test/admin/callers.ts"

let admin: Admin
beforeAll(async () => {
  admin = await startAdmin()
  await elsewhere(admin.cluster).create("dev", deployment("web", "registry.test/web:1"))
})
afterAll(() => admin.stop())

const filters = ["action=pause", "action=undo", "state=succeeded", "state=intended"]
const listed = () => Promise.all(filters.map(async (query) => (await admin.ask(`/admin/actions?${query}`)).status))

describe("security: text that Postgres cannot look into", () => {
  test("half a character is refused", async () => {
    const body = '{"kind": "Deployment", "name": "web", "reason": "because \\ud800 of it"}'
    const paused = await admin.ask("/admin/ns/dev/pause", { body })
    expect([paused.status, paused.body["code"]]).toEqual([400, "malformed_request"])
    expect(await listed()).toEqual([200, 200, 200, 200])
  })

  test("a backslash before the same letters is text, and stays as it was written", async () => {
    const body = { kind: "Deployment", name: "web", reason: "the pattern [\\u0000-\\ud800]" }
    const paused = await admin.ask("/admin/ns/dev/pause", { body })
    expect([paused.status, paused.body["reason"]]).toEqual([202, body.reason])
    expect(await listed()).toEqual([200, 200, 200, 200])
    expect((await admin.ask("/admin/actions/verify")).body["ok"]).toBe(true)
  })

  test("NUL itself is refused", async () => {
    const body = '{"kind": "Deployment", "name": "web", "reason": "a \\\\\\u0000"}'
    expect((await admin.ask("/admin/ns/dev/pause", { body })).body["code"]).toBe("malformed_request")
  })
})

describe("a revision in a query", () => {
  test.each(["", "%20", "0x1", "1e0", "-1", "1.5", "abc", "9007199254740992", "+1", "%EF%BC%91"])(
    "written as %j is 422, never another number",
    async (text) => {
      const path = "/admin/ns/dev/deployment/web"
      const asked = await Promise.all(
        [`${path}/status?revision=${text}`, `${path}/diff?from=${text}`].map((one) => admin.ask(one))
      )
      expect(asked.map(({ status }) => status)).toEqual([422, 422])
    }
  )
})
