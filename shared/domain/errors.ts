/** The failures every service shares, each with the HTTP status it means; must hold no rejected value and no internals. */
import { Schema } from "effect"

/**
 * Where in the input a fault lies (RFC 6901 JSON pointer; "" is the whole body) and what would be right. In a text with
 * faults of several kinds also the line, from 1, and a stable code.
 */
export const InputFault = Schema.Struct({
  pointer: Schema.String,
  detail: Schema.String,
  line: Schema.optionalKey(Schema.Int),
  code: Schema.optionalKey(Schema.String)
})
export type InputFault = typeof InputFault.Type

/** The request is not well-formed: bad JSON, bad encoding, a header that cannot be. */
export class MalformedRequest extends Schema.TaggedError<MalformedRequest>()(
  "MalformedRequest",
  { detail: Schema.String },
  { httpApiStatus: 400 }
) {
  override get message() {
    return this.detail
  }
}

/** The request is well-formed and its content is not acceptable; `errors` names every fault at once. */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()(
  "InvalidInput",
  { errors: Schema.Array(InputFault) },
  { httpApiStatus: 422 }
) {
  override get message() {
    return this.errors.map((fault) => `${fault.pointer || "/"}: ${fault.detail}`).join("; ")
  }
}

/** No acceptable proof of identity. `challenge` goes into WWW-Authenticate (RFC 6750 §3). */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()(
  "Unauthorized",
  { detail: Schema.String, challenge: Schema.optionalKey(Schema.String) },
  { httpApiStatus: 401 }
) {
  override get message() {
    return this.detail
  }
}

/** Known, and not allowed. */
export class Forbidden extends Schema.TaggedError<Forbidden>()(
  "Forbidden",
  { detail: Schema.String },
  { httpApiStatus: 403 }
) {
  override get message() {
    return this.detail
  }
}

/** There is no such thing, or none that this caller may know of. */
export class NotFound extends Schema.TaggedError<NotFound>()(
  "NotFound",
  { resource: Schema.String },
  { httpApiStatus: 404 }
) {
  override get message() {
    return `no such ${this.resource}`
  }
}

/** The request contradicts the present state; nothing was changed. */
export class Conflict extends Schema.TaggedError<Conflict>()(
  "Conflict",
  { detail: Schema.String },
  { httpApiStatus: 409 }
) {
  override get message() {
    return this.detail
  }
}

/** The body is larger than this route takes; `limit` in bytes. */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()(
  "PayloadTooLarge",
  { limit: Schema.Int },
  { httpApiStatus: 413 }
) {
  override get message() {
    return `the body is larger than ${this.limit} bytes`
  }
}

/** The body's Content-Type is not one this route reads. */
export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()(
  "UnsupportedMediaType",
  { expected: Schema.String },
  { httpApiStatus: 415 }
) {
  override get message() {
    return `the body must be ${this.expected}`
  }
}

/** A dependency is away. Nothing was changed; `retryAfterSeconds` is when asking again makes sense. */
export class Unavailable extends Schema.TaggedError<Unavailable>()(
  "Unavailable",
  { dependency: Schema.String, retryAfterSeconds: Schema.Int },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `${this.dependency} is unavailable`
  }
}
