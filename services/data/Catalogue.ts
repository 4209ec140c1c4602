/** What there is to read: the tables and views of datasets with their columns, keys, sizes and policies; must read no row. */
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { Dataset } from "#shared/api/data.ts"
import { NotFound, type Unavailable } from "#shared/domain/errors.ts"
import { Database, SqlClient } from "#shared/sql.ts"

export class Catalogue extends Context.Service<
  Catalogue,
  {
    /** Every dataset, what is withheld included. */
    readonly list: Effect.Effect<ReadonlyArray<Dataset>, Unavailable>
    readonly get: (schema: string, name: string) => Effect.Effect<Dataset, NotFound | Unavailable>
    /** A dataset that callers may have, by its name; for building statements, a moment old at most. */
    readonly published: (schema: string, name: string) => Effect.Effect<Dataset, NotFound | Unavailable>
  }
>()("gatehouse/data/Catalogue") {
  static readonly layer = Layer.effect(
    Catalogue,
    Effect.suspend(() => makeCatalogue)
  )
}

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Array(Dataset)))

/** Milliseconds for which the shape of a dataset is remembered. */
const memory = 2000

const makeCatalogue = Effect.gen(function* () {
  const database = yield* Database
  const sql = yield* SqlClient.SqlClient
  const remembered = new Map<string, { readonly dataset: Dataset; readonly until: number }>()

  const read = (schema: string | null, name: string | null) =>
    database
      .run(sql<{ readonly found: string }>`
        SELECT coalesce(json_agg(json_build_object(
          'schema', r.schema, 'name', r.name,
          'kind', CASE r.kind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END,
          'comment', obj_description(r.oid, 'pg_class'), 'withheld', r.withheld,
          'columns', (
            SELECT coalesce(json_agg(json_build_object(
              'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'nullable', NOT a.attnotnull,
              'hasDefault', a.atthasdef AND a.attgenerated = '' OR a.attidentity <> '',
              'generated', a.attgenerated <> '' OR a.attidentity = 'a',
              'comment', col_description(r.oid, a.attnum)) ORDER BY a.attnum), '[]')
            FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped),
          'primaryKey', (
            SELECT coalesce(json_agg(a.attname ORDER BY k.place), '[]')
            FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
              JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum
            WHERE i.indrelid = r.oid AND i.indisprimary),
          'estimatedRows', CASE WHEN r.kind IN ('v', 'f') OR c.reltuples < 0 THEN NULL ELSE c.reltuples END,
          'bytes', pg_total_relation_size(r.oid),
          'lastWrite', (SELECT to_char(f.last_write AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
            FROM gw.freshness f WHERE f.schema = r.schema AND f.name = r.name),
          'rowLevelSecurity', c.relrowsecurity,
          'policies', (
            SELECT coalesce(json_agg(json_build_object(
              'name', p.polname,
              'command', CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update'
                WHEN 'd' THEN 'delete' ELSE 'all' END,
              'permissive', p.polpermissive, 'using', pg_get_expr(p.polqual, p.polrelid),
              'check', pg_get_expr(p.polwithcheck, p.polrelid)) ORDER BY p.polname), '[]')
            FROM pg_policy p WHERE p.polrelid = r.oid)
        ) ORDER BY r.schema, r.name), '[]')::text AS found
        FROM gw.relation r JOIN pg_class c ON c.oid = r.oid
        WHERE (${schema}::text IS NULL OR r.schema = ${schema}::text) AND (${name}::text IS NULL OR r.name = ${name}::text)`)
      .pipe(Effect.flatMap((rows) => Effect.orDie(decode(rows[0]!.found))))

  const get: Catalogue["Service"]["get"] = Effect.fn("Catalogue.get")(function* (schema, name) {
    const [dataset] = yield* read(schema, name)
    return dataset ?? (yield* new NotFound({ resource: "dataset" }))
  })

  const published: Catalogue["Service"]["published"] = Effect.fnUntraced(function* (schema, name) {
    const key = JSON.stringify([schema, name])
    const now = yield* Clock.currentTimeMillis
    const known = remembered.get(key)
    if (known !== undefined && known.until > now) return known.dataset
    const dataset = yield* get(schema, name)
    // Whoever may not have it needs not to know that it is there: the catalogue says so to who reads it.
    if (dataset.withheld !== null) return yield* new NotFound({ resource: "dataset" })
    if (remembered.size > 1000) remembered.clear()
    remembered.set(key, { dataset, until: now + memory })
    return dataset
  })

  return Catalogue.of({ list: read(null, null), get, published })
})
