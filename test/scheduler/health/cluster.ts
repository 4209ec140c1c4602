/** A cluster in words for the watchman's tests: workloads, revisions and pods as facts, without an API server. */
import type { ContainerStatus, Node, Pod, Revision, Workload } from "#scheduler/health/facts.ts"
import type { IncidentRow } from "#scheduler/health/IncidentStore.ts"
import { type Thresholds, thresholdsConfig } from "#scheduler/health/thresholds.ts"
import { type View, viewOf } from "#scheduler/health/view.ts"
import { Effect } from "effect"
import { readConfig } from "#shared/config.ts"

/** The defaults that a person who sets nothing has. */
export const defaults: Thresholds = await Effect.runPromise(readConfig(thresholdsConfig, {}, []))

export const minutes = (n: number) => n * 60_000
export const seconds = (n: number) => n * 1000

/** Some moment; everything else is told relative to it. */
export const start = Date.parse("2026-11-26T12:00:00Z")

export const makeWorkload = (more: Partial<Workload> = {}): Workload => ({
  kind: "Deployment",
  namespace: "dev",
  name: "web",
  uid: "w-1",
  generation: 2,
  observed: true,
  deleting: false,
  paused: false,
  desired: 3,
  updated: 3,
  ready: 3,
  available: 3,
  hasVolumes: false,
  annotations: {},
  labels: {},
  deadlineExceeded: false,
  updateRevision: "",
  template: {},
  ...more
})

export const makeRevision = (revision: number, more: Partial<Revision> = {}): Revision => ({
  namespace: "dev",
  name: `web-${revision}`,
  uid: `r-${revision}`,
  owner: { kind: "Deployment", name: "web", uid: "w-1" },
  revision,
  createdAt: start,
  template: { spec: { containers: [{ name: "app", image: `web:${revision}` }] } },
  ...more
})

let pods = 0
export const makePod = (more: Partial<Pod> = {}): Pod => {
  const name = `web-${++pods}`
  return {
    namespace: "dev",
    name,
    uid: name,
    owner: { kind: "ReplicaSet", name: "web-1", uid: "r-1" },
    labels: {},
    phase: "Running",
    restartPolicy: "Always",
    deleting: false,
    node: "node-1",
    createdAt: start,
    readySince: start,
    notReadySince: undefined,
    unschedulableSince: undefined,
    containers: [running()],
    ...more
  }
}

type Status = ContainerStatus & { readonly init: boolean }

export const running = (more: Partial<Status> = {}): Status => ({
  name: "app",
  ready: true,
  restartCount: 0,
  state: { running: { startedAt: new Date(start).toISOString() } },
  init: false,
  ...more
})

const died = (at: number, exitCode: number, reason: string) => ({
  terminated: { exitCode, reason, finishedAt: new Date(at).toISOString() }
})

/** In the kubelet's back-off after having died at `at`. */
export const crashed = (restartCount: number, at: number, more: Partial<Status> = {}): Status => ({
  name: "app",
  ready: false,
  restartCount,
  state: { waiting: { reason: "CrashLoopBackOff" } },
  lastState: died(at, 3, "Error"),
  init: false,
  ...more
})

/** The same as a kubelet tells it for most of its back-off: only dead. */
export const dead = (
  restartCount: number,
  at: number,
  { exitCode = 3, ...more }: Partial<Status> & { readonly exitCode?: number } = {}
): Status => ({
  ...crashed(restartCount, at),
  state: died(at, exitCode, exitCode === 0 ? "Completed" : "Error"),
  ...more
})

/** Up again for a moment, after having died at `at`. */
export const between = (restartCount: number, at: number): Status => ({
  ...crashed(restartCount, at),
  state: { running: { startedAt: new Date(at).toISOString() } }
})

export const outOfMemory = (restartCount: number, at: number): Status =>
  crashed(restartCount, at, { lastState: died(at, 137, "OOMKilled") })

export const waiting = (reason: string): Status => ({
  name: "app",
  ready: false,
  restartCount: 0,
  state: { waiting: { reason } },
  init: false
})

/** A pod of revision `revision` that is not Ready. */
export const failingPod = (revision: number, container: Status, more: Partial<Pod> = {}): Pod =>
  makePod({
    owner: { kind: "ReplicaSet", name: `web-${revision}`, uid: `r-${revision}` },
    readySince: undefined,
    notReadySince: start,
    containers: [container],
    ...more
  })

const byUid = <A extends { readonly uid: string }>(all: ReadonlyArray<A>) => new Map(all.map((one) => [one.uid, one]))

export const seen = (facts: {
  readonly workloads?: ReadonlyArray<Workload>
  readonly revisions?: ReadonlyArray<Revision>
  readonly pods?: ReadonlyArray<Pod>
  readonly nodes?: ReadonlyArray<Node>
}): View =>
  viewOf({
    workloads: byUid(facts.workloads ?? [makeWorkload()]),
    revisions: byUid(facts.revisions ?? [makeRevision(1)]),
    pods: byUid(facts.pods ?? []),
    nodes: new Map((facts.nodes ?? []).map((node) => [node.name, node]))
  })

/** An incident just opened: revision 2 of `web` crashes, nothing is decided yet. */
export const makeIncident = (more: Partial<IncidentRow> = {}): IncidentRow => ({
  id: "i-1",
  key: "dev/Deployment/web/web-2/crash_loop",
  class: "crash_loop",
  state: "open",
  namespace: "dev",
  kind: "Deployment",
  name: "web",
  uid: "w-1",
  generation: 2,
  revision: 2,
  revisionUid: "r-2",
  pod: "web-x",
  container: "app",
  reason: "CrashLoopBackOff",
  exitCode: 3,
  impact: "none",
  podCount: 1,
  restarts: 3,
  flaps: 0,
  firstSeenAt: start,
  openedAt: start,
  lastSeenAt: start,
  resolvedAt: null,
  acknowledged: null,
  mutedUntil: null,
  remedy: "none",
  remedyAt: start,
  round: 0,
  advice: "",
  wish: null,
  evidence: null,
  proposal: null,
  action: null,
  verification: null,
  ...more
})
