/** The table of proposals: every move is a compare-and-set with its row in the record of actions; must decide nothing. */
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { type Actor, Evidence, type Proposal, ProposalInput, ProposalState } from "#shared/api/admin.ts"
import type { Page } from "#shared/api/paging.ts"
import { InvalidInput, NotFound, type Unavailable } from "#shared/domain/errors.ts"
import { Target } from "#shared/domain/workload.ts"
import { Database, SqlClient, type SqlError } from "#shared/sql.ts"
import type { Outcome } from "./actionEvents.ts"
import { ActionLog } from "./ActionLog.ts"
import { type IdempotencyKey, keptDays } from "./idempotency.ts"

export interface ProposalFilter {
  readonly namespaces: ReadonlyArray<string>
  readonly state?: Proposal["state"] | undefined
  readonly kind?: string | undefined
  readonly name?: string | undefined
}

/** A move of a proposal: only from one of `from`. */
export interface Move {
  readonly from: ReadonlyArray<Proposal["state"]>
  readonly to: Proposal["state"]
  readonly actor: string
  readonly message?: string
  readonly decision?: { readonly decision: "approved" | "rejected"; readonly actor: Actor; readonly reason: string }
  readonly actionId?: string
}

interface Open {
  readonly target: Proposal["target"]
  readonly action: Proposal["action"]
}

export class ProposalStore extends Context.Service<
  ProposalStore,
  {
    readonly find: (id: string) => Effect.Effect<Proposal, NotFound | Unavailable>
    /** Newest first. */
    readonly list: (
      filter: ProposalFilter,
      page: { readonly limit: number; readonly cursor?: string | undefined }
    ) => Effect.Effect<Page<Proposal>, InvalidInput | Unavailable>
    /** Within the caller's transaction, like all that follow to `conclude`. UniqueViolation if one is open already. */
    readonly insert: (proposal: Proposal) => Effect.Effect<void, SqlError.SqlError>
    /** The one that is pending, approved or executing for the same workload (by name) and action. */
    readonly open: (of: Open) => Effect.Effect<Proposal | undefined, SqlError.SqlError>
    /** When a person last rejected the same, milliseconds since the epoch. */
    readonly rejectedAt: (of: Open) => Effect.Effect<number | undefined, SqlError.SqlError>
    /** How many were kept in the namespace since then. */
    readonly countSince: (namespace: string, since: number) => Effect.Effect<number, SqlError.SqlError>
    /** Gives false, having changed nothing, if the proposal is in none of the states it may move from. */
    readonly move: (proposal: Proposal, move: Move) => Effect.Effect<boolean, SqlError.SqlError>
    /** What the outcome of its action makes of a proposal that is being executed. */
    readonly conclude: (id: string, outcome: Outcome) => Effect.Effect<void, SqlError.SqlError>
    /** Pending ones whose time is over. */
    readonly overdue: Effect.Effect<ReadonlyArray<Proposal>, Unavailable>
    /** What the caller's key has come to, and the digest of what was asked with it. */
    readonly ofKey: (
      caller: string,
      key: string
    ) => Effect.Effect<{ readonly proposalId: string; readonly requestHash: string } | undefined, Unavailable>
    /** Within the caller's transaction, which has seen that the key has come to nothing yet. */
    readonly keepKey: (
      caller: string,
      key: IdempotencyKey,
      proposalId: string
    ) => Effect.Effect<void, SqlError.SqlError>
    /** Forgets keys that nobody will send again. */
    readonly forgetKeys: Effect.Effect<void, Unavailable>
  }
>()("gatehouse/admin/ProposalStore") {
  static readonly layer = Layer.effect(
    ProposalStore,
    Effect.suspend(() => makeProposalStore)
  )
}

interface Row {
  readonly id: string
  readonly state: string
  readonly action: string
  readonly namespace: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly generation: number
  readonly to_revision: number | null
  readonly summary: string
  readonly incident_id: string | null
  readonly evidence: string
  readonly digest: string
  readonly proposer_id: string
  readonly proposer_name: string
  readonly created_at: Date
  readonly expires_at: Date
  readonly decision: string | null
  readonly decided_by_id: string | null
  readonly decided_by_name: string | null
  readonly decision_reason: string | null
  readonly decided_at: Date | null
  readonly action_id: string | null
  readonly message: string
}

const encodeEvidence = Schema.encodeSync(Schema.fromJsonString(Evidence))
const decodeEvidence = Schema.decodeUnknownSync(Schema.fromJsonString(Evidence))
const stateOf = Schema.decodeUnknownSync(ProposalState)
const actionOf = Schema.decodeUnknownSync(ProposalInput.fields.action)
const targetOf = Schema.decodeUnknownSync(Target)

