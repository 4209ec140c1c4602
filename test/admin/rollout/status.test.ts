/** Where a rollout stands: kubectl's texts in kubectl's order, and the phases that kubectl lacks. */
import { describe, expect, test } from "bun:test"
import { kubectlStatus, rolloutStatus } from "#admin/rollout/status.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { daemonSet, deployment, pod, statefulSet, waiting } from "#test/admin/objects.ts"

const full = { replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 }
const late = { conditions: [{ type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded" }] }
const revision = (number: string) => ({ "deployment.kubernetes.io/revision": number })
const rolling = (more: { readonly partition?: number } = {}) => ({
  updateStrategy: { type: "RollingUpdate", rollingUpdate: more }
})
const revisions = { currentRevision: "web-a", updateRevision: "web-b", currentReplicas: 2 }
const daemons = { desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberReady: 3, numberAvailable: 3 }

type Case = readonly [title: string, kind: WorkloadKind, object: KubernetesObject, message: string, outcome: string]

const cases: ReadonlyArray<Case> = [
  [
    "Deployment: a new spec that its controller has not seen",
    "Deployment",
    deployment({ generation: 4, status: { ...full, ...late, observedGeneration: 3 } }),
    "Waiting for deployment spec update to be observed...",
    "waiting"
  ],
  [
    "Deployment: past its deadline, whatever the counters",
    "Deployment",
    deployment({ status: { ...full, ...late } }),
    'deployment "web" exceeded its progress deadline',
    "error"
  ],
  [
    "Deployment: too few updated",
    "Deployment",
    deployment({ status: { ...full, replicas: 3, updatedReplicas: 1 } }),
    'Waiting for deployment "web" rollout to finish: 1 out of 2 new replicas have been updated...',
    "waiting"
  ],
  [
    "Deployment: old ones left",
    "Deployment",
    deployment({ status: { ...full, replicas: 3 } }),
    'Waiting for deployment "web" rollout to finish: 1 old replicas are pending termination...',
    "waiting"
  ],
  [
    "Deployment: not all available",
    "Deployment",
    deployment({ status: { ...full, availableReplicas: 1 } }),
    'Waiting for deployment "web" rollout to finish: 1 of 2 updated replicas are available...',
    "waiting"
  ],
  ["Deployment: done", "Deployment", deployment({ status: full }), 'deployment "web" successfully rolled out', "done"],
  [
    "Deployment: scaled to nothing is done",
    "Deployment",
    deployment({ spec: { replicas: 0 } }),
    'deployment "web" successfully rolled out',
    "done"
  ],
  [
    "DaemonSet: OnDelete",
    "DaemonSet",
    daemonSet({ spec: { updateStrategy: { type: "OnDelete" } } }),
    "rollout status is only available for RollingUpdate strategy type",
    "error"
  ],
  [
    "DaemonSet: unobserved",
    "DaemonSet",
    daemonSet({ generation: 2, status: { ...daemons, observedGeneration: 1 } }),
    "Waiting for daemon set spec update to be observed...",
    "waiting"
  ],
  [
    "DaemonSet: too few updated",
    "DaemonSet",
    daemonSet({ status: { ...daemons, updatedNumberScheduled: 1 } }),
    'Waiting for daemon set "web" rollout to finish: 1 out of 3 new pods have been updated...',
    "waiting"
  ],
  [
    "DaemonSet: not all available",
    "DaemonSet",
    daemonSet({ status: { ...daemons, numberAvailable: 2 } }),
    'Waiting for daemon set "web" rollout to finish: 2 of 3 updated pods are available...',
    "waiting"
  ],
  ["DaemonSet: done", "DaemonSet", daemonSet({ status: daemons }), 'daemon set "web" successfully rolled out', "done"],
  [
    "StatefulSet: OnDelete",
    "StatefulSet",
    statefulSet({ spec: { updateStrategy: { type: "OnDelete" } } }),
    "rollout status is only available for RollingUpdate strategy type",
    "error"
  ],
  [
    "StatefulSet: never observed",
    "StatefulSet",
    statefulSet({ status: { ...full, observedGeneration: 0 } }),
    "Waiting for statefulset spec update to be observed...",
    "waiting"
  ],
  [
    "StatefulSet: not all ready",
    "StatefulSet",
    statefulSet({ status: { ...full, readyReplicas: 1 } }),
    "Waiting for 1 pods to be ready...",
    "waiting"
  ],
  [
    "StatefulSet: partition not reached",
    "StatefulSet",
    statefulSet({
      spec: { replicas: 3, ...rolling({ partition: 1 }) },
      status: { ...full, readyReplicas: 3, updatedReplicas: 1 }
    }),
    "Waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated...",
    "waiting"
  ],
  [
    "StatefulSet: partition reached",
    "StatefulSet",
    statefulSet({ spec: { replicas: 3, ...rolling({ partition: 1 }) }, status: { ...full, readyReplicas: 3 } }),
    "partitioned roll out complete: 2 new pods have been updated...",
    "done"
  ],
  [
    "StatefulSet: rollingUpdate without a partition is done whatever the revisions",
    "StatefulSet",
    statefulSet({ spec: rolling(), status: { ...full, ...revisions } }),
    "partitioned roll out complete: 2 new pods have been updated...",
    "done"
  ],
  [
    "StatefulSet: revisions differ",
    "StatefulSet",
    statefulSet({ status: { ...full, ...revisions, updatedReplicas: 1 } }),
    "waiting for statefulset rolling update to complete 1 pods at revision web-b...",
    "waiting"
  ],
  [
    "StatefulSet: done",
    "StatefulSet",
    statefulSet({ status: { ...full, ...revisions, updateRevision: "web-a" } }),
    "statefulset rolling update complete 2 pods at revision web-a...",
    "done"
  ]
]

describe("kubectl rollout status", () => {
  for (const [title, kind, object, message, outcome] of cases) {
    test(title, () => expect<object>(kubectlStatus(kind, object)).toEqual({ message, outcome }))
  }

  test("a pinned revision that is not the running one is an error before all else", () => {
    const object = deployment({ annotations: revision("4"), generation: 9, status: { observedGeneration: 1 } })
    expect(kubectlStatus("Deployment", object, 3)).toEqual({
      message: "desired revision (3) is different from the running revision (4)",
      outcome: "error"
    })
    expect(kubectlStatus("Deployment", object, 4).outcome).toBe("waiting")
  })
})

describe("the phase", () => {
  const rollout = (object: KubernetesObject, pods: ReadonlyArray<KubernetesObject> = [], lasted = 0) =>
    rolloutStatus("Deployment", object, pods, { lasted })
  const waits = deployment({ status: { ...full, availableReplicas: 1 } })
  const broken = (reason: string, field = "containerStatuses") =>
    pod(waits, "web-1", { [field]: [waiting("app", reason, 2)], conditions: [] })

  test("is progressing, complete, failed or paused as kubectl has it", () => {
    expect(rollout(waits).phase).toBe("progressing")
    expect(rollout(deployment({ status: full })).phase).toBe("complete")
    expect(rollout(deployment({ status: { ...full, ...late } })).phase).toBe("failed")
    const paused = rollout(deployment({ spec: { paused: true }, status: full }))
    expect([paused.phase, paused.done, paused.message]).toEqual([
      "paused",
      true,
      'deployment "web" successfully rolled out'
    ])
  })

  for (const reason of ["CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"]) {
    test(`is stalled when a new pod waits in ${reason}`, () => {
      const status = rollout(waits, [broken(reason)])
      expect([status.phase, status.done, status.reason, status.pods]).toEqual([
        "stalled",
        false,
        `${reason} in container app of pod web-1`,
        [{ name: "web-1", container: "app", reason }]
      ])
    })
  }

  test("is stalled when an init container cannot go on", () => {
    expect(rollout(waits, [broken("CrashLoopBackOff", "initContainerStatuses")]).phase).toBe("stalled")
  })

  const between = (restarts: number, exitCode: number) =>
    pod(waits, "web-1", {
      conditions: [],
      containerStatuses: [
        {
          name: "app",
          ready: false,
          restartCount: restarts,
          state: { running: {} },
          lastState: { terminated: { exitCode, reason: "OOMKilled" } }
        }
      ]
    })

  test("stays stalled in the moment between two crashes, and is not after a first one or a clean end", () => {
    expect(rollout(waits, [between(2, 137)]).reason).toBe("OOMKilled in container app of pod web-1")
    expect(rollout(waits, [between(1, 137)]).phase).toBe("progressing")
    expect(rollout(waits, [between(5, 0)]).phase).toBe("progressing")
  })

  test("is progressing while a container is only being created", () => {
    const created = pod(waits, "web-1", { containerStatuses: [waiting("app", "ContainerCreating")], conditions: [] })
    expect(rollout(waits, [created]).phase).toBe("progressing")
  })

  test("is stalled after ten minutes, for kinds without a deadline of their own too", () => {
    const object = statefulSet({ status: { ...full, readyReplicas: 1 } })
    const phase = (lasted: number) => rolloutStatus("StatefulSet", object, [], { lasted }).phase
    expect([phase(599_999), phase(600_000)]).toEqual(["progressing", "stalled"])
  })

  test("of OnDelete goes by the counters", () => {
    const onDelete = (status: object) =>
      rolloutStatus(
        "StatefulSet",
        statefulSet({ spec: { updateStrategy: { type: "OnDelete" } }, status: { ...status } }),
        []
      ).phase
    expect([onDelete(full), onDelete({ ...full, updatedReplicas: 1 })]).toEqual(["complete", "progressing"])
  })
})
