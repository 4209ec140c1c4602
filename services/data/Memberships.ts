/** Who belongs to which tenant, by person or by role; must decide nothing about rows, which the policies do. */
import { Context, Effect, Layer } from "effect"
import type { Membership } from "#shared/api/data.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import type { Principal } from "#shared/domain/identity.ts"
import { Database, SqlClient } from "#shared/sql.ts"

export class Memberships extends Context.Service<
  Memberships,
  {
    /** The tenants of a caller, their own and those of their roles; `*` among them means all. */
    readonly of: (principal: Pick<Principal, "userId" | "roles">) => Effect.Effect<ReadonlyArray<string>, Unavailable>
    readonly list: Effect.Effect<ReadonlyArray<Membership>, Unavailable>
    /** Gives a person or a role exactly these tenants; none takes all away. */
    readonly set: (membership: Membership) => Effect.Effect<void, Unavailable>
  }
>()("gatehouse/data/Memberships") {
  static readonly layer = Layer.effect(
    Memberships,
    Effect.gen(function* () {
      const database = yield* Database
      const sql = yield* SqlClient.SqlClient
      return Memberships.of({
        of: Effect.fnUntraced(function* ({ roles, userId }) {
          const rows = yield* database.run(sql<{ readonly tenant: string }>`
            SELECT DISTINCT tenant FROM gw.membership
            WHERE (kind = 'user' AND name = ${userId})
              OR (kind = 'role' AND name IN (SELECT jsonb_array_elements_text(${JSON.stringify(roles)}::text::jsonb)))
            ORDER BY tenant`)
          return rows.map(({ tenant }) => tenant)
        }),
        list: database.run(sql<Membership>`
          SELECT kind, name, array_agg(tenant ORDER BY tenant) AS tenants FROM gw.membership GROUP BY 1, 2 ORDER BY 1, 2`),
        set: Effect.fn("Memberships.set")(function* ({ kind, name, tenants }) {
          yield* database.transaction(
            Effect.gen(function* () {
              yield* sql`DELETE FROM gw.membership WHERE kind = ${kind} AND name = ${name}`
              yield* sql`
                INSERT INTO gw.membership (kind, name, tenant)
                SELECT DISTINCT ${kind}, ${name}, jsonb_array_elements_text(${JSON.stringify(tenants)}::text::jsonb)`
            })
          )
        })
      })
    })
  )
}
