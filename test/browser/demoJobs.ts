/** Jobs, schedules and incidents of a small team for the browser tests; pure data, made anew for each test. */
import type { Incident, IncidentChain, Job, JobDetail, JobLogLine, ScheduleView } from "#shared/api/scheduler.ts"
import type { Proposal } from "#shared/api/admin.ts"
import { makeProposals } from "./demoActions.ts"
import { ago, demoId, scheduler } from "./demoCluster.ts"

const job = (number: number, kind: string, more: Partial<Job> = {}): Job => ({
  id: demoId(number),
  kind,
  state: "succeeded",
  priority: 0,
  attempt: 1,
  maxAttempts: 3,
  runAt: ago(10),
  createdAt: ago(10),
  startedAt: ago(10),
  finishedAt: ago(9.9),
  schedule: null,
  retryOf: null,
  target: null,
  reason: "",
  ...more
})

export const makeJobs = (): Array<Job> => [
  job(1009, "kubernetes.job", {
    state: "running",
    attempt: 2,
    schedule: "nightly-reindex",
    runAt: ago(4),
    startedAt: ago(3),
    finishedAt: null
  }),
  job(1008, "http.call", { state: "scheduled", runAt: ago(-50), startedAt: null, finishedAt: null, attempt: 0 }),
  job(1007, "backup.database", {
    state: "failed",
    attempt: 3,
    schedule: "backup-database",
    runAt: ago(360),
    startedAt: ago(358),
    finishedAt: ago(340),
    reason: "max_attempts: no space left on device"
  }),
  job(1006, "health.check", { schedule: "health" }),
  job(1005, "report.daily", {
    schedule: "daily-report",
    runAt: ago(600),
    startedAt: ago(600),
    finishedAt: ago(599.97)
  }),
  job(1004, "retention", { schedule: "retention", runAt: ago(900), startedAt: ago(900), finishedAt: ago(895) }),
  job(1003, "backup.database", {
    schedule: "backup-database",
    runAt: ago(1800),
    startedAt: ago(1800),
    finishedAt: ago(1794)
  }),
  job(1002, "http.call", {
    state: "cancelled",
    reason: "wrong month",
    startedAt: null,
    finishedAt: ago(2000),
    runAt: ago(2001)
  })
]

export const makeJobDetail = (found: Job): JobDetail => ({
  job: found,
  payload:
    found.kind === "kubernetes.job"
      ? { image: "registry.example.net/shop/search:2.2.0", command: ["reindex", "--all"], token: "***" }
      : { target: "orders-db" },
  result: found.state === "succeeded" ? { bytes: 48_220_113, file: "orders-db-20261126.dump" } : null,
  attempts: Array.from({ length: found.attempt }, (_, index) => {
    const last = index + 1 === found.attempt
    return {
      attempt: index + 1,
      state: last
        ? found.state === "failed"
          ? "failed"
          : found.state === "running"
            ? "running"
            : "succeeded"
        : "crashed",
      worker: "scheduler-7c9d5f-x2kq9",
      startedAt: ago(12 - index * 4),
      finishedAt: last && found.state === "running" ? null : ago(11 - index * 4),
      error: last ? (found.state === "failed" ? "no space left on device" : "") : "the worker was lost"
    }
  })
})

export const makeJobLog = (): Array<JobLogLine> =>
  [
    ["info", "reindex: 41 208 products in 12 shards"],
    ["debug", "shard 1: cursor 0"],
    ["info", "shard 1 of 12 done in 4.1 s"],
    ["warn", "shard 2: 3 products without a category <none>"],
    ["info", "shard 2 of 12 done in 4.4 s"],
    ["error", "shard 3: connection reset, trying again"]
  ].map(([level, message], index) => ({
    id: index + 1,
    at: ago(3 - index / 10),
    attempt: 2,
    level: level as JobLogLine["level"],
    message: message!
  }))

const schedule = (name: string, kind: string, more: Partial<ScheduleView>): ScheduleView => ({
  name,
  cron: null,
  everySeconds: null,
  timeZone: "Europe/Zurich",
  kind,
  overlap: "skip",
  payload: { note: "as it was" },
  missed: "once",
  catchUpMax: 10,
  dstGap: "run",
  dstFold: "first",
  jitterSeconds: 0,
  enabled: true,
  builtIn: false,
  lastSlot: ago(360),
  nextSlot: ago(-1080),
  missedCount: 0,
  lastJob: null,
  nextSlots: [ago(-1080), ago(-2520), ago(-3960), ago(-5400), ago(-6840)],
  ...more
})

