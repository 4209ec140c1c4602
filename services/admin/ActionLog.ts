/** The record of actions: appends events to the hash chain, reads actions back from them, checks the chain; must change no event. */
import { Clock, Context, Effect, Layer, Schema } from "effect"
import type { Action, ActionKind, ActionState, ChainCheck } from "#shared/api/admin.ts"
import type { Page } from "#shared/api/paging.ts"
import { InvalidInput, NotFound, type Unavailable } from "#shared/domain/errors.ts"
import { Database, SqlClient, type SqlError } from "#shared/sql.ts"
import {
  chainHash,
  chainStart,
  decodeIntent,
  decodeOutcome,
  decodeRollout,
  encodeIntent,
  encodeOutcome,
  type Intent,
  type NewEvent,
  type Outcome,
  type RolloutResult
} from "./actionEvents.ts"

/** An action of the record, and what recovery needs of it. */
export interface Recorded {
  readonly action: Action
  readonly intent: Intent
}

export interface ActionFilter {
  readonly namespaces: ReadonlyArray<string>
  readonly kind?: string | undefined
  readonly name?: string | undefined
  readonly actor?: string | undefined
  readonly action?: ActionKind | undefined
  readonly state?: ActionState | undefined
  /** RFC 3339; `since` is included, `until` is not. */
  readonly since?: string | undefined
  readonly until?: string | undefined
}

interface Subject {
  readonly id: string
  readonly proposalId: string | null
  readonly namespace: string
  readonly kind: string
  readonly name: string
}

export class ActionLog extends Context.Service<
  ActionLog,
  {
    /** Appends within the caller's transaction: what is recorded and what it records are one. */
    readonly append: (events: ReadonlyArray<NewEvent>) => Effect.Effect<void, SqlError.SqlError>
    /**
     * Puts the caller's transaction in line with all others that append: whoever comes later sees what this one has done.
     * A transaction that appends and touches other rows begins with it: two that took them in another order would block
     * each other for ever.
     */
    readonly lock: Effect.Effect<void, SqlError.SqlError>
    /** The same in a transaction of its own. */
    readonly record: (events: ReadonlyArray<NewEvent>) => Effect.Effect<void, Unavailable>
    /** `uids`: of the objects that exist and will be changed. Within the caller's transaction. */
    readonly intend: (
      subject: Subject,
      intent: Intent,
      uids: ReadonlyArray<string>
    ) => Effect.Effect<void, SqlError.SqlError>
    /** What an action has made, once its uid is known. */
    readonly touched: (actionId: string, uids: ReadonlyArray<string>) => Effect.Effect<void, Unavailable>
    /** Gives false if the action has an outcome already: whoever comes second changes nothing. Within the caller's transaction. */
    readonly settle: (subject: Subject, outcome: Outcome) => Effect.Effect<boolean, SqlError.SqlError>
    readonly rollout: (subject: Subject, result: RolloutResult) => Effect.Effect<void, Unavailable>
    /** Which action brought a revision about. */
    readonly attribute: (workloadUid: string, revisionUid: string, actionId: string) => Effect.Effect<void, Unavailable>
    readonly find: (id: string) => Effect.Effect<Recorded, NotFound | Unavailable>
    /** Newest first. */
    readonly list: (
      filter: ActionFilter,
      page: { readonly limit: number; readonly cursor?: string | undefined }
    ) => Effect.Effect<Page<Action>, InvalidInput | Unavailable>
    /** Intents without outcome that no live lock stands for: their process is gone. */
    readonly orphans: Effect.Effect<ReadonlyArray<string>, Unavailable>
    /** Succeeded actions of the last `minutes` whose rollout was not seen to its end. */
    readonly unwatched: (minutes: number) => Effect.Effect<ReadonlyArray<string>, Unavailable>
    readonly verify: Effect.Effect<ChainCheck, Unavailable>
  }
>()("gatehouse/admin/ActionLog") {
  static readonly layer = Layer.effect(
    ActionLog,
    Effect.suspend(() => makeActionLog)
  )
}

