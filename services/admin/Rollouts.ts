/** Prepares undo, restart, pause, resume and scale as kubectl would do them; must write nothing before the caller runs `write`. */
import { Context, type Effect } from "effect"
import type { UndoPreview } from "#shared/api/admin.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import type { KubernetesFailed, Written } from "#shared/kubernetes/Kubernetes.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import type { WorkloadRef } from "./kinds.ts"
import type {
  HpaOwned,
  NoHistory,
  NoKnownGood,
  Paused,
  RestartTooSoon,
  RevisionNotFound,
  Stale,
  Unsupported,
  WorkloadNotFound
} from "./refusals.ts"
import type { RevisionRecord } from "./rollout/revisions.ts"
import type { Upstream } from "./upstream.ts"

/** A workload as it is now, with its revisions in the order of the API server's list. */
export interface Loaded {
  readonly object: KubernetesObject
  readonly revisions: ReadonlyArray<RevisionRecord>
}

/** A change that is known to be right for the object as it was read, and not yet made. */
export interface Prepared {
  /** The live object: what a backup holds. */
  readonly before: KubernetesObject
  /** kubectl's line for it, e.g. "deployment.apps/web restarted". */
  readonly message: string
  readonly undo: UndoPreview | null
  readonly warnings: ReadonlyArray<string>
  /** Makes the change; absent where there is nothing to write. Run it once. */
  readonly write: Effect.Effect<Written, KubernetesFailed | Stale> | undefined
  /** How it is recorded when there is nothing to write. */
  readonly idle: "skipped" | "unchanged"
}

/** Why a change cannot be prepared. */
export type Refusal = WorkloadNotFound | Upstream

export class Rollouts extends Context.Service<
  Rollouts,
  {
    readonly load: (target: WorkloadRef) => Effect.Effect<Loaded, Refusal>
    /** `toRevision` 0 is the previous one. With `dryRun` the API server is asked to validate it, and nothing is left to write. */
    readonly undo: (
      target: WorkloadRef,
      toRevision: number | "last-known-good",
      dryRun?: boolean
    ) => Effect.Effect<
      Prepared,
      Refusal | Paused | NoHistory | RevisionNotFound | NoKnownGood | Stale | KubernetesFailed | Unavailable
    >
    readonly restart: (target: WorkloadRef) => Effect.Effect<Prepared, Refusal | Paused | RestartTooSoon>
    readonly pause: (target: WorkloadRef) => Effect.Effect<Prepared, Refusal | Unsupported>
    readonly resume: (target: WorkloadRef) => Effect.Effect<Prepared, Refusal | Unsupported>
    readonly scale: (target: WorkloadRef, replicas: number) => Effect.Effect<Prepared, Refusal | Unsupported | HpaOwned>
  }
>()("gatehouse/admin/Rollouts") {}
