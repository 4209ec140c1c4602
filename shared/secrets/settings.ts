/** Which store of secrets a process has, from its environment: mounted files unless told otherwise, or a KV v2 server; must read no secret. */
import { Config, Duration, Effect } from "effect"
import { type FileStoreOptions, makeFileStore } from "./fileStore.ts"
import { type KvStoreOptions, makeKvStore } from "./kvStore.ts"
import type { SecretStore } from "./store.ts"
import { invalid } from "../invalidSetting.ts"

const optional = <A>(config: Config.Config<A>) => config.pipe(Config.withDefault(undefined))

const folder = (key: string, fallback: string) =>
  Config.String(key).pipe(
    Config.withDefault(fallback),
    Config.mapEffect((path) => (path.startsWith("/") ? Effect.succeed(path) : invalid(key, "not an absolute path")))
  )

/** A part of an API path, such as `secret` or `team/kv`. */
const mount = (key: string, fallback: string) =>
  Config.String(key).pipe(
    Config.withDefault(fallback),
    Config.mapEffect((path) =>
      /^[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_-]+)*$/u.test(path) ? Effect.succeed(path) : invalid(key, "not a mount's path")
    )
  )

const seconds = (key: string, fallback: Duration.Duration, least: number, most: number) =>
  Config.Duration(key).pipe(
    Config.withDefault(fallback),
    Config.mapEffect((value) =>
      Duration.toSeconds(value) >= least && Duration.toSeconds(value) <= most
        ? Effect.succeed(value)
        : invalid(key, `not between ${least} and ${most} seconds`)
    )
  )

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/u

/** Its token and every secret pass there: nobody on the way may read them. */
const address = optional(Config.URL("SECRETS_KV_ADDRESS")).pipe(
  Config.mapEffect((url) => {
    if (url === undefined || url.protocol === "https:") return Effect.succeed(url)
    if (url.protocol === "http:" && loopback.test(url.hostname)) return Effect.succeed(url)
    return invalid("SECRETS_KV_ADDRESS", "must be https; plain http is for a loopback address only")
  })
)

const keys = Config.all({
  kind: Config.Literals(["files", "kv"], "SECRETS").pipe(Config.withDefault("files" as const)),
  folder: folder("SECRETS_DIR", "/run/secrets/gatehouse"),
  address,
  caFile: optional(Config.NonEmptyString("SECRETS_KV_CA_FILE")),
  mount: mount("SECRETS_KV_MOUNT", "secret"),
  loginMount: mount("SECRETS_KV_LOGIN", "kubernetes"),
  role: optional(Config.NonEmptyString("SECRETS_KV_ROLE")),
  tokenFile: folder("SECRETS_KV_TOKEN_FILE", "/var/run/secrets/kubernetes.io/serviceaccount/token"),
  refresh: seconds("SECRETS_KV_REFRESH", Duration.seconds(30), 1, 3600),
  stale: seconds("SECRETS_KV_STALE", Duration.hours(1), 0, 86_400)
})

/** Files below a folder, or a server. */
export type SecretsConfig = ({ readonly kind: "files" } & FileStoreOptions) | ({ readonly kind: "kv" } & KvStoreOptions)

/** Every setting; whoever reads it refuses any other key that starts with `SECRETS_`. */
export const secretsConfig: Config.Config<SecretsConfig> = keys.pipe(
  Config.mapEffect(
    ({ address: server, folder: files, kind, role, ...rest }): Effect.Effect<SecretsConfig, Config.ConfigError> => {
      if (kind === "files") return Effect.succeed({ kind, folder: files })
      if (server === undefined) return invalid("SECRETS_KV_ADDRESS", "is needed with SECRETS=kv")
      if (role === undefined) return invalid("SECRETS_KV_ROLE", "is needed with SECRETS=kv")
      return Effect.succeed({ ...rest, kind, address: server, role })
    }
  )
)

/** The store that the settings name; nothing is asked of it yet. */
export const openStore = (config: SecretsConfig): Effect.Effect<SecretStore> =>
  config.kind === "files" ? Effect.succeed(makeFileStore(config)) : makeKvStore(config)
