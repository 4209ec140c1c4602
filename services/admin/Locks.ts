/** One write per object: locks with an owner and a lease in the database, renewed while the write runs; must know nothing of what is written. */
import { Clock, Context, Effect, Layer, Schedule } from "effect"
import type { Unavailable } from "#shared/domain/errors.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import { Database, SqlClient, type SqlError } from "#shared/sql.ts"
import { Locked } from "./writeRefusals.ts"

export interface LockTarget {
  readonly namespace: string
  readonly kind: string
  readonly name: string
}

/** Seconds after which the lock of a process that renews it no more is anybody's. */
const leaseSeconds = 20

export class Locks extends Context.Service<
  Locks,
  {
    /**
     * Takes all of them or none. Gives the actions whose locks had run out: their process is gone, and what became of them
     * must be found out before anything else is written there.
     */
    readonly acquire: (
      targets: ReadonlyArray<LockTarget>,
      actionId: string
    ) => Effect.Effect<ReadonlyArray<string>, Locked | Unavailable>
    /** Whether the action holds all its locks still; renews them. Within the caller's transaction. */
    readonly confirm: (actionId: string, count: number) => Effect.Effect<boolean, SqlError.SqlError>
    /** The action of a running write to the target. */
    readonly holder: (target: LockTarget) => Effect.Effect<string | undefined, Unavailable>
    readonly release: (actionId: string) => Effect.Effect<void>
    /** The same within the caller's transaction: whoever sees the outcome finds the object free. */
    readonly free: (actionId: string) => Effect.Effect<void, SqlError.SqlError>
    /** This process takes an action over that no live lock stands for; false if another has. */
    readonly adopt: (targets: ReadonlyArray<LockTarget>, actionId: string) => Effect.Effect<boolean, Unavailable>
  }
>()("gatehouse/admin/Locks") {
  static readonly layer = Layer.effect(
    Locks,
    Effect.suspend(() => makeLocks)
  )
}

const makeLocks = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const owner = uuidv7(yield* Clock.currentTimeMillis)

  const lease = sql`now() + make_interval(secs => ${leaseSeconds}::int)`

  // Every lock of this process at once, so that a write may take as long as its API call does.
  yield* database
    .run(
      // A row that a write has in hand is renewed by that write; waiting for it could end in a deadlock.
      sql`UPDATE write_locks SET expires_at = ${lease} WHERE (namespace, kind, name) IN (
        SELECT namespace, kind, name FROM write_locks WHERE owner = ${owner}::uuid FOR UPDATE SKIP LOCKED)`
    )
    .pipe(
      Effect.catch((error) => Effect.logDebug("the locks cannot be renewed", error)),
      Effect.repeat(Schedule.spaced(`${leaseSeconds / 4} seconds`)),
      Effect.forkScoped
    )

  const take = Effect.fnUntraced(function* (target: LockTarget, actionId: string) {
    const { kind, name, namespace } = target
    // The row as it was before: a lock that ran out names the action that it was taken for.
    const before = yield* sql<{ readonly action: string; readonly live: boolean }>`
      SELECT action_id::text AS action, expires_at > now() AS live FROM write_locks
      WHERE namespace = ${namespace} AND kind = ${kind} AND name = ${name} FOR UPDATE`
    const held = before[0]
    if (held?.live === true && held.action !== actionId) return yield* new Locked({ kind, name, actionId: held.action })
    const taken = yield* sql`
      INSERT INTO write_locks (namespace, kind, name, action_id, owner, expires_at)
      VALUES (${namespace}, ${kind}, ${name}, ${actionId}::uuid, ${owner}::uuid, ${lease})
      ON CONFLICT (namespace, kind, name) DO UPDATE
        SET action_id = excluded.action_id, owner = excluded.owner, expires_at = excluded.expires_at
        WHERE write_locks.expires_at <= now() OR write_locks.action_id = excluded.action_id
      RETURNING 1`
    if (taken.length === 0) {
      const winner = yield* sql<{ readonly action: string }>`
        SELECT action_id::text AS action FROM write_locks
        WHERE namespace = ${namespace} AND kind = ${kind} AND name = ${name}`
      return yield* new Locked({ kind, name, actionId: winner[0]?.action ?? actionId })
    }
    return held === undefined || held.action === actionId ? [] : [held.action]
  })

  /** In one order for everybody, so that two writes of several objects cannot wait for each other. */
  const ordered = (targets: ReadonlyArray<LockTarget>) =>
    targets.toSorted((a, b) => {
      const [one, other] = [a, b].map(({ kind, name, namespace }) => `${namespace} ${kind} ${name}`)
      return one! < other! ? -1 : 1
    })

  const acquire = Effect.fn("Locks.acquire")(function* (targets: ReadonlyArray<LockTarget>, actionId: string) {
    const found = yield* database.transaction(Effect.forEach(ordered(targets), (target) => take(target, actionId)))
    return [...new Set(found.flat())]
  })

  const free = (actionId: string) =>
    Effect.asVoid(sql`DELETE FROM write_locks WHERE action_id = ${actionId}::uuid AND owner = ${owner}::uuid`)

  return Locks.of({
    acquire,
    confirm: Effect.fnUntraced(function* (actionId, count) {
      const held = yield* sql`
        UPDATE write_locks SET expires_at = ${lease}
        WHERE action_id = ${actionId}::uuid AND owner = ${owner}::uuid AND expires_at > now() RETURNING 1`
      return held.length === count
    }),
    holder: Effect.fn("Locks.holder")(function* ({ kind, name, namespace }) {
      const rows = yield* database.run(sql<{ readonly action: string }>`
        SELECT action_id::text AS action FROM write_locks
        WHERE namespace = ${namespace} AND kind = ${kind} AND name = ${name} AND expires_at > now()`)
      return rows[0]?.action
    }),
    free,
    release: (actionId) =>
      database.run(free(actionId)).pipe(
        // It runs out by itself.
        Effect.catch((error) => Effect.logDebug("a lock cannot be released", error)),
        Effect.asVoid
      ),
    adopt: Effect.fn("Locks.adopt")(function* (targets, actionId) {
      return yield* acquire(targets, actionId).pipe(
        Effect.as(true),
        Effect.catchTag("Locked", () => Effect.succeed(false))
      )
    })
  })
})
