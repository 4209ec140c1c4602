/** This process at a KV server (the HTTP API of Vault and OpenBao): login by service account token, renewal, one request; must keep no secret but its own token. */
import { readFile } from "node:fs/promises"
import { Clock, Effect, Redacted, Schema, Semaphore } from "effect"
import { type PeerFailed, send } from "../client.ts"
import { SecretForbidden, SecretStoreUnavailable } from "./failures.ts"

export interface KvServer {
  /** https; plain http is for a loopback address alone. */
  readonly address: URL
  /** PEM of the authorities that its certificate is checked against; those of the runtime if absent. */
  readonly caFile: string | undefined
  /** Where its Kubernetes login is mounted, `kubernetes` unless somebody chose another. */
  readonly loginMount: string
  /** The role to ask for. */
  readonly role: string
  /** The service account token that proves who this is, read at each login: the kubelet replaces it. */
  readonly tokenFile: string
}

export interface KvSession {
  readonly store: string
  /**
   * GET below `/v1/`, logged in. The answer is whatever the server says, but 403, which is `SecretForbidden` after a new
   * login has not helped either.
   */
  readonly get: (
    path: string,
    reference: string
  ) => Effect.Effect<{ readonly status: number; readonly text: string }, SecretForbidden | SecretStoreUnavailable>
}

const timeout = "5 seconds"
/** Seconds before its end at which a token is no longer used: a request takes a while. */
const margin = 5

const Login = Schema.Struct({
  auth: Schema.Struct({
    client_token: Schema.NonEmptyString,
    /** Seconds; 0 for a token without end. */
    lease_duration: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
    renewable: Schema.Boolean
  })
})
type Auth = (typeof Login.Type)["auth"]
const decodeLogin = Schema.decodeUnknownEffect(Schema.fromJsonString(Login))

interface Held {
  readonly token: Redacted.Redacted
  readonly renewable: boolean
  /** Milliseconds since the epoch. */
  readonly renewAt: number
  readonly expiresAt: number
}

const heldOf = ({ client_token, lease_duration, renewable }: Auth, asked: number): Held => {
  const lease = lease_duration === 0 ? Number.POSITIVE_INFINITY : lease_duration * 1000
  return {
    token: Redacted.make(client_token),
    renewable,
    renewAt: asked + (lease * 2) / 3,
    expiresAt: asked + lease - margin * 1000
  }
}

/** What a status other than those a caller knows means; the API's own: 503 is sealed or in maintenance, 501 not initialized. */
export const unavailable = (store: string, status: number) =>
  new SecretStoreUnavailable({ store, reason: status === 503 || status === 501 ? "sealed" : "status", status })

export const makeKvSession = (server: KvServer): Effect.Effect<KvSession> =>
  Effect.gen(function* () {
    const store = `the secret store ${server.address.host}`
    const base = server.address.href.replace(/\/$/u, "")
    /** One login at a time: whoever waits for it uses what it brought. */
    const one = yield* Semaphore.make(1)
    let held: Held | undefined

    const lost = ({ reason, status }: PeerFailed) => new SecretStoreUnavailable({ store, reason, status })
    const read = (path: string, what: string) =>
      Effect.tryPromise({
        try: () => readFile(path, "utf8"),
        catch: () => new SecretForbidden({ reference: store, detail: `${what} ${path} cannot be read` })
      })

    const ask = Effect.fnUntraced(function* (path: string, init: RequestInit) {
      const ca = server.caFile === undefined ? undefined : yield* read(server.caFile, "the authority's file")
      const tls = { rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) }
      const secured = { ...init, ...(server.address.protocol === "http:" ? {} : { tls }) }
      return yield* send(new URL(`${base}/v1/${path}`), { timeout, init: secured }).pipe(Effect.mapError(lost))
    })

    const authOf = (text: string) =>
      decodeLogin(text).pipe(
        Effect.map(({ auth }) => auth),
        Effect.mapError(() => new SecretStoreUnavailable({ store, reason: "format", status: null }))
      )

    const logIn = Effect.gen(function* () {
      const jwt = (yield* read(server.tokenFile, "the service account token")).trim()
      const asked = yield* Clock.currentTimeMillis
      const { status, text } = yield* ask(`auth/${server.loginMount}/login`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ role: server.role, jwt })
      })
      // 400: no such role, or the token is none; 403: another's; 500: the API server that judges the token is away.
      if (status === 400 || status === 401 || status === 403 || status === 404) {
        const detail = `the login as ${server.role} is refused (${status})`
        return yield* new SecretForbidden({ reference: store, detail })
      }
      if (status !== 200) return yield* unavailable(store, status)
      held = heldOf(yield* authOf(text), asked)
      yield* Effect.logDebug("logged in at the secret store")
      return held.token
    })

    const renew = Effect.fnUntraced(function* (token: Redacted.Redacted) {
      const asked = yield* Clock.currentTimeMillis
      const { status, text } = yield* ask("auth/token/renew-self", {
        method: "POST",
        headers: { "content-type": "application/json", "x-vault-token": Redacted.value(token) },
        body: "{}"
      })
      if (status !== 200) return yield* unavailable(store, status)
      held = heldOf(yield* authOf(text), asked)
      return held.token
    })

    const authenticate = one.withPermit(
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        if (held === undefined || now >= held.expiresAt) return yield* logIn
        const { renewable, renewAt, token } = held
        if (now < renewAt) return token
        // Near its longest life a token is renewed for less and less: a login ends that.
        if (!renewable) return yield* logIn
        const renewed = yield* Effect.option(renew(token))
        if (renewed._tag === "Some" && held.renewAt - now > margin * 1000) return renewed.value
        // The old one is still good for a while if the login finds nobody.
        return yield* logIn.pipe(Effect.catchTag("SecretStoreUnavailable", () => Effect.succeed(token)))
      })
    )

    const forget = (token: Redacted.Redacted) =>
      Effect.sync(() => {
        if (held?.token === token) held = undefined
      })

    return {
      store,
      get: Effect.fnUntraced(function* (path, reference) {
        const once = (token: Redacted.Redacted) =>
          ask(path, { headers: { accept: "application/json", "x-vault-token": Redacted.value(token) } })
        const token = yield* authenticate
        const first = yield* once(token)
        if (first.status !== 403) return first
        // Revoked, or of a server that has forgotten it: a new login decides.
        yield* forget(token)
        const second = yield* once(yield* authenticate)
        if (second.status !== 403) return second
        return yield* new SecretForbidden({ reference, detail: `the role ${server.role} may not read it` })
      })
    }
  })
