/** The rendered environments on a real API server: they apply without a warning and twice without a change, and give each service account its rights and no more. */
import { beforeAll, describe, expect, test } from "bun:test"
import { at, fieldsOf, listAt, textAt, textsAt, without } from "#shared/kubernetes/fields.ts"
import { appliedEnvironments, apply, podOf, refusalOf } from "#test/cluster/appliedEnvironments.ts"
import { eventually } from "#test/shared/until.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { accessTable, checkedInAccess } from "#test/manifests/access.ts"
import { clusterText, environments, overlayText } from "#test/manifests/render.ts"

const cluster = await testCluster()

const reported = new Set(["Deployment", "StatefulSet", "PersistentVolumeClaim", "PodDisruptionBudget"])

/** What was asked for of every object, by its version where only an apply makes a new one. */
const versions = async () => {
  const kinds =
    "serviceaccounts,roles,rolebindings,configmaps,services,persistentvolumeclaims,deployments,statefulsets,poddisruptionbudgets,networkpolicies,ingresses"
  const answers = await Promise.all(
    environments
      .flatMap((environment) => [environment, `${environment}-monitoring`])
      .map((namespace) => cluster.kubectl(["get", kinds, "-n", namespace, "-o", "json"]))
  )
  return answers
    .flatMap((text) => listAt(JSON.parse(text), "items"))
    .map((one) => {
      const place = `${textAt(one, "kind")} ${textAt(one, "metadata", "namespace")}/${textAt(one, "metadata", "name")}`
      const { generation, resourceVersion } = fieldsOf(at(one, "metadata"))
      const asked = JSON.stringify([
        generation,
        textsAt(one, "metadata", "labels"),
        without(fieldsOf(one), "status", "metadata")
      ])
      // What controllers report in the status of these is a new version each time.
      return [place, reported.has(textAt(one, "kind") ?? "") ? asked : `${asked} ${String(resourceVersion)}`] as const
    })
    .sort()
}

let first: Awaited<ReturnType<typeof appliedEnvironments>> = []

beforeAll(async () => {
  first = await appliedEnvironments(cluster)
}, 300_000)

describe("the environments and the cluster's own objects", () => {
  test("apply server-side, strictly validated, without a warning", () => {
    expect(first.map(({ code, complaints }) => ({ code, complaints }))).toEqual(
      first.map(() => ({ code: 0, complaints: "" }))
    )
  })

  test("applied again, change nothing", async () => {
    const before = await versions()
    for (const text of [clusterText(), ...environments.map(overlayText)]) {
      expect(await apply(cluster, text)).toMatchObject({ code: 0, complaints: "" })
    }
    expect(await versions()).toEqual(before)
  })

  test("fit their quotas: every workload gets its pods", async () => {
    await eventually(
      "every workload has its pod",
      async () => {
        const pods = await cluster.read("/api/v1/pods?labelSelector=app.kubernetes.io%2Fpart-of%3Dgatehouse")
        return listAt(pods, "items").length >= 30
      },
      90
    )
  }, 120_000)
})

describe("quotas and limits", () => {
  test("a container that asks for nothing gets the namespace's defaults, and one that asks for too much is refused", async () => {
    const bare = podOf("dev/Deployment/dashboard", (_, container) => {
      delete container["resources"]
    })
    const text = await cluster.kubectl(["create", "-f", "-", "--dry-run=server", "-o", "json"], {
      stdin: JSON.stringify(bare)
    })
    const [container] = listAt(JSON.parse(text), "spec", "containers")
    expect(textAt(container, "resources", "limits", "memory")).toBe("256Mi")
    const greedy = podOf("dev/Deployment/dashboard", (_, one) => {
      one["resources"] = { requests: { cpu: "1", memory: "2Gi" }, limits: { cpu: "2", memory: "2Gi" } }
    })
    expect(await refusalOf(cluster, greedy)).toContain("exceeded quota: environment")
  })
})

describe("rights", () => {
  test("of every service account in every namespace are those of kustomize/access.txt", async () => {
    expect(await accessTable(cluster)).toBe(checkedInAccess())
  }, 180_000)

  test.each([
    ["prod:admin", "patch", "deployments.apps", "prod", "yes"],
    ["prod:admin", "patch", "deployments.apps", "dev", "no"],
    ["prod:admin", "get", "secrets", "prod", "no"],
    ["prod:scheduler", "patch", "deployments.apps", "prod", "no"],
    ["prod:scheduler", "create", "jobs.batch", "prod", "yes"],
    ["prod:scheduler", "list", "nodes", "prod", "no"],
    ["prod:gateway", "create", "tokenreviews.authentication.k8s.io", "prod", "yes"],
    ["prod:gateway", "create", "subjectaccessreviews.authorization.k8s.io", "prod", "no"],
    ["prod:dashboard", "get", "pods", "prod", "no"],
    ["dev:scheduler", "list", "pods", "prod", "no"]
  ])("%s: %s %s in %s: %s", async (account, verb, resource, namespace, answer) => {
    const as = `--as=system:serviceaccount:${account}`
    const { stdout } = await cluster.tryKubectl(["auth", "can-i", verb, resource, "-n", namespace, as])
    expect(stdout.trim()).toBe(answer)
  })
})
