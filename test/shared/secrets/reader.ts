/** A `Secrets` service whose clock the test moves, and all that it logs; must interpret no secret. */
import { Duration, Effect, Exit, Layer, Logger, ManagedRuntime, Queue, Redacted, Stream } from "effect"
import { TestClock } from "effect/testing"
import { parseReference } from "#shared/secrets/reference.ts"
import { Secrets } from "#shared/secrets/Secrets.ts"
import type { SecretsConfig } from "#shared/secrets/settings.ts"
import { metricsText } from "#shared/telemetry.ts"
import type { KvTarget } from "./kvServer.ts"

/** A value, or the failure's tag and message. */
export type Outcome =
  | { readonly value: string; readonly version: string }
  | { readonly failure: string; readonly message: string }

export interface Reader {
  readonly read: (reference: string) => Promise<Outcome>
  /** What becomes of a reference by and by: each call waits for the next value. */
  readonly follow: (reference: string) => Promise<() => Promise<string>>
  readonly pass: (seconds: number) => Promise<void>
  /** Passes so many seconds again and again until `coming` is there: a look that is under way when they pass has not slept yet. */
  readonly passUntil: <A>(coming: Promise<A>, seconds: number) => Promise<A>
  readonly logged: ReadonlyArray<string>
  readonly metrics: () => Promise<string>
  readonly dispose: () => Promise<void>
}

const referenceOf = (text: string) => {
  const reference = parseReference(text)
  if (reference === undefined) throw new Error(`no reference: ${text}`)
  return reference
}

export const makeReader = async (config: SecretsConfig): Promise<Reader> => {
  const logged: Array<string> = []
  const runtime = ManagedRuntime.make(
    Layer.mergeAll(
      Secrets.layer(config),
      Logger.layer([Logger.map(Logger.formatJson, (line) => void logged.push(line))])
    ).pipe(Layer.provideMerge(TestClock.layer()))
  )
  await runtime.context()
  const pass = (seconds: number) => runtime.runPromise(TestClock.adjust(Duration.seconds(seconds)))
  return {
    read: async (text) => {
      const exit = await runtime.runPromise(Effect.exit(Secrets.use((secrets) => secrets.read(referenceOf(text)))))
      if (Exit.isSuccess(exit)) return { value: Redacted.value(exit.value.value), version: exit.value.version }
      const error = exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
      if (error === undefined) throw new Error("a defect", { cause: exit.cause })
      return { failure: error._tag, message: error.message }
    },
    follow: async (text) => {
      const queue = await runtime.runPromise(Queue.unbounded<string>())
      const changes = Stream.unwrap(Effect.map(Secrets, (secrets) => secrets.changes(referenceOf(text))))
      runtime.runFork(Stream.runForEach(changes, ({ value }) => Queue.offer(queue, Redacted.value(value))))
      return () => runtime.runPromise(Queue.take(queue))
    },
    pass,
    passUntil: async (coming, seconds) => {
      let arrived = false
      const seen = coming.finally(() => (arrived = true))
      while (!arrived) {
        await pass(seconds)
        // The look itself takes real time.
        await Promise.race([seen, Bun.sleep(20)])
      }
      return seen
    },
    logged,
    metrics: () => runtime.runPromise(metricsText),
    dispose: () => runtime.dispose()
  }
}

/** Settings for a server: looked at every 30 s, its last answers good for 10 minutes. */
export const kvConfig = (
  target: KvTarget,
  changes: Partial<Extract<SecretsConfig, { kind: "kv" }>> = {}
): SecretsConfig => ({
  kind: "kv",
  address: new URL(target.address),
  caFile: target.caFile,
  mount: "secret",
  loginMount: "kubernetes",
  role: target.role,
  tokenFile: target.tokenFile,
  refresh: Duration.seconds(30),
  stale: Duration.minutes(10),
  ...changes
})
