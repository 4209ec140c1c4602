/** The gateway's settings from its environment, and the file they name; checks all that can be checked without a network. */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { Config, Duration, Effect, Redacted, Result, Schema } from "effect"
import { ConfigInvalid, type Env, readConfig, secret, strongSecret } from "#shared/config.ts"
import { databaseUrl } from "#shared/databaseTls.ts"
import { Environment } from "#shared/domain/rights.ts"
import { type KubernetesConfig, serviceAccountDirectory } from "#shared/kubernetes/config.ts"
import { trustedNetworks } from "./clientAddress.ts"
import type { ProviderConfig } from "./Providers.ts"
import { isLoopback, parseSettings, type ProviderSettings, type SettingsFile } from "./settingsFile.ts"
import { readWorkloads, type Workload } from "./workloadKeys.ts"

const keys = Config.all({
  environment: Config.String("ENVIRONMENT"),
  publicUrl: Config.URL("GATEWAY_PUBLIC_URL"),
  hosts: Config.Array(Schema.Trim, "GATEWAY_HOSTS").pipe(Config.withDefault<ReadonlyArray<string>>([])),
  file: Config.String("GATEWAY_FILE"),
  databaseUrl: databaseUrl("GATEWAY_DATABASE_URL"),
  secret: strongSecret("GATEWAY_SECRET"),
  kubernetes: Config.all({
    source: Config.String("GATEWAY_KUBERNETES").pipe(Config.withDefault("off")),
    context: Config.succeed(undefined),
    serviceHost: Config.String("KUBERNETES_SERVICE_HOST").pipe(Config.withDefault(undefined)),
    servicePort: Config.String("KUBERNETES_SERVICE_PORT").pipe(Config.withDefault("443")),
    serviceAccountDirectory: Config.succeed(serviceAccountDirectory)
  }),
  sessionIdle: Config.Duration("GATEWAY_SESSION_IDLE").pipe(Config.withDefault(Duration.hours(12))),
  sessionAbsolute: Config.Duration("GATEWAY_SESSION_ABSOLUTE").pipe(Config.withDefault(Duration.days(7))),
  trustedProxies: Config.Array(Schema.Trim, "TRUSTED_PROXIES").pipe(Config.withDefault<ReadonlyArray<string>>([]))
})

/** Seconds a browser keeps a cookie at most (RFC 6265bis §5.5). */
const longestSession = 400 * 86_400

/** Everything the gateway starts from. */
export interface GatewayConfig {
  readonly environment: string
  /** Origin by which browsers and clients reach the gateway; also the `iss` of its tokens. */
  readonly publicUrl: string
  /** Host names it answers to, the public URL's first. */
  readonly hosts: ReadonlyArray<string>
  readonly databaseUrl: Redacted.Redacted
  readonly secret: Redacted.Redacted
  readonly limits: { readonly idle: Duration.Duration; readonly absolute: Duration.Duration }
  readonly trustedProxies: ReturnType<typeof trustedNetworks>
  readonly file: string
  readonly settings: SettingsFile
  /** Of the file's text, and of the keys it names, as they were read. */
  readonly settingsHash: string
  readonly workloads: ReadonlyArray<Workload>
  /** The API server that knows service accounts; undefined where there is none. */
  readonly kubernetes: KubernetesConfig | undefined
  readonly providers: ReadonlyArray<ProviderConfig>
}

/**
 * Reads a settings file and gives it with the hash of its text, by which a change is seen. `hosts` are the gateway's public
 * names, if they are known: a route for another would never be asked.
 */
export const readSettings = (file: string, publicUrl: string, hosts?: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const text = yield* Effect.try({
      try: () => readFileSync(file, "utf8"),
      catch: () => new ConfigInvalid({ key: "GATEWAY_FILE", detail: `${file} cannot be read` })
    })
    const settings = parseSettings(text, publicUrl)
    if (Result.isFailure(settings)) {
      return yield* new ConfigInvalid({ key: `GATEWAY_FILE ${file}`, detail: settings.failure.message })
    }
    for (const [index, route] of settings.success.routes.entries()) {
      const unknown = hosts && route.hosts?.find((host) => !hosts.includes(host.toLowerCase()))
      if (unknown !== undefined) {
        return yield* new ConfigInvalid({
          key: `routes.${index}.hosts`,
          detail: `${unknown} is no public host name (GATEWAY_HOSTS)`
        })
      }
    }
    return { settings: settings.success, hash: createHash("sha256").update(text).digest("hex") }
  })

