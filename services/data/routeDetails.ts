/** What the data service's routes say of themselves in its OpenAPI description; must hold no behaviour. */
import { Schema } from "effect"
import {
  Catalog,
  Dataset,
  Explanation,
  IngestAnswer,
  IngestQuery,
  Membership,
  Memberships as MembershipsAnswer,
  QueryAnswer
} from "#shared/api/data.ts"
import { detail } from "#shared/openApi.ts"

const text = Schema.optionalKey(Schema.String)
const RowsQuery = Schema.Struct({
  select: text,
  order: text,
  limit: Schema.optionalKey(Schema.Int),
  offset: Schema.optionalKey(Schema.Int),
  cursor: text
})

export const described = {
  catalog: detail({
    summary: "Every dataset: columns, keys, size, last write, policies",
    tag: "data",
    answers: { 200: Catalog }
  }),
  dataset: detail({
    summary: "One dataset, named schema.table",
    tag: "data",
    answers: { 200: Dataset },
    problems: [404]
  }),
  query: detail({
    summary: "One statement that reads: SELECT, WITH, VALUES, TABLE or EXPLAIN",
    description:
      "As JSON, NDJSON or CSV by Accept, up to the limits of rows, bytes, time and cost; `X-Data-Truncated` says whether something was left out. With `export` (right `data:export`) a stream of CSV or NDJSON without an end to its rows. NDJSON that does not end with `$end` is not whole.",
    tag: "data",
    answers: { 200: QueryAnswer },
    problems: [404, 409, 422, 429]
  }),
  explain: detail({
    summary: "What the planner expects of a query; nothing is run",
    tag: "data",
    answers: { 200: Explanation },
    problems: [404, 422, 429]
  }),
  readRows: detail({
    summary: "Rows of a dataset, by PostgREST's grammar",
    description:
      "A parameter named as a column is a filter: `eq neq gt gte lt lte like ilike match imatch isdistinct in is`, each with `not.` before it; `and` and `or` group them. `Prefer: count=exact|planned|estimated` adds a count to Content-Range. `X-Next-Cursor` is the `cursor` of the next page.",
    tag: "data",
    query: RowsQuery,
    headers: { prefer: "count=exact|planned|estimated" },
    answers: { 200: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) },
    problems: [404, 422, 429]
  }),
  postRows: detail({
    summary: "Insert rows: one object, or an array of objects with the same keys; all or none",
    tag: "data",
    query: Schema.Struct({ select: RowsQuery.fields.select, on_conflict: text }),
    headers: { prefer: "return=representation|minimal, resolution=merge-duplicates|ignore-duplicates" },
    answers: { 201: "Done; with `return=representation` the rows as they are now" },
    problems: [400, 404, 409, 413, 415, 422, 429]
  }),
  patchRows: detail({
    summary: "Set columns of the rows that the filters name; at least one filter is needed",
    tag: "data",
    headers: { prefer: "return=representation|minimal" },
    answers: { 200: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)), 204: "Done" },
    problems: [400, 404, 409, 413, 415, 422, 429]
  }),
  deleteRows: detail({
    summary: "Delete the rows that the filters name; at least one filter is needed",
    tag: "data",
    headers: { prefer: "return=representation|minimal" },
    answers: { 200: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)), 204: "Done" },
    problems: [404, 409, 422, 429]
  }),
  ingest: detail({
    summary: "Take a file of CSV (with a header) or NDJSON into a dataset: all of it, or nothing",
    description:
      "`mode` is append (default), upsert (by primary key) or replace (of the rows that the caller sees). A bad row means that nothing is changed, and is told with its line; `on_error=skip` leaves bad rows out.",
    tag: "data",
    query: IngestQuery,
    headers: { "idempotency-key": "A repetition with the same key and file changes nothing and gets the first answer" },
    answers: { 200: IngestAnswer },
    problems: [400, 404, 409, 413, 415, 422, 429]
  }),
  memberships: detail({
    summary: "Who belongs to which tenant; needs the right `data:manage`",
    tag: "data",
    answers: { 200: MembershipsAnswer }
  }),
  setMembership: detail({
    summary: "Give a person or a role exactly these tenants; needs the right `data:manage`",
    tag: "data",
    answers: { 200: Membership },
    problems: [422]
  }),
  openapi: detail({
    summary: "This description",
    tag: "data",
    answers: { 200: Schema.Record(Schema.String, Schema.Unknown) }
  })
}
