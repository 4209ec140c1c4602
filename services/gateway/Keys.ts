/** The gateway's signing keys (spec R11): next, current and previous ones in the DB, private halves sealed; must never log or return a private key. */
import { createCipheriv, createDecipheriv, generateKeyPairSync, hkdfSync, randomBytes, randomUUID } from "node:crypto"
import { Clock, Context, Effect, Layer, type Redacted, Redacted as Secret, Schedule, Semaphore, Stream } from "effect"
import { Unavailable } from "#shared/domain/errors.ts"
import { type KeyObject, privateKeyOf, type PublicJwk, publicKeyOf, signJws } from "#shared/jws.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { Audit } from "./Audit.ts"

/** A current key older than this is replaced by itself. */
export const rotateAfterDays = 30
/** A key that signed no longer is still published this long: longer than any token it signed lives. */
export const keepPreviousHours = 24

interface KeySet {
  readonly signing: { readonly kid: string; readonly key: KeyObject }
  readonly published: ReadonlyArray<PublicJwk>
  readonly verifying: ReadonlyMap<string, KeyObject>
  readonly etag: string
}

interface Row {
  readonly kid: string
  readonly state: "next" | "current" | "previous"
  readonly publicJwk: PublicJwk
  readonly sealedPrivateJwk: string
  readonly promotedAt: Date | null
}

export class Keys extends Context.Service<
  Keys,
  {
    /** Signs `claims`; undefined while no key could be loaded yet. Synchronous: the data path calls it. */
    readonly sign: (typ: string, claims: object) => string | undefined
    readonly verifying: (kid: string) => KeyObject | undefined
    /** Changes whenever the set does; tokens verified under an older one must be verified again. */
    readonly generation: () => string
    /** The JWKS document (RFC 7517) and its ETag. */
    readonly published: Effect.Effect<{ readonly body: string; readonly etag: string }, Unavailable>
    readonly ready: Effect.Effect<void, Unavailable>
    /** `ready`, and asks the DB at most once a second whether it holds a key that this process has not seen yet. */
    readonly lookAgain: Effect.Effect<void, Unavailable>
    /**
     * next → current → previous, and a new next. With `emergency` the keys are taken as stolen: all of them vanish at
     * once, with all sessions. Also the way out when GATEWAY_SECRET is lost and no key can be opened any more.
     */
    readonly rotate: (options: { readonly emergency: boolean }) => Effect.Effect<void, Unavailable>
  }
>()("gatehouse/gateway/Keys") {
  static readonly layer = (options: { readonly secret: Redacted.Redacted }) =>
    Layer.effect(Keys, makeKeys(options.secret))
}

const sealingKey = (secret: Redacted.Redacted) =>
  Buffer.from(hkdfSync("sha256", Secret.value(secret), "", "gatehouse signing keys", 32))

const seal = (key: Buffer, kid: string, text: string): string => {
  const nonce = randomBytes(12)
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(kid))
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString("base64url")
}

const unseal = (key: Buffer, kid: string, sealed: string): string => {
  const bytes = Buffer.from(sealed, "base64url")
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12)).setAAD(Buffer.from(kid))
  decipher.setAuthTag(bytes.subarray(12, 28))
  return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString("utf8")
}

