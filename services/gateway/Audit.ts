/** The append-only record of what happened to identity and rights; must never be written outside the transaction of the change it records. */
import { Context, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "#shared/sql.ts"

export interface AuditEvent {
  /** What happened, e.g. `login`, `grant.created`; stable, for filters. */
  readonly event: string
  readonly actor?: string | undefined
  /** Whom or what it happened to. */
  readonly subject?: string | undefined
  readonly sessionId?: string | undefined
  readonly requestId?: string | undefined
  readonly ip?: string | undefined
  readonly detail?: Readonly<Record<string, unknown>> | undefined
}

export class Audit extends Context.Service<
  Audit,
  { readonly record: (event: AuditEvent) => Effect.Effect<void, SqlError.SqlError> }
>()("gatehouse/gateway/Audit") {
  static readonly layer = Layer.effect(
    Audit,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      return Audit.of({
        record: Effect.fnUntraced(function* (event) {
          yield* sql`INSERT INTO audit (event, actor, subject, session_id, request_id, ip, detail) VALUES (${event.event},
            ${event.actor ?? null}, ${event.subject ?? null}, ${event.sessionId ?? null}, ${event.requestId ?? null},
            ${event.ip ?? null}, ${JSON.stringify(event.detail ?? {})}::jsonb)`
        })
      })
    })
  )
}
