/** Sessions of the data instance for one request each: opened as a caller's role, told signed claims, closed after it; must never be lent a second time. */
import { createHmac, randomBytes } from "node:crypto"
import { Clock, Context, Effect, Layer, type Redacted, Ref, type Scope, Stream } from "effect"
import type { Principal } from "#shared/domain/identity.ts"
import { Unavailable } from "#shared/domain/errors.ts"
import { Database, openSession, type Session, SqlClient, type SqlError, type TakeTextArray } from "#shared/sql.ts"
import { type Failure, failureOf } from "./failures.ts"
import { Memberships } from "./Memberships.ts"

/** `query` reads only and may run a caller's SQL; `write` changes rows, by statements of ours alone. */
export type Profile = "query" | "write"

interface Options {
  readonly queryUrl: Redacted.Redacted
  readonly writeUrl: Redacted.Redacted
}

/** A session within a transaction that ends, rolled back unless `commit` was run, with its scope. */
export interface Work {
  readonly session: Session
  readonly commit: Effect.Effect<void, Failure>
  /** Runs one statement for its rows; a refusal of the server's comes back typed. */
  readonly rows: (
    text: string,
    params?: ReadonlyArray<unknown>
  ) => Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>, Failure>
  /** Runs one statement for the number of rows that it changed. */
  readonly changed: (text: string, params?: ReadonlyArray<unknown>) => Effect.Effect<number, Failure>
  /** Runs one statement for its rows as they come, no faster than they are taken. */
  readonly records: (
    text: string,
    params?: ReadonlyArray<unknown>
  ) => Stream.Stream<Readonly<Record<string, unknown>>, Failure>
  readonly failure: (error: SqlError.SqlError) => Failure
}

/** A block of SHA-256, to which HMAC pads its key (RFC 2104). */
const blockBytes = 64
const padded = (key: Uint8Array, byte: number) => {
  const block = Buffer.alloc(blockBytes, byte)
  for (const [index, one] of key.entries()) block[index] = one ^ byte
  return block
}

/** Milliseconds that the server waits beyond ours before it ends a session by itself, whatever became of this process. */
const backstop = 2000

export class Sessions extends Context.Service<
  Sessions,
  {
    /**
     * Opens a transaction for `principal` that may take `millis` in all. Its claims are signed for this one backend and end
     * with that time. `take` gets the `text[]` of its results. Fails as Unavailable while the instance cannot be reached.
     */
    readonly open: (
      profile: Profile,
      principal: Pick<Principal, "userId" | "roles">,
      millis: number,
      take?: TakeTextArray
    ) => Effect.Effect<Work, Failure, Scope.Scope>
  }
>()("gatehouse/data/Sessions") {
  static readonly layer = (options: Options) => Layer.effect(Sessions, makeSessions(options))
}

const makeSessions = (options: Options) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const memberships = yield* Memberships
    const known = yield* Ref.make<Uint8Array | undefined>(undefined)

    /** The instance's one key: made by whoever comes first, the same for every replica, never outside of the instance. */
    const key = Effect.gen(function* () {
      const found = yield* Ref.get(known)
      if (found !== undefined) return found
      const fresh = randomBytes(32)
      const inner = padded(fresh, 0x36)
      const rows = yield* database.run(
        Effect.gen(function* () {
          yield* sql`INSERT INTO gw.signing_key (inner_pad, outer_pad) VALUES (${inner}, ${padded(fresh, 0x5c)})
            ON CONFLICT DO NOTHING`
          return yield* sql<{ readonly inner_pad: Uint8Array }>`SELECT inner_pad FROM gw.signing_key`
        })
      )
      const secret = Uint8Array.from(rows[0]!.inner_pad.subarray(0, 32), (byte) => byte ^ 0x36)
      yield* Ref.set(known, secret)
      return secret
    })

    const tokenOf = (secret: Uint8Array, claims: object) => {
      const payload = Buffer.from(JSON.stringify(claims)).toString("hex")
      return `${payload}.${createHmac("sha256", secret).update(payload).digest("hex")}`
    }

    const open: Sessions["Service"]["open"] = Effect.fnUntraced(function* (profile, principal, millis, take) {
      const secret = yield* key
      const tenants = yield* memberships.of(principal)
      const limit = String(millis + backstop)
      const session = yield* openSession({
        url: profile === "query" ? options.queryUrl : options.writeUrl,
        applicationName: `gatehouse-data-${profile}`,
        ...(take === undefined ? {} : { takeTextArray: take }),
        parameters: {
          TimeZone: "UTC",
          DateStyle: "ISO",
          IntervalStyle: "iso_8601",
          statement_timeout: String(millis),
          transaction_timeout: limit,
          idle_in_transaction_session_timeout: limit,
          client_connection_check_interval: "1000"
        }
      }).pipe(Effect.mapError(() => new Unavailable({ dependency: "data DB", retryAfterSeconds: 2 })))
      const run = (text: string, params?: ReadonlyArray<unknown>) =>
        session.query(text, params, false).pipe(Effect.mapError(failureOf))
      const rows: Work["rows"] = (text, params) => Effect.map(run(text, params), (result) => result.rows)
      const changed: Work["changed"] = (text, params) => Effect.map(run(text, params), (result) => result.rowCount)
      const challenge = (yield* rows("SELECT gw.challenge() AS challenge"))[0]?.["challenge"]
      const now = yield* Clock.currentTimeMillis
      const token = tokenOf(secret, {
        sub: principal.userId,
        roles: principal.roles,
        tenants,
        challenge,
        exp: (now + millis + backstop) / 1000
      })
      // Hexadecimal digits and a dot: nothing in it needs quoting.
      yield* rows(`SET gw.claims = '${token}'`)
      yield* rows(`BEGIN ISOLATION LEVEL ${profile === "query" ? "REPEATABLE READ READ ONLY" : "READ COMMITTED"}`)
      const records: Work["records"] = (text, params) => Stream.mapError(session.stream(text, params), failureOf)
      return { session, rows, changed, records, failure: failureOf, commit: Effect.asVoid(rows("COMMIT")) }
    })

    return Sessions.of({ open })
  })
