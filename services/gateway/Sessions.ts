/** Sessions (spec R8): opaque to the client, rows on the server, limits enforced here; must never store or return a session's secret. */
import { randomBytes } from "node:crypto"
import { Clock, Context, Deferred, Duration, Effect, Layer, Option, Stream } from "effect"
import { BoundedMap } from "#shared/BoundedMap.ts"
import type { Session as SessionView, SessionKind } from "#shared/api/auth.ts"
import { NotFound, type Unavailable } from "#shared/domain/errors.ts"
import { SessionId, type UserId } from "#shared/domain/ids.ts"
import { tokenHash } from "#shared/jws.ts"
import { Database, SqlClient, type SqlError } from "#shared/sql.ts"
import { Audit } from "./Audit.ts"

/** Milliseconds a session may be served from memory before the DB confirms it again. */
const confirmEvery = 5000
/** Milliseconds for which a replaced session's cookie is remembered: longer than any request that was under way takes. */
const replacedFor = 60_000
/** Milliseconds between two writes of `last_seen_at` for one session. */
const touchEvery = 60_000

/** A live session; times in milliseconds since the epoch. */
export interface Session {
  readonly id: string
  readonly kind: SessionKind
  readonly userId: string
  readonly provider: string
  readonly authTime: number
  readonly expiresAt: number
  readonly lastSeenAt: number
}

export interface NewSession {
  readonly kind: "browser" | "token"
  readonly label: string
  readonly userId: UserId
  readonly provider: string
  readonly idpSid: string | undefined
  /** Milliseconds since the epoch. */
  readonly authTime: number
  readonly userAgent: string | null
  readonly ip: string
}

export interface SessionLimits {
  /** Without use for this long a session ends. */
  readonly idle: Duration.Duration
  /** However much it is used, it ends after this. */
  readonly absolute: Duration.Duration
}

interface Entry {
  readonly session: Session
  readonly confirmedAt: number
}

export class Sessions extends Context.Service<
  Sessions,
  {
    /** Seconds without use after which a session counts as ended, even while its row is there. */
    readonly idleSeconds: number
    /** The session of a cookie's secret if it was confirmed less than 5 s ago; `undefined` means ask `find`. Synchronous for the data path. */
    readonly peek: (secretHash: string) => Session | undefined
    /** The same by id, for access tokens. */
    readonly peekById: (id: string) => Session | undefined
    readonly find: (secretHash: string) => Effect.Effect<Option.Option<Session>, Unavailable>
    readonly findById: (id: string) => Effect.Effect<Option.Option<Session>, Unavailable>
    /** A new session and its secret, which is returned this once (none for kind `token`: its refresh token is the secret). */
    readonly create: (
      input: NewSession
    ) => Effect.Effect<{ readonly id: SessionId; readonly secret: string }, Unavailable>
    /**
     * The session of a workload that has just proved who it is, for `seconds` from now: its present one goes on, so that a
     * workload has one row however often it comes. None if its user is disabled or gone. For use inside a transaction.
     */
    readonly renewWorkload: (input: {
      readonly userId: UserId
      readonly provider: string
      readonly label: string
      readonly seconds: number
      readonly userAgent: string | null
      readonly ip: string
    }) => Effect.Effect<Option.Option<Session>, SqlError.SqlError>
    readonly list: (
      userId: string,
      currentId: string,
      limit: number,
      after: string | undefined
    ) => Effect.Effect<ReadonlyArray<SessionView>, Unavailable>
    /** Ends the session that a new login of the same browser replaces. */
    readonly replace: (userId: string, id: string) => Effect.Effect<void, NotFound | Unavailable>
    /**
     * Whether a cookie's session was replaced a moment ago: a request that was under way with the old cookie must not take
     * the new one from the browser with its answer.
     */
    readonly wasReplaced: (secretHash: string) => boolean
    /** Ends one session of this user; another's is as if it did not exist. */
    readonly end: (userId: string, id: string, reason: string) => Effect.Effect<void, NotFound | Unavailable>
  }
>()("gatehouse/gateway/Sessions") {
  static readonly layer = (limits: SessionLimits) => Layer.effect(Sessions, makeSessions(limits))
}

interface Row {
  readonly id: string
  readonly kind: SessionKind
  readonly userId: string
  readonly provider: string
  readonly authTime: Date
  readonly expiresAt: Date
  readonly lastSeenAt: Date
}

