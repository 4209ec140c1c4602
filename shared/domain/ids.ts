/** Branded identifiers of the platform and their one format, UUIDv7 (RFC 9562 §5.7); must know no storage and no transport. */
import { Schema } from "effect"

const uuid = Schema.String.check(
  Schema.isPattern(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u, { expected: "a lower-case UUID" })
)

/** A person known to this environment's gateway; stable across logins and changes of e-mail. */
export const UserId = uuid.pipe(Schema.brand("UserId"))
export type UserId = typeof UserId.Type

/** One login: a browser session, or the token family a login has issued to a client. */
export const SessionId = uuid.pipe(Schema.brand("SessionId"))
export type SessionId = typeof SessionId.Type

/** One user × role × environment. */
export const GrantId = uuid.pipe(Schema.brand("GrantId"))
export type GrantId = typeof GrantId.Type

const pool = new Uint8Array(4096)
let used = pool.length
const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))
let lastTime = -1
let timePrefix = ""

/**
 * A new UUIDv7 for the time `now` (milliseconds since the epoch). The 74 random bits come from the platform's CSPRNG,
 * drawn 4 KiB at a time because the gateway makes one per request.
 */
export const uuidv7 = (now: number): string => {
  if (used + 10 > pool.length) {
    crypto.getRandomValues(pool)
    used = 0
  }
  if (now !== lastTime) {
    const time = now.toString(16).padStart(12, "0")
    timePrefix = `${time.slice(0, 8)}-${time.slice(8)}-`
    lastTime = now
  }
  const at = used
  used += 10
  return (
    timePrefix +
    hex[(pool[at]! & 0x0f) | 0x70]! +
    hex[pool[at + 1]!]! +
    "-" +
    hex[(pool[at + 2]! & 0x3f) | 0x80]! +
    hex[pool[at + 3]!]! +
    "-" +
    hex[pool[at + 4]!]! +
    hex[pool[at + 5]!]! +
    hex[pool[at + 6]!]! +
    hex[pool[at + 7]!]! +
    hex[pool[at + 8]!]! +
    hex[pool[at + 9]!]!
  )
}
