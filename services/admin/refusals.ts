/** Why a rollout is refused, in kubectl's words and each with its status; must hold no secret and no object. */
import { Schema } from "effect"
import { WorkloadKind } from "#shared/domain/workload.ts"

const target = { kind: WorkloadKind, name: Schema.String }

/** There is no such workload. */
export class WorkloadNotFound extends Schema.TaggedError<WorkloadNotFound>()("WorkloadNotFound", target, {
  httpApiStatus: 404
}) {
  override get message() {
    return `${this.kind.toLowerCase()}s.apps "${this.name}" not found`
  }
}

/** A paused Deployment can be neither undone nor restarted. */
export class Paused extends Schema.TaggedError<Paused>()(
  "Paused",
  { ...target, action: Schema.Literals(["undo", "restart"]) },
  { httpApiStatus: 409 }
) {
  override get message() {
    return this.action === "undo"
      ? "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again"
      : "can't restart paused deployment (run rollout resume first)"
  }
}

/** There is no revision before the present one. */
export class NoHistory extends Schema.TaggedError<NoHistory>()("NoHistory", target, { httpApiStatus: 409 }) {
  override get message() {
    return this.kind === "Deployment"
      ? `no rollout history found for deployment "${this.name}"`
      : "no last revision to roll back to"
  }
}

/** The history has no such revision (any more: an undo gives a revision a new number). */
export class RevisionNotFound extends Schema.TaggedError<RevisionNotFound>()(
  "RevisionNotFound",
  { revision: Schema.Number },
  { httpApiStatus: 404 }
) {
  override get message() {
    return `unable to find specified revision ${this.revision} in history`
  }
}

/** No earlier revision with another template is known to have been fully available; `candidates` are those that could be tried. */
export class NoKnownGood extends Schema.TaggedError<NoKnownGood>()(
  "NoKnownGood",
  { candidates: Schema.Array(Schema.Int) },
  { httpApiStatus: 409 }
) {
  override get message() {
    const others =
      this.candidates.length === 0 ? "there is none to choose" : `choose one of them: ${this.candidates.join(", ")}`
    return `no earlier revision is known to have been fully available; ${others}`
  }
}

/** The workload was changed or replaced since it was looked at. */
export class Stale extends Schema.TaggedError<Stale>()("Stale", target, { httpApiStatus: 409 }) {
  override get message() {
    return `${this.kind.toLowerCase()} "${this.name}" has been changed since it was looked at; nothing was done`
  }
}

/** An autoscaler would set the replicas back at once. */
export class HpaOwned extends Schema.TaggedError<HpaOwned>()(
  "HpaOwned",
  { ...target, autoscaler: Schema.String },
  { httpApiStatus: 409 }
) {
  override get message() {
    return `${this.kind.toLowerCase()} "${this.name}" is scaled by the HorizontalPodAutoscaler "${this.autoscaler}": change its bounds instead`
  }
}

/** Two restarts within one second are one. */
export class RestartTooSoon extends Schema.TaggedError<RestartTooSoon>()("RestartTooSoon", target, {
  httpApiStatus: 409
}) {
  override get message() {
    return `failed to create patch for ${this.name}: if restart has already been triggered within the past second, please wait before attempting to trigger another`
  }
}

/** This kind cannot do that: kubectl's words, e.g. "pausing is not supported". */
export class Unsupported extends Schema.TaggedError<Unsupported>()(
  "Unsupported",
  { what: Schema.Literals(["pausing", "resuming", "scaling"]) },
  { httpApiStatus: 422 }
) {
  override get message() {
    return `${this.what} is not supported`
  }
}

/** `from` or `to` of a comparison, or a revision to show, is not in the history. */
export class RevisionUnknown extends Schema.TaggedError<RevisionUnknown>()(
  "RevisionUnknown",
  { revision: Schema.Number },
  { httpApiStatus: 404 }
) {
  override get message() {
    return "unable to find the specified revision"
  }
}
