/** Credential plug-ins of a kubeconfig (client.authentication.k8s.io): run without a terminal, answers cached until they expire; must log nothing of them. */
import { execFile } from "node:child_process"
import { Clock, Effect, Option, Schema } from "effect"
import { processEnv } from "../config.ts"
import { parsed, unreachable } from "./failures.ts"
import type { KubernetesFailed } from "./Kubernetes.ts"

export interface ExecPlugin {
  readonly apiVersion: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
}

export interface ExecCredential {
  readonly token?: string
  readonly cert?: string
  readonly key?: string
}

const timeoutMillis = 30_000
const maxOutput = 1024 * 1024
/** A credential about to expire is not worth sending. */
const marginMillis = 10_000

const decode = Schema.decodeUnknownOption(
  Schema.Struct({
    kind: Schema.Literals(["ExecCredential"]),
    apiVersion: Schema.String,
    status: Schema.Struct({
      token: Schema.optionalKey(Schema.String),
      clientCertificateData: Schema.optionalKey(Schema.String),
      clientKeyData: Schema.optionalKey(Schema.String),
      expirationTimestamp: Schema.optionalKey(Schema.String)
    })
  })
)

const run = (plugin: ExecPlugin) =>
  Effect.callback<string, KubernetesFailed>((resume, signal) => {
    const info = { apiVersion: plugin.apiVersion, kind: "ExecCredential", spec: { interactive: false } }
    const child = execFile(
      plugin.command,
      [...plugin.args],
      {
        env: { ...processEnv(), ...plugin.env, KUBERNETES_EXEC_INFO: JSON.stringify(info) },
        timeout: timeoutMillis,
        maxBuffer: maxOutput,
        signal
      },
      (error, stdout) => {
        // Its output may hold a secret, in part too: only how it ended is told.
        if (error !== null) {
          const how =
            error.killed === true ? `no answer within ${timeoutMillis / 1000} s` : `it failed (${error.code ?? "?"})`
          resume(Effect.fail(unreachable(`credential plug-in ${plugin.command}: ${how}`, false)))
        } else {
          resume(Effect.succeed(stdout))
        }
      }
    )
    child.stdin?.end()
  })

/** Gives the plug-in's credential; `anew` runs it whatever is cached. */
export const makeExecCredential = (plugin: ExecPlugin) => {
  let cached: { readonly credential: ExecCredential; readonly until: number } | undefined
  return Effect.fnUntraced(function* (anew: boolean): Effect.fn.Return<ExecCredential, KubernetesFailed> {
    const now = yield* Clock.currentTimeMillis
    if (!anew && cached !== undefined && now < cached.until) return cached.credential
    const answer = Option.getOrUndefined(decode(parsed(yield* run(plugin))))
    if (answer === undefined || answer.apiVersion !== plugin.apiVersion) {
      return yield* unreachable(`credential plug-in ${plugin.command}: its answer is no ExecCredential`, false)
    }
    const { clientCertificateData, clientKeyData, expirationTimestamp, token } = answer.status
    const credential = {
      ...(token === undefined ? {} : { token }),
      ...(clientCertificateData === undefined || clientKeyData === undefined
        ? {}
        : { cert: clientCertificateData, key: clientKeyData })
    }
    const expires = expirationTimestamp === undefined ? Number.POSITIVE_INFINITY : Date.parse(expirationTimestamp)
    cached = { credential, until: Number.isNaN(expires) ? now : expires - marginMillis }
    return credential
  })
}
