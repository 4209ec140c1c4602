/** Server-side apply: merges an applied configuration into the live object by ownership; must not store anything. */
import {
  afterApply,
  appliedBy,
  type Entry,
  flatten,
  keyOf,
  managerText,
  others,
  readable,
  type Writer
} from "./managedFields.ts"
import { conflicts } from "./refusal.ts"
import type { Node } from "./schema.ts"
import { type Fields, isFields, same, type Value } from "./values.ts"

const merged = (live: Value | undefined, applied: Value, node: Node): Value => {
  if (isFields(applied) && isFields(live) && (node.type === "struct" || node.type === "map") && node.atomic !== true) {
    const result: Fields = { ...live }
    for (const [key, value] of Object.entries(applied)) {
      if (value === undefined) continue
      const shape = node.type === "map" ? node.of : (node.fields[key] ?? { type: "any" })
      result[key] = merged(live[key], value, shape)
    }
    return result
  }
  if (Array.isArray(applied) && Array.isArray(live) && node.type === "list" && node.keys !== undefined) {
    const { keys, of } = node
    const key = (value: Value) => keyOf(value, keys)
    const wanted = new Map(applied.map((one) => [key(one), one]))
    const kept = live.map((one) => {
      const found = wanted.get(key(one))
      return found === undefined ? one : merged(one, found, of)
    })
    const known = new Set(live.map(key))
    return [...kept, ...applied.filter((one) => !known.has(key(one)))]
  }
  if (Array.isArray(applied) && Array.isArray(live) && node.type === "list" && node.set === true) {
    return [...live, ...applied.filter((one) => !live.some((other) => same(one, other)))]
  }
  return applied
}

/** The value without the given paths; objects and lists that became empty by it go too. */
const stripped = (value: Value, node: Node, path: string, gone: ReadonlySet<string>): Value | undefined => {
  if (gone.has(path)) return undefined
  const below = (part: string) => (path === "" ? part : `${path}\u0000${part}`)
  if (isFields(value) && (node.type === "struct" || node.type === "map") && node.atomic !== true) {
    const kept: Fields = {}
    for (const [key, inner] of Object.entries(value)) {
      if (inner === undefined) continue
      const shape = node.type === "map" ? node.of : (node.fields[key] ?? { type: "any" })
      const left = stripped(inner, shape, below(`f:${key}`), gone)
      if (left !== undefined) kept[key] = left
    }
    return Object.keys(kept).length === 0 && Object.keys(value).length > 0 ? undefined : kept
  }
  if (Array.isArray(value) && node.type === "list" && (node.keys !== undefined || node.set === true)) {
    const kept = value.flatMap((one) => {
      const part = node.keys === undefined ? `v:${JSON.stringify(one)}` : `k:${keyOf(one, node.keys)}`
      const left = stripped(one, node.of, below(part), gone)
      return left === undefined ? [] : [left]
    })
    return kept.length === 0 && value.length > 0 ? undefined : kept
  }
  return value
}

export interface Applied {
  readonly object: Fields
  readonly entries: ReadonlyArray<Entry>
}

/** Throws a conflict where others own a field with another value, unless `force`. */
export const applyTo = (
  live: Fields,
  entries: ReadonlyArray<Entry>,
  configuration: Fields,
  schema: Node,
  writer: Writer,
  force: boolean
): Applied => {
  const wanted = flatten(configuration, schema)
  const found = flatten(live, schema)
  const rivals = others(entries, writer)
  const differing = [...wanted].filter(([path, value]) => found.has(path) && !same(found.get(path), value))
  const taken = new Set<string>()
  const causes = differing.flatMap(([path]) =>
    rivals
      .filter(({ fields }) => fields.has(path))
      .map((entry) => {
        taken.add(path)
        return {
          reason: "FieldManagerConflict",
          message: `conflict with ${managerText(entry)}`,
          field: readable(path)
        }
      })
  )
  if (causes.length > 0 && !force) throw conflicts(causes)
  const dropped = [...appliedBy(entries, writer)].filter(
    (path) => !wanted.has(path) && !rivals.some(({ fields }) => fields.has(path))
  )
  // An item that others own fields of stays, and with it its key.
  const gone = new Set(
    dropped.filter((path) => !rivals.some(({ fields }) => [...fields].some((one) => one.startsWith(`${path}\u0000`))))
  )
  const left = stripped(live, schema, "", gone)
  const base = isFields(left) ? left : {}
  const object = merged(base, configuration, schema)
  return {
    object: isFields(object) ? object : base,
    entries: afterApply(entries, new Set(wanted.keys()), taken, gone, writer)
  }
}
