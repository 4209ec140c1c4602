/** The incidents' tables: what was found, what was proposed for it and what came of it; every move of a remedy is a compare-and-set. Must know no cluster and no HTTP. */
import { Context, Effect, Layer, Schema } from "effect"
import { Action, type Actor, Evidence, Proposal } from "#shared/api/admin.ts"
import { Incident, IncidentChain, type RemedyState } from "#shared/api/scheduler.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import type { Boot } from "./facts.ts"
import type { Finding } from "./judge.ts"

/** What is to be done about an incident, decided once with its evidence and proposed until admin has it. */
export const Wish = Schema.Struct({
  action: Schema.Literals(["undo", "restart"]),
  toRevision: Schema.NullOr(Schema.Int),
  summary: Schema.String
})
export type Wish = typeof Wish.Type

const Verification = IncidentChain.fields.verification

const millis = Schema.Number
const Row = Schema.Struct({
  id: Schema.String,
  key: Schema.String,
  class: Incident.fields.class,
  state: Incident.fields.state,
  namespace: Schema.String,
  kind: Incident.fields.kind,
  name: Schema.String,
  uid: Schema.String,
  generation: Schema.Int,
  revision: Schema.NullOr(Schema.Int),
  revisionUid: Schema.NullOr(Schema.String),
  pod: Schema.NullOr(Schema.String),
  container: Schema.NullOr(Schema.String),
  reason: Schema.String,
  exitCode: Schema.NullOr(Schema.Int),
  impact: Incident.fields.impact,
  podCount: Schema.Int,
  restarts: Schema.Int,
  flaps: Schema.Int,
  firstSeenAt: millis,
  openedAt: millis,
  lastSeenAt: millis,
  resolvedAt: Schema.NullOr(millis),
  acknowledged: Incident.fields.acknowledged,
  mutedUntil: Schema.NullOr(millis),
  remedy: Incident.fields.remedy,
  remedyAt: millis,
  round: Schema.Int,
  advice: Schema.String,
  wish: Schema.NullOr(Wish),
  evidence: Schema.NullOr(Evidence),
  proposal: Schema.NullOr(Proposal),
  action: Schema.NullOr(Action),
  verification: Verification
})
/** An incident as it is kept; times in milliseconds since the epoch, by the database's clock. */
export type IncidentRow = typeof Row.Type
const decodeRows = Schema.decodeUnknownSync(Schema.Array(Row))

/** What a step of the remedy writes beside the state. */
export interface RemedyFields {
  readonly advice?: string
  readonly wish?: Wish | null
  readonly evidence?: Evidence
  readonly proposal?: Proposal
  readonly action?: Action
  readonly verification?: typeof Verification.Type
  /** Begins a new round: another proposal for the same incident is another. */
  readonly nextRound?: boolean
}

export interface TimelineEntry {
  readonly event: string
  readonly detail?: string
  readonly actor?: Actor
}

export interface RevisionHealth {
  readonly revisionUid: string
  readonly revision: number
  readonly good: boolean
  readonly bad: boolean
}

/** What has been done lately, for the limits. */
export interface Recent {
  /** Actions on the workload: undos of the last 24 h, restarts of the last 24 h, milliseconds since the last action. */
  readonly undos: number
  readonly restarts: number
  readonly sinceActionMs: number | null
  /** Another incident of the same workload whose remedy is under way. */
  readonly busyWith: string | null
  /** Actions under way in the namespace, and in all. */
  readonly actingHere: number
  readonly acting: number
  /** Milliseconds since a person last rejected a proposal for the workload. */
  readonly sinceRejectedMs: number | null
  /** Whether so many workloads fail that none is to be mended by itself. */
  readonly clusterWide: boolean
}

/** How many workloads have an incident: one opened within the last five minutes, and one that is open at all. */
export interface Spread {
  readonly lately: number
  readonly open: number
}

export interface Observed {
  readonly incident: IncidentRow
  readonly news: "opened" | "reopened" | "seen"
}