interface ActionRow {
  readonly seq: number
  readonly id: string
  readonly at: Date
  readonly namespace: string
  readonly kind: string
  readonly name: string
  readonly intent: string
  readonly outcome: string | null
  readonly finished: Date | null
  readonly rollout: string | null
  readonly rollout_at: Date | null
  readonly lost: boolean
}

interface EventRow {
  readonly seq: number
  readonly at: Date
  readonly event: string
  readonly action_id: string | null
  readonly proposal_id: string | null
  readonly namespace: string
  readonly kind: string
  readonly name: string
  readonly actor: string
  readonly content: string
  readonly previous: string
  readonly hash: string
}

const actionOf = (row: ActionRow): Recorded => {
  const intent = decodeIntent(row.intent)
  const outcome = row.outcome === null ? undefined : decodeOutcome(row.outcome)
  const rollout = row.rollout === null ? undefined : decodeRollout(row.rollout)
  return {
    intent,
    action: {
      id: row.id,
      action: intent.action,
      namespace: row.namespace,
      kind: row.kind,
      name: row.name,
      uid: intent.uid,
      actor: intent.actor,
      approver: intent.approver,
      reason: intent.reason,
      proposalId: intent.proposalId,
      requestId: intent.requestId,
      state: outcome?.state ?? (row.lost ? "unknown" : "intended"),
      message: outcome?.message ?? (row.lost ? "the API server's answer was lost" : intent.message),
      undo: intent.undo,
      objects: outcome?.objects ?? [],
      backup: intent.backups[0] ?? null,
      upstreamStatus: outcome?.upstreamStatus ?? null,
      rollout:
        rollout === undefined || row.rollout_at === null ? null : { ...rollout, at: row.rollout_at.toISOString() },
      createdAt: row.at.toISOString(),
      finishedAt: row.finished?.toISOString() ?? null
    }
  }
}

const Cursor = Schema.Int.check(Schema.isGreaterThan(0))
const isSeq = Schema.is(Cursor)
const cursorOf = (seq: number) => Buffer.from(`seq:${seq}`).toString("base64url")
const seqOf = (cursor: string): number | undefined => {
  const seq = /^seq:([0-9]{1,15})$/u.exec(Buffer.from(cursor, "base64url").toString())?.[1]
  return seq !== undefined && isSeq(Number(seq)) && cursorOf(Number(seq)) === cursor ? Number(seq) : undefined
}

/**
 * JSON text without NUL and half characters: Postgres refuses to look into JSON that has one, and a single such row, which
 * anybody's annotation or container can bring about, would fail every query that filters by content.
 */
