/** What the pages and the live view ask of the record: last changes, who brought a revision about, which was good, what is recent. */
import { Clock, Effect, Layer } from "effect"
import { Database, SqlClient } from "#shared/sql.ts"
import { decodeIntent } from "./actionEvents.ts"
import { ActionLog } from "./ActionLog.ts"
import { Chronicle } from "./Chronicle.ts"
import { Recent } from "./Feed.ts"
import { ProposalStore } from "./ProposalStore.ts"

/** The chronicle, out of the record of actions. */
export const chronicleLayer = Layer.effect(
  Chronicle,
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    return Chronicle.of({
      lastChange: Effect.fn("Chronicle.lastChange")(function* (workloadUid) {
        const rows = yield* database.run(sql<{ readonly id: string; readonly at: Date; readonly content: string }>`
          SELECT i.action_id::text AS id, i.at, i.content FROM action_objects t
          JOIN action_events i ON i.action_id = t.action_id AND i.event = 'intent'
          JOIN action_events o ON o.action_id = t.action_id AND o.event = 'outcome'
          WHERE t.uid = ${workloadUid} AND o.content::jsonb ->> 'state' = 'succeeded'
          ORDER BY i.seq DESC LIMIT 1`)
        const row = rows[0]
        if (row === undefined) return null
        const { action, actor } = decodeIntent(row.content)
        return { actionId: row.id, action, actor, at: row.at.toISOString() }
      }),
      revisionNotes: Effect.fn("Chronicle.revisionNotes")(function* (workloadUid) {
        const rows = yield* database.run(sql<{ readonly uid: string; readonly content: string }>`
          SELECT r.revision_uid AS uid, i.content FROM revision_actions r
          JOIN action_events i ON i.action_id = r.action_id AND i.event = 'intent'
          WHERE r.workload_uid = ${workloadUid}`)
        return new Map(
          rows.map(({ content, uid }) => {
            const { actor, approver, reason } = decodeIntent(content)
            return [uid, { actor, approver, reason }]
          })
        )
      }),
      goodRevisions: Effect.fn("Chronicle.goodRevisions")(function* (workloadUid) {
        const rows = yield* database.run(sql<{ readonly uid: string }>`
          SELECT revision_uid AS uid FROM good_revisions WHERE workload_uid = ${workloadUid}`)
        return new Set(rows.map(({ uid }) => uid))
      }),
      markGood: Effect.fn("Chronicle.markGood")(function* (workloadUid, revisionUid) {
        const at = new Date(yield* Clock.currentTimeMillis).toISOString()
        yield* database.run(sql`INSERT INTO good_revisions (workload_uid, revision_uid, at)
          VALUES (${workloadUid}, ${revisionUid}, ${at}::timestamptz) ON CONFLICT DO NOTHING`)
      })
    })
  })
)

/** Rows of each kind in a snapshot. */
const shown = 50

/** What a page shows at once when it opens. */
export const recentLayer = Layer.effect(
  Recent,
  Effect.gen(function* () {
    const log = yield* ActionLog
    const proposals = yield* ProposalStore
    return Recent.of({
      of: (namespaces) =>
        Effect.all({
          actions: Effect.map(log.list({ namespaces }, { limit: shown }), ({ items }) => items),
          proposals: Effect.map(proposals.list({ namespaces }, { limit: shown }), ({ items }) => items)
        }).pipe(
          Effect.catch((error) =>
            Effect.as(Effect.logDebug("a snapshot without actions", error.message), { actions: [], proposals: [] })
          )
        )
    })
  })
)