export interface ListQuery {
  readonly state?: string
  readonly namespace?: string
  readonly class?: string
  readonly remedy?: string
  /** Milliseconds since the epoch: opened or seen since. */
  readonly since?: number
  readonly limit: number
  /** Id of the last incident of the page before. */
  readonly after?: string
}

export class IncidentStore extends Context.Service<
  IncidentStore,
  {
    /** Opens, opens again (within `reopenMs` after it was resolved) or refreshes the incident of a finding. */
    readonly observe: (finding: Finding, reopenMs: number) => Effect.Effect<Observed, Unavailable>
    /** Closes an open incident; false if it is closed already. */
    readonly resolve: (id: string, detail: string) => Effect.Effect<boolean, Unavailable>
    readonly open: Effect.Effect<ReadonlyArray<IncidentRow>, Unavailable>
    readonly get: (id: string) => Effect.Effect<IncidentRow | undefined, Unavailable>
    readonly timeline: (id: string) => Effect.Effect<IncidentChain["timeline"], Unavailable>
    readonly list: (query: ListQuery) => Effect.Effect<ReadonlyArray<IncidentRow>, Unavailable>
    /** Moves the remedy from `from` to `to`, with a line of the timeline; false if it is not (any more) at `from`, or another remedy of the workload is under way. */
    readonly move: (
      id: string,
      from: RemedyState,
      to: RemedyState,
      fields: RemedyFields,
      entry: TimelineEntry
    ) => Effect.Effect<boolean, Unavailable>
    readonly acknowledge: (id: string, actor: Actor) => Effect.Effect<IncidentRow | undefined, Unavailable>
    readonly mute: (
      id: string,
      until: number,
      reason: string,
      actor: Actor
    ) => Effect.Effect<IncidentRow | undefined, Unavailable>
    readonly markGood: (
      revisions: ReadonlyMap<string, { readonly workloadUid: string; readonly revision: number }>
    ) => Effect.Effect<void, Unavailable>
    readonly markBad: (revisionUid: string, workloadUid: string, revision: number) => Effect.Effect<void, Unavailable>
    readonly healthOf: (workloadUid: string) => Effect.Effect<ReadonlyArray<RevisionHealth>, Unavailable>
    readonly recent: (incident: IncidentRow) => Effect.Effect<Recent, Unavailable>
    readonly spread: Effect.Effect<Spread, Unavailable>
    /** By the node's name. */
    readonly boots: Effect.Effect<ReadonlyMap<string, Boot>, Unavailable>
    readonly noteBoot: (node: string, boot: Boot) => Effect.Effect<void, Unavailable>
  }
>()("gatehouse/scheduler/IncidentStore") {
  static readonly layer = Layer.effect(
    IncidentStore,
    Effect.suspend(() => makeStore)
  )
}

