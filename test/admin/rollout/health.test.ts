/** Health by Argo CD's rules, and where ours must see more: init containers, and kinds that Argo CD never calls Degraded. */
import { describe, expect, test } from "bun:test"
import { objectHealth, podHealth, workloadHealth } from "#admin/rollout/health.ts"
import { rolloutStatus } from "#admin/rollout/status.ts"
import type { HealthStatus, WorkloadKind } from "#shared/domain/workload.ts"
import type { Json, KubernetesObject } from "#shared/kubernetes/objects.ts"
import { daemonSet, deployment, pod, statefulSet, waiting } from "#test/admin/objects.ts"

const owner = deployment()
const running = (more: { readonly [key: string]: Json }) => pod(owner, "web-1", { conditions: [], ...more })
const leaving = (object: KubernetesObject): KubernetesObject => ({
  ...object,
  metadata: { ...object.metadata, deletionTimestamp: "2026-11-26T09:00:00Z" }
})
const died = {
  name: "app",
  ready: false,
  restartCount: 1,
  state: { running: {} },
  lastState: { terminated: { exitCode: 137, reason: "OOMKilled" } }
}
const never = { spec: { restartPolicy: "Never", containers: [] } }

describe("a pod", () => {
  const cases: ReadonlyArray<readonly [title: string, object: KubernetesObject, status: HealthStatus, reason: string]> =
    [
      ["that runs and is ready", pod(owner, "web-1"), "Healthy", ""],
      ["that is being deleted", leaving(pod(owner, "web-1")), "Progressing", "Pending deletion"],
      [
        "in a crash loop",
        running({ containerStatuses: [waiting("app", "CrashLoopBackOff", 3)] }),
        "Degraded",
        "container app: CrashLoopBackOff"
      ],
      [
        "whose image cannot be pulled",
        running({ phase: "Pending", containerStatuses: [waiting("app", "ErrImagePull")] }),
        "Degraded",
        "container app: ErrImagePull"
      ],
      [
        "whose config is missing",
        running({ phase: "Pending", containerStatuses: [waiting("app", "CreateContainerConfigError")] }),
        "Degraded",
        "container app: CreateContainerConfigError"
      ],
      [
        "whose init container loops",
        running({ phase: "Pending", initContainerStatuses: [waiting("prepare", "CrashLoopBackOff", 1)] }),
        "Degraded",
        "container prepare: CrashLoopBackOff"
      ],
      [
        "whose container is being created",
        running({ phase: "Pending", containerStatuses: [waiting("app", "ContainerCreating")] }),
        "Progressing",
        ""
      ],
      [
        "that runs, is not ready and has died before",
        running({ containerStatuses: [died] }),
        "Degraded",
        "container app has ended before: OOMKilled, exit code 137"
      ],
      ["that runs and is not ready yet", running({}), "Progressing", "not ready yet"],
      ["that has failed", running({ phase: "Failed", message: "evicted" }), "Degraded", "evicted"],
      ["that has succeeded", running({ phase: "Succeeded" }), "Healthy", ""],
      [
        "of a job, whose container waits",
        pod(owner, "job", { phase: "Running", containerStatuses: [waiting("app", "CrashLoopBackOff")] }, never),
        "Progressing",
        ""
      ],
      ["of which nothing is known", running({ phase: "Unknown" }), "Unknown", ""]
    ]
  for (const [title, object, status, reason] of cases) {
    test(title, () => expect(podHealth(object)).toEqual({ status, reason }))
  }
})

