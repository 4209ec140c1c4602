/** The workloads of a settings file with the public keys of those that have their own; must take no private key and no other algorithm. */
import { readFileSync } from "node:fs"
import { Effect, Option, Schema } from "effect"
import { ConfigInvalid } from "#shared/config.ts"
import { type KeyObject, publicKeyOf, thumbprintOf } from "#shared/jws.ts"
import type { WorkloadSettings } from "./settingsFile.ts"

/** By what a workload is recognised. */
export type WorkloadIdentity =
  | { readonly _tag: "Kubernetes"; readonly namespace: string; readonly serviceAccount: string }
  /** Its public keys by their ids. */
  | { readonly _tag: "Key"; readonly keys: ReadonlyMap<string, KeyObject> }

/** A program that may exchange its identity here. */
export interface Workload {
  readonly id: string
  readonly label: string
  readonly role: string
  readonly environment: string
  readonly identity: WorkloadIdentity
  /** Names the identity: who has another one is another, whatever the id. */
  readonly proof: string
}

const Jwk = Schema.Struct({
  kty: Schema.Literal("EC"),
  crv: Schema.Literal("P-256"),
  x: Schema.String,
  y: Schema.String,
  kid: Schema.optionalKey(Schema.NonEmptyString.check(Schema.isMaxLength(128))),
  alg: Schema.optionalKey(Schema.Literal("ES256")),
  use: Schema.optionalKey(Schema.Literal("sig")),
  d: Schema.optionalKey(Schema.Unknown)
})
const decodeKeys = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Union([Schema.Struct({ keys: Schema.Array(Jwk).check(Schema.isMinLength(1)) }), Jwk]))
)

const readKeys = Effect.fnUntraced(function* (workload: string, file: string) {
  const invalid = (detail: string) => new ConfigInvalid({ key: `workloads.${workload}.identity.key.file`, detail })
  const text = yield* Effect.try({
    try: () => readFileSync(file, "utf8"),
    catch: () => invalid(`the file ${file} cannot be read`)
  })
  const decoded = decodeKeys(text)
  if (Option.isNone(decoded)) return yield* invalid(`${file} is no public JWK or JWKS of EC P-256 keys (ES256)`)
  const keys = new Map<string, KeyObject>()
  for (const jwk of "keys" in decoded.value ? decoded.value.keys : [decoded.value]) {
    if (jwk.d !== undefined) return yield* invalid(`${file} holds a private key: it belongs to the workload alone`)
    const kid = jwk.kid ?? thumbprintOf(jwk)
    const key = publicKeyOf(jwk)
    if (key === undefined) return yield* invalid(`${file} holds a key that is no point of P-256`)
    if (keys.has(kid)) return yield* invalid(`${file} holds two keys of one id`)
    keys.set(kid, key)
  }
  return { keys, text }
})

/** The workloads, `environment` being the gateway's own, and the text of all their keys, by which a change is seen. */
export const readWorkloads = Effect.fnUntraced(function* (
  settings: ReadonlyArray<WorkloadSettings>,
  environment: string
) {
  const workloads: Array<Workload> = []
  const owners = new Map<string, string>()
  const texts: Array<string> = []
  for (const { id, identity, label, role, ...rest } of settings) {
    const common = { id, label: label ?? id, role, environment: rest.environment ?? environment }
    if ("kubernetes" in identity) {
      const { namespace, serviceAccount } = identity.kubernetes
      const proof = `${namespace}/${serviceAccount}`
      workloads.push({ ...common, identity: { _tag: "Kubernetes", namespace, serviceAccount }, proof })
      continue
    }
    const { keys, text } = yield* readKeys(id, identity.key.file)
    const prints = [...keys.values()].map((key) => thumbprintOf(key.export({ format: "jwk" })))
    for (const print of prints) {
      const other = owners.get(print)
      if (other !== undefined) {
        return yield* new ConfigInvalid({
          key: `workloads.${id}.identity.key.file`,
          detail: `the same key is that of workload "${other}"`
        })
      }
      owners.set(print, id)
    }
    workloads.push({ ...common, identity: { _tag: "Key", keys }, proof: prints.sort().join(" ") })
    texts.push(text)
  }
  return { workloads, keys: texts.join("\n") }
})
