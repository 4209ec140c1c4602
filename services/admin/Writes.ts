/** The one way to the cluster: lock, validate, back up, record the intent, write, record the outcome; must decide no right and know no route. */
import { Clock, Context, Deferred, Effect, Exit, Fiber, Layer, Result, Schedule } from "effect"
import type { Action, ActionKind, Actor, UndoPreview } from "#shared/api/admin.ts"
import type { NotFound, Unavailable } from "#shared/domain/errors.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import { KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { Database, SqlClient, type SqlError } from "#shared/sql.ts"
import type { Expectation, Intent, Outcome } from "./actionEvents.ts"
import { ActionLog } from "./ActionLog.ts"
import { Backups } from "./Backups.ts"
import { Feed } from "./Feed.ts"
import { Locks } from "./Locks.ts"
import { Recovery } from "./Recovery.ts"
import { RolloutWatch } from "./RolloutWatch.ts"
import { K8sUnavailable, UpstreamForbidden } from "./upstream.ts"
import { AuditUnavailable, type BackupFailed, KeyReused, Locked, UpstreamRefused } from "./writeRefusals.ts"

/** Whom a write is made for. */
export interface Caller {
  readonly actor: Actor
  readonly sessionId: string
  readonly requestId: string
}

/** An `Idempotency-Key` with the digest of what was asked with it. */
export interface IdempotencyKey {
  readonly key: string
  readonly requestHash: string
}

/** A write that is ready to be made: everything that can be known before is known. */
export interface Ready<E> {
  readonly uid: string | null
  readonly message: string
  readonly undo: UndoPreview | null
  readonly planDigest: string | null
  /** What is live now and will be changed. */
  readonly before: ReadonlyArray<KubernetesObject>
  readonly expected: ReadonlyArray<Expectation>
  /** Makes the change; absent where there is nothing to write. */
  readonly write: Effect.Effect<Pick<Outcome, "state" | "message" | "objects">, KubernetesFailed | E> | undefined
  /** How it is recorded when there is nothing to write. */
  readonly idle: "skipped" | "unchanged"
}

/** One write as it is asked for. `E` is why it may be refused. */
export interface Order<E extends Error> {
  readonly action: ActionKind
  readonly namespace: string
  /** What the record names. */
  readonly kind: string
  readonly name: string
  /** What is written to. */
  readonly targets: ReadonlyArray<{ readonly kind: string; readonly name: string }>
  readonly caller: Caller
  readonly approver: Actor | null
  readonly proposalId: string | null
  readonly reason: string
  readonly scope: string
  /** The key counts for whoever sends the request: the approver of a proposal, else the actor. */
  readonly key?: IdempotencyKey | undefined
  /** Reads and validates under the lock; writes nothing. */
  readonly prepare: Effect.Effect<Ready<E>, E>
  /** What must come true in the same transaction as the intent, or else nothing does. */
  readonly commit?: (actionId: string) => Effect.Effect<void, E | SqlError.SqlError>
}

export type WriteRefusal =
  | Locked
  | BackupFailed
  | AuditUnavailable
  | KeyReused
  | UpstreamRefused
  | UpstreamForbidden
  | K8sUnavailable

export class Writes extends Context.Service<
  Writes,
  {
    /**
     * Makes the write, once, whatever becomes of whoever asked. The action is as far as it is known: `unknown` where the
     * answer was lost. Fails with nothing written, or with what the API server refused (recorded as failed).
     */
    readonly perform: <E extends Error>(order: Order<E>) => Effect.Effect<Action, E | WriteRefusal>
    /** The action that a key was used for; KeyReused if with another request. */
    readonly replay: (
      callerId: string,
      key: IdempotencyKey | undefined
    ) => Effect.Effect<Action | undefined, KeyReused | AuditUnavailable>
  }
>()("gatehouse/admin/Writes") {
  static readonly layer = Layer.effect(
    Writes,
    Effect.suspend(() => makeWrites)
  )
}

/** Whether a failed request may have been carried out all the same. */
const lost = ({ reason, sent }: KubernetesFailed) =>
  sent && (reason === "unreachable" || reason === "format" || reason === "server")

const unavailable = <A, E, R>(effect: Effect.Effect<A, E | Unavailable, R>) =>
  Effect.catchTag(effect as Effect.Effect<A, E | Unavailable, R>, "Unavailable", () => new AuditUnavailable())

const makeWrites = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const log = yield* ActionLog
  const locks = yield* Locks
  const backups = yield* Backups
  const recovery = yield* Recovery
  const watch = yield* RolloutWatch
  const feed = yield* Feed
  const scope = yield* Effect.scope
  /** Requests with a key that are under way in this process: the same again waits for the first. */
  const underWay = new Map<string, Deferred.Deferred<void>>()
})
