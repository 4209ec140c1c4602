/** The write path on a simulated cluster: who may, what is recorded and kept before anything is sent, and what a fault leaves. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Admin, deployment, elsewhere, operator, scheduler, startAdmin } from "#test/admin/callers.ts"

let admin: Admin
beforeAll(async () => {
  admin = await startAdmin()
  await elsewhere(admin.cluster).create("dev", deployment("web", "registry.test/web:1"))
  admin.written()
})
afterAll(() => admin.stop())

const restart = (name: string) => ({ kind: "Deployment", name, reason: "a test" })

describe("a restart", () => {
  test("is sent once, backed up and recorded with who and why", async () => {
    const { body, status } = await admin.ask("/admin/ns/dev/restart", { as: operator, body: restart("web") })
    expect([status, body]).toMatchObject([
      202,
      { state: "succeeded", action: "restart", actor: { id: "operator" }, reason: "a test", upstreamStatus: 200 }
    ])
    expect(admin.written()).toHaveLength(1)
  })
})
