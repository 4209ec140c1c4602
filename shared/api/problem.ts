/** The wire form of every error (RFC 9457, application/problem+json); must not know where an error comes from. */
import { Schema } from "effect"
import { InputFault } from "../domain/errors.ts"

/** `code` is stable and for programs; `instance` is the request id, to be quoted when asking for help. */
export const Problem = Schema.Struct({
  type: Schema.String,
  title: Schema.String,
  status: Schema.Int,
  code: Schema.String,
  detail: Schema.optionalKey(Schema.String),
  instance: Schema.optionalKey(Schema.String),
  errors: Schema.optionalKey(Schema.Array(InputFault))
})
export type Problem = typeof Problem.Type
