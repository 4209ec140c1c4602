/** Secrets of a KV v2 server, with a bounded cache that outlasts the server's absence up to a limit; must serve nothing older, and nothing the server has refused. */
import { Clock, Deferred, Duration, Effect, Metric, Option, Redacted, Schema } from "effect"
import { BoundedMap } from "../BoundedMap.ts"
import { type SecretFailure, SecretNotFound, SecretStoreUnavailable } from "./failures.ts"
import { type KvServer, type KvSession, makeKvSession, unavailable } from "./kvSession.ts"
import { referenceText, type SecretReference } from "./reference.ts"
import type { Secret, SecretStore } from "./store.ts"

export interface KvStoreOptions extends KvServer {
  /** Where the KV v2 engine is mounted. */
  readonly mount: string
  /** How long an answer counts as the newest. */
  readonly refresh: Duration.Duration
  /** How long the last answer serves while the server is away; zero for not at all. */
  readonly stale: Duration.Duration
}

const staleSeconds = Metric.gauge("gatehouse_secrets_stale_seconds", {
  description: "Age of the last answer of the secret store that was served in its absence; 0 while it answers."
})
const failures = Metric.counter("gatehouse_secrets_failures_total", {
  description: "Requests that the secret store did not answer as agreed, by reason.",
  incremental: true
})

/** Secrets, not keys: a process of ours reads a handful. */
const capacity = 256
/** After a failed request the last answer serves at once, so that not every reader waits for the deadline. */
const pause = 5000

const Answer = Schema.Struct({
  data: Schema.Struct({
    data: Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown)),
    metadata: Schema.Struct({ version: Schema.Int })
  })
})
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Answer))

/** One version of a secret with all its keys. */
interface Found {
  readonly version: string
  /** Undefined where a value is no text. */
  readonly values: ReadonlyMap<string, Redacted.Redacted | undefined>
}

interface Entry {
  readonly found: Found
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** Asks the server, without any cache. */
const fetchSecret = Effect.fnUntraced(function* (session: KvSession, mount: string, reference: SecretReference) {
  // Whoever waits for the same secret may want another of its keys.
  const [text = ""] = referenceText(reference).split("#")
  const query = reference.version === undefined ? "" : `?version=${reference.version}`
  const answer = yield* session.get(`${mount}/data/${reference.path}${query}`, text)
  // A deleted version is 404 too, with its metadata.
  if (answer.status === 404) return yield* new SecretNotFound({ reference: text })
  if (answer.status !== 200) return yield* unavailable(session.store, answer.status)
  const decoded = decode(answer.text)
  if (Option.isNone(decoded)) {
    return yield* new SecretStoreUnavailable({ store: session.store, reason: "format", status: null })
  }
  const { data, metadata } = decoded.value.data
  if (data === null) return yield* new SecretNotFound({ reference: text })
  const values = Object.entries(data).map(
    ([key, value]) => [key, typeof value === "string" ? Redacted.make(value) : undefined] as const
  )
  return { version: String(metadata.version), values: new Map(values) } satisfies Found
})

export const makeKvStore = (options: KvStoreOptions): Effect.Effect<SecretStore> =>
  Effect.gen(function* () {
    const session = yield* makeKvSession(options)
    const entries = new BoundedMap<Entry>(capacity)
    const asking = new Map<string, Deferred.Deferred<Found, SecretFailure>>()
    const refresh = Duration.toMillis(options.refresh)
    const stale = Duration.toMillis(options.stale)
    let away = false
    let askAgainAt = 0

    const answered = Effect.gen(function* () {
      if (!away) return
      away = false
      askAgainAt = 0
      yield* Metric.update(staleSeconds, 0)
      yield* Effect.logInfo(`${session.store} answers again`)
    })

    const failed = Effect.fnUntraced(function* (failure: SecretStoreUnavailable, now: number) {
      askAgainAt = now + pause
      yield* Metric.update(Metric.withAttributes(failures, { reason: failure.reason }), 1)
      if (away) return
      away = true
      yield* Effect.logWarning(`${session.store} is away; its last answers serve for a while`).pipe(
        Effect.annotateLogs({ reason: failure.message, seconds: Duration.toSeconds(options.stale) })
      )
    })

    /** The server's answer, kept; what it refuses is kept no more. */
    const ask = (name: string, reference: SecretReference) =>
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const found = yield* fetchSecret(session, options.mount, reference).pipe(
          Effect.tapError((failure) => {
            if (failure._tag === "SecretStoreUnavailable") return failed(failure, now)
            entries.delete(name)
            return answered
          })
        )
        entries.set(name, { found, at: now })
        yield* answered
        return found
      })

    /** One request for a secret, however many wait for it, and whether or not the first of them is gone. */
    const askOnce = (name: string, reference: SecretReference) =>
      Effect.suspend(() => {
        const known = asking.get(name)
        if (known !== undefined) return Deferred.await(known)
        const answer = Deferred.makeUnsafe<Found, SecretFailure>()
        asking.set(name, answer)
        return ask(name, reference).pipe(
          Effect.onExit((exit) => {
            asking.delete(name)
            return Deferred.done(answer, exit)
          }),
          Effect.ignore,
          Effect.forkDetach,
          Effect.andThen(Deferred.await(answer))
        )
      })

    const lastAnswer = Effect.fnUntraced(function* (name: string, failure: SecretStoreUnavailable) {
      const entry = entries.get(name)
      const age = (yield* Clock.currentTimeMillis) - (entry?.at ?? 0)
      if (entry === undefined || age > stale) {
        entries.delete(name)
        return yield* failure
      }
      yield* Metric.update(staleSeconds, age / 1000)
      return entry.found
    })

    const newest = Effect.fnUntraced(function* (name: string, reference: SecretReference) {
      const now = yield* Clock.currentTimeMillis
      const entry = entries.get(name)
      if (entry !== undefined && now - entry.at < refresh) return entry.found
      const pausing = new SecretStoreUnavailable({ store: session.store, reason: "unreachable", status: null })
      if (entry !== undefined && now < askAgainAt) return yield* lastAnswer(name, pausing)
      return yield* askOnce(name, reference).pipe(
        Effect.catchTag("SecretStoreUnavailable", (failure) => lastAnswer(name, failure))
      )
    })

    return {
      name: session.store,
      noticed: options.refresh,
      read: Effect.fn("Secrets.read")(function* (reference: SecretReference): Effect.fn.Return<Secret, SecretFailure> {
        const { values, version } = yield* newest(`${reference.path}?${reference.version ?? ""}`, reference)
        if (!values.has(reference.key)) return yield* new SecretNotFound({ reference: referenceText(reference) })
        const value = values.get(reference.key)
        if (value === undefined) {
          return yield* new SecretStoreUnavailable({ store: session.store, reason: "format", status: null })
        }
        return { value, version }
      })
    }
  })
