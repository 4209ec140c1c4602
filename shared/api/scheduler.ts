/** The scheduler's API (`/jobs/*`): jobs, schedules and incidents on the wire; must not know how they are kept. */
import { Schema } from "effect"
import { NamespaceName, ObjectName, Target, WorkloadKind } from "../domain/workload.ts"
import { Action, Actor, Decision, Evidence, ProposalState, Reason } from "./admin.ts"
import { PageQuery, page } from "./paging.ts"

const time = Schema.String.annotate({ format: "date-time" })
const text = (max: number) => Schema.String.check(Schema.isMaxLength(max))
const nullable = Schema.NullOr

/** A job's, queue's or schedule's name. */
export const Name = Schema.String.check(
  Schema.isPattern(/^[a-z][a-z0-9._-]{0,62}$/u, { expected: "lower-case letters, digits, dots, dashes" })
)

/** `retryable` waits for its next attempt; `failed` has used up its attempts, or asking again would give the same answer. */
export const JobState = Schema.Literals([
  "scheduled",
  "available",
  "running",
  "retryable",
  "succeeded",
  "cancelled",
  "failed",
  "expired"
])
export type JobState = typeof JobState.Type

/** POST /jobs: 201 after commit; the same `Idempotency-Key` and body give 200 and the same id. */
export const JobInput = Schema.Struct({
  kind: Name,
  payload: Schema.Record(Schema.String, Schema.Unknown),
  runAt: Schema.optionalKey(time),
  /** Higher first, −100 to 100, 0 if absent. */
  priority: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: -100, maximum: 100 }))),
  /** At most one unfinished job with this key. */
  uniqueKey: Schema.optionalKey(text(200)),
  maxAttempts: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })))
})
export type JobInput = typeof JobInput.Type

export const Attempt = Schema.Struct({
  attempt: Schema.Int,
  state: Schema.Literals(["running", "succeeded", "failed", "crashed", "cancelled", "released"]),
  worker: Schema.String,
  startedAt: time,
  finishedAt: nullable(time),
  /** Why it failed, "" otherwise; never the payload. */
  error: Schema.String
})
export type Attempt = typeof Attempt.Type

/** A row of GET /jobs. */
export const Job = Schema.Struct({
  id: Schema.String,
  kind: Schema.String,
  state: JobState,
  priority: Schema.Int,
  attempt: Schema.Int,
  maxAttempts: Schema.Int,
  runAt: time,
  createdAt: time,
  startedAt: nullable(time),
  finishedAt: nullable(time),
  /** Name of the schedule that made it. */
  schedule: nullable(Schema.String),
  retryOf: nullable(Schema.String),
  /** What it is about, as its kind tells: `incident:<id>`, `service/<name>`, a path, `job/<image>`; null where it tells nothing. */
  target: nullable(Schema.String),
  /** Why it ended so: `max_attempts`, a cancel's reason, the last error; "" otherwise. */
  reason: Schema.String
})
export type Job = typeof Job.Type
export const JobPage = page(Job)

/** GET /jobs/:id */
export const JobDetail = Schema.Struct({
  job: Job,
  /** Values whose names speak of secrets are masked. */
  payload: Schema.Record(Schema.String, Schema.Unknown),
  result: nullable(Schema.Record(Schema.String, Schema.Unknown)),
  attempts: Schema.Array(Attempt)
})
export type JobDetail = typeof JobDetail.Type

/** Text of one line to look for. */
const line = (max: number) =>
  Schema.String.check(
    Schema.isPattern(new RegExp(`^[^\\p{Cc}\\p{Cs}]{1,${max}}$`, "u"), {
      expected: `1 to ${max} characters of one line`
    })
  )

/** Which jobs; what is absent does not matter. */
const filter = {
  state: Schema.optionalKey(JobState),
  kind: Schema.optionalKey(Name),
  /** The part of the kind before its first dot. */
  queue: Schema.optionalKey(Name),
  target: Schema.optionalKey(line(500)),
  schedule: Schema.optionalKey(Name),
  /** Of the job's creation. */
  since: Schema.optionalKey(time),
  until: Schema.optionalKey(time)
}

