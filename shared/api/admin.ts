/** Admin's API (`/admin/*`): what workloads, plans, actions and proposals look like on the wire; must not know how they are made. */
import { Schema } from "effect"
import {
  FieldChange,
  Health,
  NamespaceName,
  ObjectName,
  RolloutPhase,
  Target,
  WorkloadKind
} from "../domain/workload.ts"
import { page } from "./paging.ts"

const time = Schema.String.annotate({ format: "date-time" })
const text = (max: number) => Schema.String.check(Schema.isMaxLength(max))
const nullable = Schema.NullOr

/** Why a person does it: shown beside the action for ever. */
export const Reason = Schema.String.check(Schema.isPattern(/\S/u, { expected: "a reason" }), Schema.isMaxLength(500))

/** Who did something: a person, or a workload such as the scheduler. */
export const Actor = Schema.Struct({ id: Schema.String, name: Schema.String })
export type Actor = typeof Actor.Type

/** A workload as a line of a list. GET /admin/ns/:ns/workloads. */
export const Workload = Schema.Struct({
  namespace: NamespaceName,
  kind: WorkloadKind,
  name: ObjectName,
  uid: Schema.String,
  generation: Schema.Int,
  /** Rollout revision now in force, null where there is none yet. */
  revision: nullable(Schema.Int),
  images: Schema.Array(Schema.String),
  desired: Schema.Int,
  ready: Schema.Int,
  updated: Schema.Int,
  available: Schema.Int,
  /** Sum over its pods' containers, init containers included. */
  restarts: Schema.Int,
  paused: Schema.Boolean,
  health: Health,
  phase: RolloutPhase,
  createdAt: nullable(time),
  /** The last change that went through admin. */
  lastChange: nullable(Schema.Struct({ actionId: Schema.String, action: Schema.String, actor: Actor, at: time }))
})
export type Workload = typeof Workload.Type
export const WorkloadList = Schema.Struct({ items: Schema.Array(Workload) })

/** A container of a pod with what it waits for or died of; times RFC 3339. */
export const ContainerState = Schema.Struct({
  name: Schema.String,
  init: Schema.Boolean,
  image: Schema.String,
  ready: Schema.Boolean,
  restarts: Schema.Int,
  state: Schema.Literals(["waiting", "running", "terminated", "unknown"]),
  /** CrashLoopBackOff, ImagePullBackOff, Completed …; "" while running. */
  reason: Schema.String,
  message: Schema.String,
  /** How its previous instance ended, if there was one. */
  lastExit: nullable(Schema.Struct({ exitCode: Schema.Int, reason: Schema.String, finishedAt: nullable(time) }))
})
export type ContainerState = typeof ContainerState.Type

export const PodNode = Schema.Struct({
  name: Schema.String,
  phase: Schema.String,
  ready: Schema.Boolean,
  node: nullable(Schema.String),
  createdAt: nullable(time),
  health: Health,
  containers: Schema.Array(ContainerState)
})
export type PodNode = typeof PodNode.Type

/** A ReplicaSet (Deployment) or a ControllerRevision (StatefulSet, DaemonSet) with the pods that belong to it. */
export const RevisionNode = Schema.Struct({
  revision: Schema.Int,
  name: Schema.String,
  current: Schema.Boolean,
  pods: Schema.Array(PodNode)
})

export const Condition = Schema.Struct({
  type: Schema.String,
  status: Schema.String,
  reason: Schema.String,
  message: Schema.String,
  at: nullable(time)
})

/** GET /admin/ns/:ns/:kind/:name/status: kubectl's text and what it leaves out. */
export const RolloutStatus = Schema.Struct({
  phase: RolloutPhase,
  /** `kubectl rollout status`'s line. */
  message: Schema.String,
  done: Schema.Boolean,
  /** Why it failed or stalled, "" otherwise. */
  reason: Schema.String,
  desired: Schema.Int,
  updated: Schema.Int,
  ready: Schema.Int,
  available: Schema.Int,
  /** Pods of the new revision that cannot go on, with the container's reason. */
  pods: Schema.Array(Schema.Struct({ name: Schema.String, container: Schema.String, reason: Schema.String }))
})
export type RolloutStatus = typeof RolloutStatus.Type