/** The settings with the keys of their workloads; a change of either is a change of the hash. */
export const readGatewayFile = (
  options: Pick<GatewayConfig, "environment" | "file" | "hosts" | "kubernetes" | "publicUrl">
) =>
  Effect.gen(function* () {
    const { hash, settings } = yield* readSettings(options.file, options.publicUrl, options.hosts)
    const { keys, workloads } = yield* readWorkloads(settings.workloads ?? [], options.environment)
    const lost = workloads.find(({ identity }) => identity._tag === "Kubernetes")
    if (options.kubernetes === undefined && lost !== undefined) {
      return yield* new ConfigInvalid({
        key: "GATEWAY_KUBERNETES",
        detail: `is off, and workload "${lost.id}" is known by its service account`
      })
    }
    return { settings, workloads, hash: createHash("sha256").update(hash).update(keys).digest("hex") }
  })

/** Of a file or the store of secrets it is one that can be followed. */
const clientSecret = (provider: ProviderSettings, env: Env) =>
  Effect.gen(function* () {
    const { clientSecret: reference, id } = provider
    const invalid = (detail: string) => new ConfigInvalid({ key: `providers.${id}.clientSecret`, detail })
    if ("env" in reference) {
      const value = env[reference.env]
      if (value === undefined || value === "") return yield* invalid(`the variable ${reference.env} is not set`)
      return Redacted.make(value)
    }
    const store = Object.fromEntries(Object.entries(env).filter(([key]) => /^SECRETS(?:_|$)/u.test(key)))
    const named = "file" in reference ? { CLIENT_SECRET_FILE: reference.file } : { CLIENT_SECRET_REF: reference.ref }
    const found = yield* readConfig(secret("CLIENT_SECRET"), { ...store, ...named }, []).pipe(
      Effect.mapError(({ detail }) =>
        invalid("file" in reference ? `the file ${reference.file} cannot be read` : detail)
      )
    )
    if (Redacted.value(found) === "") {
      return yield* invalid("file" in reference ? `the file ${reference.file} is empty` : `${reference.ref} is empty`)
    }
    return found
  })

/** The configuration, or the first key that is wrong. */
export const gatewayConfig = (env: Env): Effect.Effect<GatewayConfig, ConfigInvalid> =>
  Effect.gen(function* () {
    const read = yield* readConfig(keys, env, ["GATEWAY_", "TRUSTED_"])
    const { publicUrl } = read
    if (!Schema.is(Environment)(read.environment)) {
      return yield* new ConfigInvalid({ key: "ENVIRONMENT", detail: "an environment is a DNS label, such as prod" })
    }
    if (publicUrl.pathname !== "/" || publicUrl.search !== "" || publicUrl.hash !== "" || publicUrl.username !== "") {
      return yield* new ConfigInvalid({
        key: "GATEWAY_PUBLIC_URL",
        detail: "must be an origin alone, such as https://gate.example.org"
      })
    }
    if (publicUrl.protocol !== "https:" && !(publicUrl.protocol === "http:" && isLoopback(publicUrl.href))) {
      return yield* new ConfigInvalid({
        key: "GATEWAY_PUBLIC_URL",
        detail: "must be https; plain http is a development default, for a loopback address only"
      })
    }
    for (const [key, limit] of [
      ["GATEWAY_SESSION_IDLE", read.sessionIdle],
      ["GATEWAY_SESSION_ABSOLUTE", read.sessionAbsolute]
    ] as const) {
      const seconds = Duration.toSeconds(limit)
      if (seconds < 1 || seconds > longestSession) {
        return yield* new ConfigInvalid({ key, detail: "must be 1 second to 400 days" })
      }
    }
    const networks = yield* Effect.try({
      try: () => trustedNetworks(read.trustedProxies),
      catch: (error) =>
        new ConfigInvalid({
          key: "TRUSTED_PROXIES",
          detail: error instanceof Error ? error.message : "not a list of networks"
        })
    })
    const hosts = [...new Set([publicUrl.hostname, ...read.hosts].map((host) => host.toLowerCase()))]
    const base = {
      environment: read.environment,
      publicUrl: publicUrl.origin,
      hosts,
      kubernetes: read.kubernetes.source === "off" ? undefined : read.kubernetes,
      file: read.file
    }
    const { hash, settings, workloads } = yield* readGatewayFile(base)
    const providers: Array<ProviderConfig> = []
    for (const provider of settings.providers) {
      providers.push({ settings: provider, clientSecret: yield* clientSecret(provider, env) })
    }
    return {
      ...base,
      databaseUrl: read.databaseUrl,
      secret: read.secret,
      limits: { idle: read.sessionIdle, absolute: read.sessionAbsolute },
      trustedProxies: networks,
      settings,
      settingsHash: hash,
      workloads,
      providers
    }
  })
