/** Admin's write path on a real API server, with no more rights than its Role gives: what is sent, what is refused, and what is never sent. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { readPlain } from "#admin/manifest/scalars.ts"
import { type Admin, deployment, startAdmin } from "#test/admin/callers.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { privatePostgres } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

/** A run of its own, also on a cluster that another has used: the audit log tells them apart by it. */
const namespace = `admin-writes-${Date.now().toString(36)}`
const cluster = await testCluster()
const person = { id: "owner", scope: `admin:*:${namespace}` }
const reason = "a test"

/** What the service is allowed: no delete, no exec, nothing of the cluster's own. */
const rules = [
  {
    apiGroups: ["apps"],
    resources: ["deployments", "statefulsets", "daemonsets"],
    verbs: ["get", "list", "watch", "create", "patch"]
  },
  { apiGroups: ["apps"], resources: ["deployments/scale", "statefulsets/scale"], verbs: ["get", "patch"] },
  { apiGroups: ["apps"], resources: ["replicasets", "controllerrevisions"], verbs: ["get", "list", "watch"] },
  {
    apiGroups: ["", "batch", "networking.k8s.io", "autoscaling", "policy"],
    resources: [
      "services",
      "configmaps",
      "secrets",
      "persistentvolumeclaims",
      "jobs",
      "cronjobs",
      "ingresses",
      "horizontalpodautoscalers",
      "poddisruptionbudgets"
    ],
    verbs: ["get", "list", "watch", "create", "patch"]
  },
  { apiGroups: [""], resources: ["pods", "events"], verbs: ["get", "list", "watch"] },
  { apiGroups: [""], resources: ["pods/log"], verbs: ["get"] }
]

const grant = (name: string, granted: ReadonlyArray<object>) =>
  cluster.kubectl(["apply", "-f", "-"], {
    stdin: JSON.stringify({
      apiVersion: "v1",
      kind: "List",
      items: [
        { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } },
        { apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role", metadata: { name, namespace }, rules: granted },
        {
          apiVersion: "rbac.authorization.k8s.io/v1",
          kind: "RoleBinding",
          metadata: { name, namespace },
          roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name },
          subjects: [{ kind: "ServiceAccount", name, namespace }]
        }
      ]
    })
  })

/** A value as an ambiguity names it. */
const wordsFor = (value: unknown) =>
  typeof value === "string" ? `the text "${value}"` : value === undefined ? "null" : String(value)

/** Ready to be asked: it has its database, and the keys that its callers are known by. */
const startReady = async (env: Readonly<Record<string, string>>): Promise<Admin> => {
  const started = await startAdmin({ env })
  await until("it knows its callers", async () => (await started.ask("/admin/actions", { as: person })).status === 200)
  return started
}

let admin: Admin
let account = { kubeconfig: "" }
beforeAll(async () => {
  await cluster.openNamespace(namespace)
  await grant("admin", rules)
  account = await cluster.serviceAccount(namespace, "admin")
  admin = await startReady({ KUBERNETES: account.kubeconfig, ADMIN_NAMESPACES: namespace })
}, 120_000)
afterAll(async () => {
  await admin.stop()
  await cluster.kubectl(["delete", "namespace", namespace, "--wait=false"])
})

const ask = (path: string, body?: unknown, from = admin) =>
  from.ask(`/admin/ns/${namespace}/${path}`, { as: person, ...(body === undefined ? {} : { body }) })
const target = (name: string) => ({ kind: "Deployment", name, reason })
const get = async (kind: string, name: string): Promise<Record<string, unknown>> =>
  JSON.parse(
    await cluster.kubectl(["get", kind, name, "-n", namespace, "-o", "json", "--show-managed-fields"])
  ) as Record<string, unknown>
/** Writes by admin's service account, dry runs left out. */
const written = () =>
  cluster
    .auditLog()
    .filter(
      ({ requestURI, stage, user, verb }) =>
        stage === "ResponseComplete" &&
        user.username === `system:serviceaccount:${namespace}:admin` &&
        ["create", "update", "patch", "delete", "deletecollection"].includes(verb) &&
        !requestURI.includes("dryRun=")
    )
const writtenTo = (name: string) =>
  written().filter(({ requestURI }) => requestURI.includes(`/${name}?`) || requestURI.endsWith(`/${name}`))