/** GET /admin/ns/:ns/:kind/:name */
export const WorkloadDetail = Schema.Struct({
  workload: Workload,
  status: RolloutStatus,
  strategy: Schema.String,
  conditions: Schema.Array(Condition),
  revisions: Schema.Array(RevisionNode),
  /** Environment variables of its containers; values of secrets are never shown. */
  environment: Schema.Array(Schema.Struct({ container: Schema.String, name: Schema.String, value: Schema.String })),
  /** The live object as YAML, managedFields left out, secrets masked. */
  yaml: Schema.String
})
export type WorkloadDetail = typeof WorkloadDetail.Type

/** One revision of GET …/history, ascending. */
export const Revision = Schema.Struct({
  revision: Schema.Int,
  /** uid of the ReplicaSet or ControllerRevision: numbers are used again after an undo, uids are not. */
  uid: Schema.String,
  current: Schema.Boolean,
  images: Schema.Array(Schema.String),
  createdAt: nullable(time),
  /** `kubernetes.io/change-cause`, "" if empty (kubectl prints `<none>`). */
  changeCause: Schema.String,
  actor: nullable(Actor),
  approver: nullable(Actor),
  reason: nullable(Schema.String),
  /** Whether it was ever fully available. */
  health: Schema.Literals(["good", "bad", "unknown"]),
  /** Its template is that of the revision before but for the restart stamp. */
  onlyRestartedAt: Schema.Boolean
})
export type Revision = typeof Revision.Type
export const History = Schema.Struct({ items: Schema.Array(Revision) })

/** GET …/diff?from=&to= between two revisions' templates. */
export const RevisionDiff = Schema.Struct({ from: Schema.Int, to: Schema.Int, changes: Schema.Array(FieldChange) })

/** One row of GET /admin/ns/:ns/events, newest first. */
export const ClusterEvent = Schema.Struct({
  at: nullable(time),
  type: Schema.String,
  reason: Schema.String,
  message: Schema.String,
  count: Schema.Int,
  object: Schema.Struct({ kind: Schema.String, name: Schema.String })
})
export type ClusterEvent = typeof ClusterEvent.Type
export const EventList = Schema.Struct({ items: Schema.Array(ClusterEvent) })

/** POST /admin/ns/:ns/restart, pause, resume */
export const TargetInput = Schema.Struct({ kind: WorkloadKind, name: ObjectName, reason: Reason })
export type TargetInput = typeof TargetInput.Type

/** POST /admin/ns/:ns/scale */
export const ScaleInput = Schema.Struct({
  ...TargetInput.fields,
  replicas: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))
})
export type ScaleInput = typeof ScaleInput.Type

/** POST /admin/ns/:ns/undo; 0 or absent is the previous revision, "last-known-good" the newest that was once fully available and differs. */
export const UndoInput = Schema.Struct({
  ...TargetInput.fields,
  toRevision: Schema.optionalKey(
    Schema.Union([
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
      Schema.Literal("last-known-good")
    ])
  ),
  dryRun: Schema.optionalKey(Schema.Boolean)
})
export type UndoInput = typeof UndoInput.Type

/** What an undo does or would do; the answer of a dry run, and part of an undo's action. */
export const UndoPreview = Schema.Struct({
  fromRevision: nullable(Schema.Int),
  toRevision: Schema.Int,
  /** The current template is that of the target already: nothing is written. */
  skipped: Schema.Boolean,
  /** kubectl's line, e.g. "deployment.apps/web rolled back". */
  message: Schema.String,
  changes: Schema.Array(FieldChange),
  /** Annotations on the workload alone, which an undo drops (kubectl does so silently). */
  lostAnnotations: Schema.Array(Schema.String),
  warnings: Schema.Array(Schema.String)
})
export type UndoPreview = typeof UndoPreview.Type

/** POST /admin/ns/:ns/plan: YAML or JSON, one or several documents, at most 1 MB and 100 objects. */
export const PlanInput = Schema.Struct({ manifest: Schema.String })

export const PlannedObject = Schema.Struct({
  apiVersion: Schema.String,
  kind: Schema.String,
  name: Schema.String,
  change: Schema.Literals(["create", "update", "unchanged"]),
  changes: Schema.Array(FieldChange),
  warnings: Schema.Array(Schema.String),
  conflicts: Schema.Array(Schema.Struct({ field: Schema.String, manager: Schema.String }))
})
export type PlannedObject = typeof PlannedObject.Type

export const Plan = Schema.Struct({
  planId: Schema.String,
  namespace: NamespaceName,
  /** SHA-256 (hex) over the planned tree and the live objects it was compared with. */
  digest: Schema.String,
  expiresAt: time,
  objects: Schema.Array(PlannedObject)
})
export type Plan = typeof Plan.Type

