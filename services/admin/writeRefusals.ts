/** Why admin refuses or could not do something, each with its HTTP status; must hold no secret and no rejected value. */
import { Schema } from "effect"
import { InputFault } from "#shared/domain/errors.ts"

/** The namespace is none of those this admin is given. Foreign, unknown and malformed ones are refused alike. */
export class NamespaceNotAllowed extends Schema.TaggedError<NamespaceNotAllowed>()(
  "NamespaceNotAllowed",
  {},
  { httpApiStatus: 403 }
) {
  override get message() {
    return "this admin does not serve that namespace"
  }
}

/** The caller is known and lacks the scope; nothing was asked of the cluster. */
export class ScopeMissing extends Schema.TaggedError<ScopeMissing>()(
  "ScopeMissing",
  { scope: Schema.String },
  { httpApiStatus: 403 }
) {
  override get message() {
    return `needs the scope ${this.scope}`
  }
}

/** Another write to the same object is under way. */
export class Locked extends Schema.TaggedError<Locked>()(
  "Locked",
  { kind: Schema.String, name: Schema.String, actionId: Schema.String },
  { httpApiStatus: 409 }
) {
  override get message() {
    return `another write to ${this.kind} ${this.name} is running: action ${this.actionId}`
  }
}

/** The live object could not be kept, so nothing was changed. `reason` names the fault without the folder's path. */
export class BackupFailed extends Schema.TaggedError<BackupFailed>()(
  "BackupFailed",
  { reason: Schema.String },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `the backup cannot be written (${this.reason}), so nothing was changed`
  }
}

/** A kept file is not what was written. */
export class BackupCorrupt extends Schema.TaggedError<BackupCorrupt>()(
  "BackupCorrupt",
  { backup: Schema.String },
  { httpApiStatus: 409 }
) {
  override get message() {
    return `the backup ${this.backup} is not what was written: its SHA-256 differs`
  }
}

/** The audit cannot be written, so nothing was changed. */
export class AuditUnavailable extends Schema.TaggedError<AuditUnavailable>()(
  "AuditUnavailable",
  {},
  { httpApiStatus: 503 }
) {
  override get message() {
    return "the logging DB is unavailable and no action goes unrecorded, so nothing was changed"
  }
}

/** An `Idempotency-Key` was used before, with another request. */
export class KeyReused extends Schema.TaggedError<KeyReused>()("KeyReused", {}, { httpApiStatus: 422 }) {
  override get message() {
    return "this Idempotency-Key was used with another request"
  }
}

/** A plan that there is not, not any more, or not for this namespace. */
export class PlanGone extends Schema.TaggedError<PlanGone>()("PlanGone", {}, { httpApiStatus: 410 }) {
  override get message() {
    return "there is no such plan any more: make a new one"
  }
}

/** Here a manifest is applied from a plan only. */
export class PlanRequired extends Schema.TaggedError<PlanRequired>()("PlanRequired", {}, { httpApiStatus: 422 }) {
  override get message() {
    return "in this namespace only a plan may be applied: POST …/plan first"
  }
}

/** The manifest is refused; each fault has its object's index and field in `pointer`, its line and its stable `code`. */
export class ManifestRefused extends Schema.TaggedError<ManifestRefused>()(
  "ManifestRefused",
  { code: Schema.String, errors: Schema.Array(InputFault) },
  { httpApiStatus: 422 }
) {
  override get message() {
    return this.errors.map(({ detail, line }) => (line === undefined ? detail : `line ${line}: ${detail}`)).join("; ")
  }
}

/** More objects than one plan takes. */
export class TooManyObjects extends Schema.TaggedError<TooManyObjects>()(
  "TooManyObjects",
  { limit: Schema.Int },
  { httpApiStatus: 413 }
) {
  override get message() {
    return `a plan takes at most ${this.limit} objects`
  }
}

/** Fields that somebody else owns; each fault names object, field and manager. */
export class FieldConflict extends Schema.TaggedError<FieldConflict>()(
  "FieldConflict",
  { errors: Schema.Array(InputFault) },
  { httpApiStatus: 409 }
) {
  override get message() {
    return this.errors.map(({ detail }) => detail).join("; ")
  }
}

/** Who asked for it may not be who approves it. */
export class SelfApproval extends Schema.TaggedError<SelfApproval>()("SelfApproval", {}, { httpApiStatus: 403 }) {
  override get message() {
    return "in this namespace somebody else than who proposed it must approve"
  }
}

/** A proposal that is decided already. */
export class ProposalDecided extends Schema.TaggedError<ProposalDecided>()(
  "ProposalDecided",
  { state: Schema.String },
  { httpApiStatus: 409 }
) {
  override get message() {
    return `this proposal is ${this.state} already`
  }
}

/** A proposal that nobody decided in time. */
export class ProposalExpired extends Schema.TaggedError<ProposalExpired>()(
  "ProposalExpired",
  {},
  { httpApiStatus: 410 }
) {
  override get message() {
    return "this proposal has expired"
  }
}

/** The same was proposed and rejected a short while ago. */
export class ProposalCoolingDown extends Schema.TaggedError<ProposalCoolingDown>()(
  "ProposalCoolingDown",
  { until: Schema.String },
  { httpApiStatus: 409 }
) {
  override get message() {
    return `a person rejected this; it may be proposed again after ${this.until}`
  }
}

/** Too many proposals in a short time: something larger is wrong, and a person has to look at it as a whole. */
export class ProposalStorm extends Schema.TaggedError<ProposalStorm>()(
  "ProposalStorm",
  { limit: Schema.Int, minutes: Schema.Int },
  { httpApiStatus: 429 }
) {
  override get message() {
    return `more than ${this.limit} proposals in ${this.minutes} minutes; this one is not kept`
  }
}

/** The API server refused a write, or to validate one, and said why; nothing was changed. A write is recorded as failed. */
export class UpstreamRefused extends Schema.TaggedError<UpstreamRefused>()(
  "UpstreamRefused",
  { detail: Schema.String, actionId: Schema.NullOr(Schema.String) },
  { httpApiStatus: 422 }
) {
  override get message() {
    return `the API server refused: ${this.detail}${this.actionId === null ? "" : ` (action ${this.actionId})`}`
  }
}

/** A live object is not any more what the plan was made for. */
export class PlanStale extends Schema.TaggedError<PlanStale>()(
  "PlanStale",
  { kind: Schema.String, name: Schema.String },
  { httpApiStatus: 409 }
) {
  get code() {
    return "stale"
  }
  override get message() {
    return `${this.kind} "${this.name}" has been changed since the plan was made; nothing was done`
  }
}
