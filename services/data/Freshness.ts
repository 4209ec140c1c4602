/** When each dataset was last written through this service; must hold no writer up. */
import { Context, Effect, Layer } from "effect"
import type { Dataset } from "#shared/api/data.ts"
import { Database, SqlClient } from "#shared/sql.ts"

export class Freshness extends Context.Service<
  Freshness,
  {
    /** Notes a committed write; a write of the same second is not noted again, and one that cannot be noted is forgotten. */
    readonly written: (dataset: Pick<Dataset, "schema" | "name">) => Effect.Effect<void>
  }
>()("gatehouse/data/Freshness") {
  static readonly layer = Layer.effect(
    Freshness,
    Effect.gen(function* () {
      const database = yield* Database
      const sql = yield* SqlClient.SqlClient
      return Freshness.of({
        written: ({ name, schema }) =>
          database
            .run(sql`
              INSERT INTO gw.freshness (schema, name, last_write) VALUES (${schema}, ${name}, clock_timestamp())
              ON CONFLICT (schema, name) DO UPDATE SET last_write = excluded.last_write
              WHERE freshness.last_write < excluded.last_write - interval '1 second'`)
            .pipe(Effect.ignore)
      })
    })
  )
}
