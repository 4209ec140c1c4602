/** Where the Kubernetes API server is, from the environment: in-cluster or by kubeconfig; TLS is verified in both, without exception. */
import { readFileSync } from "node:fs"
import { Config, Effect, Layer } from "effect"
import { ConfigInvalid } from "../config.ts"
import { layerOf } from "./client.ts"
import { type CredentialFiles, makeCredentialFiles } from "./credentialFiles.ts"
import { makeExecCredential } from "./execCredential.ts"
import { type Access, readKubeconfig, type Source } from "./kubeconfig.ts"
import type { Kubernetes } from "./Kubernetes.ts"
import type { Connection, Send } from "./transport.ts"

export interface KubernetesConfig {
  /** `in-cluster`, or the path of a kubeconfig. */
  readonly source: string
  /** Of the kubeconfig; its current context if absent. */
  readonly context: string | undefined
  /** Set by Kubernetes in each container. */
  readonly serviceHost: string | undefined
  readonly servicePort: string
  /** Where the service account's `ca.crt` and `token` are mounted. */
  readonly serviceAccountDirectory: string
}

export const serviceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount"

/** `KUBERNETES` (`in-cluster` unless set), `KUBERNETES_CONTEXT`, and what Kubernetes itself sets. */
export const kubernetesConfig: Config.Config<KubernetesConfig> = Config.all({
  source: Config.NonEmptyString("KUBERNETES").pipe(Config.withDefault("in-cluster")),
  context: Config.String("KUBERNETES_CONTEXT").pipe(Config.withDefault(undefined)),
  serviceHost: Config.String("KUBERNETES_SERVICE_HOST").pipe(Config.withDefault(undefined)),
  servicePort: Config.String("KUBERNETES_SERVICE_PORT").pipe(Config.withDefault("443")),
  serviceAccountDirectory: Config.succeed(serviceAccountDirectory)
})

const invalid = (detail: string) => new ConfigInvalid({ key: "KUBERNETES", detail })

const inCluster = Effect.fnUntraced(function* (config: KubernetesConfig): Effect.fn.Return<Access, ConfigInvalid> {
  if (config.serviceHost === undefined || config.serviceHost === "") {
    return yield* invalid("in-cluster, but KUBERNETES_SERVICE_HOST is not set: name a kubeconfig outside of a cluster")
  }
  const host = config.serviceHost.includes(":") ? `[${config.serviceHost}]` : config.serviceHost
  return {
    server: `https://${host}:${config.servicePort}`,
    serverName: undefined,
    ca: { file: `${config.serviceAccountDirectory}/ca.crt` },
    cert: undefined,
    key: undefined,
    token: { file: `${config.serviceAccountDirectory}/token` },
    exec: undefined
  }
})

const fromFile = Effect.fnUntraced(function* (config: KubernetesConfig): Effect.fn.Return<Access, ConfigInvalid> {
  const text = yield* Effect.try({
    try: () => readFileSync(config.source, "utf8"),
    catch: () => invalid("the kubeconfig cannot be read")
  })
  return yield* readKubeconfig(text, config.source, config.context).pipe(
    Effect.mapError((error) => invalid(error.message))
  )
})

/** The connection of an Access; `send` is the runtime's fetch unless told. */
export const connectionOf = (
  access: Access,
  send: Send = (url, init) => fetch(url, init),
  files: CredentialFiles = makeCredentialFiles()
): Connection => {
  const exec = access.exec === undefined ? undefined : makeExecCredential(access.exec)
  const text = (source: Source, anew: boolean) =>
    "text" in source ? Effect.succeed(source.text) : files.read(source.file, anew)
  return {
    description: access.server,
    server: access.server,
    send,
    credentials: Effect.fnUntraced(function* (refused) {
      const plugin = exec === undefined ? {} : yield* exec(refused)
      const token =
        plugin.token ?? (access.token === undefined ? undefined : (yield* text(access.token, refused)).trim())
      const cert = plugin.cert ?? (access.cert === undefined ? undefined : yield* text(access.cert, refused))
      const key = plugin.key ?? (access.key === undefined ? undefined : yield* text(access.key, refused))
      const ca = access.ca === undefined ? undefined : yield* text(access.ca, refused)
      return {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(access.server.startsWith("http:")
          ? {}
          : {
              tls: {
                rejectUnauthorized: true,
                ...(ca === undefined ? {} : { ca }),
                ...(cert === undefined || key === undefined ? {} : { cert, key }),
                ...(access.serverName === undefined ? {} : { serverName: access.serverName })
              }
            })
      }
    })
  }
}

/** The port to the API server that the configuration names; fails at the start if it cannot be one, not if it is away. */
export const kubernetesLayer = (config: KubernetesConfig): Layer.Layer<Kubernetes, ConfigInvalid> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const access = yield* config.source === "in-cluster" ? inCluster(config) : fromFile(config)
      return layerOf(connectionOf(access))
    })
  )
