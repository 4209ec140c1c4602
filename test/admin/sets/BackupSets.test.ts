/** Backup sets on a simulated cluster: what a namespace held is planned and applied again; a damaged set is refused for the one before. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { Action, ManifestSet, ManifestSetList, RestorePlan } from "#shared/api/admin.ts"
import { type Admin, approver, deployment, elsewhere, inNamespace, operator, startAdmin } from "#test/admin/callers.ts"
import { until } from "#test/shared/until.ts"

const everything = [
  { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "settings" }, data: { mode: "0400", flag: "yes" } },
  { apiVersion: "v1", kind: "Secret", metadata: { name: "password" }, stringData: { password: "S3cretValue" } },
  deployment("web", "registry.test/web:1", { replicas: 2 }),
  deployment("worker", "registry.test/worker:1@sha256:0000000000000000000000000000000000000000000000000000000000000000")
]

let admin: Admin
beforeAll(async () => {
  admin = await startAdmin({
    env: { ADMIN_BACKUP_SET_EVERY: "0 seconds", ADMIN_BACKUP_SET_KEEP: "3", ADMIN_REVISION: "abc1234" }
  })
  for (const one of everything) await elsewhere(admin.cluster).create("dev", one)
  await elsewhere(admin.cluster).create("dev", deployment("own-account", "registry.test/own:1", {}))
})
afterAll(() => admin.stop())

const home = (...more: ReadonlyArray<string>) => join(admin.backups, "_sets", "dev", ...more)
const make = async () => {
  const { body, status } = await admin.ask("/admin/ns/dev/backups", { as: operator, method: "POST" })
  expect([status, body]).toEqual([201, expect.anything()])
  return Schema.decodeUnknownSync(ManifestSet)(body)
}
const list = async () => {
  const { body } = await admin.ask("/admin/ns/dev/backups", { as: operator })
  return Schema.decodeUnknownSync(ManifestSetList)(body).items
}
const planOf = async (set: string) => {
  const { body, status } = await admin.ask(`/admin/ns/dev/backups/${set}/plan`, { as: operator, method: "POST" })
  if (status !== 200) throw new Error(JSON.stringify(body))
  return Schema.decodeUnknownSync(RestorePlan)(body)
}
const apply = async (planId: string) => {
  const { body } = await admin.ask("/admin/ns/dev/apply", {
    as: operator,
    body: { planId, reason: "restored in a test" }
  })
  return Schema.decodeUnknownSync(Action)(body)
}
const changes = ({ plan }: typeof RestorePlan.Type) =>
  plan.objects.map(({ change, kind, name }) => `${change} ${kind} ${name}`)

describe("a backup set", () => {
  test("holds what the namespace held, its images and the deployed revision, for its owner alone", async () => {
    const set = await make()
    expect(set).toMatchObject({ namespace: "dev", objects: 4, revision: "abc1234", damaged: null })
    expect(set.images).toContain("registry.test/web:1")
    expect(readdirSync(home(set.id)).toSorted()).toEqual(["SHA256SUMS", "images.txt", "live.yaml", "revision"])
    expect(readlinkSync(home("current"))).toBe(set.id)
    expect(statSync(admin.backups).mode & 0o777).toBe(0o700)
    expect(statSync(home(set.id)).mode & 0o777).toBe(0o700)
    expect(statSync(home(set.id, "live.yaml")).mode & 0o777).toBe(0o600)
  })

  test("security: holds no Secret, neither its value nor its name", () => {
    const text = readFileSync(home("current", "live.yaml"), "utf8")
    expect(text).not.toContain("Secret")
    expect(text).not.toContain("password")
  })

  test("is planned as unchanged while nothing is lost, and gives back what is", async () => {
    expect(new Set(changes(await planOf("newest")).map((line) => line.split(" ")[0]))).toEqual(new Set(["unchanged"]))
    const before = readFileSync(home("current", "live.yaml"), "utf8")
    await elsewhere(admin.cluster).remove("dev", "Deployment", "web")
    await elsewhere(admin.cluster).remove("dev", "ConfigMap", "settings")
    const restore = await planOf("newest")
    // What is still there is not taken over.
    expect([changes(restore), restore.unchanged]).toEqual([["create ConfigMap settings", "create Deployment web"], 2])
    const applied = await apply(restore.plan.planId)
    expect(applied.objects.map(({ result }) => result)).toEqual(["created", "created"])
    await make()
    expect(readFileSync(home("current", "live.yaml"), "utf8")).toBe(before)
    expect((await planOf("newest")).unchanged).toBe(4)
  })

  test("that is damaged is refused by its hash; the newest takes the one before and says so", async () => {
    const sound = await make()
    for (const spoil of [
      (path: string) => truncateSync(path, 100),
      (path: string) => writeFileSync(path, readFileSync(path, "utf8").replace("web:1", "web:6"))
    ]) {
      const bad = await make()
      spoil(home(bad.id, "live.yaml"))
      const listed = await list()
      expect(listed[0]).toMatchObject({ id: bad.id, damaged: "live.yaml has another SHA-256" })
      const restore = await planOf("newest")
      expect(restore.set.id).toBe(sound.id)
      expect(restore.refused.map(({ id }) => id)).toContain(bad.id)
      const asked = await admin.ask(`/admin/ns/dev/backups/${bad.id}/plan`, { as: operator, method: "POST" })
      expect([asked.status, asked.body["code"]]).toEqual([409, "backup_corrupt"])
    }
  })

  test("stays until enough are newer, damaged ones among them", async () => {
    const before = (await list())[0]!
    const made = [await make(), await make(), await make()]
    truncateSync(home(made[1]!.id, "images.txt"))
    expect((await list()).map(({ id }) => id)).toEqual(made.map(({ id }) => id).toReversed())
    expect(existsSync(home(before.id))).toBe(false)
  })

  test("that a killed process left half-made is no set, and goes with the next", async () => {
    const { id } = await make()
    const half = home(`${id.replace(/^2/u, "3")}.partial`)
    mkdirSync(half)
    expect((await list())[0]?.id).toBe(id)
    await make()
    expect(existsSync(half)).toBe(false)
  })

  test("of an emptied namespace is not made: it would push out what was there", async () => {
    const { body, status } = await admin.ask("/admin/ns/prod/backups", {
      as: inNamespace(operator, "prod"),
      method: "POST"
    })
    expect([status, body["code"]]).toEqual([503, "backup_failed"])
  })

  test("security: is made and planned only by who may plan, read by who may read, in their own namespace", async () => {
    for (const [path, ask, status] of [
      ["/admin/ns/dev/backups", { as: approver, method: "POST" }, 403],
      ["/admin/ns/dev/backups/newest/plan", { as: approver, method: "POST" }, 403],
      ["/admin/ns/dev/backups", { as: approver }, 200],
      ["/admin/ns/dev/backups", { as: inNamespace(operator, "prod") }, 403],
      ["/admin/ns/kube-system/backups", { as: operator }, 403],
      ["/admin/ns/dev/backups", { as: null }, 401]
    ] as const) {
      expect([path, ask, (await admin.ask(path, ask)).status]).toEqual([path, ask, status])
    }
  })

  test("security: an id that leads elsewhere names no set", async () => {
    renameSync(home("current"), home("was-current"))
    for (const id of ["%2e%2e%2fprod", "current", "was-current", "20260101T000000000Z"]) {
      const { status } = await admin.ask(`/admin/ns/dev/backups/${id}/plan`, { as: operator, method: "POST" })
      expect([id, status]).toEqual([id, 404])
    }
  })
})

test("a set is made by the clock when the newest is too old", async () => {
  const other = await startAdmin({
    cluster: admin.cluster,
    env: { ADMIN_BACKUP_SET_EVERY: "1 hour", ADMIN_NAMESPACES: "dev" }
  })
  const seen = async () =>
    (await other.ask("/admin/ns/dev/backups", { as: operator })).body["items"] as ReadonlyArray<unknown>
  await until("a set is made", async () => (await seen()).length === 1)
  await other.stop()
})
