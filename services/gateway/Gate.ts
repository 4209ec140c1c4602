/** Who calls and whether they may (spec R5, R8, R10): reads credentials, asks caches first and the DB only if need be; must not know any route's upstream. */
import { Clock, Context, Effect, Layer, Option } from "effect"
import { BoundedMap } from "#shared/BoundedMap.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import type { Demand } from "#shared/domain/rights.ts"
import { tokenHash } from "#shared/jws.ts"
import { cookieValues, sessionCookie } from "./cookies.ts"
import { Keys } from "./Keys.ts"
import { Rights, type Snapshot } from "./Rights.ts"
import { Sessions } from "./Sessions.ts"
import { Tokens } from "./Tokens.ts"

/** What a request shows of its sender, unchecked. */
export type Credential =
  | { readonly _tag: "None" }
  | { readonly _tag: "Cookie"; readonly secretHash: string }
  /** A cookie that can be no session of ours, or several: anonymous, and the cookie is to go. */
  | { readonly _tag: "BadCookie" }
  | { readonly _tag: "Bearer"; readonly token: string }
  | { readonly _tag: "BadAuthorization" }

/** A proven sender. */
export interface Caller {
  readonly userId: string
  readonly sessionId: string
  readonly via: "cookie" | "bearer"
  /** Seconds since the epoch. */
  readonly authTime: number
  /** What an access token is confined to, `<service>:<action>` with `*` for any; undefined for a browser session. */
  readonly scope: ReadonlySet<string> | undefined
}

/** `Stale`: a cookie or token that is not (any more) good; `reason` is for the WWW-Authenticate header. */
export type Identified =
  | { readonly _tag: "Caller"; readonly caller: Caller }
  | { readonly _tag: "Anonymous" }
  | {
      readonly _tag: "Stale"
      readonly via: "cookie" | "bearer"
      readonly reason: string
      /** The browser has a newer cookie by now, which this answer must not delete. */
      readonly keepCookie?: true
    }

const anonymous: Identified = { _tag: "Anonymous" }
const staleCookie: Identified = { _tag: "Stale", via: "cookie", reason: "the session has ended" }
const replacedCookie: Identified = { ...staleCookie, reason: "a new login has replaced this session", keepCookie: true }
const staleToken = (reason: string): Identified => ({ _tag: "Stale", via: "bearer", reason })

const maxBearerLength = 8192
const none: Credential = { _tag: "None" }
const badCookie: Credential = { _tag: "BadCookie" }
const badAuthorization: Credential = { _tag: "BadAuthorization" }
const secretForm = /^[A-Za-z0-9_-]{43}$/u

/** Reads the credential of a request. A bearer token is deliberate and goes before a cookie, which browsers send by themselves. */
export const credentialOf = (headers: Headers): Credential => {
  const authorization = headers.get("authorization")
  if (authorization !== null) {
    // The token's own form is checked with its signature: here a known one is only looked up.
    if (authorization.slice(0, 7).toLowerCase() !== "bearer " || authorization.length > maxBearerLength)
      return badAuthorization
    return { _tag: "Bearer", token: authorization.slice(7) }
  }
  const cookie = headers.get("cookie")
  if (cookie === null) return none
  const values = cookieValues(cookie, sessionCookie)
  if (values.length === 0) return none
  if (values.length > 1 || !secretForm.test(values[0]!)) return badCookie
  return { _tag: "Cookie", secretHash: tokenHash(values[0]!) }
}

/** Whether an access token's scope covers a service's action. */
const covers = (scope: ReadonlySet<string>, service: string, action: string): boolean =>
  scope.has("*:*") || scope.has(`${service}:*`) || scope.has(`*:${action}`) || scope.has(`${service}:${action}`)

const nowhere: ReadonlyArray<string> = []

/** Seconds an identity token lives, and for how long one is reused for reads. */
const identityLifetime = 60
const identityReuse = 30

/** The identity token last made for one caller and audience, and all that it depends on. */
interface Minted {
  readonly token: string
  readonly mintedAt: number
  readonly version: string
  readonly generation: string
}

