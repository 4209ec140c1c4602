/** The Config adapter, the one reader of the process environment: unknown keys, weak secrets, secrets in files and stores; must hold no service's keys. */
import { Config, ConfigProvider, Context, Effect, Redacted, Schedule, Schema } from "effect"
import { invalid } from "./invalidSetting.ts"
import type { SecretFailure } from "./secrets/failures.ts"
import { makeFileSource } from "./secrets/fileStore.ts"
import { parseReference, referenceShape } from "./secrets/reference.ts"
import { rememberSource } from "./secrets/rotation.ts"
import { openStore, secretsConfig } from "./secrets/settings.ts"
import type { SecretSource, SecretStore } from "./secrets/store.ts"

export type Env = Readonly<Record<string, string | undefined>>

/** The environment of this process. */
export const processEnv = (): Env => process.env

/** A setting that stops the start. The message names the key and what is expected, never the value. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", {
  key: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.key}: ${this.detail}`
  }
}

/** Set by Kubernetes for every Service of the namespace unless `enableServiceLinks` is false; never ours. */
const serviceLink =
  /_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP)(?:_(?:PROTO|PORT|ADDR))?)?)$/u

/** The store that references lead to; `readConfig` opens the one that the environment names. */
const Store = Context.Reference<SecretStore | undefined>("gatehouse/shared/config/Store", {
  defaultValue: () => undefined
})

/** Settings that every process understands: which store of secrets it has. */
const everywhere = ["SECRETS_"]

/**
 * Reads `config` from `env`. Every key that starts with one of `prefixes` and that `config` does not ask for stops the
 * start: a misspelt setting must not be silently without effect.
 */
export const readConfig = <A>(
  config: Config.Config<A>,
  env: Env,
  prefixes: ReadonlyArray<string>
): Effect.Effect<A, ConfigInvalid> =>
  Effect.gen(function* () {
    const asked = new Set<string>()
    const inner = ConfigProvider.fromEnvRecord(env)
    const provider = ConfigProvider.make((path) => {
      asked.add(path.join("_"))
      return inner.load(path)
    })
    const read = <B>(one: Config.Config<B>) =>
      one.pipe(
        Effect.provide(ConfigProvider.layer(provider)),
        Effect.mapError((error) => configInvalid(error.message))
      )
    const store = yield* openStore(yield* read(secretsConfig))
    const value = yield* read(config).pipe(Effect.provideService(Store, store))
    for (const key of Object.keys(env)) {
      const ours = [...prefixes, ...everywhere].some((prefix) => key.startsWith(prefix))
      if (ours && !asked.has(key) && !serviceLink.test(key)) {
        return yield* new ConfigInvalid({ key, detail: "unknown setting" })
      }
    }
    return value
  })

const configInvalid = (message: string): ConfigInvalid => {
  const key = /at \["([A-Z0-9_]+)"/u.exec(message)?.[1] ?? /\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b/u.exec(message)?.[1]
  const detail = message
    .split("\n")[0]!
    .replace(/, (?:actual|got) .*$/u, "")
    .replace(/ ?at \[.*$/u, "")
    .replace(/^SourceError: /u, "")
  return new ConfigInvalid({
    key: key ?? "configuration",
    detail: detail === "" ? "missing or not acceptable" : detail
  })
}

/** How long a start waits for a store that is away: a sealed one is opened by hand, and Kubernetes starts this process again. */
const patience = Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 10 }))

const readSource = (key: string, source: SecretSource, detail: (failure: SecretFailure) => string) =>
  source.read.pipe(
    Effect.retry({ schedule: patience, while: (failure) => failure._tag === "SecretStoreUnavailable" }),
    Effect.map(({ value }) => rememberSource(value, source)),
    Effect.catch((failure) => invalid(key, detail(failure)))
  )

const readReference = Effect.fnUntraced(function* (key: string, text: string) {
  const reference = parseReference(text)
  if (reference === undefined) return yield* invalid(key, `must be ${referenceShape}`)
  const store = yield* Store
  if (store === undefined) return yield* Effect.die(new Error("a reference is read without readConfig"))
  const { noticed, read } = store
  return yield* readSource(key, { name: text, noticed, read: read(reference) }, (failure) => failure.message)
})

/**
 * A secret: the value of `key`, or the content of the file that `<key>_FILE` names (a mounted Secret), without its last line
 * end, or what `<key>_REF` refers to in the store of secrets (`secret://path#key`). One that comes from a file or a store
 * can be followed (`follow` of secrets/rotation.ts).
 */
export const secret = (key: string): Config.Config<Redacted.Redacted> =>
  Config.all({
    value: Config.Redacted(key).pipe(Config.withDefault(undefined)),
    file: Config.String(`${key}_FILE`).pipe(Config.withDefault(undefined)),
    reference: Config.String(`${key}_REF`).pipe(Config.withDefault(undefined))
  }).pipe(
    Config.mapEffect(({ file, reference, value }) => {
      if (value !== undefined && file !== undefined) return invalid(key, `set it or ${key}_FILE, not both`)
      if (reference !== undefined && (value !== undefined || file !== undefined)) {
        return invalid(key, `set it, ${key}_FILE or ${key}_REF, and only one of them`)
      }
      if (value !== undefined) return Effect.succeed(value)
      if (reference !== undefined) return readReference(`${key}_REF`, reference)
      if (file === undefined) return invalid(key, "missing secret")
      return readSource(`${key}_FILE`, makeFileSource(file), () => "the file cannot be read")
    })
  )

/** A secret of at least 32 bytes that is not one byte repeated. */
export const strongSecret = (key: string): Config.Config<Redacted.Redacted> =>
  secret(key).pipe(
    Config.mapEffect((found) => {
      const text = Redacted.value(found)
      if (new TextEncoder().encode(text).length < 32) return invalid(key, "weak secret: at least 32 bytes are needed")
      if (new Set(text).size < 8) return invalid(key, "weak secret: too few different characters")
      return Effect.succeed(found)
    })
  )
