/** Decoding as the API server does it: which fields no shape knows, and which have the wrong type; must change nothing. */
import type { Node } from "./schema.ts"
import { type Fields, isFields, type Value } from "./values.ts"

export interface Findings {
  /** `spec.replicaz`, in the order they stand. */
  readonly unknown: ReadonlyArray<string>
  /** Sentences on wrong types. */
  readonly wrong: ReadonlyArray<string>
}

const quantityText = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?$/u

const fits = (value: Value, type: string): boolean => {
  switch (type) {
    case "string":
      return typeof value === "string"
    case "integer":
      return typeof value === "number" && Number.isInteger(value)
    case "number":
      return typeof value === "number"
    case "boolean":
      return typeof value === "boolean"
    case "quantity":
      return typeof value === "number" || (typeof value === "string" && quantityText.test(value))
    case "intOrString":
      return typeof value === "string" || (typeof value === "number" && Number.isInteger(value))
    case "map":
    case "struct":
      return isFields(value)
    case "list":
      return Array.isArray(value)
    default:
      return true
  }
}

const typeOf = (value: Value) => (Array.isArray(value) ? "array" : isFields(value) ? "object" : typeof value)

/** Strategic merge directives are no fields: `$patch`, `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`. */
export const inspect = (object: Fields, schema: Node): Findings => {
  const unknown: Array<string> = []
  const wrong: Array<string> = []
  const visit = (value: Value | undefined, node: Node, path: string): void => {
    if (value === undefined || value === null) return
    if (!fits(value, node.type)) {
      wrong.push(`cannot unmarshal ${typeOf(value)} into field ${path} of type ${node.type}`)
      return
    }
    if (node.type === "struct" && isFields(value)) {
      for (const [key, inner] of Object.entries(value)) {
        const known = Object.hasOwn(node.fields, key) ? node.fields[key] : undefined
        const place = path === "" ? key : `${path}.${key}`
        if (known === undefined) unknown.push(place)
        else visit(inner, known, place)
      }
    } else if (node.type === "map" && isFields(value)) {
      for (const [key, inner] of Object.entries(value)) visit(inner, node.of, `${path}.${key}`)
    } else if (node.type === "list" && Array.isArray(value)) {
      for (const [index, inner] of value.entries()) visit(inner, node.of, `${path}[${index}]`)
    }
  }
  visit(object, schema, "")
  return { unknown, wrong }
}

/** An empty map or list is an absent one (Go's omitempty); an empty object is not: `emptyDir: {}`. */
const isAbsent = (value: Value | undefined, node: Node): boolean =>
  value === undefined ||
  value === null ||
  (node.type === "map" && isFields(value) && Object.keys(value).length === 0) ||
  (node.type === "list" && Array.isArray(value) && value.length === 0)

/** The object without the fields no shape knows: what a typed API server keeps of it. */
export const pruned = (value: Value, node: Node): Value => {
  if (node.type === "struct" && isFields(value)) {
    const kept: Fields = {}
    for (const [key, inner] of Object.entries(value)) {
      const known = Object.hasOwn(node.fields, key) ? node.fields[key] : undefined
      if (known === undefined || inner === undefined || isAbsent(inner, known)) continue
      kept[key] = pruned(inner, known)
    }
    return kept
  }
  if (node.type === "map" && isFields(value)) {
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, inner]) => (inner === undefined ? [] : [[key, pruned(inner, node.of)]]))
    )
  }
  if (node.type === "list" && Array.isArray(value)) return value.map((inner) => pruned(inner, node.of))
  return value
}