/** All that a namespace held at one time, but Secrets and Jobs: a folder below the backup folder. */
export const ManifestSet = Schema.Struct({
  id: Schema.String,
  namespace: NamespaceName,
  takenAt: time,
  objects: Schema.Int,
  images: Schema.Array(Schema.String),
  /** Of the sources that were deployed; "unknown" where nobody has said. */
  revision: Schema.String,
  /** Which file is not as it was written; null while all are. */
  damaged: Schema.NullOr(Schema.String)
})
export type ManifestSet = typeof ManifestSet.Type
export const ManifestSetList = Schema.Struct({ items: Schema.Array(ManifestSet) })

/** POST /admin/ns/:ns/backups/:set/plan. The plan holds what differs from the set, or all of it where nothing does. */
export const RestorePlan = Schema.Struct({
  plan: Plan,
  set: ManifestSet,
  /** Newer sets that are damaged. */
  refused: Schema.Array(ManifestSet),
  /** Objects of the set that are as they were. */
  unchanged: Schema.Int
})
export type RestorePlan = typeof RestorePlan.Type

/** POST /admin/ns/:ns/apply; `manifest` in one call only where the namespace's policy allows it. */
export const ApplyInput = Schema.Struct({
  planId: Schema.optionalKey(Schema.String),
  manifest: Schema.optionalKey(Schema.String),
  reason: Reason
})
export type ApplyInput = typeof ApplyInput.Type

export const ActionKind = Schema.Literals(["apply", "restart", "undo", "pause", "resume", "scale"])
export type ActionKind = typeof ActionKind.Type

/**
 * `intended`: recorded, not yet sent. `skipped` and `unchanged`: nothing had to be written. `not_applied`: found so by recovery.
 * `unknown`: the answer was lost and the live object does not tell.
 */
export const ActionState = Schema.Literals([
  "intended",
  "succeeded",
  "failed",
  "skipped",
  "unchanged",
  "not_applied",
  "unknown"
])
export type ActionState = typeof ActionState.Type

/** One act of admin. GET /admin/actions/:id; the answer of every write (202, or 200 where nothing had to be written). */
export const Action = Schema.Struct({
  id: Schema.String,
  action: ActionKind,
  namespace: NamespaceName,
  kind: Schema.String,
  name: Schema.String,
  uid: nullable(Schema.String),
  actor: Actor,
  approver: nullable(Actor),
  reason: Schema.String,
  proposalId: nullable(Schema.String),
  requestId: Schema.String,
  state: ActionState,
  /** In words, e.g. "deployment.apps/web restarted" or why it failed. */
  message: Schema.String,
  undo: nullable(UndoPreview),
  /** For an apply: what became of each object. */
  objects: Schema.Array(
    Schema.Struct({
      kind: Schema.String,
      name: Schema.String,
      result: Schema.Literals(["created", "configured", "unchanged", "failed"]),
      message: Schema.String
    })
  ),
  /** Path below the backup folder of what was live before. */
  backup: nullable(Schema.String),
  upstreamStatus: nullable(Schema.Int),
  /** What the rollout came to, once it has come to something. */
  rollout: nullable(Schema.Struct({ phase: RolloutPhase, message: Schema.String, at: time })),
  createdAt: time,
  finishedAt: nullable(time)
})
export type Action = typeof Action.Type
export const ActionPage = page(Action)

/** GET /admin/actions/verify: whether every row still is what was written; `brokenAt` names the first that is not. */
export const ChainCheck = Schema.Struct({
  ok: Schema.Boolean,
  rows: Schema.Int,
  brokenAt: nullable(Schema.String)
})
export type ChainCheck = typeof ChainCheck.Type

/** What was seen before an undo or a restart is proposed. */
export const Evidence = Schema.Struct({
  /** e.g. "crash_loop". */
  class: text(63),
  container: nullable(text(253)),
  exitCode: nullable(Schema.Int),
  /** e.g. "CrashLoopBackOff", "Error", "OOMKilled". */
  reason: text(253),
  restarts: Schema.Int,
  podCount: Schema.Int,
  firstSeenAt: time,
  /** Last lines of the container's previous instance, oldest first. */
  previousLog: Schema.Array(text(4000)).check(Schema.isMaxLength(50)),
  events: Schema.Array(
    Schema.Struct({ at: nullable(time), reason: text(253), message: text(2000), count: Schema.Int })
  ).check(Schema.isMaxLength(50)),
  /** Revision that fails, and the last one that was good. */
  revision: nullable(Schema.Int),
  lastGoodRevision: nullable(Schema.Int),
  /** What going back to the last good revision changes. */
  changes: Schema.Array(FieldChange).check(Schema.isMaxLength(200))
})
export type Evidence = typeof Evidence.Type

