/** The one way to the cluster: lock, validate, back up, record the intent, write, record the outcome; must decide no right and know no route. */
import { Clock, Context, Deferred, Effect, Fiber, Layer, Result, Schedule } from "effect"
import type { Action, ActionKind, Actor, UndoPreview } from "#shared/api/admin.ts"
import { Unavailable } from "#shared/domain/errors.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import { KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { Database, SqlClient, type SqlError } from "#shared/sql.ts"
import type { Expectation, Intent, Outcome } from "./actionEvents.ts"
import { ActionLog } from "./ActionLog.ts"
import { Backups } from "./Backups.ts"
import { Feed } from "./Feed.ts"
import { type IdempotencyKey, keptDays } from "./idempotency.ts"
import { Locks } from "./Locks.ts"
import { maskText } from "#shared/kubernetes/mask.ts"
import { Recovery } from "./Recovery.ts"
import { RolloutWatch } from "./RolloutWatch.ts"
import { type Upstream, upstreamOf } from "./upstream.ts"
import { AuditUnavailable, type BackupFailed, KeyReused, Locked, UpstreamRefused } from "./writeRefusals.ts"
import type { WrittenObject } from "./writtenObject.ts"

/** Whom a write is made for. */
export interface Caller {
  readonly actor: Actor
  readonly sessionId: string
  readonly requestId: string
}