/** `newest` and `oldest` by creation; `finished`: the last that ended first, without those that have not. */
export const JobSort = Schema.Literals(["newest", "oldest", "finished"])
export type JobSort = typeof JobSort.Type

/** Query of GET /jobs. A cursor belongs to the filter and sort that it was given for. */
export const JobQuery = Schema.Struct({
  ...PageQuery.fields,
  ...filter,
  /** Part, in either case, of the id, kind, schedule, and the first 500 characters of the reason or an attempt's error. Payloads are not searched. */
  q: Schema.optionalKey(line(200)),
  sort: Schema.optionalKey(JobSort)
})

/** Jobs to cancel together, of those that have not ended. One field at least. */
export const CancelFilter = Schema.Struct(filter)
export type CancelFilter = typeof CancelFilter.Type

/** POST /jobs/cancel/preview */
export const CancelPreviewInput = Schema.Struct({ filter: CancelFilter })
/** Its answer: how many a cancel would hit, and the newest 20 of them. */
export const CancelPreview = Schema.Struct({ count: Schema.Int, sample: Schema.Array(Job) })

/** POST /jobs/cancel. `confirmCount` is the number that the preview showed: 409 `count_changed` if it no longer fits. */
export const CancelManyInput = Schema.Struct({
  filter: CancelFilter,
  reason: Reason,
  confirmCount: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 })))
})
export type CancelManyInput = typeof CancelManyInput.Type
/** Its answer. `cancelled` had not begun, `asked` were running and are told to end, the rest had ended or moved on meanwhile. */
export const CancelledMany = Schema.Struct({ count: Schema.Int, cancelled: Schema.Int, asked: Schema.Int })
export type CancelledMany = typeof CancelledMany.Type

/** A line of GET /jobs/:id/logs; as an event stream each line is an event `line` whose id is `id`. */
export const JobLogLine = Schema.Struct({
  /** Ascending within the job: the `after` of the next question. */
  id: Schema.Int,
  at: time,
  attempt: Schema.Int,
  level: Schema.Literals(["debug", "info", "warn", "error"]),
  message: Schema.String
})
export type JobLogLine = typeof JobLogLine.Type
export const JobLog = Schema.Struct({ items: Schema.Array(JobLogLine) })

/** POST /jobs/:id/cancel */
export const CancelInput = Schema.Struct({ reason: Reason })

/** GET /jobs/kinds: what can be asked for. `unavailable` says why a kind cannot be run here; null where it can. */
export const JobKinds = Schema.Struct({
  items: Schema.Array(
    Schema.Struct({ kind: Schema.String, description: Schema.String, unavailable: nullable(Schema.String) })
  )
})

/** PUT /jobs/schedules/:name. `cron` has five fields or a macro such as @daily; it or `everySeconds` (10 at least), not both. */
export const ScheduleInput = Schema.Struct({
  cron: Schema.optionalKey(text(200)),
  everySeconds: Schema.optionalKey(Schema.Int),
  /** IANA zone, UTC if absent. */
  timeZone: Schema.optionalKey(text(64)),
  kind: Name,
  payload: Schema.Record(Schema.String, Schema.Unknown),
  /** What a due slot does while the last run is not finished. */
  overlap: Schema.optionalKey(Schema.Literals(["skip", "queue", "allow"])),
  /** What becomes of slots nobody was there for: none, the last one, or all up to `catchUpMax`. */
  missed: Schema.optionalKey(Schema.Literals(["skip", "once", "all"])),
  catchUpMax: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))),
  /** A slot in the hour that the clocks skip: run once after it, or not. */
  dstGap: Schema.optionalKey(Schema.Literals(["run", "skip"])),
  /** A slot in the hour that comes twice. With a wildcard hour both always count. */
  dstFold: Schema.optionalKey(Schema.Literals(["first", "last", "both"])),
  jitterSeconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3600 }))),
  enabled: Schema.optionalKey(Schema.Boolean)
})
export type ScheduleInput = typeof ScheduleInput.Type