const storable = (content: string): string =>
  content.replaceAll(/(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/gu, "$1\\ufffd")

/** Rows one query of a verification reads. */
const verified = 1000

const makeActionLog = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient

  const append = Effect.fnUntraced(function* (events: ReadonlyArray<NewEvent>) {
    const at = yield* Clock.currentTimeMillis
    const heads = yield* sql<{ readonly seq: number; readonly hash: string }>`
      SELECT seq::float8 AS seq, hash FROM action_chain FOR UPDATE`
    let { hash: previous, seq } = heads[0] ?? { hash: chainStart, seq: 0 }
    for (const given of events) {
      const event = { ...given, content: storable(given.content) }
      seq += 1
      const hash = chainHash({ ...event, seq, at, previous })
      yield* sql`INSERT INTO action_events
        (seq, at, event, action_id, proposal_id, namespace, kind, name, actor, content, previous, hash) VALUES
        (${seq}::bigint, ${new Date(at).toISOString()}::timestamptz, ${event.event}, ${event.actionId ?? null}::uuid,
         ${event.proposalId ?? null}::uuid, ${event.namespace}, ${event.kind}, ${event.name}, ${event.actor},
         ${event.content}, ${previous}, ${hash})`
      previous = hash
    }
    yield* sql`UPDATE action_chain SET seq = ${seq}::bigint, hash = ${previous}`
  })

  const rows = (where: ReturnType<typeof sql.and>, limit: number) => sql<ActionRow>`
    SELECT i.seq::float8 AS seq, i.action_id::text AS id, i.at, i.namespace, i.kind, i.name, i.content AS intent,
      o.content AS outcome, o.at AS finished, r.content AS rollout, r.at AS rollout_at, l.seq IS NOT NULL AS lost
    FROM action_events i
    LEFT JOIN action_events o ON o.action_id = i.action_id AND o.event = 'outcome'
    LEFT JOIN LATERAL (SELECT content, at FROM action_events e WHERE e.action_id = i.action_id AND e.event = 'rollout'
      ORDER BY seq DESC LIMIT 1) r ON true
    LEFT JOIN LATERAL (SELECT seq FROM action_events e WHERE e.action_id = i.action_id AND e.event = 'lost'
      LIMIT 1) l ON true
    WHERE i.event = 'intent' AND ${where}
    ORDER BY i.seq DESC LIMIT ${limit}::int`

  const event = (what: string, { id, kind, name, namespace, proposalId }: Subject, actor: string, content: string) => ({
    event: what,
    actionId: id,
    proposalId,
    namespace,
    kind,
    name,
    actor,
    content
  })

  const touch = (actionId: string, uids: ReadonlyArray<string>) =>
    sql`INSERT INTO action_objects (uid, action_id)
      SELECT DISTINCT uid, ${actionId}::uuid FROM jsonb_array_elements_text(${JSON.stringify(uids)}::text::jsonb) AS t(uid)
      ON CONFLICT DO NOTHING`

  const lock = Effect.asVoid(sql`SELECT seq FROM action_chain FOR UPDATE`)

  return ActionLog.of({
    append,
    lock,
    record: Effect.fn("ActionLog.record")(function* (events) {
      yield* database.transaction(append(events))
    }),
    intend: Effect.fnUntraced(function* (subject, intent, uids) {
      yield* sql`INSERT INTO open_actions (action_id) VALUES (${subject.id}::uuid)`
      yield* touch(subject.id, uids)
      yield* append([event("intent", subject, intent.actor.id, encodeIntent(intent))])
    }),
    settle: Effect.fnUntraced(function* (subject, outcome) {
      // The chain's row lock first: of two that settle the same action, the second sees the first's outcome.
      yield* lock
      const done = yield* sql`SELECT 1 FROM action_events WHERE action_id = ${subject.id}::uuid AND event = 'outcome'`
      if (done.length > 0) return false
      yield* sql`DELETE FROM open_actions WHERE action_id = ${subject.id}::uuid`
      yield* append([event("outcome", subject, "", encodeOutcome(outcome))])
      return true
    }),
    touched: Effect.fn("ActionLog.touched")(function* (actionId, uids) {
      if (uids.length > 0) yield* database.run(touch(actionId, uids))
    }),
    rollout: Effect.fn("ActionLog.rollout")(function* (subject, result) {
      yield* database.transaction(append([event("rollout", subject, "", JSON.stringify(result))]))
    }),
    attribute: Effect.fn("ActionLog.attribute")(function* (workloadUid, revisionUid, actionId) {
      yield* database.run(sql`INSERT INTO revision_actions (workload_uid, revision_uid, action_id)
        VALUES (${workloadUid}, ${revisionUid}, ${actionId}::uuid)
        ON CONFLICT (workload_uid, revision_uid) DO UPDATE SET action_id = excluded.action_id`)
    }),
    find: Effect.fn("ActionLog.find")(function* (id) {
      const found = yield* database.run(rows(sql.and([sql`i.action_id::text = ${id}`]), 1))
      return found[0] === undefined ? yield* new NotFound({ resource: "action" }) : actionOf(found[0])
    }),
    list: Effect.fn("ActionLog.list")(function* (filter, { cursor, limit }) {
      const before = cursor === undefined ? undefined : seqOf(cursor)
      if (cursor !== undefined && before === undefined) {
        return yield* new InvalidInput({ errors: [{ pointer: "/query/cursor", detail: "not a cursor of this list" }] })
      }
      const clauses = [
        sql`i.namespace IN (SELECT jsonb_array_elements_text(${JSON.stringify(filter.namespaces)}::text::jsonb))`
      ]
      if (before !== undefined) clauses.push(sql`i.seq < ${before}::bigint`)
      if (filter.kind !== undefined) clauses.push(sql`i.kind = ${filter.kind}`)
      if (filter.name !== undefined) clauses.push(sql`i.name = ${filter.name}`)
      if (filter.actor !== undefined) clauses.push(sql`i.actor = ${filter.actor}`)
      if (filter.action !== undefined) clauses.push(sql`i.content::jsonb ->> 'action' = ${filter.action}`)
      if (filter.since !== undefined) clauses.push(sql`i.at >= ${filter.since}::timestamptz`)
      if (filter.until !== undefined) clauses.push(sql`i.at < ${filter.until}::timestamptz`)
      if (filter.state !== undefined) {
        clauses.push(sql`CASE WHEN o.content IS NOT NULL THEN o.content::jsonb ->> 'state'
          WHEN l.seq IS NOT NULL THEN 'unknown' ELSE 'intended' END = ${filter.state}`)
      }
      const found = yield* database.run(rows(sql.and(clauses), limit + 1))
      const items = found.slice(0, limit)
      return {
        items: items.map((row) => actionOf(row).action),
        nextCursor: found.length > limit ? cursorOf(items.at(-1)!.seq) : null
      }
    }),
    orphans: Effect.suspend(() =>
      database.run(sql<{ readonly id: string }>`
        SELECT action_id::text AS id FROM open_actions i
        WHERE NOT EXISTS (SELECT FROM write_locks w WHERE w.action_id = i.action_id AND w.expires_at > now())
        ORDER BY action_id`)
    ).pipe(Effect.map((found) => found.map(({ id }) => id))),
    unwatched: Effect.fn("ActionLog.unwatched")(function* (minutes) {
      const found = yield* database.run(sql<{ readonly id: string }>`
        SELECT o.action_id::text AS id FROM action_events o
        WHERE o.event = 'outcome' AND o.content::jsonb ->> 'state' = 'succeeded'
          AND o.at > now() - make_interval(mins => ${minutes}::int)
          AND NOT EXISTS (SELECT FROM action_events r WHERE r.action_id = o.action_id AND r.event = 'rollout')
        ORDER BY o.seq`)
      return found.map(({ id }) => id)
    }),
    verify: Effect.gen(function* () {
      let previous = chainStart
      let seq = 0
      for (;;) {
        const found = yield* database.run(sql<EventRow>`
          SELECT seq::float8 AS seq, at, event, action_id::text AS action_id, proposal_id::text AS proposal_id, namespace,
            kind, name, actor, content, previous, hash
          FROM action_events WHERE seq > ${seq}::bigint ORDER BY seq LIMIT ${verified}::int`)
        for (const row of found) {
          const { action_id: actionId, at, hash, proposal_id: proposalId, ...rest } = row
          const sound =
            rest.seq === seq + 1 &&
            rest.previous === previous &&
            hash === chainHash({ ...rest, actionId, proposalId, at: at.getTime() })
          if (!sound) return { ok: false, rows: seq, brokenAt: `row ${seq + 1}` }
          seq = rest.seq
          previous = hash
        }
        if (found.length < verified) break
      }
      const heads = yield* database.run(sql<{ readonly seq: number; readonly hash: string }>`
        SELECT seq::float8 AS seq, hash FROM action_chain`)
      // Rows that were appended while this read went on are for the next reading.
      const short = heads[0] === undefined || (heads[0].seq === seq ? heads[0].hash !== previous : heads[0].seq < seq)
      if (short) return { ok: false, rows: seq, brokenAt: `row ${seq}` }
      if (heads[0]!.seq > seq) {
        const more = yield* database.run(sql`SELECT 1 FROM action_events WHERE seq = ${seq + 1}::bigint`)
        if (more.length === 0) return { ok: false, rows: seq, brokenAt: `row ${seq + 1}` }
      }
      return { ok: true, rows: seq, brokenAt: null }
    })
  })
})
