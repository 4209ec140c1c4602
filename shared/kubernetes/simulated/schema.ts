/** The shape of what is served, as far as the API server itself looks at it: known fields, types, and how lists merge; must hold no kind. */

/** `keys`: an associative list, merged by these; `set`: merged by value; neither: replaced whole, owned whole. */
export type Node =
  | { readonly type: "string" | "integer" | "number" | "boolean" | "quantity" | "intOrString" | "any" }
  | { readonly type: "map"; readonly of: Node; readonly atomic?: boolean }
  | { readonly type: "list"; readonly of: Node; readonly keys?: ReadonlyArray<string>; readonly set?: boolean }
  | { readonly type: "struct"; readonly fields: Readonly<Record<string, Node>>; readonly atomic?: boolean }

export const string: Node = { type: "string" }
export const integer: Node = { type: "integer" }
export const number: Node = { type: "number" }
export const boolean: Node = { type: "boolean" }
export const quantity: Node = { type: "quantity" }
export const intOrString: Node = { type: "intOrString" }
/** Not looked into: any JSON, owned whole. */
export const any: Node = { type: "any" }

export const struct = (fields: Readonly<Record<string, Node>>): Node => ({ type: "struct", fields })
/** Owned and replaced whole by server-side apply. */
export const atomic = (fields: Readonly<Record<string, Node>>): Node => ({ type: "struct", fields, atomic: true })
export const map = (of: Node = string): Node => ({ type: "map", of })
export const atomicMap = (of: Node = string): Node => ({ type: "map", of, atomic: true })
export const list = (of: Node = string): Node => ({ type: "list", of })
export const set = (of: Node = string): Node => ({ type: "list", of, set: true })
export const keyed = (of: Node, ...keys: ReadonlyArray<string>): Node => ({ type: "list", of, keys })

/** `fields` as `node` has them, with others. */
export const extend = (node: Node, fields: Readonly<Record<string, Node>>): Node =>
  node.type === "struct" ? { ...node, fields: { ...node.fields, ...fields } } : node

/** What the server fills in for a missing key field of an associative list. */
export const keyDefault = (key: string): string | undefined => (key === "protocol" ? "TCP" : undefined)

export const metadata: Node = struct({
  name: string,
  generateName: string,
  namespace: string,
  selfLink: string,
  uid: string,
  resourceVersion: string,
  generation: integer,
  creationTimestamp: string,
  deletionTimestamp: string,
  deletionGracePeriodSeconds: integer,
  labels: map(),
  annotations: map(),
  ownerReferences: keyed(
    atomic({
      apiVersion: string,
      kind: string,
      name: string,
      uid: string,
      controller: boolean,
      blockOwnerDeletion: boolean
    }),
    "uid"
  ),
  finalizers: set(),
  managedFields: any
})

export const labelSelector: Node = atomic({
  matchLabels: map(),
  matchExpressions: list(struct({ key: string, operator: string, values: list() }))
})

export const conditions: Node = keyed(
  struct({
    type: string,
    status: string,
    reason: string,
    message: string,
    observedGeneration: integer,
    lastProbeTime: string,
    lastTransitionTime: string,
    lastUpdateTime: string
  }),
  "type"
)

/** A whole object: apiVersion, kind, metadata and these. */
export const objectOf = (fields: Readonly<Record<string, Node>>): Node =>
  struct({ apiVersion: string, kind: string, metadata, ...fields })
