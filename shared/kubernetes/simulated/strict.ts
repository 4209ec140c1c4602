/** Decoding as the API server does it: which fields no shape knows, and which have the wrong type; must change nothing. */
import { keyOf, readable } from "./managedFields.ts"
import type { Node } from "./schema.ts"
import { type Fields, isFields, type Value } from "./values.ts"

export interface Mistake {
  /** `spec.containers[0].image`. */
  readonly path: string
  /** `.spec.containers[name="web"].image`, as server-side apply names it. */
  readonly keyedPath: string
  readonly value: Value
  readonly node: Node
}

export interface Findings {
  readonly unknown: ReadonlyArray<Mistake>
  readonly wrong: ReadonlyArray<Mistake>
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

/** What no shape knows and what has the wrong type, in the order they stand. */
export const inspect = (object: Fields, schema: Node): Findings => {
  const unknown: Array<Mistake> = []
  const wrong: Array<Mistake> = []
  const visit = (value: Value | undefined, node: Node, path: string, keyedPath: string): void => {
    if (value === undefined || value === null) return
    if (!fits(value, node.type)) {
      wrong.push({ path, keyedPath, value, node })
      return
    }
    if ((node.type === "struct" || node.type === "map") && isFields(value)) {
      for (const [key, inner] of Object.entries(value)) {
        const known = node.type === "map" ? node.of : Object.hasOwn(node.fields, key) ? node.fields[key] : undefined
        const place = path === "" ? key : `${path}.${key}`
        if (known !== undefined) visit(inner, known, place, `${keyedPath}.${key}`)
        else unknown.push({ path: place, keyedPath: `${keyedPath}.${key}`, value: inner ?? null, node })
      }
    } else if (node.type === "list" && Array.isArray(value)) {
      for (const [index, inner] of value.entries()) {
        const named = node.keys === undefined ? `[${index}]` : readable(`k:${keyOf(inner, node.keys)}`)
        visit(inner, node.of, `${path}[${index}]`, `${keyedPath}${named}`)
      }
    }
  }
  visit(object, schema, "", "")
  return { unknown, wrong }
}

const goTypes: Readonly<Record<string, string>> = {
  integer: "int32",
  number: "float64",
  boolean: "bool",
  map: "map[string]string",
  list: "[]interface {}"
}

/** As encoding/json complains. */
export const decodingText = ({ node, path, value }: Mistake): string =>
  `json: cannot unmarshal ${Array.isArray(value) ? "array" : isFields(value) ? "object" : typeof value} into Go struct field ${path} of type ${goTypes[node.type] ?? node.type}`

/** As structured-merge-diff complains. */
export const typedText = ({ keyedPath, node, value }: Mistake): string => {
  if (node.type === "integer" || node.type === "number") {
    return `${keyedPath}: expected numeric (int or float), got ${Array.isArray(value) ? "list" : isFields(value) ? "map" : typeof value}`
  }
  const wanted = node.type === "struct" ? "map" : node.type
  return `${keyedPath}: expected ${wanted}, got &{${isFields(value) || Array.isArray(value) ? JSON.stringify(value) : String(value)}}`
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
