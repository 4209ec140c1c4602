/** A small team's namespace for the browser tests: one workload crash-loops after a bad release; pure data, made anew for each test. */
import type {
  Actor,
  ClusterEvent,
  ContainerState,
  PodNode,
  Revision,
  Workload,
  WorkloadDetail
} from "#shared/api/admin.ts"
import type { FieldChange } from "#shared/domain/workload.ts"

export const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString()
export const demoId = (number: number): string => `0190e0b0-0000-7000-8000-${String(number).padStart(12, "0")}`

export const scheduler: Actor = { id: "workload:scheduler", name: "scheduler" }
export const jonas: Actor = { id: "0190e0a0-0000-7000-8000-000000000002", name: "Jonas Weber" }
export const amira: Actor = { id: "0190e0a0-0000-7000-8000-000000000003", name: "Amira Haddad" }

const registry = "registry.example.net/shop"

interface Sketch {
  readonly kind?: Workload["kind"]
  readonly images: ReadonlyArray<string>
  readonly desired?: number
  readonly ready?: number
  readonly restarts?: number
  readonly paused?: boolean
  readonly revision?: number
  readonly health?: Workload["health"]
  readonly phase?: Workload["phase"]
  readonly days: number
  readonly change?: Workload["lastChange"]
}

const workload = (namespace: string, number: number, name: string, sketch: Sketch): Workload => {
  const desired = sketch.desired ?? 1
  const ready = sketch.ready ?? desired
  return {
    namespace,
    kind: sketch.kind ?? "Deployment",
    name,
    uid: demoId(number),
    generation: 7,
    revision: sketch.revision ?? 3,
    images: sketch.images,
    desired,
    ready,
    updated: desired,
    available: ready,
    restarts: sketch.restarts ?? 0,
    paused: sketch.paused ?? false,
    health: sketch.health ?? { status: "Healthy", reason: "" },
    phase: sketch.phase ?? "complete",
    createdAt: ago(sketch.days * 1440),
    lastChange: sketch.change ?? null
  }
}

const changed = (number: number, action: string, actor: Actor, minutes: number) => ({
  actionId: demoId(number),
  action,
  actor,
  at: ago(minutes)
})

export const makeWorkloads = (namespace: string): Array<Workload> => [
  workload(namespace, 1, "shop-api", {
    images: [`${registry}/shop-api:2.8.0`, "envoyproxy/envoy:v1.38.1"],
    desired: 3,
    ready: 2,
    restarts: 14,
    revision: 5,
    health: { status: "Degraded", reason: "container api of the new revision keeps crashing (exit code 1)" },
    phase: "stalled",
    days: 212,
    change: changed(201, "apply", jonas, 24)
  }),
  workload(namespace, 2, "checkout", {
    images: [`${registry}/checkout:4.1.3`],
    desired: 4,
    ready: 3,
    health: { status: "Progressing", reason: "3 of 4 updated replicas are available" },
    phase: "progressing",
    days: 98,
    change: changed(202, "restart", amira, 1)
  }),
  workload(namespace, 3, "search", {
    images: [`${registry}/search@sha256:9f2c1be07d4a55f0c3e1a8b6d7`],
    desired: 2,
    paused: true,
    health: { status: "Suspended", reason: "the rollout is paused" },
    phase: "paused",
    days: 40,
    change: changed(203, "pause", amira, 190)
  }),
  workload(namespace, 4, "catalog", { images: [`${registry}/catalog:1.19.0`], desired: 2, days: 212, restarts: 1 }),
  workload(namespace, 5, "mailer", { images: [`${registry}/mailer:0.9.4`], days: 131 }),
  workload(namespace, 6, "thumbnails", {
    images: [`${registry}/thumbnails:3.0.2`],
    desired: 0,
    days: 64,
    change: changed(205, "scale", jonas, 2900)
  }),
  workload(namespace, 7, "orders-db", { kind: "StatefulSet", images: ["postgres:18.4"], desired: 1, days: 330 }),
  workload(namespace, 8, "log-shipper", { kind: "DaemonSet", images: ["fluent/fluent-bit:5.0.1"], days: 330 }),
  ...["gateway", "admin", "scheduler", "monitor", "data", "dashboard"].map((name, index) =>
    workload(namespace, 10 + index, name, { images: [`registry.example.net/gatehouse:0.2.0`], days: 12, revision: 2 })
  )
]