export const ScheduleView = Schema.Struct({
  name: Schema.String,
  cron: nullable(Schema.String),
  everySeconds: nullable(Schema.Int),
  timeZone: Schema.String,
  kind: Schema.String,
  /** Values whose names speak of secrets are masked. */
  payload: Schema.Record(Schema.String, Schema.Unknown),
  overlap: Schema.Literals(["skip", "queue", "allow"]),
  missed: Schema.Literals(["skip", "once", "all"]),
  catchUpMax: Schema.Int,
  dstGap: Schema.Literals(["run", "skip"]),
  dstFold: Schema.Literals(["first", "last", "both"]),
  jitterSeconds: Schema.Int,
  enabled: Schema.Boolean,
  /** Comes with the platform and cannot be deleted. */
  builtIn: Schema.Boolean,
  lastSlot: nullable(time),
  nextSlot: nullable(time),
  missedCount: Schema.Int,
  lastJob: nullable(Schema.Struct({ id: Schema.String, state: JobState })),
  nextSlots: Schema.Array(time)
})
export type ScheduleView = typeof ScheduleView.Type
export const ScheduleList = Schema.Struct({ items: Schema.Array(ScheduleView) })

/** GET /jobs/schedules/:name/preview?n=&from= */
export const SlotPreview = Schema.Struct({ slots: Schema.Array(time), notes: Schema.Array(Schema.String) })

/** POST /jobs/schedules/:name/backfill */
export const BackfillInput = Schema.Struct({ from: time, to: time })

export const IncidentClass = Schema.Literals([
  "crash_loop",
  "oom_loop",
  "image_pull",
  "config_error",
  "rollout_stuck",
  "not_ready",
  "pending",
  "node",
  "cluster_wide"
])
export type IncidentClass = typeof IncidentClass.Type

/**
 * How far the remedy of an incident is. `none`: not decided yet. `advice`: nothing is proposed, `advice` says why and what a person
 * could do. `suppressed`: a limit holds it back. `proposal_pending`: admin could not be asked yet. Then admin's states, and at the end
 * `verified` or `ineffective`.
 */
export const RemedyState = Schema.Literals([
  "none",
  "advice",
  "suppressed",
  "proposal_pending",
  "proposed",
  "approved",
  "rejected",
  "expired",
  "stale",
  "acting",
  "verifying",
  "verified",
  "ineffective",
  "failed"
])
export type RemedyState = typeof RemedyState.Type

/** A row of GET /jobs/incidents. */
export const Incident = Schema.Struct({
  id: Schema.String,
  class: IncidentClass,
  state: Schema.Literals(["open", "resolved"]),
  namespace: NamespaceName,
  kind: Schema.Union([WorkloadKind, Schema.Literals(["Pod", "Job", "Node", "Cluster"])]),
  name: ObjectName,
  revision: nullable(Schema.Int),
  title: Schema.String,
  /** `none`: the old revision still serves, users are not affected. */
  impact: Schema.Literals(["none", "partial", "full", "unknown"]),
  podCount: Schema.Int,
  restarts: Schema.Int,
  flaps: Schema.Int,
  flapping: Schema.Boolean,
  openedAt: time,
  lastSeenAt: time,
  resolvedAt: nullable(time),
  acknowledged: nullable(Schema.Struct({ actor: Actor, at: time })),
  mutedUntil: nullable(time),
  remedy: RemedyState,
  /** Why nothing is proposed, what holds it back, or what a person could do; "" otherwise. */
  advice: Schema.String,
  proposalId: nullable(Schema.String)
})
export type Incident = typeof Incident.Type
export const IncidentPage = page(Incident)

/** Query of GET /jobs/incidents. */
export const IncidentQuery = Schema.Struct({
  ...PageQuery.fields,
  state: Schema.optionalKey(Schema.Literals(["open", "resolved"])),
  namespace: Schema.optionalKey(NamespaceName),
  class: Schema.optionalKey(IncidentClass),
  since: Schema.optionalKey(time),
  /** `suppressed`, `advice` … */
  proposal: Schema.optionalKey(RemedyState)
})

