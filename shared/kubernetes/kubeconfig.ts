/** A kubeconfig's context: server, CA and how to log in; refuses whatever would weaken TLS; must open no connection. */
import { dirname, isAbsolute, resolve } from "node:path"
import { Effect, Result, Schema } from "effect"
import { parse } from "yaml"
import type { ExecPlugin } from "./execCredential.ts"

const optional = Schema.optionalKey(Schema.NullOr(Schema.String))

const Cluster = Schema.Struct({
  server: Schema.String,
  "certificate-authority": optional,
  "certificate-authority-data": optional,
  "insecure-skip-tls-verify": Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
  "tls-server-name": optional,
  "proxy-url": optional
})
const User = Schema.Struct({
  "client-certificate": optional,
  "client-certificate-data": optional,
  "client-key": optional,
  "client-key-data": optional,
  token: optional,
  tokenFile: optional,
  username: optional,
  "auth-provider": Schema.optionalKey(Schema.Unknown),
  as: optional,
  exec: Schema.optionalKey(
    Schema.NullOr(
      Schema.Struct({
        apiVersion: Schema.String,
        command: Schema.String,
        args: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))),
        env: Schema.optionalKey(
          Schema.NullOr(Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String })))
        )
      })
    )
  )
})
const Kubeconfig = Schema.Struct({
  "current-context": optional,
  clusters: Schema.Array(Schema.Struct({ name: Schema.String, cluster: Cluster })),
  contexts: Schema.Array(
    Schema.Struct({ name: Schema.String, context: Schema.Struct({ cluster: Schema.String, user: Schema.String }) })
  ),
  users: Schema.Array(Schema.Struct({ name: Schema.String, user: Schema.NullOr(User) }))
})
const decode = Schema.decodeUnknownResult(Kubeconfig)

/** Text from the kubeconfig itself, or a file to read at each use. */
export type Source = { readonly text: string } | { readonly file: string }

export interface Access {
  readonly server: string
  readonly serverName: string | undefined
  readonly ca: Source | undefined
  readonly cert: Source | undefined
  readonly key: Source | undefined
  readonly token: Source | undefined
  readonly exec: ExecPlugin | undefined
}

/** What is wrong with a kubeconfig; names the field, never a value of a credential. */
export class KubeconfigInvalid extends Schema.TaggedError<KubeconfigInvalid>()("KubeconfigInvalid", {
  detail: Schema.String
}) {
  override get message() {
    return `kubeconfig: ${this.detail}`
  }
}

const loopback = new Set(["127.0.0.1", "localhost", "[::1]"])

/** Reads the context named, or the current one. `path` is where relative file names start from. */
export const readKubeconfig = Effect.fnUntraced(function* (
  text: string,
  path: string,
  contextName: string | undefined
): Effect.fn.Return<Access, KubeconfigInvalid> {
  const invalid = (detail: string) => new KubeconfigInvalid({ detail })
  const tree: unknown = yield* Effect.try({ try: () => parse(text), catch: () => invalid("it is no YAML") })
  const result = decode(tree)
  if (Result.isFailure(result)) return yield* invalid("clusters, contexts and users are not as a kubeconfig has them")
  const config = result.success
  const wanted = contextName ?? config["current-context"] ?? ""
  const context = config.contexts.find(({ name }) => name === wanted)?.context
  if (context === undefined) return yield* invalid(`there is no context ${JSON.stringify(wanted)}`)
  const cluster = config.clusters.find(({ name }) => name === context.cluster)?.cluster
  if (cluster === undefined) return yield* invalid(`there is no cluster ${JSON.stringify(context.cluster)}`)
  const named = config.users.find(({ name }) => name === context.user)
  if (named === undefined) return yield* invalid(`there is no user ${JSON.stringify(context.user)}`)
  const user = named.user ?? {}

  if (cluster["insecure-skip-tls-verify"] === true) {
    return yield* invalid("insecure-skip-tls-verify is refused: give the cluster's certificate-authority instead")
  }
  if (typeof cluster["proxy-url"] === "string" && cluster["proxy-url"] !== "") {
    return yield* invalid("proxy-url is not supported")
  }
  if (user["auth-provider"] != null) return yield* invalid("auth-provider is not supported: use exec")
  if (typeof user.username === "string") return yield* invalid("username and password are not supported")
  if (typeof user.as === "string") return yield* invalid("impersonation (as) is not supported")

  const url = URL.canParse(cluster.server) ? new URL(cluster.server) : undefined
  if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
    return yield* invalid("the cluster's server is no https URL")
  }
  const place = (file: string) => (isAbsolute(file) ? file : resolve(dirname(path), file))
  const source = (data: string | null | undefined, file: string | null | undefined): Source | undefined => {
    if (data != null && data !== "") return { text: Buffer.from(data, "base64").toString("utf8") }
    return file != null && file !== "" ? { file: place(file) } : undefined
  }
  const plugin = user.exec
  const access: Access = {
    server: cluster.server.replace(/\/+$/u, ""),
    serverName: cluster["tls-server-name"] ?? undefined,
    ca: source(cluster["certificate-authority-data"], cluster["certificate-authority"]),
    cert: source(user["client-certificate-data"], user["client-certificate"]),
    key: source(user["client-key-data"], user["client-key"]),
    token:
      user.token != null && user.token !== ""
        ? { text: user.token }
        : user.tokenFile != null && user.tokenFile !== ""
          ? { file: place(user.tokenFile) }
          : undefined,
    exec:
      plugin == null
        ? undefined
        : {
            apiVersion: plugin.apiVersion,
            // As kubectl: a path with a slash is relative to the kubeconfig, a bare name is looked up.
            command: plugin.command.includes("/") ? place(plugin.command) : plugin.command,
            args: plugin.args ?? [],
            env: Object.fromEntries((plugin.env ?? []).map(({ name, value }) => [name, value]))
          }
  }
  if (access.cert !== undefined && access.key === undefined)
    return yield* invalid("client-certificate without client-key")
  if (access.exec !== undefined && !/^client\.authentication\.k8s\.io\/v1(?:beta1)?$/u.test(access.exec.apiVersion)) {
    return yield* invalid("exec: its apiVersion is not supported")
  }
  const lettingIn = access.cert ?? access.token ?? access.exec
  if (url.protocol === "http:" && (!loopback.has(url.hostname) || lettingIn !== undefined)) {
    return yield* invalid("plain http is accepted for this machine only, and without credentials")
  }
  return access
})
