/** Requests that may be sent again (draft-ietf-httpapi-idempotency-key-header): the key, and how long it is known. */

/** An `Idempotency-Key` with the digest of what was asked with it. */
export interface IdempotencyKey {
  readonly key: string
  readonly requestHash: string
}

/** Days for which a key gives what it has come to; after that it is as if new. */
export const keptDays = 7
