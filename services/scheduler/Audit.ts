/** The append-only record of what people did to jobs and schedules, each row chained to the one before; must be written in the transaction of what it records. */
import { createHash } from "node:crypto"
import { Context, Effect, Layer } from "effect"
import type { Unavailable } from "#shared/domain/errors.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { masked } from "./masked.ts"

/** Who does something, and in which request. */
export interface Actor {
  readonly userId: string
  readonly requestId: string
}

interface Row {
  readonly id: number
  readonly at: string
  readonly actor: string
  readonly action: string
  readonly subject: string
  readonly before: string
  readonly after: string
  readonly requestId: string
  readonly previousHash: string
  readonly hash: string
}

export interface Verdict {
  readonly ok: boolean
  readonly rows: number
  /** Id of the first row that is not what was written, or that follows a missing one. */
  readonly brokenAt: number | null
}

export class Audit extends Context.Service<
  Audit,
  {
    /** `before` and `after` are kept without secrets. */
    readonly record: (
      actor: Actor,
      action: string,
      subject: string,
      before: object | undefined,
      after: object | undefined
    ) => Effect.Effect<void, Unavailable>
    readonly verify: Effect.Effect<Verdict, Unavailable>
  }
>()("gatehouse/scheduler/Audit") {
  static readonly layer = Layer.effect(
    Audit,
    Effect.suspend(() => makeAudit)
  )
}

/** What the first row follows. */
const root = "0".repeat(64)

/** Rows of one read. */
const chunk = 1000

const hashOf = (row: Omit<Row, "id" | "hash">) => {
  const { action, actor, after, at, before, previousHash, requestId, subject } = row
  const text = JSON.stringify([previousHash, at, actor, action, subject, before, after, requestId])
  return createHash("sha256").update(text).digest("hex")
}

const textOf = (value: object | undefined) => (value === undefined ? "" : JSON.stringify(masked(value)))

const makeAudit = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient

  return Audit.of({
    record: Effect.fn("Audit.record")(function* (actor, action, subject, before, after) {
      yield* database.transaction(
        Effect.gen(function* () {
          // One writer at a time: the chain has no branches.
          yield* sql`LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE`
          const rows = yield* sql<{ readonly at: Date; readonly hash: string | null }>`
            SELECT clock_timestamp() AS at, (SELECT hash FROM audit ORDER BY id DESC LIMIT 1) AS hash`
          const row = {
            at: rows[0]!.at.toISOString(),
            actor: actor.userId,
            action,
            subject,
            before: textOf(before),
            after: textOf(after),
            requestId: actor.requestId,
            previousHash: rows[0]!.hash ?? root
          }
          yield* sql`
            INSERT INTO audit (at, actor, action, subject, before, after, request_id, previous_hash, hash)
            VALUES (${row.at}::text::timestamptz, ${row.actor}, ${row.action}, ${row.subject}, ${row.before}, ${row.after},
              ${row.requestId}, ${row.previousHash}, ${hashOf(row)})`
        })
      )
    }),
    verify: Effect.gen(function* () {
      let [previous, last, count] = [root, 0, 0]
      for (;;) {
        const rows = yield* database.run(sql<Omit<Row, "at"> & { readonly at: Date }>`
          SELECT id::float8 AS id, at, actor, action, subject, before, after, request_id AS "requestId",
            previous_hash AS "previousHash", hash FROM audit WHERE id > ${last}::float8::bigint ORDER BY id LIMIT ${chunk}::int`)
        for (const row of rows) {
          const sound = row.previousHash === previous && hashOf({ ...row, at: row.at.toISOString() }) === row.hash
          if (!sound) return { ok: false, rows: count, brokenAt: row.id }
          previous = row.hash
          last = row.id
          count += 1
        }
        if (rows.length < chunk) return { ok: true, rows: count, brokenAt: null }
      }
    })
  })
})
