/** What the data instance refuses, turned into typed failures by SQLSTATE (the map of PostgREST, with timeouts 504 and limits 422); must never pass on a DETAIL, which may hold rows of others. */
import { Schema } from "effect"
import { Conflict, Forbidden, NotFound, Unavailable } from "#shared/domain/errors.ts"
import { type SqlError, sqlStateOf } from "#shared/sql.ts"

const fields = { detail: Schema.String, state: Schema.String }

/** The statement or its values are wrong: syntax, types, names, constraints. `state` is the SQLSTATE. */
export class StatementInvalid extends Schema.TaggedError<StatementInvalid>()("StatementInvalid", fields, {
  httpApiStatus: 422
}) {
  override get message() {
    return this.state === "" ? this.detail : `${this.detail} (SQLSTATE ${this.state})`
  }
}

/** There is no such table, view or schema, or none that the caller may know of. */
export class NoSuchRelation extends Schema.TaggedError<NoSuchRelation>()("NoSuchRelation", fields, {
  httpApiStatus: 404
}) {
  override get message() {
    return `${this.detail} (SQLSTATE ${this.state})`
  }
}

/** Something that only reads was asked to change something. */
export class ReadOnly extends Schema.TaggedError<ReadOnly>()("ReadOnly", fields, { httpApiStatus: 405 }) {
  override get message() {
    return `${this.detail} (SQLSTATE ${this.state})`
  }
}

/** It would take more than a limit allows: rows, bytes, cost, disk. */
export class LimitExceeded extends Schema.TaggedError<LimitExceeded>()("LimitExceeded", fields, {
  httpApiStatus: 422
}) {
  override get message() {
    return this.state === "" ? this.detail : `${this.detail} (SQLSTATE ${this.state})`
  }
}

/** It took longer than its limit and was cancelled. */
export class TimedOut extends Schema.TaggedError<TimedOut>()(
  "TimedOut",
  { millis: Schema.optionalKey(Schema.Int) },
  { httpApiStatus: 504 }
) {
  override get message() {
    return `cancelled: not done within ${this.millis === undefined ? "its time limit" : `${this.millis} ms`}`
  }
}

/** As many as one caller may run at a time are running. */
export class TooManyQueries extends Schema.TaggedError<TooManyQueries>()(
  "TooManyQueries",
  { limit: Schema.Int },
  { httpApiStatus: 429 }
) {
  override get message() {
    return `${this.limit} queries of yours are running; wait for one to end`
  }
}

export type Failure =
  | Conflict
  | Forbidden
  | LimitExceeded
  | NoSuchRelation
  | NotFound
  | ReadOnly
  | StatementInvalid
  | TimedOut
  | Unavailable

/** Words of ours for what the server says with names or values that are not the caller's to see. */
const conflicts: Readonly<Record<string, string>> = {
  "23505": "a row with the same key is there already",
  "23503": "a row that is referred to is missing, or one that refers to this is still there",
  "40001": "another transaction was in the way; ask again",
  "40P01": "another transaction was in the way; ask again",
  "55P03": "another transaction holds a lock; ask again"
}

/** The failure that a refused statement means to the caller. */
export const failureOf = (error: SqlError.SqlError): Failure => {
  const { message, state } = sqlStateOf(error)
  const of = { detail: message, state }
  if (state === "42501") return new Forbidden({ detail: `${message} (SQLSTATE 42501)` })
  if (state === "42P01" || state === "3F000") return new NoSuchRelation(of)
  if (state === "25006") return new ReadOnly(of)
  if (state === "57014" || state === "25P04" || state === "25P03") return new TimedOut({})
  if (state === "53400" || state.startsWith("54")) return new LimitExceeded(of)
  const conflict = conflicts[state]
  if (conflict !== undefined) return new Conflict({ detail: `${conflict} (SQLSTATE ${state})` })
  // Claims that the instance does not take are a fault of ours or an attack, never the caller's input.
  if (state === "28000")
    return new Forbidden({ detail: "the claims of this session are not accepted (SQLSTATE 28000)" })
  // The driver gives such a session up before it has read the row.
  if (state === "" && message.includes("exceeds maxMessageSize")) {
    return new LimitExceeded({ detail: "one row is larger than 16 MiB", state })
  }
  // So it calls a statement with another number of parameters than were given.
  if (state === "08P01") return new StatementInvalid(of)
  if (/^(?:21|22|23|2F|38|42|44|0A|P0)/u.test(state)) return new StatementInvalid(of)
  return new Unavailable({ dependency: "data DB", retryAfterSeconds: 2 })
}
