/** What an event of the record of actions says, and the hash that chains it to the one before; must know no database. */
import { Schema } from "effect"
import { Action, ActionKind, ActionState, Actor, UndoPreview } from "#shared/api/admin.ts"
import { RolloutPhase } from "#shared/domain/workload.ts"
import { canonicalJson, sha256 } from "./digests.ts"

/**
 * How recovery tells from the live object whether a write whose answer was lost took place: one entry per object, with the
 * digest of what was live before (null: it did not exist) and digests of fields, by JSON pointer ("" is the whole object
 * without status and server fields), as they are once it was written. A restart is known by its stamp: not older than
 * `restartedSince` (milliseconds since the epoch).
 */
export const Expectation = Schema.Struct({
  kind: Schema.String,
  name: Schema.String,
  before: Schema.NullOr(Schema.String),
  after: Schema.Array(Schema.Struct({ pointer: Schema.String, digest: Schema.String })),
  restartedSince: Schema.NullOr(Schema.Number)
})
export type Expectation = typeof Expectation.Type

/** Committed before the API server is asked. */
export const Intent = Schema.Struct({
  action: ActionKind,
  uid: Schema.NullOr(Schema.String),
  actor: Actor,
  approver: Schema.NullOr(Actor),
  reason: Schema.String,
  proposalId: Schema.NullOr(Schema.String),
  requestId: Schema.String,
  sessionId: Schema.String,
  /** The scope that allowed it. */
  scope: Schema.String,
  message: Schema.String,
  undo: Schema.NullOr(UndoPreview),
  backups: Schema.Array(Schema.String),
  /** Of the planned tree, for an apply. */
  planDigest: Schema.NullOr(Schema.String),
  expected: Schema.Array(Expectation)
})
export type Intent = typeof Intent.Type

/** What came of it. */
export const Outcome = Schema.Struct({
  state: ActionState,
  message: Schema.String,
  upstreamStatus: Schema.NullOr(Schema.Int),
  objects: Action.fields.objects
})
export type Outcome = typeof Outcome.Type

/** What the rollout after it came to. */
export const RolloutResult = Schema.Struct({ phase: RolloutPhase, message: Schema.String })
export type RolloutResult = typeof RolloutResult.Type

export const encodeIntent = Schema.encodeSync(Schema.fromJsonString(Intent))
export const encodeOutcome = Schema.encodeSync(Schema.fromJsonString(Outcome))
export const decodeIntent = Schema.decodeUnknownSync(Schema.fromJsonString(Intent))
export const decodeOutcome = Schema.decodeUnknownSync(Schema.fromJsonString(Outcome))
export const decodeRollout = Schema.decodeUnknownSync(Schema.fromJsonString(RolloutResult))

/**
 * `intent` and `outcome` once per action, `lost` when an answer did not come, `rollout` when a rollout ended, `refused` for
 * what a caller may not do, `proposal.<state>` for each move of a proposal, `storm` for proposals that were not kept.
 */
export interface NewEvent {
  readonly event: string
  readonly actionId?: string | null
  readonly proposalId?: string | null
  readonly namespace: string
  readonly kind: string
  readonly name: string
  /** Who; "" for admin itself. */
  readonly actor: string
  /** JSON text. */
  readonly content: string
}

export interface ChainedEvent extends NewEvent {
  readonly seq: number
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly previous: string
}

/** The hash of the row before the first. */
export const chainStart = "0".repeat(64)

/** SHA-256 (hex) over the row's whole content and the hash of the row before it. */
export const chainHash = (event: ChainedEvent): string =>
  sha256(
    canonicalJson([
      event.previous,
      event.seq,
      event.at,
      event.event,
      event.actionId ?? null,
      event.proposalId ?? null,
      event.namespace,
      event.kind,
      event.name,
      event.actor,
      event.content
    ])
  )
