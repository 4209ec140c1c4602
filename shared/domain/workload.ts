/** What admin, scheduler and dashboard mean by a workload, its health and a change of its template; pure, must know no API server and no storage. */
import { Schema } from "effect"

/** The kinds that have revisions, and so can be restarted and undone. */
export const WorkloadKind = Schema.Literals(["Deployment", "StatefulSet", "DaemonSet"])
export type WorkloadKind = typeof WorkloadKind.Type

/** A Kubernetes namespace (RFC 1123 label). */
export const NamespaceName = Schema.String.check(
  Schema.isPattern(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/u, { expected: "a namespace: an RFC 1123 label" })
)
/** The name of an object (RFC 1123 subdomain). */
export const ObjectName = Schema.String.check(
  Schema.isPattern(/^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/u, {
    expected: "an object's name: an RFC 1123 subdomain"
  })
)

/** Which object is meant, whatever becomes of its name: a re-created one has another `uid`. */
export const Target = Schema.Struct({
  namespace: NamespaceName,
  kind: WorkloadKind,
  name: ObjectName,
  uid: Schema.String.check(Schema.isMaxLength(64)),
  /** `metadata.generation` when it was looked at; a later one means that somebody has changed the object since. */
  generation: Schema.Int
})
export type Target = typeof Target.Type

/** Worst last (Argo CD's order): what a person should look at first. */
export const HealthStatus = Schema.Literals(["Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"])
export type HealthStatus = typeof HealthStatus.Type

/** `reason` is in words for people, "" where Healthy needs none. */
export const Health = Schema.Struct({ status: HealthStatus, reason: Schema.String })
export type Health = typeof Health.Type

/** Where a rollout stands. `stalled`: a pod of the new revision cannot start, so waiting will not help. */
export const RolloutPhase = Schema.Literals(["progressing", "complete", "failed", "stalled", "paused"])
export type RolloutPhase = typeof RolloutPhase.Type

/** One field that differs: `path` as a JSON pointer (RFC 6901), values as JSON text, null where the field is not there. Secrets are masked. */
export const FieldChange = Schema.Struct({
  path: Schema.String,
  before: Schema.NullOr(Schema.String),
  after: Schema.NullOr(Schema.String)
})
export type FieldChange = typeof FieldChange.Type