const apply = async (manifest: object) => {
  const plan = await ask("plan", { manifest: JSON.stringify(manifest) })
  if (plan.status !== 200) return plan
  return ask("apply", { planId: plan.body["planId"], reason })
}
const settledAt = (name: string, revision: string) =>
  until(`${name} is at revision ${revision}`, async () => {
    const { metadata } = (await get("deployment", name)) as { metadata: { annotations?: Record<string, string> } }
    return metadata.annotations?.["deployment.kubernetes.io/revision"] === revision
  })

describe("plan and apply", () => {
  test("create, change and leave objects as planned; kubectl sees what was sent", async () => {
    const one = await apply(deployment("web", "registry.test/web:1"))
    expect([one.status, one.body["objects"]]).toMatchObject([202, [{ result: "created" }]])
    await settledAt("web", "1")
    const again = await apply(deployment("web", "registry.test/web:1"))
    expect([again.status, again.body["state"]]).toEqual([200, "unchanged"])
    const two = await apply(deployment("web", "registry.test/web:2"))
    expect([two.status, two.body["objects"]]).toMatchObject([202, [{ result: "configured" }]])
    await settledAt("web", "2")
    expect(writtenTo("web").map(({ verb }) => verb)).toEqual(["patch", "patch"])
    const managers = (
      (await get("deployment", "web")) as {
        metadata: { managedFields: ReadonlyArray<{ manager: string; operation: string }> }
      }
    ).metadata.managedFields
    expect(managers).toContainEqual(expect.objectContaining({ manager: "gatehouse-admin", operation: "Apply" }))
  }, 60_000)

  test("are refused for a misspelt field, a value of the wrong type and an immutable one, each in the server's words", async () => {
    const spelt = await apply(deployment("bad", "x:1", { replicaz: 1 }))
    const typed = await apply(deployment("bad", "x:1", { replicas: "three" }))
    const fixed = await apply(deployment("web", "x:1", { selector: { matchLabels: { app: "other" } } }))
    expect([spelt.body["code"], typed.body["code"], fixed.body["code"]]).toEqual(Array(3).fill("invalid_object"))
    expect(JSON.stringify(spelt.body)).toContain("replicaz")
    expect(writtenTo("bad")).toEqual([])
  }, 60_000)

  test("conflict with another's field, which is named with its manager", async () => {
    await cluster.kubectl(["apply", "--server-side", "-n", namespace, "-f", "-"], {
      stdin: JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "shared" }, data: { a: "1" } })
    })
    const answer = await apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "shared" }, data: { a: "2" } })
    expect([answer.status, answer.body["code"], answer.body["errors"]]).toMatchObject([
      409,
      "field_conflict",
      [{ detail: expect.stringMatching(/\.data\.a belongs to "kubectl"/u) }]
    ])
    expect(writtenTo("shared")).toEqual([])
  }, 60_000)
})

