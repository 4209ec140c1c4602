/** Why a secret cannot be had; each failure names the secret or the store, and must hold nothing of any value. */
import { Schema } from "effect"

/*
 * To whoever asks a service for something its secrets are one more dependency that is away: each of these is 503 to them.
 */

/** The store has no such secret, key or version, or it was deleted. Asking again gives the same answer until somebody writes it. */
export class SecretNotFound extends Schema.TaggedError<SecretNotFound>()(
  "SecretNotFound",
  { reference: Schema.String },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `${this.reference}: there is no such secret`
  }
}

/** The store knows this process and does not let it read that, or does not let it in at all. */
export class SecretForbidden extends Schema.TaggedError<SecretForbidden>()(
  "SecretForbidden",
  { reference: Schema.String, detail: Schema.String },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `${this.reference}: ${this.detail}`
  }
}

/**
 * The store cannot answer now. `sealed`: it runs and waits for its key; `unreachable`: no connection, a certificate that does
 * not verify, or a file system that fails; `status`: an answer that is none of those agreed; `format`: an answer that
 * cannot be read, or a value that is no text.
 */
export class SecretStoreUnavailable extends Schema.TaggedError<SecretStoreUnavailable>()(
  "SecretStoreUnavailable",
  {
    store: Schema.String,
    reason: Schema.Literals(["sealed", "unreachable", "timeout", "status", "format"]),
    status: Schema.NullOr(Schema.Int)
  },
  { httpApiStatus: 503 }
) {
  override get message() {
    return `${this.store}: ${this.reason}${this.status === null ? "" : ` ${this.status}`}`
  }
}

export type SecretFailure = SecretNotFound | SecretForbidden | SecretStoreUnavailable