export class Gate extends Context.Service<
  Gate,
  {
    /** Who sent this, from memory alone; undefined if the DB must be asked (`identify`). Synchronous for the data path. */
    readonly peek: (credential: Credential) => Identified | undefined
    readonly identify: (credential: Credential) => Effect.Effect<Identified, Unavailable>
    /**
     * Whether a caller may do what is asked, by their live rights and their token's scope: in its environment, or in any of
     * its further namespaces. In which of them is for the service to judge, which knows what is asked of it.
     */
    readonly allows: (
      snapshot: Snapshot,
      caller: Caller,
      demand: Demand & { readonly namespaces?: ReadonlyArray<string> }
    ) => boolean
    /**
     * The identity token for a service (spec R10); undefined while there is no signing key. For a write it is bound to
     * `method` and `path`; for a read it is reused up to 30 s for the same session, service and rights.
     */
    readonly identityToken: (
      snapshot: Snapshot,
      caller: Caller,
      target: {
        readonly service: string
        readonly environment: string
        readonly namespaces?: ReadonlyArray<string>
        readonly method: string
        readonly path: string
      }
    ) => string | undefined
  }
>()("gatehouse/gateway/Gate") {
  static readonly layer = (options: { readonly issuer: string }) => Layer.effect(Gate, makeGate(options.issuer))
}