const proposalOf = (row: Row): Proposal => ({
  id: row.id,
  state: stateOf(row.state),
  action: actionOf(row.action),
  target: targetOf({
    namespace: row.namespace,
    kind: row.kind,
    name: row.name,
    uid: row.uid,
    generation: row.generation
  }),
  toRevision: row.to_revision,
  summary: row.summary,
  incidentId: row.incident_id,
  evidence: decodeEvidence(row.evidence),
  digest: row.digest,
  proposer: { id: row.proposer_id, name: row.proposer_name },
  createdAt: row.created_at.toISOString(),
  expiresAt: row.expires_at.toISOString(),
  decision:
    row.decision === null || row.decided_at === null
      ? null
      : {
          decision: row.decision === "approved" ? "approved" : "rejected",
          actor: { id: row.decided_by_id ?? "", name: row.decided_by_name ?? "" },
          reason: row.decision_reason ?? "",
          at: row.decided_at.toISOString()
        },
  actionId: row.action_id,
  message: row.message
})

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u
const cursorOf = (id: string) => Buffer.from(`id:${id}`).toString("base64url")
const idOf = (cursor: string): string | undefined => {
  const text = Buffer.from(cursor, "base64url").toString()
  const id = text.startsWith("id:") ? text.slice(3) : ""
  return uuid.test(id) && cursorOf(id) === cursor ? id : undefined
}

