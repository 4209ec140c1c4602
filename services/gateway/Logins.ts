/** Browser logins (spec R6): attempts bound to one browser, single use, many tabs; must trust nothing of the callback that it did not store itself. */
import { randomBytes } from "node:crypto"
import { Clock, Context, Effect, Layer, Schema } from "effect"
import { Forbidden, NotFound, Unavailable } from "#shared/domain/errors.ts"
import { tokenHash } from "#shared/jws.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { Audit } from "./Audit.ts"
import { generateCodeVerifier } from "./authorizationCode.ts"
import { type Authentication, Providers } from "./Providers.ts"
import { Directory, type Seed } from "./Directory.ts"
import { safeReturnTo } from "./returnTo.ts"
import { Sessions } from "./Sessions.ts"
import type { Person, SettingsFile } from "./settingsFile.ts"

/** Logins one browser may have under way; the oldest gives way to a further one. */
export const maxPending = 5
const attemptMinutes = 10

/** This login cannot be completed; a new one can be begun. */
export class LoginRefused extends Schema.TaggedError<LoginRefused>()(
  "LoginRefused",
  { detail: Schema.String },
  { httpApiStatus: 400 }
) {
  override get message() {
    return this.detail
  }
}

/** The provider did not vouch for the person. */
export class LoginFailed extends Schema.TaggedError<LoginFailed>()(
  "LoginFailed",
  { detail: Schema.String },
  { httpApiStatus: 401 }
) {
  override get message() {
    return this.detail
  }
}

export interface Callback {
  readonly provider: string
  /** The browser named by the login cookie; undefined without a valid one. */
  readonly browser: string | undefined
  /** Whether a parameter occurs more than once, so that two readers could take it for different ones. */
  readonly repeated: boolean
  readonly state: string | undefined
  readonly code: string | undefined
  readonly error: string | undefined
  readonly iss: string | undefined
  readonly userAgent: string | null
  readonly ip: string
  readonly requestId: string
  /** The session this browser had before, which the new one replaces. */
  readonly previous: { readonly userId: string; readonly id: string } | undefined
}

export interface LoggedIn {
  readonly secret: string
  readonly returnTo: string
  /** Whether this browser has other logins under way, which still need its login cookie. */
  readonly pending: boolean
}

export class Logins extends Context.Service<
  Logins,
  {
    /** Begins a login: where to send the browser. `browser` is a new or known random name of it. */
    readonly begin: (input: {
      readonly provider: string
      readonly browser: string
      readonly returnTo: string | undefined
      readonly hints: Readonly<Record<string, string>>
    }) => Effect.Effect<URL, NotFound | Unavailable>
    readonly complete: (
      callback: Callback
    ) => Effect.Effect<LoggedIn, LoginRefused | LoginFailed | Forbidden | NotFound | Unavailable>
  }
>()("gatehouse/gateway/Logins") {
  static readonly layer = (options: {
    readonly publicUrl: string
    readonly seeds: () => Pick<SettingsFile, "firstOwner" | "grants">
  }) => Layer.effect(Logins, makeLogins(options))
}

const means = (person: Person, { person: vouched }: Authentication): boolean =>
  person.provider === vouched.provider &&
  ("subject" in person
    ? person.subject === vouched.subject
    : vouched.email !== undefined && person.email.toLowerCase() === vouched.email.toLowerCase())

