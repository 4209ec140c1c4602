/** Who may do what where: scopes, namespaces, and that a refusal asks the cluster for nothing and is recorded. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { Capabilities } from "#shared/api/admin.ts"
import {
  type Admin,
  approver,
  deployment,
  elsewhere,
  inNamespace,
  operator,
  owner,
  type Person,
  scheduler,
  startAdmin
} from "#test/admin/callers.ts"
import { declaredRoutes, lostReferences, type OpenApiDocument, operationsOf } from "#test/shared/described.ts"

let admin: Admin
beforeAll(async () => {
  admin = await startAdmin()
  await elsewhere(admin.cluster).create("dev", deployment("web", "registry.test/web:1"))
  await elsewhere(admin.cluster).create("prod", deployment("web", "registry.test/web:1"))
  await admin.ask("/admin/ns/dev/workloads")
  admin.written()
})
afterAll(() => admin.stop())
afterEach(() => admin.cluster.intercept(undefined))

const target = { kind: "Deployment", name: "web", reason: "a test" }
const writes: ReadonlyArray<readonly [action: string, body: unknown]> = [
  ["restart", target],
  ["undo", target],
  ["undo", { ...target, dryRun: true }],
  ["pause", target],
  ["resume", target],
  ["scale", { ...target, replicas: 2 }],
  ["plan", { manifest: JSON.stringify(deployment("web", "registry.test/web:2")) }],
  ["apply", { manifest: JSON.stringify(deployment("web", "registry.test/web:2")), reason: "a test" }]
]

/** Requests that reach the API server while `act` runs, watches that go on not counted. */
const asked = async (act: () => Promise<unknown>) => {
  const seen: Array<string> = []
  admin.cluster.intercept((request) => {
    if (!request.url.includes("watch=")) seen.push(`${request.method} ${new URL(request.url).pathname}`)
    return undefined
  })
  await act()
  admin.cluster.intercept(undefined)
  return seen
}

describe("security: without the scope", () => {
  test.each(writes)("%s is 403 naming it, recorded, and asks the cluster for nothing", async (action, body) => {
    for (const person of [scheduler, approver, inNamespace(operator, "prod")]) {
      const answers: Array<unknown> = []
      const seen = await asked(async () => {
        const { body: problem, status } = await admin.ask(`/admin/ns/dev/${action}`, { as: person, body })
        answers.push(status, problem["code"], problem["detail"])
      })
      expect(answers).toEqual([403, "scope_missing", `needs the scope admin:${action}:dev`])
      expect(seen).toEqual([])
      const unread = await admin.ask(`/admin/ns/dev/${action}`, { as: person, body: "no json" })
      expect(unread.body["code"]).toBe("scope_missing")
    }
    const rows = await admin.query(
      `SELECT actor, content::jsonb ->> 'scope' AS scope FROM actions.action_events WHERE event = 'refused' ORDER BY seq DESC LIMIT 1`
    )
    expect(rows).toEqual([{ actor: "operator", scope: `admin:${action}:dev` }])
    expect(admin.written()).toEqual([])
  })

  test("a right in the token's own environment is none in another namespace, and the other way round", async () => {
    expect((await admin.ask("/admin/ns/prod/restart", { as: operator, body: target })).status).toBe(403)
    expect((await admin.ask("/admin/ns/prod/workloads", { as: operator })).body["code"]).toBe("scope_missing")
    expect(
      (await admin.ask("/admin/ns/prod/restart", { as: inNamespace(operator, "prod"), body: target })).status
    ).toBe(202)
    expect((await admin.ask("/admin/ns/dev/workloads", { as: inNamespace(operator, "prod") })).status).toBe(403)
    admin.written()
  })

  test("a denied action is denied whatever allows it", async () => {
    const person: Person = { id: "denied", scope: "admin:* !admin:restart" }
    expect((await admin.ask("/admin/ns/dev/restart", { as: person, body: target })).body["code"]).toBe("scope_missing")
  })

  test("proposing needs propose, deciding needs approve", async () => {
    const id = "01900000-0000-7000-8000-000000000000"
    expect((await admin.ask(`/admin/proposals/${id}/reject`, { body: { reason: "no" } })).status).toBe(404)
    expect((await admin.ask("/admin/actions", { as: { id: "nobody", scope: "monitor:read" } })).status).toBe(403)
  })
})

