/** A rendered NetworkPolicy as test/cluster/policies.ts has it; must decide nothing. */
import { Schema } from "effect"
import { at } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import type { Policy, Selector } from "#test/cluster/policies.ts"

const Labels = Schema.Record(Schema.String, Schema.String)
const SelectorFields = Schema.Struct({
  matchLabels: Schema.optionalKey(Labels),
  matchExpressions: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        key: Schema.String,
        operator: Schema.String,
        values: Schema.optionalKey(Schema.Array(Schema.String))
      })
    )
  )
})
const Port = Schema.Struct({
  port: Schema.optionalKey(Schema.Union([Schema.Finite, Schema.String])),
  endPort: Schema.optionalKey(Schema.Finite),
  protocol: Schema.optionalKey(Schema.String)
})
const Peer = Schema.Struct({
  podSelector: Schema.optionalKey(SelectorFields),
  namespaceSelector: Schema.optionalKey(SelectorFields),
  ipBlock: Schema.optionalKey(
    Schema.Struct({ cidr: Schema.String, except: Schema.optionalKey(Schema.Array(Schema.String)) })
  )
})
const PolicySpec = Schema.Struct({
  podSelector: SelectorFields,
  policyTypes: Schema.optionalKey(Schema.Array(Schema.String)),
  ingress: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({ from: Schema.optionalKey(Schema.Array(Peer)), ports: Schema.optionalKey(Schema.Array(Port)) })
    )
  ),
  egress: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({ to: Schema.optionalKey(Schema.Array(Peer)), ports: Schema.optionalKey(Schema.Array(Port)) })
    )
  )
})

const decodeSpec = Schema.decodeUnknownSync(PolicySpec, { onExcessProperty: "error" })
const decodeSelector = Schema.decodeUnknownSync(SelectorFields)

/** Throws on a field that the evaluation would not heed. */
export const policyOf = (object: KubernetesObject): Policy => ({
  namespace: object.metadata.namespace ?? "default",
  ...decodeSpec(at(object, "spec"))
})

export const selectorAt = (object: KubernetesObject, ...path: ReadonlyArray<string>): Selector =>
  decodeSelector(at(object, ...path))