const makeSessions = (limits: SessionLimits) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const audit = yield* Audit
    const clock = yield* Clock.Clock
    const context = yield* Effect.context()
    const idle = Duration.toMillis(limits.idle)
    const idleSeconds = Math.round(idle / 1000)
    const absoluteSeconds = Math.round(Duration.toMillis(limits.absolute) / 1000)
    const byHash = new BoundedMap<Entry>(20_000)
    const byId = new BoundedMap<Entry>(20_000)
    const touched = new BoundedMap<number>(20_000)
    const replaced = new BoundedMap<number>(5000)

    const columns = sql.unsafe(
      `id, kind, user_id AS "userId", provider, auth_time AS "authTime", expires_at AS "expiresAt", last_seen_at AS "lastSeenAt"`
    )
    const live = sql.unsafe(`expires_at > now() AND last_seen_at > now() - make_interval(secs => ${idleSeconds})`)

    const toSession = (row: Row): Session => ({
      id: row.id,
      kind: row.kind,
      userId: row.userId,
      provider: row.provider,
      authTime: row.authTime.getTime(),
      expiresAt: row.expiresAt.getTime(),
      lastSeenAt: row.lastSeenAt.getTime()
    })

    const touch = (session: Session, now: number) => {
      const last = touched.get(session.id) ?? session.lastSeenAt
      if (now - last < Math.min(touchEvery, idle / 4)) return
      touched.set(session.id, now)
      // Nobody waits for this: a lost write makes the session look idle for a minute longer than it was.
      Effect.runForkWith(context)(
        Effect.ignore(database.run(sql`UPDATE sessions SET last_seen_at = now() WHERE id = ${session.id}`))
      )
    }

    /** A way to look a session up, with what it remembers and who is asking right now. */
    interface Lookup {
      readonly entries: BoundedMap<Entry>
      readonly asking: Map<string, Deferred.Deferred<Option.Option<Session>, Unavailable>>
      readonly rows: (key: string) => Effect.Effect<ReadonlyArray<Row>, Unavailable>
    }
    const bySecret: Lookup = {
      entries: byHash,
      asking: new Map(),
      rows: (hash) => database.run(sql<Row>`SELECT ${columns} FROM sessions WHERE secret_hash = ${hash} AND ${live}`)
    }
    const bySessionId: Lookup = {
      entries: byId,
      asking: new Map(),
      rows: (id) => database.run(sql<Row>`SELECT ${columns} FROM sessions WHERE id = ${id} AND ${live}`)
    }

    const load = Effect.fnUntraced(function* ({ entries, rows }: Lookup, key: string) {
      const now = yield* Clock.currentTimeMillis
      const row = (yield* rows(key))[0]
      if (row === undefined) {
        entries.delete(key)
        return Option.none<Session>()
      }
      const session = toSession(row)
      entries.set(key, { session, confirmedAt: now })
      touch(session, now)
      return Option.some(session)
    })

    /** Asks the DB once, however many requests of a session wait for it, and whether or not the first of them is gone. */
    const confirm = (lookup: Lookup, key: string) =>
      Effect.suspend(() => {
        const running = lookup.asking.get(key)
        if (running !== undefined) return Deferred.await(running)
        const answer = Deferred.makeUnsafe<Option.Option<Session>, Unavailable>()
        lookup.asking.set(key, answer)
        const asked = load(lookup, key).pipe(
          Effect.onExit((exit) => {
            lookup.asking.delete(key)
            return Deferred.done(answer, exit)
          }),
          Effect.ignore,
          Effect.forkDetach
        )
        return Effect.andThen(asked, Deferred.await(answer))
      })

    const fresh = (lookup: Lookup, key: string): Session | undefined => {
      const entry = lookup.entries.get(key)
      if (entry === undefined) return undefined
      const now = clock.currentTimeMillisUnsafe()
      const { session } = entry
      const age = now - entry.confirmedAt
      if (age > confirmEvery || now >= session.expiresAt) return undefined
      // Asked again ahead of time, a session in use never makes a request wait.
      if (age > confirmEvery / 2 && !lookup.asking.has(key)) {
        Effect.runForkWith(context)(Effect.ignore(confirm(lookup, key)))
      }
      touch(session, now)
      return session
    }

    const ask = (lookup: Lookup, key: string) =>
      Effect.suspend(() => {
        const known = fresh(lookup, key)
        return known === undefined ? confirm(lookup, key) : Effect.succeed(Option.some(known))
      })

    // After a lost connection any session may have ended unseen.
    yield* database.notifications("sessions").pipe(
      Stream.runForEach((id) =>
        Effect.sync(() => {
          if (id === undefined) {
            byHash.clear()
            byId.clear()
            return
          }
          byId.delete(id)
          for (const [hash, entry] of byHash.entries()) if (entry.session.id === id) byHash.delete(hash)
        })
      ),
      Effect.tapCause((cause) => Effect.logError("no longer listening for ended sessions", cause)),
      Effect.forkScoped
    )
    // Rows of dead sessions are of no use to anybody.
    yield* database
      .run(sql`DELETE FROM sessions WHERE NOT (${live})`)
      .pipe(Effect.ignore, Effect.delay("10 minutes"), Effect.forever, Effect.forkScoped)

    const end = Effect.fnUntraced(function* (userId: string, id: string, reason: string) {
      const ended = yield* database.transaction(
        Effect.gen(function* () {
          const rows = yield* sql<{ hash: string | null }>`DELETE FROM sessions WHERE id = ${id} AND user_id = ${userId}
            RETURNING secret_hash AS hash`
          if (rows.length > 0)
            yield* audit.record({ event: "session.ended", actor: userId, sessionId: id, detail: { reason } })
          return rows[0]
        })
      )
      if (ended === undefined) return yield* new NotFound({ resource: "session" })
      byId.delete(id)
      for (const [hash, entry] of byHash.entries()) if (entry.session.id === id) byHash.delete(hash)
      return ended.hash
    })

    return Sessions.of({
      idleSeconds,
      peek: (hash) => fresh(bySecret, hash),
      peekById: (id) => fresh(bySessionId, id),
      find: (hash) => ask(bySecret, hash),
      findById: (id) => ask(bySessionId, id),
      create: Effect.fn("Sessions.create")(function* (input) {
        const secret = randomBytes(32).toString("base64url")
        const rows = yield* database.run(
          sql<{
            id: string
          }>`INSERT INTO sessions (kind, label, secret_hash, user_id, provider, idp_sid, auth_time, expires_at,
              user_agent, ip) VALUES (${input.kind}, ${input.label}, ${input.kind === "browser" ? tokenHash(secret) : null},
              ${input.userId}, ${input.provider}, ${input.idpSid ?? null}, ${new Date(input.authTime)},
              now() + make_interval(secs => ${absoluteSeconds}), ${input.userAgent?.slice(0, 500) ?? null}, ${input.ip})
            RETURNING id`
        )
        return { id: SessionId.make(rows[0]!.id), secret }
      }),
      renewWorkload: Effect.fnUntraced(function* ({ ip, label, provider, seconds, userAgent, userId }) {
        // One that has run out is over: the next is another, as for a person who logs in again.
        yield* sql`DELETE FROM sessions WHERE user_id = ${userId} AND kind = 'workload' AND NOT (${live})`
        const rows = yield* sql<Row>`
          INSERT INTO sessions (kind, label, user_id, provider, auth_time, expires_at, user_agent, ip)
          SELECT 'workload', ${label}, id, ${provider}, now(), now() + make_interval(secs => ${seconds}),
            ${userAgent?.slice(0, 500) ?? null}, ${ip} FROM users WHERE id = ${userId} AND NOT disabled
          ON CONFLICT (user_id) WHERE kind = 'workload' DO UPDATE SET label = excluded.label, auth_time = excluded.auth_time,
            last_seen_at = now(), expires_at = excluded.expires_at, user_agent = excluded.user_agent, ip = excluded.ip
          RETURNING ${columns}`
        return Option.map(Option.fromNullishOr(rows[0]), toSession)
      }),
      list: Effect.fn("Sessions.list")(function* (userId, currentId, limit, after) {
        const rows = yield* database.run(
          sql<Row & { label: string; createdAt: Date; userAgent: string | null; ip: string | null }>`
            SELECT ${columns}, label, created_at AS "createdAt", user_agent AS "userAgent", ip FROM sessions
            WHERE user_id = ${userId} AND ${live} AND id < ${after ?? "ffffffff-ffff-ffff-ffff-ffffffffffff"}
            ORDER BY id DESC LIMIT ${limit}`
        )
        return rows.map((row) => ({
          id: SessionId.make(row.id),
          kind: row.kind,
          label: row.label,
          current: row.id === currentId,
          createdAt: row.createdAt.toISOString(),
          lastSeenAt: row.lastSeenAt.toISOString(),
          authTime: row.authTime.toISOString(),
          expiresAt: row.expiresAt.toISOString(),
          userAgent: row.userAgent,
          ip: row.ip
        }))
      }),
      end: Effect.fn("Sessions.end")(function* (userId, id, reason) {
        yield* end(userId, id, reason)
      }),
      replace: Effect.fn("Sessions.replace")(function* (userId, id) {
        const hash = yield* end(userId, id, "replaced by a new login")
        if (hash !== null) replaced.set(hash, yield* Clock.currentTimeMillis)
      }),
      wasReplaced: (hash) =>
        clock.currentTimeMillisUnsafe() - (replaced.get(hash) ?? Number.NEGATIVE_INFINITY) < replacedFor
    })
  })