export const makeSchedules = (): Array<ScheduleView> => [
  schedule("backup-database", "backup.database", {
    cron: "0 3 * * *",
    builtIn: true,
    lastJob: { id: demoId(1007), state: "failed" }
  }),
  schedule("daily-report", "report.daily", {
    cron: "30 7 * * 1-5",
    builtIn: true,
    lastSlot: ago(600),
    lastJob: { id: demoId(1005), state: "succeeded" }
  }),
  schedule("health", "health.check", {
    everySeconds: 60,
    timeZone: "UTC",
    builtIn: true,
    lastSlot: ago(0.4),
    nextSlot: ago(-0.6),
    lastJob: { id: demoId(1006), state: "succeeded" }
  }),
  schedule("nightly-reindex", "kubernetes.job", {
    cron: "15 2 * * *",
    payload: { image: "registry.example/reindex:3", env: [{ name: "API_TOKEN", value: "***" }] },
    lastSlot: ago(4),
    missedCount: 2,
    lastJob: { id: demoId(1009), state: "running" }
  }),
  schedule("invoice-export", "http.call", { cron: "0 6 1 * *", enabled: false, lastSlot: null, nextSlot: null })
]

const incident = (number: number, namespace: string, more: Partial<Incident>): Incident => ({
  id: demoId(number),
  class: "crash_loop",
  state: "open",
  namespace,
  kind: "Deployment",
  name: "shop-api",
  revision: 5,
  title: "shop-api crashes since revision 5",
  impact: "none",
  podCount: 1,
  restarts: 14,
  flaps: 0,
  flapping: false,
  openedAt: ago(21),
  lastSeenAt: ago(0.5),
  resolvedAt: null,
  acknowledged: null,
  mutedUntil: null,
  remedy: "proposed",
  advice: "",
  proposalId: demoId(601),
  ...more
})

export const makeIncidents = (namespace: string): Array<Incident> => [
  incident(701, namespace, {}),
  incident(702, namespace, {
    class: "image_pull",
    kind: "Deployment",
    name: "thumbnails",
    revision: 8,
    title: "thumbnails cannot pull its image",
    impact: "unknown",
    restarts: 0,
    openedAt: ago(95),
    acknowledged: { actor: { id: "2", name: "Jonas Weber" }, at: ago(80) },
    remedy: "advice",
    advice: "An image that cannot be pulled is not mended by an undo: check its name and the registry's key.",
    proposalId: null
  }),
  incident(703, namespace, {
    class: "oom_loop",
    name: "catalog",
    title: "catalog runs out of memory",
    state: "resolved",
    impact: "partial",
    restarts: 6,
    flaps: 3,
    flapping: true,
    openedAt: ago(9100),
    lastSeenAt: ago(8800),
    resolvedAt: ago(8790),
    remedy: "rejected",
    proposalId: demoId(603)
  })
]

export const makeChain = (
  found: Incident,
  proposals: ReadonlyArray<Proposal> = makeProposals(found.namespace)
): IncidentChain => {
  const proposal = proposals.find(({ id }) => id === found.proposalId)
  return {
    incident: found,
    target: proposal?.target ?? null,
    evidence: proposal?.evidence ?? null,
    proposal:
      proposal === undefined
        ? null
        : {
            id: proposal.id,
            state: proposal.state,
            action: proposal.action,
            toRevision: proposal.toRevision,
            createdAt: proposal.createdAt,
            expiresAt: proposal.expiresAt
          },
    decision: proposal?.decision ?? null,
    action: null,
    verification: null,
    timeline: [
      { at: ago(24), event: "seen", detail: "container api waits in CrashLoopBackOff, 3 restarts", actor: null },
      { at: found.openedAt, event: "opened", detail: "held for 60 s; the old revision still serves", actor: null },
      { at: ago(20.5), event: "evidence", detail: "exit code 1, 6 lines of the previous log, 3 events", actor: null },
      { at: ago(20), event: "proposed", detail: "undo to revision 4", actor: scheduler }
    ]
  }
}