const makeStore = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient

  const ms = (column: string) => `(extract(epoch FROM ${column}) * 1000)::float8`
  const columns = sql.unsafe(
    `id::text, key, class, state, namespace, kind, name, uid, generation::float8, revision::float8,
     revision_uid AS "revisionUid", pod, container, reason, exit_code AS "exitCode", impact, pod_count AS "podCount", restarts,
     flaps, ${ms("first_seen_at")} AS "firstSeenAt", ${ms("opened_at")} AS "openedAt", ${ms("last_seen_at")} AS "lastSeenAt",
     ${ms("resolved_at")} AS "resolvedAt", acknowledged, ${ms("muted_until")} AS "mutedUntil", remedy,
     ${ms("remedy_at")} AS "remedyAt", round, advice, wish, evidence, proposal, action, verification`
  )
  const one = (rows: ReadonlyArray<unknown>): IncidentRow | undefined => decodeRows(rows)[0]
  const record = (id: string, { actor, detail = "", event }: TimelineEntry) =>
    sql`INSERT INTO incident_events (incident_id, event, detail, actor)
      VALUES (${id}, ${event}, ${detail}, ${actor === undefined ? null : JSON.stringify(actor)}::text::jsonb)`
  const json = (value: unknown) => (value === undefined || value === null ? null : JSON.stringify(value))
  const at = (time: number) => new Date(time)

  const refresh = (id: string, finding: Finding) => sql`UPDATE incidents SET last_seen_at = now(),
      pod_count = ${finding.podCount}, restarts = ${finding.restarts}, generation = ${finding.generation},
      revision = ${finding.revision}, impact = ${finding.impact}, pod = ${finding.pod}, container = ${finding.container},
      reason = ${finding.reason}, exit_code = ${finding.exitCode}
      WHERE id = ${id} RETURNING ${columns}`

  const insert = (finding: Finding) => sql`INSERT INTO incidents (key, class, namespace, kind, name, uid, generation,
      revision, revision_uid, pod, container, reason, exit_code, impact, pod_count, restarts, first_seen_at)
      VALUES (${finding.key}, ${finding.class}, ${finding.namespace}, ${finding.kind}, ${finding.name}, ${finding.uid},
      ${finding.generation}, ${finding.revision}, ${finding.revisionUid}, ${finding.pod}, ${finding.container},
      ${finding.reason}, ${finding.exitCode}, ${finding.impact}, ${finding.podCount}, ${finding.restarts},
      ${at(finding.firstSeenAt)})
      ON CONFLICT (key) WHERE state = 'open' DO NOTHING RETURNING ${columns}`

  const observe = Effect.fn("IncidentStore.observe")(function* (finding: Finding, reopenMs: number) {
    return yield* database.transaction(
      Effect.gen(function* () {
        const known = yield* sql<{
          readonly id: string
          readonly state: string
          readonly uid: string
        }>`SELECT id::text, state, uid FROM incidents WHERE key = ${finding.key}
          AND (state = 'open' OR resolved_at > now() - make_interval(secs => ${reopenMs / 1000}))
          ORDER BY state = 'open' DESC, resolved_at DESC LIMIT 1 FOR UPDATE`
        const [last] = known
        // The same name again is another workload: nothing proposed for the old one may be meant for it.
        const replaced = last !== undefined && last.uid !== finding.uid
        if (replaced && last.state === "open") {
          yield* sql`UPDATE incidents SET state = 'resolved', resolved_at = now() WHERE id = ${last.id}`
          yield* record(last.id, { event: "resolved", detail: "the workload was replaced by another of its name" })
        }
        const old = replaced ? undefined : last
        if (old === undefined) {
          const made = one(yield* insert(finding))
          if (made !== undefined) {
            yield* record(made.id, { event: "opened", detail: finding.reason })
            return { incident: made, news: "opened" as const }
          }
          // Another scheduler has opened it in the meantime.
          const theirs = yield* sql`SELECT ${columns} FROM incidents WHERE key = ${finding.key} AND state = 'open'`
          return { incident: one(theirs)!, news: "seen" as const }
        }
        if (old.state === "open") return { incident: one(yield* refresh(old.id, finding))!, news: "seen" as const }
        yield* sql`UPDATE incidents SET state = 'open', resolved_at = NULL, flaps = flaps + 1, remedy = 'none',
          remedy_at = now(), round = round + 1, wish = NULL, advice = '' WHERE id = ${old.id}`
        yield* record(old.id, { event: "reopened", detail: finding.reason })
        return { incident: one(yield* refresh(old.id, finding))!, news: "reopened" as const }
      })
    )
  })

  const move = Effect.fn("IncidentStore.move")(function* (
    id: string,
    from: RemedyState,
    to: RemedyState,
    fields: RemedyFields,
    entry: TimelineEntry
  ) {
    return yield* database.transaction(
      Effect.gen(function* () {
        const update = sql<{ readonly id: string }>`UPDATE incidents SET remedy = ${to},
          remedy_at = CASE WHEN remedy = ${to} THEN remedy_at ELSE now() END,
          advice = ${fields.advice ?? ""},
          wish = CASE WHEN ${fields.wish === undefined} THEN wish ELSE ${json(fields.wish)}::text::jsonb END,
          evidence = coalesce(${json(fields.evidence)}::text::jsonb, evidence),
          proposal = coalesce(${json(fields.proposal)}::text::jsonb, proposal),
          action = coalesce(${json(fields.action)}::text::jsonb, action),
          verification = coalesce(${json(fields.verification)}::text::jsonb, verification),
          round = round + ${fields.nextRound === true ? 1 : 0}
          WHERE id = ${id} AND remedy = ${from} RETURNING id`
        // A savepoint: what the one-remedy rule refuses must not undo the transaction around it.
        const moved = yield* sql
          .withTransaction(update)
          .pipe(Effect.catchReason("SqlError", "UniqueViolation", () => Effect.succeed([])))
        if (moved.length === 0) return false
        if (from !== to) yield* record(id, entry)
        if (fields.action !== undefined) {
          yield* sql`INSERT INTO remedy_actions (id, incident_id, uid, action, acted_at)
            SELECT ${fields.action.id}, id, uid, coalesce(wish->>'action', ${fields.action.action}),
              ${fields.action.createdAt}::text::timestamptz
            FROM incidents WHERE id = ${id} ON CONFLICT DO NOTHING`
        }
        return true
      })
    )
  })

  return IncidentStore.of({
    observe,
    move,
    resolve: Effect.fn("IncidentStore.resolve")(function* (id, detail) {
      return yield* database.transaction(
        Effect.gen(function* () {
          const done = yield* sql`UPDATE incidents SET state = 'resolved', resolved_at = now()
            WHERE id = ${id} AND state = 'open' RETURNING id`
          if (done.length === 0) return false
          yield* record(id, { event: "resolved", detail })
          return true
        })
      )
    }),
    open: database.run(
      Effect.map(sql`SELECT ${columns} FROM incidents WHERE state = 'open' ORDER BY opened_at, id`, decodeRows)
    ),
    get: (id) => database.run(Effect.map(sql`SELECT ${columns} FROM incidents WHERE id = ${id}`, one)),
    timeline: (id) =>
      database.run(
        Effect.map(
          sql<{
            readonly at: Date
            readonly event: string
            readonly detail: string
            readonly actor: Actor | null
          }>`SELECT at, event, detail, actor FROM incident_events WHERE incident_id = ${id} ORDER BY id LIMIT 1000`,
          (rows) => rows.map((row) => ({ ...row, at: row.at.toISOString() }))
        )
      ),
    list: (query) =>
      database.run(
        Effect.map(
          sql`SELECT ${columns} FROM incidents WHERE ${sql.and([
            sql`true`,
            ...(query.state === undefined ? [] : [sql`state = ${query.state}`]),
            ...(query.namespace === undefined ? [] : [sql`namespace = ${query.namespace}`]),
            ...(query.class === undefined ? [] : [sql`class = ${query.class}`]),
            ...(query.remedy === undefined ? [] : [sql`remedy = ${query.remedy}`]),
            ...(query.since === undefined ? [] : [sql`last_seen_at >= ${at(query.since)}`]),
            ...(query.after === undefined ? [] : [sql`id < ${query.after}`])
          ])} ORDER BY id DESC LIMIT ${query.limit}`,
          decodeRows
        )
      ),
    acknowledge: (id, actor) =>
      database.transaction(
        Effect.gen(function* () {
          const by = JSON.stringify({ actor })
          const row = one(
            yield* sql`UPDATE incidents SET acknowledged = ${by}::text::jsonb ||
              jsonb_build_object('at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
              WHERE id = ${id} RETURNING ${columns}`
          )
          if (row !== undefined) yield* record(id, { event: "acknowledged", actor })
          return row
        })
      ),
    mute: (id, until, reason, actor) =>
      database.transaction(
        Effect.gen(function* () {
          const row = one(
            yield* sql`UPDATE incidents SET muted_until = ${at(until)} WHERE id = ${id} RETURNING ${columns}`
          )
          if (row !== undefined) {
            yield* record(id, { event: "muted", detail: `until ${at(until).toISOString()}: ${reason}`, actor })
          }
          return row
        })
      ),
    markGood: (revisions) =>
      revisions.size === 0
        ? Effect.void
        : database.run(
            Effect.forEach(
              revisions,
              ([uid, { revision, workloadUid }]) => sql`INSERT INTO revision_health
                (revision_uid, workload_uid, revision, good_at) VALUES (${uid}, ${workloadUid}, ${revision}, now())
                ON CONFLICT (revision_uid) DO UPDATE SET revision = EXCLUDED.revision,
                good_at = coalesce(revision_health.good_at, now())
                WHERE revision_health.good_at IS NULL OR revision_health.revision <> EXCLUDED.revision`,
              { discard: true }
            )
          ),
    markBad: (uid, workloadUid, revision) =>
      database.run(
        Effect.asVoid(
          sql`INSERT INTO revision_health (revision_uid, workload_uid, revision, bad_at)
            VALUES (${uid}, ${workloadUid}, ${revision}, now())
            ON CONFLICT (revision_uid) DO UPDATE SET bad_at = now(), revision = EXCLUDED.revision`
        )
      ),
    healthOf: (workloadUid) =>
      database.run(
        sql<RevisionHealth>`SELECT revision_uid AS "revisionUid", revision::float8 AS revision,
          good_at IS NOT NULL AS good, bad_at IS NOT NULL AS bad FROM revision_health WHERE workload_uid = ${workloadUid}`
      ),
    recent: ({ id, namespace, uid }) =>
      database.run(
        Effect.map(
          sql<Recent>`SELECT a.*, o.*, (
              SELECT (extract(epoch FROM now() - max(e.at)) * 1000)::float8 FROM incident_events e
              JOIN incidents i ON i.id = e.incident_id WHERE i.uid = ${uid} AND e.event = 'rejected'
            ) AS "sinceRejectedMs"
            FROM (SELECT
              count(*) FILTER (WHERE action = 'undo' AND acted_at > now() - interval '24 hours')::int AS undos,
              count(*) FILTER (WHERE action = 'restart' AND acted_at > now() - interval '24 hours')::int AS restarts,
              (extract(epoch FROM now() - max(acted_at)) * 1000)::float8 AS "sinceActionMs"
              FROM remedy_actions WHERE uid = ${uid}) AS a,
            (SELECT
              min(id::text) FILTER (WHERE uid = ${uid} AND
                remedy IN ('proposal_pending', 'proposed', 'approved', 'acting', 'verifying')) AS "busyWith",
              count(*) FILTER (WHERE namespace = ${namespace} AND remedy IN ('approved', 'acting'))::int AS "actingHere",
              count(*) FILTER (WHERE remedy IN ('approved', 'acting'))::int AS acting,
              coalesce(bool_or(state = 'open' AND class = 'cluster_wide'), false) AS "clusterWide"
              FROM incidents WHERE id <> ${id} AND (state = 'open' OR
                remedy IN ('proposal_pending', 'proposed', 'approved', 'acting', 'verifying'))) AS o`,
          (rows) => rows[0]!
        )
      ),
    spread: database.run(
      Effect.map(
        sql<Spread>`SELECT
          count(DISTINCT uid) FILTER (WHERE opened_at > now() - interval '5 minutes')::int AS lately,
          count(DISTINCT uid) FILTER (WHERE state = 'open')::int AS open
          FROM incidents WHERE kind NOT IN ('Node', 'Cluster')
            AND (state = 'open' OR opened_at > now() - interval '5 minutes')`,
        (rows) => rows[0]!
      )
    ),
    boots: database.run(
      Effect.map(
        sql<Boot & { readonly name: string }>`SELECT name, boot_id AS "bootId",
          ${sql.unsafe(ms("changed_at"))} AS "changedAt" FROM node_boots`,
        (rows) => new Map(rows.map(({ bootId, changedAt, name }) => [name, { bootId, changedAt }]))
      )
    ),
    noteBoot: (node, { bootId, changedAt }) =>
      database.run(
        Effect.asVoid(sql`INSERT INTO node_boots (name, boot_id, changed_at)
          VALUES (${node}, ${bootId}, ${changedAt === null ? null : at(changedAt)})
          ON CONFLICT (name) DO UPDATE SET boot_id = EXCLUDED.boot_id, changed_at = EXCLUDED.changed_at`)
      )
  })
})
