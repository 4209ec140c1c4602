/** Drills R1 and R2 on a real API server: a namespace is deleted and restored from its newest sound backup set by plan and apply, with no more rights than admin's Role. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { readFileSync, truncateSync } from "node:fs"
import { join } from "node:path"
import { type Admin, deployment, startAdmin } from "#test/admin/callers.ts"
import { testCluster } from "#test/cluster/launch.ts"

const run = Date.now().toString(36)
/** What is lost, and where admin's own account lives, which is not. */
const namespace = `backup-sets-${run}`
const home = `backup-sets-admin-${run}`
const cluster = await testCluster()
const person = { id: "owner", scope: `admin:*:${namespace}` }

/** No Secret, no deletion: restoring needs neither. */
const rules = [
  {
    apiGroups: ["apps"],
    resources: ["deployments", "statefulsets", "daemonsets"],
    verbs: ["get", "list", "watch", "create", "patch"]
  },
  { apiGroups: ["apps"], resources: ["replicasets", "controllerrevisions"], verbs: ["get", "list", "watch"] },
  { apiGroups: [""], resources: ["pods", "events"], verbs: ["get", "list", "watch"] },
  {
    apiGroups: ["", "batch", "networking.k8s.io", "autoscaling", "policy"],
    resources: [
      "services",
      "configmaps",
      "persistentvolumeclaims",
      "cronjobs",
      "ingresses",
      "horizontalpodautoscalers",
      "poddisruptionbudgets"
    ],
    verbs: ["get", "list", "create", "patch"]
  }
]

const send = (items: ReadonlyArray<object>) =>
  cluster.kubectl(["apply", "--server-side", "-f", "-"], {
    stdin: JSON.stringify({ apiVersion: "v1", kind: "List", items })
  })

/** The namespace and what is not admin's to restore: it comes with the overlay. */
const ground = () =>
  send([
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "app", namespace } },
    { apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role", metadata: { name: "admin", namespace }, rules },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "admin", namespace },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "admin" },
      subjects: [{ kind: "ServiceAccount", name: "admin", namespace: home }]
    }
  ])

const container = { name: "main", image: "registry.test/app:1" }
const labels = { app: "app" }
const own = (name: string) => ({ name, namespace, labels, annotations: { "gatehouse.test/note": "yes" } })
const pods = { metadata: { labels }, spec: { serviceAccountName: "app", containers: [container] } }
const everything = [
  { apiVersion: "v1", kind: "ConfigMap", metadata: own("settings"), data: { mode: "0400", text: "a\n---\nb\n" } },
  { apiVersion: "v1", kind: "Secret", metadata: own("password"), stringData: { password: "S3cretValue" } },
  {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: own("files"),
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Mi" } }, storageClassName: "none" }
  },
  { apiVersion: "v1", kind: "Service", metadata: own("web"), spec: { selector: labels, ports: [{ port: 80 }] } },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: own("db"),
    spec: { clusterIP: "None", selector: labels, ports: [{ port: 5432 }] }
  },
  {
    ...deployment("web", container.image),
    metadata: own("web"),
    spec: { replicas: 2, selector: { matchLabels: labels }, template: pods }
  },
  {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: own("db"),
    spec: {
      serviceName: "db",
      selector: { matchLabels: labels },
      template: pods,
      volumeClaimTemplates: [
        {
          metadata: { name: "data" },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Mi" } } }
        }
      ]
    }
  },
  {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: own("nightly"),
    spec: {
      schedule: "0 3 * * *",
      jobTemplate: { spec: { template: { spec: { restartPolicy: "Never", containers: [container] } } } }
    }
  },
  {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: own("web"),
    spec: { minAvailable: 1, selector: { matchLabels: labels } }
  },
  {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: own("web"),
    spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" }, maxReplicas: 4 }
  },
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: own("web"),
    spec: { defaultBackend: { service: { name: "web", port: { number: 80 } } } }
  }
]

/** Without the Secret, and with the claim that the StatefulSet's controller makes. */
const expected = everything.length

let admin: Admin
beforeAll(async () => {
  await cluster.kubectl(["create", "namespace", home])
  await send([{ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "admin", namespace: home } }])
  await ground()
  const { kubeconfig } = await cluster.serviceAccount(home, "admin")
  await send(everything)
  await cluster.kubectl(["wait", "--for=create", "pvc/data-db-0", "-n", namespace, "--timeout=60s"])
  admin = await startAdmin({
    env: { KUBERNETES: kubeconfig, ADMIN_NAMESPACES: namespace, ADMIN_BACKUP_SET_EVERY: "0 seconds" }
  })
}, 120_000)
afterAll(async () => {
  await admin.stop()
  await cluster.kubectl(["delete", "namespace", namespace, home, "--wait=false", "--ignore-not-found"])
})

const ask = async (path: string, body?: object) => {
  const answer = await admin.ask(`/admin/ns/${namespace}/${path}`, {
    as: person,
    method: "POST",
    ...(body === undefined ? {} : { body })
  })
  if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}
const liveOf = ({ id }: { readonly id?: unknown }) =>
  readFileSync(join(admin.backups, "_sets", namespace, String(id), "live.yaml"), "utf8")
interface Restore {
  readonly plan: { readonly planId: string; readonly objects: ReadonlyArray<{ readonly change: string }> }
  readonly set: { readonly id: string }
  readonly refused: ReadonlyArray<{ readonly id: string; readonly damaged: string }>
  readonly unchanged: number
}
const planned = async (set: string) => (await ask(`backups/${set}/plan`)) as object as Restore
const apply = ({ plan }: Restore) => ask("apply", { planId: plan.planId, reason: "the namespace was deleted" })

describe("a namespace that was deleted", () => {
  test("is restored from its newest sound set: the same objects and specs, and nothing is left to change", async () => {
    const before = await ask("backups")
    expect(before).toMatchObject({ objects: expected, images: [container.image], damaged: null })
    expect(liveOf(before)).not.toContain("S3cretValue")
    expect(await planned("newest")).toMatchObject({ unchanged: expected })
    const damaged = await ask("backups")
    truncateSync(join(admin.backups, "_sets", namespace, String(damaged["id"]), "live.yaml"), 500)

    await cluster.kubectl(["delete", "namespace", namespace, "--wait=true", "--timeout=90s"])
    await ground()

    const restore = await planned("newest")
    expect(restore.set.id).toBe(String(before["id"]))
    expect(restore.refused).toMatchObject([{ id: damaged["id"], damaged: "live.yaml has another SHA-256" }])
    expect(new Set(restore.plan.objects.map(({ change }) => change))).toEqual(new Set(["create"]))
    const applied = await apply(restore)
    expect(applied["objects"]).toEqual(Array(expected).fill(expect.objectContaining({ result: "created" })))

    const after = await ask("backups")
    expect(liveOf(after)).toBe(liveOf(before))
    const again = await planned(String(before["id"]))
    expect(again.unchanged).toBe(expected)
    expect((await apply(again))["state"]).toBe("unchanged")
  }, 180_000)
})