describe("a workload", () => {
  const full = { replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 }
  const health = (kind: WorkloadKind, object: KubernetesObject, pods: ReadonlyArray<KubernetesObject> = []) =>
    workloadHealth(object, kind, rolloutStatus(kind, object, pods)).status
  const stuck = [running({ containerStatuses: [waiting("app", "CrashLoopBackOff", 3)] })]

  test("is Suspended, Progressing, Healthy or Degraded as its rollout stands", () => {
    const late = { conditions: [{ type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded" }] }
    expect([
      health("Deployment", deployment({ spec: { paused: true }, status: full })),
      health("Deployment", deployment({ status: { ...full, availableReplicas: 1 } })),
      health("Deployment", deployment({ status: full })),
      health("Deployment", deployment({ status: { ...full, ...late } })),
      health("Deployment", leaving(deployment({ status: full })))
    ]).toEqual(["Suspended", "Progressing", "Healthy", "Degraded", "Progressing"])
  })

  for (const [kind, make] of [
    ["StatefulSet", statefulSet],
    ["DaemonSet", daemonSet]
  ] as const) {
    test(`of kind ${kind} is Degraded when its new pods cannot start`, () => {
      const status = kind === "DaemonSet" ? { desiredNumberScheduled: 1 } : {}
      expect(health(kind, make({ status }), stuck)).toBe("Degraded")
    })
    test(`of kind ${kind} with OnDelete is Healthy whatever the counters`, () => {
      const status = kind === "DaemonSet" ? { desiredNumberScheduled: 1 } : {}
      expect(health(kind, make({ status, spec: { updateStrategy: { type: "OnDelete" } } }))).toBe("Healthy")
    })
  }
})

const object = (kind: string, spec: Json, status: Json): KubernetesObject => ({
  apiVersion: "v1",
  kind,
  metadata: { name: "one", generation: 1 },
  spec,
  status
})
const condition = (type: string, status = "True") => ({ conditions: [{ type, status, message: `it says ${type}` }] })

describe("other kinds", () => {
  const cases: ReadonlyArray<readonly [KubernetesObject, HealthStatus]> = [
    [object("ReplicaSet", { replicas: 2 }, { observedGeneration: 1, availableReplicas: 2 }), "Healthy"],
    [object("ReplicaSet", { replicas: 2 }, { observedGeneration: 1, availableReplicas: 1 }), "Progressing"],
    [object("ReplicaSet", { replicas: 2 }, { observedGeneration: 1, ...condition("ReplicaFailure") }), "Degraded"],
    [object("Job", {}, condition("Failed")), "Degraded"],
    [object("Job", {}, condition("Complete")), "Healthy"],
    [object("Job", {}, condition("Suspended")), "Suspended"],
    [object("Job", {}, {}), "Progressing"],
    [object("CronJob", { suspend: true }, {}), "Suspended"],
    [object("CronJob", {}, {}), "Healthy"],
    [
      object("CronJob", {}, { lastScheduleTime: "2026-01-02T00:00:00Z", lastSuccessfulTime: "2026-01-01T00:01:00Z" }),
      "Degraded"
    ],
    [
      object("CronJob", {}, { lastScheduleTime: "2026-01-01T00:00:00Z", lastSuccessfulTime: "2026-01-01T00:01:00Z" }),
      "Healthy"
    ],
    [object("CronJob", {}, { lastScheduleTime: "2026-01-02T00:00:00Z", active: [{}] }), "Healthy"],
    [object("PersistentVolumeClaim", {}, { phase: "Lost" }), "Degraded"],
    [object("PersistentVolumeClaim", {}, { phase: "Pending" }), "Progressing"],
    [object("PersistentVolumeClaim", {}, { phase: "Bound" }), "Healthy"],
    [object("Service", { type: "LoadBalancer" }, {}), "Progressing"],
    [object("Service", { type: "LoadBalancer" }, { loadBalancer: { ingress: [{ ip: "10.0.0.1" }] } }), "Healthy"],
    [object("Service", { type: "ClusterIP" }, {}), "Healthy"],
    [object("Ingress", {}, {}), "Progressing"],
    [object("HorizontalPodAutoscaler", {}, {}), "Progressing"],
    [object("HorizontalPodAutoscaler", {}, condition("ScalingActive", "False")), "Degraded"],
    [object("HorizontalPodAutoscaler", {}, condition("ScalingActive")), "Healthy"],
    [object("ConfigMap", {}, {}), "Healthy"]
  ]
  for (const [one, status] of cases) {
    const title = `${one.kind} ${JSON.stringify(one["spec"])} ${JSON.stringify(one["status"])} is ${status}`
    test(title, () => expect(objectHealth(one).status).toBe(status))
  }
})