describe("every allowed kind", () => {
  const meta = (name: string) => ({ name: `all-${name}`, namespace })
  const labels = { app: "all" }
  const template = (more: object = {}) => ({
    metadata: { labels },
    spec: { containers: [{ name: "main", image: "registry.test/all:1" }], ...more }
  })
  const selector = { matchLabels: labels }
  const objects = [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: meta("deployment"),
      spec: { selector, template: template() }
    },
    {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: meta("statefulset"),
      spec: { selector, serviceName: "all", template: template() }
    },
    { apiVersion: "apps/v1", kind: "DaemonSet", metadata: meta("daemonset"), spec: { selector, template: template() } },
    { apiVersion: "v1", kind: "Service", metadata: meta("service"), spec: { selector: labels, ports: [{ port: 80 }] } },
    { apiVersion: "v1", kind: "ConfigMap", metadata: meta("configmap"), data: { a: "0400" } },
    { apiVersion: "v1", kind: "Secret", metadata: meta("secret"), stringData: { k: "c4n4ry-v41u3" } },
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "Ingress",
      metadata: meta("ingress"),
      spec: { defaultBackend: { service: { name: "all-service", port: { number: 80 } } } }
    },
    {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: meta("job"),
      spec: { suspend: true, template: template({ restartPolicy: "Never" }) }
    },
    {
      apiVersion: "batch/v1",
      kind: "CronJob",
      metadata: meta("cronjob"),
      spec: {
        schedule: "0 3 * * *",
        suspend: true,
        jobTemplate: { spec: { template: template({ restartPolicy: "Never" }) } }
      }
    },
    {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: meta("hpa"),
      spec: {
        maxReplicas: 2,
        scaleTargetRef: { apiVersion: "apps/v1", kind: "StatefulSet", name: "all-statefulset" },
        metrics: [
          { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } }
        ]
      }
    },
    {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: meta("pdb"),
      spec: { minAvailable: 1, selector }
    },
    {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: meta("pvc"),
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } }
    }
  ]
  const manifest = objects.map((one) => JSON.stringify(one)).join("\n---\n")

  test("is created by one plan, shown as unchanged by the next, and a Secret's value is in no answer", async () => {
    const planned = await ask("plan", { manifest })
    const applied = await ask("apply", { planId: planned.body["planId"], reason })
    expect(applied.body["objects"]).toMatchObject(objects.map(({ kind }) => ({ kind, result: "created", message: "" })))
    const again = await ask("plan", { manifest })
    expect(again.body["objects"]).toMatchObject(objects.map(({ kind }) => ({ kind, change: "unchanged", changes: [] })))
    const writes = written().length
    const bad = await ask("plan", {
      manifest: JSON.stringify({
        apiVersion: "v1",
        kind: "Secret",
        metadata: meta("bad"),
        data: { k: "c4n4ry not base64" }
      })
    })
    expect([bad.status, bad.body["code"], written().length]).toEqual([422, "bad_base64", writes])
    const actions = await admin.ask("/admin/actions", { as: person })
    for (const canary of ["c4n4ry", Buffer.from("c4n4ry-v41u3").toString("base64")]) {
      expect(JSON.stringify([planned, applied, again, bad, actions])).not.toContain(canary)
    }
  }, 60_000)
})