/** GET /jobs/incidents/:id: the whole chain, incident → evidence → proposal → decision → action → verification. */
export const IncidentChain = Schema.Struct({
  incident: Incident,
  target: nullable(Target),
  evidence: nullable(Evidence),
  proposal: nullable(
    Schema.Struct({
      id: Schema.String,
      state: ProposalState,
      action: Schema.String,
      toRevision: nullable(Schema.Int),
      createdAt: time,
      expiresAt: time
    })
  ),
  decision: nullable(Decision),
  action: nullable(Action),
  verification: nullable(
    Schema.Struct({
      result: Schema.Literals(["verified", "ineffective"]),
      message: Schema.String,
      startedAt: time,
      at: time
    })
  ),
  /** Everything that happened, oldest first. */
  timeline: Schema.Array(
    Schema.Struct({ at: time, event: Schema.String, detail: Schema.String, actor: nullable(Actor) })
  )
})
export type IncidentChain = typeof IncidentChain.Type

/** POST /jobs/incidents/:id/mute; `until` lies in the future, at most 30 days ahead. */
export const MuteInput = Schema.Struct({ until: time, reason: Reason })
export type MuteInput = typeof MuteInput.Type

/** GET /jobs/health: what the watchman sees, and since when it does not. */
export const WatchHealth = Schema.Struct({
  watch: Schema.Struct({ state: Schema.Literals(["live", "stale", "off"]), since: nullable(time) }),
  workloads: Schema.Int,
  pods: Schema.Int,
  openIncidents: Schema.Int,
  /** Jobs due and not yet taken, and the age of the oldest in seconds. */
  queue: Schema.Struct({ due: Schema.Int, oldestSeconds: nullable(Schema.Finite) })
})
export type WatchHealth = typeof WatchHealth.Type

/** The databases that are backed up, each on its own. */
export const BackupDatabase = Schema.Literals(["gateway", "logging", "data"])
export type BackupDatabase = typeof BackupDatabase.Type

/** One backup of one database. `verified`: a drill has restored it and found every row; `damaged`: the last drill did not. */
export const Backup = Schema.Struct({
  id: Schema.String,
  database: BackupDatabase,
  state: Schema.Literals(["made", "verified", "damaged"]),
  /** Of the snapshot: nothing committed later is in it. */
  takenAt: time,
  jobId: Schema.String,
  bytes: Schema.Int,
  tables: Schema.Int,
  rows: Schema.Int,
  serverVersion: Schema.String,
  drill: nullable(
    Schema.Struct({
      at: time,
      /** From the order to restore to the last row compared. */
      rtoSeconds: Schema.Finite,
      /** What would have been lost: the age of the snapshot when the drill began. */
      rpoSeconds: Schema.Finite,
      tables: Schema.Int,
      rows: Schema.Int,
      /** What was wrong, one line each; empty when nothing was. */
      faults: Schema.Array(Schema.String)
    })
  )
})
export type Backup = typeof Backup.Type

/** GET /jobs/backups */
export const BackupList = Schema.Struct({
  databases: Schema.Array(
    Schema.Struct({
      database: BackupDatabase,
      /** Seconds since the snapshot of the newest backup that a drill has restored; null where there is none. */
      restorableAgeSeconds: nullable(Schema.Finite)
    })
  ),
  /** Newest first. */
  items: Schema.Array(Backup),
  /** What a person should know: why nothing is backed up, that all copies are on one machine. */
  notes: Schema.Array(Schema.String)
})
export type BackupList = typeof BackupList.Type

/** GET /jobs/stream: server-sent events with resume by `Last-Event-ID`. */
export type SchedulerEvent =
  | { readonly event: "incident"; readonly data: Incident }
  | { readonly event: "job"; readonly data: Job }
  | { readonly event: "health"; readonly data: WatchHealth }
  | { readonly event: "reset"; readonly data: { readonly reason: string } }