/** What a write came to. */
export interface Made extends Pick<Outcome, "state" | "message" | "objects"> {
  readonly written: ReadonlyArray<WrittenObject>
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
  readonly write: Effect.Effect<Made, KubernetesFailed | E> | undefined
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

export type WriteRefusal = Locked | BackupFailed | AuditUnavailable | KeyReused | UpstreamRefused | Upstream

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

/** The API server's words as they may be kept and shown. */
const wordsOf = ({ detail }: KubernetesFailed) => maskText(detail).slice(0, 1000)

/** What a refused request means to whoever asked for it. */
export const refusedBy = (failed: KubernetesFailed, actionId: string | null) => {
  switch (failed.reason) {
    case "forbidden":
    case "unreachable":
    case "unauthorized":
    case "server":
    case "format":
    case "too_many_requests":
      return upstreamOf(failed)
    default:
      return new UpstreamRefused({ detail: wordsOf(failed), actionId })
  }
}

/** No record, no write: the database being away refuses it. */
const audited = <A, E, R>(
  effect: Effect.Effect<A, E | Unavailable, R>
): Effect.Effect<A, Exclude<E, Unavailable> | AuditUnavailable, R> =>
  Effect.mapError(effect, (error) =>
    error instanceof Unavailable ? new AuditUnavailable() : (error as Exclude<E, Unavailable>)
  )

/** Who sent the request: a key is theirs alone. */
const senderOf = <E extends Error>({ approver, caller }: Order<E>) => (approver ?? caller.actor).id

const makeWrites = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const log = yield* ActionLog
  const locks = yield* Locks
  const backups = yield* Backups
  const recovery = yield* Recovery
  const watch = yield* RolloutWatch
  const feed = yield* Feed
  /** Writes and what belongs to them; they outlive whoever asked, and the service waits for them before it ends. */
  const running = new Set<Fiber.Fiber<unknown, unknown>>()
  yield* Effect.addFinalizer(() =>
    Effect.forEach([...running], (fiber) => Fiber.await(fiber), { concurrency: "unbounded" }).pipe(
      Effect.timeoutOption("20 seconds"),
      Effect.andThen(Fiber.interruptAll([...running]))
    )
  )
  const launch = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.forkDetach(effect, { startImmediately: true }), (fiber) => {
      running.add(fiber)
      fiber.addObserver(() => running.delete(fiber))
      return fiber
    })
  /** Requests with a key that are under way in this process: the same again waits for the first. */
  const underWay = new Map<string, Deferred.Deferred<void>>()

  yield* database
    .run(sql`DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(days => ${keptDays}::int)`)
    .pipe(
      Effect.catch((error) => Effect.logDebug("old idempotency keys stay", error.message)),
      Effect.repeat(Schedule.spaced("1 hour")),
      Effect.forkScoped
    )

  const publish = (id: string) =>
    Effect.flatMap(log.find(id), ({ action }) => Effect.as(feed.publish({ event: "action", data: action }), action))

  const replay = Effect.fn("Writes.replay")(function* (callerId: string, key: IdempotencyKey | undefined) {
    if (key === undefined) return undefined
    const found = yield* audited(
      database.run(sql<{ readonly action: string; readonly hash: string }>`
        SELECT action_id::text AS action, request_hash AS hash FROM idempotency_keys
        WHERE caller = ${callerId} AND key = ${key.key}`)
    )
    if (found[0] === undefined) return undefined
    if (found[0].hash !== key.requestHash) return yield* new KeyReused()
    return (yield* audited(Effect.catchTag(log.find(found[0].action), "NotFound", Effect.die))).action
  })

  /** What the record says of an order before anything is written. */
  const intentOf = <E extends Error>(order: Order<E>, ready: Ready<E>, backedUp: ReadonlyArray<string>): Intent => ({
    action: order.action,
    uid: ready.uid,
    actor: order.caller.actor,
    approver: order.approver,
    reason: order.reason,
    proposalId: order.proposalId,
    requestId: order.caller.requestId,
    sessionId: order.caller.sessionId,
    scope: order.scope,
    message: ready.message,
    undo: ready.undo,
    backups: backedUp,
    planDigest: ready.planDigest,
    expected: ready.expected
  })

  /** One transaction: the locks are still ours, what must come true with the intent does, the intent and its key are in. */
  const intend = <E extends Error>(
    order: Order<E>,
    id: string,
    { before }: Ready<E>,
    intent: Intent,
    idle?: Outcome
  ) => {
    const { kind, name, namespace, proposalId } = order
    const subject = { id, proposalId, namespace, kind, name }
    return audited(
      database.transaction(
        Effect.gen(function* () {
          yield* log.lock
          if (!(yield* locks.confirm(id, order.targets.length))) {
            return yield* new Locked({ kind: order.kind, name: order.name, actionId: id })
          }
          if (order.commit !== undefined) yield* order.commit(id)
          yield* log.intend(
            subject,
            intent,
            idle === undefined ? before.flatMap(({ metadata }) => metadata.uid ?? []) : []
          )
          if (order.key !== undefined) {
            const { key, requestHash } = order.key
            yield* sql`INSERT INTO idempotency_keys (caller, key, request_hash, action_id)
              VALUES (${senderOf(order)}, ${key}, ${requestHash}, ${id}::uuid)`.pipe(
              Effect.catchReason("SqlError", "UniqueViolation", () => new KeyReused())
            )
          }
          if (idle !== undefined) yield* log.settle(subject, idle)
        })
      )
    )
  }

  /** Records an outcome however long the database is away; the lock is held as long. */
  const settle = (action: Action, outcome: Outcome) =>
    recovery
      .settle(action, outcome)
      .pipe(
        Effect.retry(Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")])),
        Effect.ignore
      )

  /** The answer did not come: the live object tells, now or when it can be read again. */
  const recover = (id: string) =>
    recovery
      .reconcile(id)
      .pipe(
        Effect.retry(Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("10 seconds")])),
        Effect.ignore,
        Effect.ensuring(locks.release(id)),
        launch
      )

  /** From the committed intent on: what was begun is recorded, and what cannot be known is found out. */
  const carryOut = <E extends Error>(action: Action, write: NonNullable<Ready<E>["write"]>) =>
    Effect.gen(function* () {
      const result = yield* Effect.result(write)
      if (Result.isSuccess(result)) {
        const { written, ...made } = result.success
        const uids = written.map(({ uid }) => uid)
        // Which workload was changed last by whom is no part of the record: it may be missing, and nothing waits for it.
        yield* Effect.ignore(log.touched(action.id, uids))
        yield* keepOutcome(action, { ...made, upstreamStatus: 200 })
        if (written.length > 0) yield* watch.follow(action.id, written)
        return
      }
      const error = result.failure
      if (error instanceof KubernetesFailed && lost(error)) {
        const content = JSON.stringify({ reason: error.reason, detail: wordsOf(error) })
        const { id: actionId, kind, name, namespace } = action
        yield* Effect.ignore(log.record([{ event: "lost", actionId, namespace, kind, name, actor: "", content }]))
        return yield* Effect.asVoid(recover(action.id))
      }
      const upstreamStatus = error instanceof KubernetesFailed ? error.status : null
      const message = error instanceof KubernetesFailed ? wordsOf(error) : error.message
      yield* keepOutcome(action, { state: "failed", message, upstreamStatus, objects: [] })
      return yield* error instanceof KubernetesFailed ? refusedBy(error, action.id) : Effect.fail(error)
    })

  /** Waits for the record a moment; where the database is away, goes on without and keeps trying. */
  const keepOutcome = (action: Action, outcome: Outcome) =>
    Effect.gen(function* () {
      const kept = yield* launch(Effect.ensuring(settle(action, outcome), locks.release(action.id)))
      yield* Fiber.join(kept).pipe(Effect.timeoutOption("5 seconds"))
    })

  const work = Effect.fnUntraced(function* <E extends Error>(order: Order<E>) {
    const id = uuidv7(yield* Clock.currentTimeMillis)
    const targets = order.targets.map((target) => ({ namespace: order.namespace, ...target }))
    for (const dead of yield* audited(locks.acquire(targets, id))) {
      yield* recovery.reconcile(dead).pipe(
        Effect.catchTag("NotFound", () => Effect.void),
        Effect.mapError((error) =>
          error instanceof KubernetesFailed ? refusedBy(error, dead) : new AuditUnavailable()
        ),
        Effect.tapError(() => locks.release(id))
      )
    }
    const begun = yield* begin(order, id).pipe(Effect.tapCause(() => locks.release(id)))
    if (begun.write === undefined) {
      yield* locks.release(id)
      return yield* audited(Effect.catchTag(publish(id), "NotFound", Effect.die))
    }
    yield* carryOut(begun.action, begun.write)
    yield* Effect.forEach(begun.backups, (one) => backups.prune(one), { discard: true }).pipe(launch)
    // Where the record cannot be read now, the answer is what was recorded last: the intent.
    return yield* log.find(id).pipe(
      Effect.map(({ action }) => action),
      Effect.catch(() => Effect.succeed(begun.action))
    )
  })

  /** Up to the committed intent: may be refused at every step, and then nothing was written. */
  const begin = Effect.fnUntraced(function* <E extends Error>(order: Order<E>, id: string) {
    const ready = yield* order.prepare
    if (ready.write === undefined) {
      const idle: Outcome = { state: ready.idle, message: ready.message, upstreamStatus: null, objects: [] }
      yield* intend(order, id, ready, intentOf(order, ready, []), idle)
      return { write: undefined, backups: [] as ReadonlyArray<string> }
    }
    const backedUp = yield* Effect.forEach(ready.before, (object) => backups.write(object, id))
    yield* intend(order, id, ready, intentOf(order, ready, backedUp))
    const action = yield* audited(Effect.catchTag(publish(id), "NotFound", Effect.die))
    return { write: ready.write, action, backups: backedUp }
  })

  const perform = Effect.fn("Writes.perform")(function* <E extends Error>(order: Order<E>) {
    const caller = senderOf(order)
    const slot = order.key === undefined ? undefined : `${caller} ${order.key.key}`
    if (slot !== undefined) {
      for (let first = underWay.get(slot); first !== undefined; first = underWay.get(slot)) yield* Deferred.await(first)
    }
    const done = yield* Deferred.make<void>()
    if (slot !== undefined) underWay.set(slot, done)
    const whole = Effect.gen(function* () {
      const known = yield* replay(caller, order.key)
      return known ?? (yield* work(order))
    }).pipe(
      Effect.ensuring(
        Effect.suspend(() => {
          if (slot !== undefined) underWay.delete(slot)
          return Deferred.succeed(done, undefined)
        })
      )
    )
    // A client that goes away has asked all the same.
    return yield* Fiber.join(yield* launch(whole))
  })

  return Writes.of({ perform, replay })
})
