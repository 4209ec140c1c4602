/** Readers that narrow what is needed of a raw object, and leave it as it is; must interpret nothing. */
import type { Json } from "./objects.ts"

/** A JSON object of unknown shape. */
export type Fields = Readonly<Record<string, unknown>>

export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** An empty object where there is none. */
export const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {})

/** What is at a path of keys, undefined where anything on the way is missing. */
export const at = (value: unknown, ...path: ReadonlyArray<string>): unknown => {
  let found = value
  for (const key of path) {
    if (!isFields(found)) return undefined
    found = Object.hasOwn(found, key) ? found[key] : undefined
  }
  return found
}

export const textAt = (value: unknown, ...path: ReadonlyArray<string>): string | undefined => {
  const found = at(value, ...path)
  return typeof found === "string" ? found : undefined
}

export const numberAt = (value: unknown, ...path: ReadonlyArray<string>): number | undefined => {
  const found = at(value, ...path)
  return typeof found === "number" ? found : undefined
}

/** A count that the API server leaves out when it is zero. */
export const countAt = (value: unknown, ...path: ReadonlyArray<string>): number =>
  Math.trunc(numberAt(value, ...path) ?? 0)

export const flagAt = (value: unknown, ...path: ReadonlyArray<string>): boolean => at(value, ...path) === true

export const listAt = (value: unknown, ...path: ReadonlyArray<string>): ReadonlyArray<unknown> => {
  const found = at(value, ...path)
  return Array.isArray(found) ? found : []
}

/** A map of strings, as labels and annotations are; other values are left out. */
export const textsAt = (value: unknown, ...path: ReadonlyArray<string>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(fieldsOf(at(value, ...path))).flatMap(([key, one]) => (typeof one === "string" ? [[key, one]] : []))
  )

/** The object without some of its keys. */
export const without = (value: Fields, ...keys: ReadonlyArray<string>): Fields =>
  Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)))

/** A copy of what came as JSON, known to be it; what cannot be JSON becomes null. */
export const jsonOf = (value: unknown): Json => {
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "number") return value
  if (Array.isArray(value)) return value.map(jsonOf)
  return isFields(value)
    ? Object.fromEntries(Object.entries(value).flatMap(([key, one]) => (one === undefined ? [] : [[key, jsonOf(one)]])))
    : null
}
