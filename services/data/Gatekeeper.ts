/** How many queries run at a time, of one caller and in all; must know nothing of SQL. */
import { Context, Effect, Layer, type Scope, Semaphore } from "effect"
import { Unavailable } from "#shared/domain/errors.ts"
import { TooManyQueries } from "./failures.ts"

export class Gatekeeper extends Context.Service<
  Gatekeeper,
  {
    /**
     * Takes a place for the scope. A caller's own limit is told at once; for a place among all a moment is waited. What lives
     * as long as its client likes (an export, an ingest) has places of its own, so that slow clients hold no query up.
     */
    readonly enter: (
      kind: "query" | "long",
      userId: string
    ) => Effect.Effect<void, TooManyQueries | Unavailable, Scope.Scope>
  }
>()("gatehouse/data/Gatekeeper") {
  static readonly layer = (options: { readonly concurrency: number; readonly perUser: number }) =>
    Layer.effect(
      Gatekeeper,
      Effect.gen(function* () {
        const all = {
          query: yield* Semaphore.make(options.concurrency),
          long: yield* Semaphore.make(options.concurrency)
        }
        const running = new Map<string, number>()
        return Gatekeeper.of({
          enter: Effect.fnUntraced(function* (kind, userId) {
            const places = all[kind]
            const key = `${kind} ${userId}`
            yield* Effect.acquireRelease(
              Effect.suspend(() => {
                const own = running.get(key) ?? 0
                if (own >= options.perUser) return new TooManyQueries({ limit: options.perUser })
                return Effect.sync(() => void running.set(key, own + 1))
              }),
              () =>
                Effect.sync(() => {
                  const left = (running.get(key) ?? 1) - 1
                  if (left === 0) running.delete(key)
                  else running.set(key, left)
                })
            )
            yield* Effect.acquireRelease(
              places.take(1).pipe(
                Effect.timeoutOrElse({
                  duration: "5 seconds",
                  orElse: () => new Unavailable({ dependency: "a place for the query", retryAfterSeconds: 2 })
                })
              ),
              () => places.release(1),
              { interruptible: true }
            )
          })
        })
      })
    )
}
