/** Plan and apply on a simulated cluster: what is shown is what is sent, or nothing. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Schema } from "effect"
import { Plan } from "#shared/api/admin.ts"
import {
  type Admin,
  deployment,
  elsewhere,
  inNamespace,
  operator,
  type Person,
  startAdmin
} from "#test/admin/callers.ts"
import { until } from "#test/shared/until.ts"

let admin: Admin
let made = 0
let name = ""
beforeAll(async () => {
  admin = await startAdmin()
})
afterAll(() => admin.stop())
beforeEach(() => {
  name = `it-${made++}`
  admin.written()
})
afterEach(() => admin.cluster.intercept(undefined))

const prodOperator = inNamespace(operator, "prod")
const configMap = (data: object, as = name) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: as }, data })
const yaml = (...objects: ReadonlyArray<object>) => objects.map((one) => JSON.stringify(one)).join("\n---\n")
const reason = "a test"

const plan = async (manifest: string, ns = "dev", as: Person = ns === "prod" ? prodOperator : operator) => {
  const { body, status } = await admin.ask(`/admin/ns/${ns}/plan`, { as, body: { manifest } })
  if (status !== 200) throw new Error(JSON.stringify(body))
  return Schema.decodeUnknownSync(Plan)(body)
}
const apply = (body: object, ns = "dev", key?: string) =>
  admin.ask(`/admin/ns/${ns}/apply`, {
    as: ns === "prod" ? prodOperator : operator,
    body: { reason, ...body },
    ...(key === undefined ? {} : { key })
  })

describe("a plan", () => {
  test("shows what would be created, changed or left, and writes nothing", async () => {
    await elsewhere(admin.cluster).create("dev", configMap({ a: "1", b: "2" }))
    await elsewhere(admin.cluster).create("dev", configMap({ a: "1" }, `${name}-same`))
    admin.written()
    const shown = await plan(
      yaml(configMap({ a: "1" }, `${name}-same`), configMap({ c: "3" }), deployment(name, "registry.test/web:1"))
    )
    expect(shown.objects.map(({ change, kind }) => [kind, change])).toEqual([
      ["ConfigMap", "unchanged"],
      ["ConfigMap", "update"],
      ["Deployment", "create"]
    ])
    expect(shown.objects[1]?.changes).toEqual([{ path: "/data/c", before: null, after: '"3"' }])
    expect(admin.written()).toEqual([])
    expect(admin.cluster.writes().every(({ dryRun }) => dryRun)).toBe(true)
  })

  test("is refused with every fault at its object and line", async () => {
    const manifest = `${yaml(configMap({}))}\n---\nkind: Pod\napiVersion: v1\nmetadata: {name: x}\n---\nkind: Role\napiVersion: rbac.authorization.k8s.io/v1\nmetadata: {name: x}\n`
    const { body, status } = await admin.ask("/admin/ns/dev/plan", { as: operator, body: { manifest } })
    expect([status, body["code"], body["errors"]]).toMatchObject([
      422,
      "kind_not_allowed",
      [
        { pointer: "/objects/1/kind", line: 3, code: "kind_not_allowed" },
        { pointer: "/objects/2/kind", line: 7, code: "kind_not_allowed" }
      ]
    ])
  })

  test("is refused for what the API server does not accept, such as a misspelt field", async () => {
    const manifest = yaml(deployment(name, "registry.test/web:1", { replicaz: 3 }))
    const { body, status } = await admin.ask("/admin/ns/dev/plan", { as: operator, body: { manifest } })
    expect([status, body["code"], JSON.stringify(body["errors"])]).toEqual([
      422,
      "invalid_object",
      expect.stringContaining("replicaz")
    ])
  })

  test("of too much is 413, of ambiguous YAML 422", async () => {
    const big = await admin.ask("/admin/ns/dev/plan", {
      as: operator,
      body: { manifest: `# ${"x".repeat(1024 * 1024)}` }
    })
    expect([big.status, big.body["code"]]).toEqual([413, "payload_too_large"])
    const many = yaml(...Array.from({ length: 101 }, (_, index) => configMap({}, `${name}-${index}`)))
    expect((await admin.ask("/admin/ns/dev/plan", { as: operator, body: { manifest: many } })).status).toBe(413)
    const bad = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: yes\n`
    const { body } = await admin.ask("/admin/ns/dev/plan", { as: operator, body: { manifest: bad } })
    expect(body).toMatchObject({ code: "ambiguous_scalar", errors: [{ line: 5, pointer: "/objects/0/data/a" }] })
  })

  test("of a privileged pod, or one with another's service account, is refused before anything is asked", async () => {
    const template = (spec: object) => ({
      template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "main", image: "x" }], ...spec } }
    })
    for (const [spec, code] of [
      [{ hostNetwork: true }, "host_namespace"],
      [{ serviceAccountName: "gatehouse-admin" }, "foreign_service_account"]
    ] as const) {
      const manifest = yaml(deployment(name, "x", template(spec)))
      const { body, status } = await admin.ask("/admin/ns/dev/plan", { as: operator, body: { manifest } })
      expect([status, body["code"]]).toEqual([422, code])
    }
    expect(admin.cluster.writes()).toEqual([])
  })
})

describe("an apply", () => {
  test("does exactly what the plan showed, object by object, and backs up what was live", async () => {
    await elsewhere(admin.cluster).create("prod", configMap({ a: "1" }))
    admin.written()
    const { digest, planId } = await plan(yaml(configMap({ b: "2" }), deployment(name, "registry.test/web:1")), "prod")
    const { body, status } = await apply({ planId }, "prod")
    expect([status, body]).toMatchObject([
      202,
      {
        state: "succeeded",
        action: "apply",
        kind: "List",
        objects: [
          { kind: "ConfigMap", name, result: "configured" },
          { kind: "Deployment", name, result: "created" }
        ]
      }
    ])
    expect(admin.written().map(({ method }) => method)).toEqual(["PATCH", "PATCH"])
    expect(await elsewhere(admin.cluster).get("prod", "ConfigMap", name)).toMatchObject({ data: { a: "1", b: "2" } })
    expect(readdirSync(join(admin.backups, "prod", "ConfigMap", name))).toHaveLength(2)
    const [row] = await admin.query(
      `SELECT content::jsonb ->> 'planDigest' AS digest FROM actions.action_events WHERE event = 'intent' ORDER BY seq DESC LIMIT 1`
    )
    expect(row).toEqual({ digest })
  })

  test("follows the rollout of each workload, and each is known by who changed it", async () => {
    await apply({
      manifest: yaml(deployment(name, "registry.test/web:1"), deployment(`${name}-bad`, "registry.test/crash:1"))
    })
    const action = await until("the rollouts' end", async () => {
      admin.cluster.advance(1)
      const { body } = await admin.ask("/admin/actions?action=apply&limit=1")
      const [found] = body["items"] as ReadonlyArray<{ rollout: { phase: string } | null }>
      return found?.rollout === null ? undefined : found
    })
    expect(action).toMatchObject({ kind: "List", state: "succeeded", rollout: { phase: "stalled" } })
    const workloads = await until("the last changes", async () => {
      const { body } = await admin.ask("/admin/ns/dev/workloads")
      const mine = (body["items"] as ReadonlyArray<{ name: string; lastChange: unknown }>).filter((one) =>
        one.name.startsWith(name)
      )
      return mine.every(({ lastChange }) => lastChange !== null) ? mine : undefined
    })
    expect(workloads.map(({ lastChange }) => lastChange)).toMatchObject(
      Array(2).fill({ action: "apply", actor: { id: "operator" } })
    )
  })

  test("of the same again writes nothing", async () => {
    const manifest = yaml(configMap({ a: "1" }))
    expect((await apply({ manifest })).body["state"]).toBe("succeeded")
    admin.written()
    const again = await apply({ manifest })
    expect([again.status, again.body["state"]]).toEqual([200, "unchanged"])
    expect(admin.written()).toEqual([])
  })

  test("is refused as stale when anything of it has changed since, and then writes nothing of it", async () => {
    await elsewhere(admin.cluster).create("dev", configMap({ a: "1" }))
    const { planId } = await plan(yaml(configMap({ new: "1" }, `${name}-new`), configMap({ b: "2" })))
    await elsewhere(admin.cluster).patch("dev", "ConfigMap", name, { data: { a: "changed" } })
    admin.written()
    const { body, status } = await apply({ planId })
    expect([status, body["code"]]).toEqual([409, "stale"])
    expect(admin.written()).toEqual([])
  })

  test("is refused as stale when what was to be created exists by now", async () => {
    const { planId } = await plan(yaml(configMap({ b: "2" })))
    await elsewhere(admin.cluster).create("dev", configMap({ a: "1" }))
    expect((await apply({ planId })).body["code"]).toBe("stale")
  })

  test("of fields that another manager owns is refused with field and manager", async () => {
    await elsewhere(admin.cluster).create("dev", configMap({ a: "1" }))
    const shown = await plan(yaml(configMap({ a: "2" })))
    expect(shown.objects[0]).toMatchObject({
      conflicts: [{ field: ".data.a", manager: "kubectl-create" }],
      changes: [{ path: "/data/a", before: '"1"', after: '"2"' }]
    })
    admin.written()
    const { body, status } = await apply({ planId: shown.planId })
    expect([status, body["code"], body["errors"]]).toMatchObject([
      409,
      "field_conflict",
      [{ pointer: "/objects/0", detail: expect.stringMatching(/\.data\.a belongs to "kubectl-create"/u) }]
    ])
    expect(admin.written()).toEqual([])
  })

  test("after an undo of ours takes over what the undo set, and never what kubectl set (S1.11)", async () => {
    await apply({ manifest: yaml(deployment(name, "registry.test/web:1")) })
    admin.cluster.advance(5)
    await apply({ manifest: yaml(deployment(name, "registry.test/web:2")) })
    admin.cluster.advance(5)
    const undone = await admin.ask("/admin/ns/dev/undo", { body: { kind: "Deployment", name, reason } })
    expect(undone.body["state"]).toBe("succeeded")
    admin.cluster.advance(5)
    const shown = await plan(yaml(deployment(name, "registry.test/web:3")))
    expect(shown.objects[0]?.conflicts).toEqual([])
    expect((await apply({ planId: shown.planId })).body["state"]).toBe("succeeded")
    await elsewhere(admin.cluster).patch("dev", "Deployment", name, {
      spec: { template: { spec: { containers: [{ name: "main", image: "registry.test/web:4" }] } } }
    })
    const other = await plan(yaml(deployment(name, "registry.test/web:5")))
    expect(other.objects[0]?.conflicts.map(({ manager }) => manager)).toEqual(["kubectl-edit"])
  })

  test("security: that may take over what our undo set never takes what kubectl set meanwhile", async () => {
    const image = (tag: number) => `registry.test/web:${tag}`
    for (const tag of [1, 2]) {
      await apply({ manifest: yaml(deployment(name, image(tag))) })
      admin.cluster.advance(5)
    }
    await admin.ask("/admin/ns/dev/undo", { body: { kind: "Deployment", name, reason } })
    admin.cluster.advance(5)
    const { planId } = await plan(yaml(deployment(name, image(3))))
    const container = { name: "main", image: image(4) }
    admin.cluster.intercept((request) => {
      if (request.method !== "PATCH" || request.url.includes("dryRun")) return undefined
      admin.cluster.intercept(undefined)
      return elsewhere(admin.cluster)
        .patch("dev", "Deployment", name, { spec: { template: { spec: { containers: [container] } } } })
        .then(() => admin.cluster.fetch(request))
    })
    const { body, status } = await apply({ planId })
    expect([status, body["code"]]).toEqual([409, "field_conflict"])
    expect(await elsewhere(admin.cluster).get("dev", "Deployment", name)).toMatchObject({
      spec: { template: { spec: { containers: [container] } } }
    })
  })

  test("stops at the first object that is refused, and says what became of each", async () => {
    const { planId } = await plan(yaml(configMap({}), configMap({}, `${name}-b`), configMap({}, `${name}-c`)))
    const refusal = {
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      reason: "Invalid",
      code: 422,
      message: "a webhook says no"
    }
    admin.cluster.intercept((request) =>
      request.url.includes(`${name}-b`) && !request.url.includes("dryRun") && request.method === "PATCH"
        ? Response.json(refusal, { status: 422 })
        : undefined
    )
    const { body } = await apply({ planId })
    expect(body).toMatchObject({
      state: "failed",
      message: "1 of 3 objects applied",
      objects: [
        { result: "created" },
        { result: "failed", message: "a webhook says no" },
        { result: "failed", message: "not attempted" }
      ]
    })
  })

  test("whose answer is lost is found out by reading: made, changed, or not sent at all", async () => {
    const outcomeOf = (kind: string, carriedOut: boolean) => {
      let lost = false
      admin.cluster.intercept((request) => {
        if (lost || request.method !== "PATCH" || request.url.includes("dryRun")) return undefined
        lost = true
        const broken = () => Promise.reject(new Error("connection reset"))
        return carriedOut ? admin.cluster.fetch(request).then(broken) : broken()
      })
      return async (manifest: string) => {
        const { body } = await apply({ manifest })
        return until(`${kind} is settled`, async () => {
          const { body: action } = await admin.ask(`/admin/actions/${String(body["id"])}`)
          return action["finishedAt"] === null ? undefined : [action["state"], action["objects"]]
        })
      }
    }
    expect(await outcomeOf("a creation", true)(yaml(configMap({ a: "1" })))).toMatchObject([
      "succeeded",
      [{ result: "created" }]
    ])
    expect(await outcomeOf("a change", true)(yaml(configMap({ a: "2" })))).toMatchObject([
      "succeeded",
      [{ result: "configured" }]
    ])
    expect(await outcomeOf("nothing", false)(yaml(configMap({ a: "3" })))).toMatchObject([
      "not_applied",
      [{ result: "failed" }]
    ])
  })

  test("of a plan that is unknown, another namespace's, or used up is 410", async () => {
    const { planId } = await plan(yaml(configMap({ a: "1" })))
    const answers = [
      await apply({ planId: "01900000-0000-7000-8000-000000000000" }),
      await apply({ planId }, "prod"),
      await apply({ planId }),
      await apply({ planId })
    ]
    expect(answers.map(({ status }) => status)).toEqual([410, 410, 202, 410])
  })

  test("with its Idempotency-Key again is the same action, though its plan is used up", async () => {
    const { planId } = await plan(yaml(configMap({ a: "1" })))
    const [one, two] = [await apply({ planId }, "dev", `key-${name}`), await apply({ planId }, "dev", `key-${name}`)]
    expect([one.status, two.status, two.body["id"]]).toEqual([202, 202, one.body["id"]])
    expect(admin.written()).toHaveLength(1)
  })

  test("security: on prod needs a plan; a manifest in one call only where the policy allows it", async () => {
    const manifest = yaml(configMap({ a: "1" }))
    const { body, status } = await apply({ manifest }, "prod")
    expect([status, body["code"]]).toEqual([422, "plan_required"])
    expect((await apply({ manifest, planId: "x" })).status).toBe(422)
    expect((await apply({})).status).toBe(422)
    expect(admin.written()).toEqual([])
  })
})

describe("security: the value of a secret", () => {
  test("is in no answer, log, row, event or backup", async () => {
    const canary = "c4n4ry-v41u3"
    const encoded = Buffer.from(canary).toString("base64")
    const logged: Array<string> = []
    const write = process.stdout.write.bind(process.stdout)
    const secret = (value: string, more: object = {}) => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: {
        name,
        annotations: { "kubectl.kubernetes.io/last-applied-configuration": `{"data":{"k":"${encoded}"}}` }
      },
      data: { k: value },
      ...more
    })
    const seen: Array<string> = []
    const see = async (path: string, body?: unknown) => {
      const response = await admin.send(path, { as: operator, ...(body === undefined ? {} : { body }) })
      seen.push(await response.text())
      return seen.at(-1)!
    }
    process.stdout.write = (text: string | Uint8Array) => logged.push(String(text)) > 0
    try {
      await see("/admin/ns/dev/plan", { manifest: yaml(secret(encoded)) })
      await see("/admin/ns/dev/apply", { manifest: yaml(secret(encoded)), reason })
      const changed = await see("/admin/ns/dev/plan", {
        manifest: yaml(secret(Buffer.from(`${canary}2`).toString("base64")))
      })
      expect(JSON.parse(changed)).toMatchObject({
        objects: [{ changes: expect.arrayContaining([expect.objectContaining({ path: "/data/k" })]) }]
      })
      await see("/admin/ns/dev/apply", { manifest: yaml(secret(Buffer.from(`${canary}2`).toString("base64"))), reason })
      for (const value of [`!${canary} x`, `*${canary}`, `"\\q${canary}`]) {
        const text = `apiVersion: v1\nkind: Secret\nmetadata: {name: ${name}}\nstringData:\n  k: ${value}\n`
        await see("/admin/ns/dev/plan", { manifest: text })
      }
      await see("/admin/ns/dev/plan", { manifest: yaml(secret(`not base64 ${canary}`)) })
      await see("/admin/ns/dev/plan", { manifest: yaml(secret(encoded, { nonsense: canary })) })
      await see("/admin/actions")
    } finally {
      process.stdout.write = write
    }
    const rows = await admin.query("SELECT content FROM actions.action_events")
    const folder = join(admin.backups, "dev", "Secret", name)
    const files = readdirSync(folder).map((file) => readFileSync(join(folder, file), "utf8"))
    expect(files.join("\n")).toContain('Its keys were: ["k"]')
    const everything = [...seen, ...logged, JSON.stringify(rows), ...files].join("\n")
    for (const form of [canary, encoded, encoded.slice(0, 12)]) expect(everything).not.toContain(form)
  })
})