describe("a plain scalar", () => {
  test("is read as kubectl reads it, or refused as ambiguous with kubectl's reading named", async () => {
    const texts = [
      "true True yes Yes YES yEs y Y n on off Off no null ~ Null NULL 0400 0o17 0O17 08 09 010 00 0x1F",
      "0X1F -0x1F 0b11 0B11 -0b11 0b 0b12 1_000 _1 1_ 1__0 0_400 1_0.5 +5 -5 +0x1F 1. .5 -.5 +.5 1.50",
      "1e3 1E3 1e 1.2.3 22:22 12:30:45 2026-01-01 2026-01-01T00:00:00Z 100m 1Gi . + 1e-3",
      "9007199254740991 = < 0.1 1_e3 -0400 0xg --1 +-1 1-1 ._1 -_1 0.0 -0"
    ].flatMap((line) => line.split(" "))
    const yaml = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n${texts.map((text, index) => `  k${index}: ${text}\n`).join("")}`
    const printed = await cluster.kubectl(
      ["create", "--dry-run=client", "--validate=false", "-o", "json", "-n", namespace, "-f", "-"],
      { stdin: yaml }
    )
    const read = (JSON.parse(printed) as { readonly data: Record<string, unknown> }).data
    const theirs = texts.map((text, index) => [text, wordsFor(read[`k${index}`])])
    const ours = texts.map((text) => {
      const reading = readPlain(text)
      return [
        text,
        reading._tag === "Ambiguous"
          ? reading.kubectl
          : reading._tag === "Value"
            ? wordsFor(reading.value)
            : reading._tag
      ]
    })
    expect(ours).toEqual(theirs)
  }, 60_000)
})

describe("restart and undo", () => {
  test("are one patch each, and an apply after our own undo takes over what the undo set (S1.11)", async () => {
    await apply(deployment("app", "registry.test/app:1"))
    await settledAt("app", "1")
    await apply(deployment("app", "registry.test/app:2"))
    await settledAt("app", "2")
    const undone = await ask("undo", target("app"))
    expect(undone.body).toMatchObject({ state: "succeeded", undo: { fromRevision: 2, toRevision: 1 } })
    await settledAt("app", "3")
    expect(await get("deployment", "app")).toMatchObject({
      spec: { template: { spec: { containers: [{ image: "registry.test/app:1" }] } } }
    })
    expect((await ask("restart", target("app"))).body["state"]).toBe("succeeded")
    await settledAt("app", "4")
    expect((await apply(deployment("app", "registry.test/app:3"))).body["state"]).toBe("succeeded")
    await settledAt("app", "5")
    // The last apply is sent without force first: only a conflict with nobody but us is taken over.
    expect(writtenTo("app").map(({ responseStatus }) => responseStatus?.code)).toEqual([201, 200, 200, 200, 409, 200])
  }, 60_000)

  test("of kubectl is another's change: the apply after it conflicts", async () => {
    await cluster.kubectl(["rollout", "undo", "deployment/app", "-n", namespace])
    const answer = await apply(deployment("app", "registry.test/app:9"))
    expect([answer.status, answer.body["code"]]).toEqual([409, "field_conflict"])
  }, 60_000)

  test("of what somebody has changed meanwhile are stale, and nothing is overwritten", async () => {
    const { body } = await ask("plan", { manifest: JSON.stringify(deployment("web", "registry.test/web:3")) })
    await cluster.kubectl(["annotate", "deployment/web", "-n", namespace, "note=new"])
    const answer = await ask("apply", { planId: body["planId"], reason })
    expect([answer.status, answer.body["code"]]).toEqual([409, "stale"])
  }, 60_000)
})

describe("pause, resume and scale", () => {
  test("do as kubectl does, and say when nothing is left to do", async () => {
    expect((await ask("pause", target("web"))).status).toBe(202)
    expect((await ask("pause", target("web"))).body["state"]).toBe("unchanged")
    expect((await ask("restart", target("web"))).body["code"]).toBe("paused")
    expect((await ask("resume", target("web"))).status).toBe(202)
    expect((await ask("scale", { ...target("web"), replicas: 3 })).body["state"]).toBe("succeeded")
    expect(await get("deployment", "web")).toMatchObject({ spec: { replicas: 3 } })
  }, 60_000)
})

describe("security: the API server's audit log shows no write", () => {
  const nothing = async (start: () => Promise<Admin>, code: string) => {
    const own = await start()
    const before = written().length
    const answers = [
      await ask("restart", target("web"), own),
      await ask("undo", target("web"), own),
      await ask("scale", { ...target("web"), replicas: 5 }, own)
    ]
    expect(answers.map(({ body, status }) => [status, body["code"]])).toEqual(Array(3).fill([503, code]))
    expect(written().length).toBe(before)
    return own
  }
  const env = () => ({ KUBERNETES: account.kubeconfig, ADMIN_NAMESPACES: namespace })

  test("when the backup folder is full", async () => {
    const full = { ...env(), ADMIN_BACKUP_MIN_FREE_BYTES: String(2 ** 52) }
    await (await nothing(() => startReady(full), "backup_failed")).stop()
  }, 60_000)

  test("when the backup folder cannot be written", async () => {
    const wrong = { ...env(), ADMIN_BACKUP_DIR: "/dev/null/backups" }
    await (await nothing(() => startReady(wrong), "backup_failed")).stop()
  }, 60_000)

  test("when the logging DB is down", async () => {
    const postgres = privatePostgres()
    await postgres.start()
    const own = await nothing(async () => {
      const made = await startAdmin({ env: env(), databaseUrl: postgres.url("logging", "admin") })
      await until("it is ready", async () => (await made.service.internal(new Request("http://localhost/readyz"))).ok)
      await postgres.stop()
      return made
    }, "audit_unavailable")
    await own.stop()
    await postgres.dispose()
  }, 120_000)

  test("when the service account lacks the right, which is named", async () => {
    await grant("reader", [
      { apiGroups: ["apps"], resources: ["deployments", "replicasets"], verbs: ["get", "list", "watch"] }
    ])
    const reader = await cluster.serviceAccount(namespace, "reader")
    const own = await startReady({ ...env(), KUBERNETES: reader.kubeconfig })
    const { body, status } = await ask("restart", target("web"), own)
    await own.stop()
    expect([status, body["code"], body["detail"]]).toEqual([
      503,
      "upstream_forbidden",
      expect.stringMatching(/cannot patch resource "deployments"/u)
    ])
  }, 60_000)
})