const makeProposalStore = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const log = yield* ActionLog

  const columns = sql`id::text AS id, state, action, namespace, kind, name, uid, generation::float8 AS generation,
    to_revision::float8 AS to_revision, summary, incident_id, evidence, digest, proposer_id, proposer_name, created_at,
    expires_at, decision, decided_by_id, decided_by_name, decision_reason, decided_at, action_id::text AS action_id, message`

  const iso = (millis: number) => new Date(millis).toISOString()

  const find = Effect.fn("ProposalStore.find")(function* (id: string) {
    if (!uuid.test(id)) return yield* new NotFound({ resource: "proposal" })
    const rows = yield* database.run(sql<Row>`SELECT ${columns} FROM proposals WHERE id = ${id}::uuid`)
    return rows[0] === undefined ? yield* new NotFound({ resource: "proposal" }) : proposalOf(rows[0])
  })

  const record = (proposal: Pick<Proposal, "id" | "target">, state: string, actor: string, content: object) => {
    const { kind, name, namespace } = proposal.target
    return log.append([
      {
        event: `proposal.${state}`,
        proposalId: proposal.id,
        namespace,
        kind,
        name,
        actor,
        content: JSON.stringify(content)
      }
    ])
  }

  const move = Effect.fnUntraced(function* (proposal: Proposal, to: Move) {
    const at = iso(yield* Clock.currentTimeMillis)
    const moved = yield* sql`
      UPDATE proposals SET state = ${to.to}, message = ${to.message ?? ""},
        action_id = coalesce(${to.actionId ?? null}::uuid, action_id),
        decision = coalesce(${to.decision?.decision ?? null}, decision),
        decided_by_id = coalesce(${to.decision?.actor.id ?? null}, decided_by_id),
        decided_by_name = coalesce(${to.decision?.actor.name ?? null}, decided_by_name),
        decision_reason = coalesce(${to.decision?.reason ?? null}, decision_reason),
        decided_at = CASE WHEN ${to.decision?.decision ?? null}::text IS NULL THEN decided_at ELSE ${at}::timestamptz END
      WHERE id = ${proposal.id}::uuid
        AND state IN (SELECT jsonb_array_elements_text(${JSON.stringify(to.from)}::text::jsonb))
      RETURNING 1`
    if (moved.length === 0) return false
    yield* record(proposal, to.to, to.actor, {
      message: to.message ?? "",
      ...(to.decision === undefined ? {} : { reason: to.decision.reason, digest: proposal.digest }),
      ...(to.actionId === undefined ? {} : { actionId: to.actionId })
    })
    return true
  })

  return ProposalStore.of({
    find,
    list: Effect.fn("ProposalStore.list")(function* (filter, { cursor, limit }) {
      const before = cursor === undefined ? undefined : idOf(cursor)
      if (cursor !== undefined && before === undefined) {
        return yield* new InvalidInput({ errors: [{ pointer: "/query/cursor", detail: "not a cursor of this list" }] })
      }
      const clauses = [
        sql`namespace IN (SELECT jsonb_array_elements_text(${JSON.stringify(filter.namespaces)}::text::jsonb))`
      ]
      if (before !== undefined) clauses.push(sql`id < ${before}::uuid`)
      if (filter.state !== undefined) clauses.push(sql`state = ${filter.state}`)
      if (filter.kind !== undefined) clauses.push(sql`kind = ${filter.kind}`)
      if (filter.name !== undefined) clauses.push(sql`name = ${filter.name}`)
      const rows = yield* database.run(sql<Row>`
        SELECT ${columns} FROM proposals WHERE ${sql.and(clauses)} ORDER BY id DESC LIMIT ${limit + 1}::int`)
      const items = rows.slice(0, limit).map(proposalOf)
      return { items, nextCursor: rows.length > limit ? cursorOf(items.at(-1)!.id) : null }
    }),
    insert: Effect.fnUntraced(function* (proposal) {
      const { target } = proposal
      yield* sql`INSERT INTO proposals (id, state, action, namespace, kind, name, uid, generation, to_revision, summary,
          incident_id, evidence, digest, proposer_id, proposer_name, created_at, expires_at) VALUES (
        ${proposal.id}::uuid, ${proposal.state}, ${proposal.action}, ${target.namespace}, ${target.kind}, ${target.name},
        ${target.uid}, ${target.generation}::bigint, ${proposal.toRevision}::bigint, ${proposal.summary},
        ${proposal.incidentId}, ${encodeEvidence(proposal.evidence)}, ${proposal.digest}, ${proposal.proposer.id},
        ${proposal.proposer.name}, ${proposal.createdAt}::timestamptz, ${proposal.expiresAt}::timestamptz)`
      const { action, digest, incidentId, summary, toRevision } = proposal
      yield* record(proposal, "pending", proposal.proposer.id, { action, toRevision, digest, incidentId, summary })
    }),
    open: Effect.fnUntraced(function* ({ action, target }) {
      const rows = yield* sql<Row>`SELECT ${columns} FROM proposals WHERE namespace = ${target.namespace}
        AND kind = ${target.kind} AND name = ${target.name} AND action = ${action}
        AND state IN ('pending', 'approved', 'executing')`
      return rows[0] === undefined ? undefined : proposalOf(rows[0])
    }),
    rejectedAt: Effect.fnUntraced(function* ({ action, target }) {
      const rows = yield* sql<{ readonly at: Date | null }>`SELECT max(decided_at) AS at FROM proposals
        WHERE namespace = ${target.namespace} AND kind = ${target.kind} AND name = ${target.name} AND action = ${action}
          AND state = 'rejected'`
      return rows[0]?.at?.getTime()
    }),
    countSince: Effect.fnUntraced(function* (namespace, since) {
      const rows = yield* sql<{ readonly count: number }>`SELECT count(*)::int AS count FROM proposals
        WHERE namespace = ${namespace} AND created_at >= ${iso(since)}::timestamptz`
      return rows[0]?.count ?? 0
    }),
    move,
    conclude: Effect.fnUntraced(function* (id, { message, state }) {
      const rows = yield* sql<Row>`SELECT ${columns} FROM proposals WHERE id = ${id}::uuid`
      if (rows[0] === undefined) return
      const done = state === "succeeded" || state === "skipped" || state === "unchanged"
      const to = done ? "succeeded" : state === "unknown" ? "unknown" : "failed"
      yield* move(proposalOf(rows[0]), { from: ["executing"], to, actor: "", message: done ? "" : message })
    }),
    overdue: Effect.gen(function* () {
      const now = iso(yield* Clock.currentTimeMillis)
      const rows = yield* database.run(sql<Row>`
        SELECT ${columns} FROM proposals WHERE state = 'pending' AND expires_at <= ${now}::timestamptz`)
      return rows.map(proposalOf)
    }),
    ofKey: Effect.fn("ProposalStore.ofKey")(function* (caller, key) {
      const rows = yield* database.run(sql<{ readonly proposalId: string; readonly requestHash: string }>`
        SELECT proposal_id::text AS "proposalId", request_hash AS "requestHash" FROM proposal_keys
        WHERE caller = ${caller} AND key = ${key}`)
      return rows[0]
    }),
    keepKey: (caller, { key, requestHash }, proposalId) =>
      Effect.asVoid(sql`INSERT INTO proposal_keys (caller, key, request_hash, proposal_id)
        VALUES (${caller}, ${key}, ${requestHash}, ${proposalId}::uuid)`),
    forgetKeys: Effect.asVoid(
      database.run(sql`DELETE FROM proposal_keys WHERE created_at < now() - make_interval(days => ${keptDays}::int)`)
    )
  })
})