/** POST /admin/proposals (right `admin:propose`): 201, or 200 with the open one for the same target and action. */
export const ProposalInput = Schema.Struct({
  action: Schema.Literals(["undo", "restart"]),
  target: Target,
  /** For an undo. */
  toRevision: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  summary: text(500),
  incidentId: nullable(text(64)),
  evidence: Evidence,
  /** Seconds until it expires: 60 to 604 800, 43 200 if absent. */
  ttlSeconds: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 60, maximum: 604_800 })))
})
export type ProposalInput = typeof ProposalInput.Type

export const ProposalState = Schema.Literals([
  "pending",
  "approved",
  "executing",
  "succeeded",
  "failed",
  "unknown",
  "rejected",
  "expired",
  "stale",
  "superseded"
])
export type ProposalState = typeof ProposalState.Type

/** What a person has decided on a proposal, and why. */
export const Decision = Schema.Struct({
  decision: Schema.Literals(["approved", "rejected"]),
  actor: Actor,
  reason: Schema.String,
  at: time
})
export type Decision = typeof Decision.Type

export const Proposal = Schema.Struct({
  id: Schema.String,
  state: ProposalState,
  action: Schema.Literals(["undo", "restart"]),
  target: Target,
  toRevision: nullable(Schema.Int),
  summary: Schema.String,
  incidentId: nullable(Schema.String),
  evidence: Evidence,
  /** SHA-256 (hex) over action, target uid, generation and live template: what an approval is given for. */
  digest: Schema.String,
  proposer: Actor,
  createdAt: time,
  expiresAt: time,
  decision: nullable(Decision),
  actionId: nullable(Schema.String),
  /** Why it became stale, failed or superseded, "" otherwise. */
  message: Schema.String
})
export type Proposal = typeof Proposal.Type
export const ProposalPage = page(Proposal)

/** POST /admin/proposals/:id/approve; `digest` is that of the proposal as the approver saw it. */
export const ApproveInput = Schema.Struct({ digest: text(64), reason: Reason })
/** POST /admin/proposals/:id/reject */
export const RejectInput = Schema.Struct({ reason: Reason })

/** GET /admin/capabilities: per namespace and action, whether the caller may now, and if not why in words; drives every button. */
export const Capability = Schema.Struct({
  allowed: Schema.Boolean,
  /** `ok`, `scope_missing`, `read_only`, `window_denied` … */
  code: Schema.String,
  reason: Schema.String
})
export type Capability = typeof Capability.Type
export const CapabilityAction = Schema.Literals([
  "read",
  "plan",
  "apply",
  "restart",
  "undo",
  "pause",
  "resume",
  "scale",
  "approve",
  "propose"
])
export type CapabilityAction = typeof CapabilityAction.Type
export const Capabilities = Schema.Struct({
  namespaces: Schema.Array(
    Schema.Struct({
      namespace: NamespaceName,
      /** What kind of cluster this is, e.g. "simulated cluster". */
      cluster: Schema.String,
      /** A proposal's approver must be somebody else than who asked for it. */
      fourEyes: Schema.Boolean,
      /** A manifest may be applied without a plan. */
      directApply: Schema.Boolean,
      actions: Schema.Record(CapabilityAction, Capability)
    })
  )
})
export type Capabilities = typeof Capabilities.Type

/**
 * GET /admin/stream?namespace=: server-sent events, `id` ascending. `snapshot` first (or, with `Last-Event-ID` not older than five
 * minutes, what came since), then one event for each change; `reset` says that the id is too old and a snapshot follows.
 */
export type AdminEvent =
  | {
      readonly event: "snapshot"
      readonly data: {
        readonly workloads: ReadonlyArray<Workload>
        readonly proposals: ReadonlyArray<Proposal>
        readonly actions: ReadonlyArray<Action>
        /** Since when the cluster is not seen, null while it is. */
        readonly staleSince: string | null
      }
    }
  | { readonly event: "workload"; readonly data: Workload }
  | {
      readonly event: "workload_deleted"
      readonly data: { readonly namespace: string; readonly kind: WorkloadKind; readonly name: string }
    }
  | { readonly event: "proposal"; readonly data: Proposal }
  | { readonly event: "action"; readonly data: Action }
  | { readonly event: "stale"; readonly data: { readonly since: string | null } }
  | { readonly event: "reset"; readonly data: { readonly reason: string } }