const container = (name: string, image: string, more: Partial<ContainerState> = {}): ContainerState => ({
  name,
  init: false,
  image,
  ready: true,
  restarts: 0,
  state: "running",
  reason: "",
  message: "",
  lastExit: null,
  ...more
})

const pod = (name: string, minutes: number, containers: ReadonlyArray<ContainerState>): PodNode => {
  const ready = containers.every((one) => one.ready || one.init)
  return {
    name,
    phase: "Running",
    ready,
    node: "k3s-1",
    createdAt: ago(minutes),
    health: ready ? { status: "Healthy", reason: "" } : { status: "Degraded", reason: "container api keeps crashing" },
    containers
  }
}

const migrate = (version: string): ContainerState =>
  container("migrate", `${registry}/shop-api:${version}`, {
    init: true,
    ready: true,
    state: "terminated",
    reason: "Completed"
  })

/** What an undo of shop-api from the failing revision to the last good one changes. */
export const badChanges: ReadonlyArray<FieldChange> = [
  {
    path: "/spec/containers/0/image",
    before: `"${registry}/shop-api:2.8.0"`,
    after: `"${registry}/shop-api:2.7.4"`
  },
  { path: "/spec/containers/0/env/3", before: '{"name":"PAYMENT_URL","value":"http://payments:8080"}', after: null }
]

export const previousLog: ReadonlyArray<string> = [
  "2026-11-26T08:51:02.117Z INFO  starting shop-api 2.8.0 (commit 4be1d09)",
  "2026-11-26T08:51:02.344Z INFO  config: 14 values from the environment",
  "2026-11-26T08:51:02.902Z INFO  postgres: connected to orders-db:5432, schema 41",
  "2026-11-26T08:51:03.015Z WARN  payment provider: no such host payments",
  "2026-11-26T08:51:03.018Z ERROR cannot start: PAYMENT_URL does not answer <getaddrinfo ENOTFOUND payments>",
  "2026-11-26T08:51:03.019Z FATAL exiting with code 1"
]

