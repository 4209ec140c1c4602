/** The Config adapter, the one reader of the process environment: unknown keys, weak secrets and secret files; must hold no service's keys. */
import { readFileSync } from "node:fs"
import { Config, ConfigProvider, Effect, Redacted, Schema } from "effect"

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
    const value = yield* config.pipe(
      Effect.provide(ConfigProvider.layer(provider)),
      Effect.mapError((error) => configInvalid(error.message))
    )
    for (const key of Object.keys(env)) {
      const ours = prefixes.some((prefix) => key.startsWith(prefix))
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

const invalid = (key: string, detail: string) =>
  Effect.fail(new Config.ConfigError(new ConfigProvider.SourceError({ message: `${detail} at ["${key}"]` })))

/** A secret: the value of `key`, or the content of the file that `<key>_FILE` names (a mounted Secret), without its last line end. */
export const secret = (key: string): Config.Config<Redacted.Redacted> =>
  Config.all({
    value: Config.Redacted(key).pipe(Config.withDefault(undefined)),
    file: Config.String(`${key}_FILE`).pipe(Config.withDefault(undefined))
  }).pipe(
    Config.mapEffect(({ file, value }) => {
      if (value !== undefined && file !== undefined) return invalid(key, `set it or ${key}_FILE, not both`)
      if (value !== undefined) return Effect.succeed(value)
      if (file === undefined) return invalid(key, "missing secret")
      try {
        return Effect.succeed(Redacted.make(readFileSync(file, "utf8").replace(/\r?\n$/u, "")))
      } catch {
        return invalid(`${key}_FILE`, "the file cannot be read")
      }
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
