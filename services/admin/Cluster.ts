/** A live view of the configured namespaces, kept by one shared watch per kind; must change nothing in the cluster. */
import { Context, type Effect, type Stream } from "effect"
import type {
  AdminEvent,
  ClusterEvent,
  PodNode,
  Revision,
  RevisionDiff,
  RolloutStatus,
  Workload,
  WorkloadDetail
} from "#shared/api/admin.ts"
import type { WorkloadKind } from "#shared/domain/workload.ts"
import type { WorkloadRef } from "./kinds.ts"
import type { NoHistory, RevisionUnknown, WorkloadNotFound } from "./refusals.ts"
import type { K8sUnavailable, Upstream } from "./upstream.ts"

/** What the view itself says on the feed. */
export type ClusterChange = Extract<AdminEvent, { readonly event: "workload" | "workload_deleted" | "stale" }>

export class Cluster extends Context.Service<
  Cluster,
  {
    /** Sorted by kind and name. 503 until every kind of the namespace was seen once. */
    readonly workloads: (namespace: string) => Effect.Effect<ReadonlyArray<Workload>, K8sUnavailable>
    readonly detail: (target: WorkloadRef) => Effect.Effect<WorkloadDetail, WorkloadNotFound | K8sUnavailable>
    /** `pinned` as `kubectl rollout status --revision`. */
    readonly status: (
      target: WorkloadRef,
      pinned?: number
    ) => Effect.Effect<RolloutStatus, WorkloadNotFound | K8sUnavailable>
    /** Ascending; empty where kubectl says "No rollout history found.". */
    readonly history: (target: WorkloadRef) => Effect.Effect<ReadonlyArray<Revision>, WorkloadNotFound | K8sUnavailable>
    /** `from` and `to` 0: the previous and the present revision. */
    readonly diff: (
      target: WorkloadRef,
      from: number,
      to: number
    ) => Effect.Effect<typeof RevisionDiff.Type, WorkloadNotFound | RevisionUnknown | NoHistory | K8sUnavailable>
    /** Asked live, newest first; of one workload with its revisions and pods if `target` is given. */
    readonly events: (
      namespace: string,
      target?: { readonly kind: WorkloadKind; readonly name: string }
    ) => Effect.Effect<ReadonlyArray<ClusterEvent>, Upstream>
    readonly pods: (namespace: string) => Effect.Effect<ReadonlyArray<PodNode>, K8sUnavailable>
    /** Since when any watch is without connection (RFC 3339), null while all have one. */
    readonly staleSince: Effect.Effect<string | null>
    /** Changes from the moment of subscription on. */
    readonly changes: Stream.Stream<ClusterChange>
    /** Asks the chronicle again who changed the workload last, and tells it on. */
    readonly refresh: (target: WorkloadRef) => Effect.Effect<void>
  }
>()("gatehouse/admin/Cluster") {}