const makeLogins = (options: {
  readonly publicUrl: string
  readonly seeds: () => Pick<SettingsFile, "firstOwner" | "grants">
}) =>
  Effect.gen(function* () {
    const database = yield* Database
    const sql = yield* SqlClient.SqlClient
    const audit = yield* Audit
    const providers = yield* Providers
    const directory = yield* Directory
    const sessions = yield* Sessions

    const seedsFor = (authentication: Authentication): ReadonlyArray<Seed> => {
      const { firstOwner, grants } = options.seeds()
      return [
        ...(firstOwner !== undefined && means(firstOwner, authentication) ? [{ role: "owner", environment: "*" }] : []),
        ...(grants ?? []).filter((grant) => means(grant.person, authentication))
      ].map(({ environment, role }) => ({ role, environment }))
    }

    const begin = Effect.fn("Logins.begin")(function* ({
      browser,
      hints,
      provider,
      returnTo
    }: Parameters<Logins["Service"]["begin"]>[0]) {
      const attempt = {
        state: randomBytes(32).toString("base64url"),
        nonce: randomBytes(32).toString("base64url"),
        verifier: generateCodeVerifier()
      }
      const url = yield* providers.authorizationUrl(provider, attempt, hints)
      yield* database.transaction(
        Effect.gen(function* () {
          yield* sql`DELETE FROM login_attempts WHERE created_at < now() - make_interval(mins => ${attemptMinutes})`
          yield* sql`DELETE FROM login_attempts WHERE id IN (SELECT id FROM login_attempts WHERE browser = ${browser}
            ORDER BY created_at DESC, id DESC OFFSET ${maxPending - 1})`
          yield* sql`INSERT INTO login_attempts (browser, state_hash, provider, nonce, verifier, return_to)
            VALUES (${browser}, ${tokenHash(attempt.state)}, ${provider}, ${attempt.nonce}, ${attempt.verifier},
              ${safeReturnTo(returnTo, options.publicUrl)})`
        })
      )
      return url
    })

    interface AttemptRow {
      readonly browser: string
      readonly provider: string
      readonly nonce: string
      readonly verifier: string
      readonly returnTo: string
      readonly alive: boolean
    }

    const complete = Effect.fn("Logins.complete")(function* (callback: Callback) {
      const { browser, code, error, provider, state } = callback
      if (!providers.list.some((known) => known.id === provider)) {
        return yield* new NotFound({ resource: "identity provider" })
      }
      if (state === undefined || state === "") return yield* new LoginRefused({ detail: "the answer names no login" })
      // Taken before anything is checked: an attempt is used once, whatever comes of it.
      const rows = yield* database.run(
        sql<AttemptRow>`DELETE FROM login_attempts WHERE state_hash = ${tokenHash(state)} RETURNING browser, provider, nonce,
          verifier, return_to AS "returnTo", created_at > now() - make_interval(mins => ${attemptMinutes}) AS alive`
      )
      const attempt = rows[0]
      const note = (event: string, reason: string) =>
        Effect.ignore(
          database.run(
            audit.record({ event, requestId: callback.requestId, ip: callback.ip, detail: { provider, reason } })
          )
        )
      const refuse = (detail: string) => Effect.andThen(note("login.refused", detail), new LoginRefused({ detail }))
      if (attempt === undefined) return yield* refuse("this login was already used, or never begun here")
      if (browser === undefined) {
        return yield* refuse(
          "the browser did not keep the login cookie (on plain http only Chromium, Firefox and curl do, and only for localhost)"
        )
      }
      if (attempt.browser !== browser) return yield* refuse("this login was begun in another browser")
      if (!attempt.alive) return yield* refuse("this login took longer than ten minutes")
      if (attempt.provider !== provider) return yield* refuse("the answer comes from another provider")
      if (callback.repeated) return yield* refuse("the answer names something twice")
      if (error !== undefined) return yield* refuse("the identity provider did not log you in")
      if (code === undefined || code === "") return yield* refuse("the answer holds no code")

      const authentication = yield* providers.authenticate(provider, attempt, { code, iss: callback.iss }).pipe(
        Effect.tapError((failure) =>
          Effect.logWarning("login failed").pipe(
            Effect.annotateLogs({ provider, reason: failure.message }),
            Effect.andThen(note("login.failed", failure.message))
          )
        ),
        Effect.catchTag(
          "IdTokenRefused",
          () => new LoginFailed({ detail: "the identity provider's answer could not be verified" })
        ),
        Effect.catchTag("ExchangeFailed", ({ reason }): Effect.Effect<never, LoginFailed | Unavailable> =>
          reason === "refused" || reason === "format"
            ? Effect.fail(new LoginFailed({ detail: "the identity provider did not accept the code" }))
            : Effect.fail(new Unavailable({ dependency: `the identity provider "${provider}"`, retryAfterSeconds: 5 }))
        )
      )
      const user = yield* directory.welcome(authentication.person, seedsFor(authentication))
      if (user.disabled) {
        yield* Effect.ignore(
          database.run(
            audit.record({ event: "login.disabled", subject: user.id, requestId: callback.requestId, ip: callback.ip })
          )
        )
        return yield* new Forbidden({ detail: "this account is disabled" })
      }
      const now = yield* Clock.currentTimeMillis
      const session = yield* sessions.create({
        kind: "browser",
        label: "browser",
        userId: user.id,
        provider,
        idpSid: authentication.idpSid,
        authTime: Math.min(authentication.authTime ?? now, now),
        userAgent: callback.userAgent,
        ip: callback.ip
      })
      if (callback.previous !== undefined) {
        yield* Effect.ignore(sessions.replace(callback.previous.userId, callback.previous.id))
      }
      const pending = yield* database.run(
        Effect.andThen(
          audit.record({
            event: "login",
            actor: user.id,
            sessionId: session.id,
            requestId: callback.requestId,
            ip: callback.ip,
            detail: { provider }
          }),
          sql`SELECT 1 FROM login_attempts WHERE browser = ${browser}
            AND created_at > now() - make_interval(mins => ${attemptMinutes}) LIMIT 1`
        )
      )
      return {
        secret: session.secret,
        returnTo: safeReturnTo(attempt.returnTo, options.publicUrl),
        pending: pending.length > 0
      }
    })

    return Logins.of({ begin, complete })
  })
