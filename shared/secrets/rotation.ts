/** Secrets that remember where they were read, so that who uses one for long can follow it; must show no value. */
import { Effect, Redacted, type Scope, Stream } from "effect"
import { changesOf, type SecretSource } from "./store.ts"

const sources = new WeakMap<Redacted.Redacted, SecretSource>()

/** The same secret, which now remembers its source. */
export const rememberSource = (secret: Redacted.Redacted, source: SecretSource): Redacted.Redacted => {
  sources.set(secret, source)
  return secret
}

/** A secret in use. */
export interface Followed {
  /** The newest value that was acceptable. */
  readonly current: () => Redacted.Redacted
}

/**
 * Follows a secret to where it was read, for as long as the scope lives: a new value is in force as soon as it is noticed,
 * unless `acceptable` refuses it, which is told in the log. A secret that was no file's and no store's stays what it is.
 */
export const follow = (
  secret: Redacted.Redacted,
  acceptable: (value: string) => boolean = (value) => value !== ""
): Effect.Effect<Followed, never, Scope.Scope> =>
  Effect.gen(function* () {
    let current = secret
    const source = sources.get(secret)
    if (source !== undefined) {
      const take = Effect.fnUntraced(function* (value: Redacted.Redacted) {
        if (Redacted.value(value) === Redacted.value(current)) return
        if (!acceptable(Redacted.value(value))) {
          return yield* Effect.logError("a new secret is not acceptable; the old one stays in use").pipe(
            Effect.annotateLogs({ secret: source.name })
          )
        }
        current = value
        yield* Effect.logInfo("a secret was replaced; the new one is in use").pipe(
          Effect.annotateLogs({ secret: source.name })
        )
      })
      yield* Stream.runForEach(changesOf(source), ({ value }) => take(value)).pipe(
        Effect.tapCause((cause) => Effect.logError("a secret is followed no more", cause)),
        Effect.forkScoped
      )
    }
    return { current: () => current }
  })