describe("security: a namespace that is not served", () => {
  test("is refused with one answer, whether it exists, is misspelt, empty or no name at all", async () => {
    const answers: Array<unknown> = []
    const seen = await asked(async () => {
      for (const namespace of [
        "kube-system",
        "nightly",
        "Prod",
        "prod%20",
        "%20",
        "",
        "dev,prod",
        "dev%2Fx",
        "..%2Fdev"
      ]) {
        for (const path of [`/admin/ns/${namespace}/workloads`, `/admin/ns/${namespace}/Deployment/web`]) {
          const { body, status } = await admin.ask(path)
          answers.push({ status, ...body, instance: "" })
        }
        const { body, status } = await admin.ask(`/admin/ns/${namespace}/restart`, { body: target })
        answers.push({ status, ...body, instance: "" })
      }
    })
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
    expect(answers[0]).toMatchObject({ status: 403, code: "namespace_not_allowed" })
    expect(seen).toEqual([])
  })

  test("is refused in a query and in a proposal too", async () => {
    expect((await admin.ask("/admin/actions?namespace=kube-system")).body["code"]).toBe("namespace_not_allowed")
    expect((await admin.ask("/admin/actions?namespace=dev&namespace=prod")).status).toBe(422)
    expect((await admin.ask("/admin/proposals?namespace=")).body["code"]).toBe("namespace_not_allowed")
  })
})

describe("security: without a valid token", () => {
  test.each([
    "/admin/ns/dev/workloads",
    "/admin/actions",
    "/admin/ns/kube-system/workloads",
    "/admin/nothing",
    "/admin/ns//x"
  ])("%s is 401, whatever is asked", async (path) => {
    expect((await admin.ask(path, { as: null })).status).toBe(401)
    expect((await admin.ask(path, { as: null, body: "no json", method: "POST" })).status).toBe(401)
  })
})

describe("lists", () => {
  test("show only namespaces that the caller may read", async () => {
    await admin.ask("/admin/ns/dev/restart", { body: target })
    const items = async (as: Person) =>
      ((await admin.ask("/admin/actions", { as })).body["items"] as ReadonlyArray<{ namespace: string }>).map(
        ({ namespace }) => namespace
      )
    expect(new Set(await items(operator))).toEqual(new Set(["dev"]))
    expect(new Set(await items(inNamespace(operator, "prod")))).toEqual(new Set(["prod"]))
    const [prod] = (await admin.ask("/admin/actions", { as: inNamespace(operator, "prod") })).body[
      "items"
    ] as ReadonlyArray<{
      id: string
    }>
    expect((await admin.ask(`/admin/actions/${prod!.id}`, { as: operator })).status).toBe(403)
  })
})

describe("GET /admin/capabilities", () => {
  const of = async (as: Person) =>
    Schema.decodeUnknownSync(Capabilities)((await admin.ask("/admin/capabilities", { as })).body).namespaces

  test("says per namespace and action what the API would", async () => {
    const people = [owner, operator, approver, scheduler, inNamespace(operator, "prod")]
    for (const person of people) {
      for (const { actions, namespace } of await of(person)) {
        for (const [action, body] of writes) {
          const { body: answer } = await admin.ask(`/admin/ns/${namespace}/${action}`, {
            as: person,
            body: action === "plan" || action === "apply" ? body : { ...(body as object), name: "absent" }
          })
          const capability = actions[action as keyof typeof actions]
          expect([person.id, action, namespace, capability.allowed]).toEqual([
            person.id,
            action,
            namespace,
            answer["code"] !== "scope_missing"
          ])
          if (!capability.allowed) expect(capability.reason).toBe(String(answer["detail"]))
        }
      }
    }
  })

  test("names the cluster and the namespace's policies, and no namespace without any right", async () => {
    expect((await of(operator)).map(({ namespace }) => namespace)).toEqual(["dev"])
    const [prod] = await of(inNamespace(operator, "prod"))
    expect(prod).toMatchObject({ namespace: "prod", cluster: "simulated cluster", fourEyes: true, directApply: false })
  })
})

describe("GET /admin/openapi.json", () => {
  test("describes every route with a summary, an answer, its body and its refusals", async () => {
    const document = (await (await admin.send("/admin/openapi.json", { as: approver })).json()) as OpenApiDocument
    const operations = operationsOf(document)
    const declared = declaredRoutes("admin")
    expect(declared.length).toBeGreaterThan(20)
    expect([...operations.keys()].toSorted()).toEqual(declared.toSorted())
    for (const [name, { requestBody, responses = {}, summary = "" }] of operations) {
      const answered = "200" in responses || "201" in responses
      expect([name, summary !== "", answered, "403" in responses]).toEqual([name, true, true, true])
      // What a set holds, and which one is meant, its address says.
      expect([name, requestBody !== undefined]).toEqual([name, name.startsWith("post ") && !name.includes("/backups")])
    }
    expect(lostReferences(document)).toEqual([])
  })
})
