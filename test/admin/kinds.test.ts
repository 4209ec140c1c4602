/** Names of kinds, managers of a conflict, and whose pods an event is about. */
import { describe, expect, test } from "bun:test"
import { eventsOf, podNames } from "#admin/clusterEvents.ts"
import { managersOf, onlyOurs } from "#admin/fieldManager.ts"
import { workloadKindOf } from "#admin/kinds.ts"
import { KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"

test("a kind is known by its name, in lower case and in the plural", () => {
  for (const kind of ["Deployment", "StatefulSet", "DaemonSet"] as const) {
    expect([kind, kind.toLowerCase(), `${kind.toLowerCase()}s`].map(workloadKindOf)).toEqual([kind, kind, kind])
  }
  for (const text of ["", "Pod", "DEPLOYMENT", "deployment ", "deploymentss", "constructor", "secrets"]) {
    expect(workloadKindOf(text)).toBeUndefined()
  }
})

describe("a conflict", () => {
  const conflict = (...managers: ReadonlyArray<string>) =>
    new KubernetesFailed({
      reason: "conflict",
      status: 409,
      detail: "Apply failed",
      causes: managers.map((manager) => ({
        reason: "FieldManagerConflict",
        message: `conflict with "${manager}" using apps/v1`,
        field: ".spec.replicas"
      })),
      retryAfterSeconds: null,
      sent: true
    })
  test("is only ours where every manager is", () => {
    expect(onlyOurs(conflict("gatehouse-admin", "gatehouse-admin"))).toBe(true)
    expect(onlyOurs(conflict("gatehouse-admin", "kubectl"))).toBe(false)
    expect(managersOf(conflict("a", "b", "a"))).toEqual(["a", "b"])
  })
  test("that names nobody is not ours", () => expect(onlyOurs(conflict())).toBe(false))
  test("security: a manager whose name only begins like ours is not us", () => {
    expect(onlyOurs(conflict("gatehouse-admin-2"))).toBe(false)
  })
})

describe("events", () => {
  test("of a workload's pods are known by name when the pods are gone", () => {
    const deployment = podNames("Deployment", "web", ["web-5f6d7", "web-9c8b7"])
    expect(deployment.test("web-5f6d7-abcde")).toBe(true)
    expect(deployment.test("web-api-5f6d7-abcde")).toBe(false)
    expect(podNames("StatefulSet", "web", []).test("web-12")).toBe(true)
    expect(podNames("StatefulSet", "web", []).test("web-api-0")).toBe(false)
    expect(podNames("DaemonSet", "we.b", []).test("wexb-abcde")).toBe(false)
    expect(podNames("Deployment", "web", []).test("web-5f6d7-abcde")).toBe(false)
  })

  test("take their time from wherever the recorder has put it, newest first", () => {
    const event = (name: string, times: object): KubernetesObject => ({
      apiVersion: "v1",
      kind: "Event",
      metadata: { name },
      reason: name,
      involvedObject: { kind: "Pod", name: "web-0" },
      ...times
    })
    const list = eventsOf([
      event("old", { lastTimestamp: "2026-01-01T00:00:00Z", count: 3 }),
      event("new", { series: { lastObservedTime: "2026-01-03T00:00:00Z", count: 7 }, lastTimestamp: null }),
      event("middle", { eventTime: "2026-01-02T00:00:00Z" })
    ])
    expect(list.map(({ count, reason }) => [reason, count])).toEqual([
      ["new", 7],
      ["middle", 1],
      ["old", 3]
    ])
  })
})
