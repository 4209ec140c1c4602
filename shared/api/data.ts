/** The data service's API (`/data/*`): catalogue, rows, queries, ingest and memberships; pure. */
import { Schema } from "effect"

const time = Schema.String.annotate({ format: "date-time" })
const text = (most: number) => Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(most))
const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

export const DatasetColumn = Schema.Struct({
  name: Schema.String,
  /** As SQL writes it: `integer`, `numeric(12,2)`, `text[]`. */
  type: Schema.String,
  nullable: Schema.Boolean,
  /** Filled by the database if it is left out of a write. */
  hasDefault: Schema.Boolean,
  /** Never to be written. */
  generated: Schema.Boolean,
  comment: Schema.NullOr(Schema.String)
})
export type DatasetColumn = typeof DatasetColumn.Type

/** A row-level rule: rows for which `using` holds are seen, `check` must hold for what is written. */
export const DatasetPolicy = Schema.Struct({
  name: Schema.String,
  command: Schema.Literals(["all", "select", "insert", "update", "delete"]),
  permissive: Schema.Boolean,
  using: Schema.NullOr(Schema.String),
  check: Schema.NullOr(Schema.String)
})

/** One table or view. `withheld` says why callers cannot have it; `estimatedRows` is of all rows, seen or not. */
export const Dataset = Schema.Struct({
  schema: Schema.String,
  name: Schema.String,
  kind: Schema.Literals(["table", "view", "materialized view", "foreign table"]),
  comment: Schema.NullOr(Schema.String),
  withheld: Schema.NullOr(Schema.Literals(["not_owned", "partition", "policy_not_enforceable"])),
  columns: Schema.Array(DatasetColumn),
  primaryKey: Schema.Array(Schema.String),
  estimatedRows: Schema.NullOr(Schema.Finite),
  bytes: Schema.Finite,
  /** The last write through this service. */
  lastWrite: Schema.NullOr(time),
  /** Whether rows are judged one by one; without it whoever may read the dataset reads all of it. */
  rowLevelSecurity: Schema.Boolean,
  policies: Schema.Array(DatasetPolicy)
})
export type Dataset = typeof Dataset.Type

/** GET /data/v1/catalog */
export const Catalog = Schema.Struct({ datasets: Schema.Array(Dataset) })

/** What a request may lower; a value above the service's own limit is as if it were that. */
export const QueryLimits = Schema.Struct({
  timeoutMillis: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7_200_000 }))),
  rows: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  bytes: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  cost: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0)))
})

/** A value for `$1`, `$2`…; the server reads text by the type that the statement gives it. */
export const QueryParameter = Schema.NullOr(Schema.Union([Schema.String, Schema.Finite, Schema.Boolean]))

/** POST /data/v1/query and /data/v1/explain */
export const Query = Schema.Struct({
  sql: text(65_536),
  params: Schema.optionalKey(Schema.Array(QueryParameter).check(Schema.isMaxLength(200))),
  engine: Schema.optionalKey(Schema.Literals(["pg"])),
  limits: Schema.optionalKey(QueryLimits),
  /** Without a limit of rows and bytes, and with the longer time of an export; needs the right `data:export`. */
  export: Schema.optionalKey(Schema.Boolean)
})
export type Query = typeof Query.Type

/** The answer as `application/json`; `truncated` if there were more rows or bytes than the limits allow. */
export const QueryAnswer = Schema.Struct({
  columns: Schema.Array(Schema.Struct({ name: Schema.String, type: Schema.String })),
  rows: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)),
  truncated: Schema.Boolean
})
export type QueryAnswer = typeof QueryAnswer.Type

/** The last line of a complete NDJSON answer; without it, or with `$error` in its place, the answer is not whole. */
export const NdjsonEnd = Schema.Struct({
  $end: Schema.Struct({
    rows: count,
    /** SHA-256 of all bytes before this line, hexadecimal. */
    sha256: Schema.String,
    truncated: Schema.Boolean
  })
})

/** POST /data/v1/explain: what the planner expects; nothing is run. */
export const Explanation = Schema.Struct({
  cost: Schema.Finite,
  rows: Schema.Finite,
  /** Whether the cost is within the limit. */
  allowed: Schema.Boolean
})

/** Why one row of an ingest was not taken; `line` counts from 1. */
export const Reject = Schema.Struct({ line: Schema.Int, reason: Schema.String })
export type Reject = typeof Reject.Type

/** Answer of POST /data/v1/ingest. With `rejected` above 0 nothing was changed, unless `on_error=skip` was asked for. */
export const IngestAnswer = Schema.Struct({
  dataset: Schema.String,
  mode: Schema.Literals(["append", "upsert", "replace"]),
  read: count,
  written: count,
  rejected: count,
  /** The first hundred. */
  rejects: Schema.Array(Reject),
  changed: Schema.Boolean
})
export type IngestAnswer = typeof IngestAnswer.Type

export const IngestQuery = Schema.Struct({
  mode: Schema.optionalKey(Schema.Literals(["append", "upsert", "replace"])),
  on_error: Schema.optionalKey(Schema.Literals(["abort", "skip"]))
})

/** The tenants of a person or of a role; `*` is all. */
export const Membership = Schema.Struct({
  kind: Schema.Literals(["user", "role"]),
  name: text(200),
  tenants: Schema.Array(text(200)).check(Schema.isMaxLength(1000))
})
export type Membership = typeof Membership.Type

export const Memberships = Schema.Struct({ memberships: Schema.Array(Membership) })