export const makeDetail = (workload: Workload): WorkloadDetail => {
  const broken = workload.name === "shop-api"
  const image = workload.images[0]!
  const hash = broken ? "7d9f6c5b8" : "5c4b7d9f6"
  const main = broken ? "api" : workload.name
  return {
    workload,
    status: {
      phase: workload.phase,
      message: broken
        ? "1 out of 3 new replicas have been updated"
        : workload.phase === "progressing"
          ? "3 of 4 updated replicas are available"
          : `deployment "${workload.name}" successfully rolled out`,
      done: workload.phase === "complete",
      reason: broken ? "CrashLoopBackOff" : "",
      desired: workload.desired,
      updated: broken ? 1 : workload.updated,
      ready: workload.ready,
      available: workload.available,
      pods: broken ? [{ name: "shop-api-7d9f6c5b8-x2k9p", container: "api", reason: "CrashLoopBackOff" }] : []
    },
    strategy: "RollingUpdate",
    conditions: [
      {
        type: "Available",
        status: "True",
        reason: "MinimumReplicasAvailable",
        message: "Deployment has minimum availability.",
        at: ago(9000)
      },
      {
        type: "Progressing",
        status: broken ? "False" : "True",
        reason: broken ? "ProgressDeadlineExceeded" : "NewReplicaSetAvailable",
        message: broken
          ? `ReplicaSet "shop-api-${hash}" has timed out progressing.`
          : `ReplicaSet "${workload.name}-${hash}" has successfully progressed.`,
        at: ago(14)
      }
    ],
    revisions: broken
      ? [
          {
            revision: 5,
            name: `shop-api-${hash}`,
            current: true,
            pods: [
              pod(`shop-api-${hash}-x2k9p`, 24, [
                migrate("2.8.0"),
                container("api", image, {
                  ready: false,
                  restarts: 14,
                  state: "waiting",
                  reason: "CrashLoopBackOff",
                  message: "back-off 5m0s restarting failed container=api",
                  lastExit: { exitCode: 1, reason: "Error", finishedAt: ago(3) }
                }),
                container("envoy", "envoyproxy/envoy:v1.38.1")
              ])
            ]
          },
          {
            revision: 4,
            name: "shop-api-6b5d8f7c9",
            current: false,
            pods: [
              pod("shop-api-6b5d8f7c9-4vq7m", 4100, [
                migrate("2.7.4"),
                container("api", `${registry}/shop-api:2.7.4`),
                container("envoy", "envoyproxy/envoy:v1.38.1")
              ]),
              pod("shop-api-6b5d8f7c9-zt8wd", 4100, [
                migrate("2.7.4"),
                container("api", `${registry}/shop-api:2.7.4`),
                container("envoy", "envoyproxy/envoy:v1.38.1")
              ])
            ]
          }
        ]
      : [
          {
            revision: workload.revision ?? 1,
            name: `${workload.name}-${hash}`,
            current: true,
            pods: Array.from({ length: workload.desired }, (_, index) =>
              pod(`${workload.name}-${hash}-${"bcdfg"[index % 5]}${index}x7k`, 3000, [container(main, image)])
            )
          }
        ],
    environment: [
      { container: main, name: "DATABASE_URL", value: "*** from Secret orders-db, key url" },
      { container: main, name: "LOG_LEVEL", value: "info" },
      { container: main, name: "PAYMENT_URL", value: "http://payments:8080" },
      { container: main, name: "SESSION_KEY", value: "*** from Secret shop-api, key session" }
    ],
    yaml: [
      "apiVersion: apps/v1",
      `kind: ${workload.kind}`,
      "metadata:",
      `  name: ${workload.name}`,
      `  namespace: ${workload.namespace}`,
      "spec:",
      `  replicas: ${workload.desired}`,
      "  template:",
      "    spec:",
      "      containers:",
      `        - name: ${main}`,
      `          image: ${image}`
    ].join("\n")
  }
}

const revision = (number: number, version: string, minutes: number, more: Partial<Revision> = {}): Revision => ({
  revision: number,
  uid: demoId(500 + number),
  current: false,
  images: [`${registry}/shop-api:${version}`, "envoyproxy/envoy:v1.38.1"],
  createdAt: ago(minutes),
  changeCause: "",
  actor: jonas,
  approver: null,
  reason: null,
  health: "good",
  onlyRestartedAt: false,
  ...more
})

export const makeHistory = (): Array<Revision> => [
  revision(1, "2.6.0", 60_000, { actor: null, changeCause: "first import" }),
  revision(2, "2.7.3", 20_160, { reason: "Release 2.7.3", approver: amira }),
  revision(3, "2.7.4", 8640, { reason: "Fix the currency of refunds" }),
  revision(4, "2.7.4", 4100, { actor: amira, reason: "Picks up the new certificate", onlyRestartedAt: true }),
  revision(5, "2.8.0", 24, { current: true, health: "bad", reason: "Release 2.8.0: new payment provider" })
]

export const makeEvents = (): Array<ClusterEvent> => [
  {
    at: ago(1),
    type: "Warning",
    reason: "BackOff",
    message: "Back-off restarting failed container api in pod shop-api-7d9f6c5b8-x2k9p",
    count: 62,
    object: { kind: "Pod", name: "shop-api-7d9f6c5b8-x2k9p" }
  },
  {
    at: ago(3),
    type: "Normal",
    reason: "Pulled",
    message: `Container image "${registry}/shop-api:2.8.0" already present on machine`,
    count: 14,
    object: { kind: "Pod", name: "shop-api-7d9f6c5b8-x2k9p" }
  },
  {
    at: ago(24),
    type: "Normal",
    reason: "ScalingReplicaSet",
    message: "Scaled up replica set shop-api-7d9f6c5b8 from 0 to 1",
    count: 1,
    object: { kind: "Deployment", name: "shop-api" }
  }
]