const makeGate = (issuer: string) =>
  Effect.gen(function* () {
    const rights = yield* Rights
    const sessions = yield* Sessions
    const tokens = yield* Tokens
    const keys = yield* Keys
    const clock = yield* Clock.Clock
    const mintedForSession = new BoundedMap<Map<string, Minted>>(20_000)
    const mintedForToken = new WeakMap<ReadonlySet<string>, Map<string, Minted>>()
    const nowSeconds = () => Math.floor(clock.currentTimeMillisUnsafe() / 1000)

    /** Undefined where memory cannot tell: no fresh snapshot, or a user who is newer than it. */
    const known = (caller: Caller, snapshot: Snapshot | undefined): Identified | undefined => {
      const user = snapshot?.users.get(caller.userId)
      if (user === undefined) return undefined
      return user.disabled
        ? { _tag: "Stale", via: caller.via, reason: "the account is disabled" }
        : { _tag: "Caller", caller }
    }
    const settled = (caller: Caller, snapshot: Snapshot) =>
      Effect.suspend(() => {
        const found = known(caller, snapshot)
        if (found !== undefined) return Effect.succeed(found)
        const gone: Identified = { _tag: "Stale", via: caller.via, reason: "the account is gone" }
        return Effect.map(rights.refresh, (newer) => known(caller, newer) ?? gone)
      })

    const byCookie = (session: {
      readonly userId: string
      readonly id: string
      readonly authTime: number
    }): Caller => ({
      userId: session.userId,
      sessionId: session.id,
      via: "cookie",
      authTime: Math.floor(session.authTime / 1000),
      scope: undefined
    })

    const peek = (credential: Credential): Identified | undefined => {
      switch (credential._tag) {
        case "None":
          return anonymous
        case "BadCookie":
          return staleCookie
        case "BadAuthorization":
          return staleToken("the Authorization header is not one Bearer token")
        case "Cookie": {
          const session = sessions.peek(credential.secretHash)
          return session === undefined ? undefined : known(byCookie(session), rights.peek())
        }
        case "Bearer": {
          const token = tokens.verify(credential.token, nowSeconds())
          // An unknown key may be one this process has not loaded yet: `identify` looks once more.
          if (typeof token === "string") return token === "unknown key" ? undefined : staleToken(token)
          const session = sessions.peekById(token.sessionId)
          if (session === undefined) return undefined
          if (session.userId !== token.userId) return staleToken("the session is another's")
          return known({ ...token, via: "bearer" }, rights.peek())
        }
      }
    }

    const identify = Effect.fnUntraced(function* (credential: Credential) {
      const first = peek(credential)
      if (first !== undefined) return first
      const snapshot = yield* rights.snapshot
      if (credential._tag === "Cookie") {
        const session = yield* sessions.find(credential.secretHash)
        if (Option.isSome(session)) return yield* settled(byCookie(session.value), snapshot)
        return sessions.wasReplaced(credential.secretHash) ? replacedCookie : staleCookie
      }
      if (credential._tag !== "Bearer") return anonymous
      yield* keys.lookAgain
      const token = tokens.verify(credential.token, nowSeconds())
      if (typeof token === "string") return staleToken(token)
      const session = yield* sessions.findById(token.sessionId)
      if (Option.isNone(session)) return staleToken("the session has ended")
      if (session.value.userId !== token.userId) return staleToken("the session is another's")
      return yield* settled({ ...token, via: "bearer" }, snapshot)
    })

    /** By session; an access token has its own, because its scope narrows what the identity token says. */
    const mintedFor = (caller: Caller): Map<string, Minted> => {
      const known =
        caller.scope === undefined ? mintedForSession.get(caller.sessionId) : mintedForToken.get(caller.scope)
      if (known !== undefined) return known
      const fresh = new Map<string, Minted>()
      if (caller.scope === undefined) mintedForSession.set(caller.sessionId, fresh)
      else mintedForToken.set(caller.scope, fresh)
      return fresh
    }

    /** What a caller holds on a service in one environment, each entry with `suffix` behind it. */
    const held = (snapshot: Snapshot, caller: Caller, service: string, environment: string, suffix: string) => {
      const actions = new Set<string>()
      for (const right of snapshot.rights(caller.userId) ?? []) {
        const here =
          (right.environment === "*" || right.environment === environment) &&
          (right.service === "*" || right.service === service)
        if (!here) continue
        actions.add(right.effect === "deny" ? `!${right.action}` : right.action)
      }
      const entries: Array<string> = []
      if (actions.has("!*")) return entries
      for (const action of actions) {
        if (action.startsWith("!")) entries.push(`!${service}:${action.slice(1)}${suffix}`)
        else if (caller.scope === undefined || covers(caller.scope, service, action)) {
          entries.push(`${service}:${action}${suffix}`)
        } else if (action === "*") {
          // The user may do everything there, the token only some of it.
          for (const one of caller.scope) {
            const [of, what] = one.split(":")
            if (of === service || of === "*") entries.push(`${service}:${what}${suffix}`)
          }
        }
      }
      return entries
    }

    const scopeClaim = (
      snapshot: Snapshot,
      caller: Caller,
      service: string,
      environment: string,
      namespaces: ReadonlyArray<string>
    ): string =>
      [
        ...held(snapshot, caller, service, environment, ""),
        ...namespaces.flatMap((namespace) => held(snapshot, caller, service, namespace, `:${namespace}`))
      ].join(" ")

    return Gate.of({
      peek,
      identify,
      allows: (snapshot, caller, demand) => {
        const { action, namespaces, service } = demand
        if (caller.scope !== undefined && !covers(caller.scope, service, action)) return false
        if (snapshot.decide(caller.userId, demand) === "allow") return true
        if (namespaces === undefined) return false
        return namespaces.some(
          (environment) => snapshot.decide(caller.userId, { environment, service, action }) === "allow"
        )
      },
      identityToken: (snapshot, caller, { environment, method, namespaces = nowhere, path, service }) => {
        const now = nowSeconds()
        const safe = method === "GET" || method === "HEAD" || method === "OPTIONS"
        const generation = keys.generation()
        const audience = `${service}.${environment}`
        const mine = safe ? mintedFor(caller) : undefined
        // Two routes of one service may act on different namespaces: what one says is not for the other.
        const kind = namespaces.length === 0 ? audience : `${audience} ${namespaces.join(" ")}`
        const reusable = mine?.get(kind)
        if (
          reusable !== undefined &&
          now - reusable.mintedAt < identityReuse &&
          reusable.version === snapshot.version &&
          reusable.generation === generation
        ) {
          return reusable.token
        }
        const token = keys.sign("at+jwt", {
          iss: issuer,
          sub: caller.userId,
          aud: audience,
          client_id: "gateway",
          iat: now,
          exp: now + identityLifetime,
          jti: uuidv7(now * 1000),
          scope: scopeClaim(snapshot, caller, service, environment, namespaces),
          roles: snapshot.roleNames(caller.userId),
          env: environment,
          sid: caller.sessionId,
          auth_time: caller.authTime,
          name: snapshot.users.get(caller.userId)?.name ?? "",
          ...(safe ? {} : { htm: method, htu: path })
        })
        if (token !== undefined) mine?.set(kind, { token, mintedAt: now, version: snapshot.version, generation })
        return token
      }
    })
  })