const makeKeys = (secret: Redacted.Redacted) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const audit = yield* Audit
    const clock = yield* Clock.Clock
    const one = yield* Semaphore.make(1)
    const sealing = sealingKey(secret)
    let current: KeySet | undefined

    const insertNew = Effect.fnUntraced(function* (state: Row["state"]) {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
      const kid = randomUUID()
      const jwk = { ...publicKey.export({ format: "jwk" }), kid, alg: "ES256", use: "sig" }
      const sealed = seal(sealing, kid, JSON.stringify(privateKey.export({ format: "jwk" })))
      yield* sql`INSERT INTO signing_keys (kid, state, public_jwk, sealed_private_jwk, promoted_at)
        VALUES (${kid}, ${state}, ${JSON.stringify(jwk)}::jsonb, ${sealed}, ${sql.unsafe(state === "current" ? "now()" : "NULL")})`
    })

    const lock = sql`SELECT pg_advisory_xact_lock(hashtext('signing_keys'))`

    /** The first gateway on an empty table makes the first two keys; every other finds them. */
    const ensure = database.transaction(
      Effect.gen(function* () {
        yield* lock
        const states = (yield* sql<{ state: string }>`SELECT state FROM signing_keys`).map((row) => row.state)
        if (!states.includes("current")) yield* insertNew("current")
        if (!states.includes("next")) yield* insertNew("next")
      })
    )

    const read = Effect.gen(function* () {
      const rows = yield* database.run(
        sql<Row>`SELECT kid, state, public_jwk AS "publicJwk", sealed_private_jwk AS "sealedPrivateJwk",
          promoted_at AS "promotedAt" FROM signing_keys
          WHERE state <> 'previous' OR retired_at > now() - make_interval(hours => ${keepPreviousHours}) ORDER BY kid`
      )
      const signing = rows.find((row) => row.state === "current")
      if (signing === undefined) return undefined
      const etag = `"${rows.map((row) => row.kid.slice(0, 8) + row.state.slice(0, 1)).join("")}"`
      if (current?.etag === etag) return signing.promotedAt
      const verifying = new Map<string, KeyObject>()
      for (const row of rows) {
        const key = publicKeyOf(row.publicJwk)
        if (key !== undefined) verifying.set(row.kid, key)
      }
      const opened = yield* Effect.try({
        try: () => privateKeyOf(JSON.parse(unseal(sealing, signing.kid, signing.sealedPrivateJwk))),
        catch: () =>
          new Unavailable({ dependency: "the signing key (GATEWAY_SECRET does not open it)", retryAfterSeconds: 30 })
      })
      current = {
        signing: { kid: signing.kid, key: opened },
        published: rows.map((row) => row.publicJwk),
        verifying,
        etag
      }
      return signing.promotedAt
    })

    /** One at a time: a reading that was overtaken by a rotation must not be the last word. */
    const load = one.withPermit(read)

    const tooOld = sql`SELECT 1 FROM signing_keys
      WHERE state = 'current' AND promoted_at < now() - make_interval(days => ${rotateAfterDays})`

    const rotate = Effect.fn("Keys.rotate")(function* (why: "asked" | "age" | "emergency") {
      const emergency = why === "emergency"
      yield* ensure
      // Whose secret does not open the present key must not seal the next one.
      if (!emergency) yield* load
      yield* database.transaction(
        Effect.gen(function* () {
          yield* lock
          // Several gateways see a key grow old at the same time; the first replaces it.
          if (why === "age" && (yield* tooOld).length === 0) return
          if (emergency) {
            yield* sql`DELETE FROM signing_keys`
            yield* sql`DELETE FROM sessions`
            yield* insertNew("current")
          } else {
            yield* sql`UPDATE signing_keys SET state = 'previous', retired_at = now() WHERE state = 'current'`
            yield* sql`UPDATE signing_keys SET state = 'current', promoted_at = now() WHERE state = 'next'`
          }
          yield* insertNew("next")
          yield* sql`DELETE FROM signing_keys WHERE state = 'previous'
            AND retired_at < now() - make_interval(hours => ${keepPreviousHours})`
          yield* audit.record({ event: emergency ? "keys.rotated.emergency" : "keys.rotated" })
          yield* sql`SELECT pg_notify('keys', '')`
        })
      )
      yield* load
    })

    let complaint: string | undefined
    let refreshedAt = Number.NEGATIVE_INFINITY
    const refresh = Effect.gen(function* () {
      refreshedAt = yield* Clock.currentTimeMillis
      if (current === undefined) yield* ensure
      const promotedAt = yield* load
      complaint = undefined
      if (promotedAt != null && refreshedAt - promotedAt.getTime() > rotateAfterDays * 86_400_000) yield* rotate("age")
    }).pipe(
      Effect.catch((error) => {
        // Every few seconds the same is said once.
        if (complaint === error.message) return Effect.void
        complaint = error.message
        return Effect.logWarning("signing keys are not available").pipe(Effect.annotateLogs({ reason: error.message }))
      })
    )

    yield* database.notifications("keys").pipe(
      Stream.runForEach(() => refresh),
      Effect.tapCause((cause) => Effect.logError("no longer listening for key changes", cause)),
      Effect.forkScoped
    )
    yield* refresh.pipe(Effect.repeat(Schedule.spaced("5 seconds")), Effect.forkScoped)

    const loaded = Effect.suspend(() =>
      current === undefined
        ? Effect.andThen(
            refresh,
            Effect.suspend(() => (current === undefined ? missing : Effect.succeed(current)))
          )
        : Effect.succeed(current)
    )
    const missing = Effect.fail(new Unavailable({ dependency: "the signing keys", retryAfterSeconds: 2 }))

    return Keys.of({
      sign: (typ, claims) => current && signJws(typ, current.signing.kid, current.signing.key, claims),
      verifying: (kid) => current?.verifying.get(kid),
      generation: () => current?.etag ?? "",
      published: Effect.map(loaded, (set) => ({ body: JSON.stringify({ keys: set.published }), etag: set.etag })),
      ready: Effect.asVoid(loaded),
      lookAgain: Effect.suspend(() =>
        clock.currentTimeMillisUnsafe() - refreshedAt < 1000 ? Effect.asVoid(loaded) : Effect.andThen(refresh, loaded)
      ),
      rotate: ({ emergency }) => rotate(emergency ? "emergency" : "asked")
    })
  })
