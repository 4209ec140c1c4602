/** What a store of secrets is to its readers, and how one secret is followed; must not know any kind of store. */
import { type Duration, Effect, Redacted, Result, Stream } from "effect"
import type { SecretFailure } from "./failures.ts"
import type { SecretReference } from "./reference.ts"

/** A value, and which it is: `version` differs between two values of one secret, and tells nothing of them. */
export interface Secret {
  readonly value: Redacted.Redacted
  readonly version: string
}

/** Where secrets are kept. It owns nothing that must be released. */
export interface SecretStore {
  /** For messages: a folder, or a server. */
  readonly name: string
  /** The newest value, or the version that is asked for. While a server is away, what it said last, up to a limit of time. */
  readonly read: (reference: SecretReference) => Effect.Effect<Secret, SecretFailure>
  /** How long a new value may stay unnoticed by who follows it. */
  readonly noticed: Duration.Duration
}

/** One secret, read again and again. */
export interface SecretSource {
  /** For messages; a reference or a path, never a value. */
  readonly name: string
  readonly read: Effect.Effect<Secret, SecretFailure>
  readonly noticed: Duration.Duration
}

/** Each value that differs from the one before, the present one first. What cannot be read is told once, and waited for. */
export const changesOf = ({ name, noticed, read }: SecretSource): Stream.Stream<Secret> =>
  Stream.suspend(() => {
    let last: string | undefined
    let failing = false
    const look = Effect.gen(function* () {
      const result = yield* Effect.result(read)
      if (Result.isFailure(result)) {
        if (failing) return []
        failing = true
        yield* Effect.logWarning("a secret cannot be read; the last value stays in use").pipe(
          Effect.annotateLogs({ secret: name, reason: result.failure.message })
        )
        return []
      }
      if (failing) yield* Effect.logInfo("a secret can be read again").pipe(Effect.annotateLogs({ secret: name }))
      failing = false
      const value = Redacted.value(result.success.value)
      if (value === last) return []
      last = value
      return [result.success]
    })
    return Stream.tick(noticed).pipe(
      Stream.mapEffect(() => look),
      Stream.flatMap(Stream.fromIterable)
    )
  })
