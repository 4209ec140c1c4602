/** JSON as the simulated API server changes it: readers that never fail on a missing field, and equality; must know no kind. */

export type Value = null | boolean | number | string | Array<Value> | Fields

/** A JSON object; an absent key and `undefined` are one and the same. */
export interface Fields {
  [key: string]: Value | undefined
}

export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** What stands at `path`, or undefined. */
export const at = (from: Value | undefined, ...path: ReadonlyArray<string>): Value | undefined => {
  let value = from
  for (const key of path) {
    if (!isFields(value) || !Object.hasOwn(value, key)) return undefined
    value = value[key]
  }
  return value
}

/** The object at `path`; an empty one, attached to nothing, if there is none. */
export const fieldsAt = (from: Value | undefined, ...path: ReadonlyArray<string>): Fields => {
  const value = at(from, ...path)
  return isFields(value) ? value : {}
}

export const textAt = (from: Value | undefined, ...path: ReadonlyArray<string>): string => {
  const value = at(from, ...path)
  return typeof value === "string" ? value : ""
}

export const intAt = (from: Value | undefined, ...path: ReadonlyArray<string>): number => {
  const value = at(from, ...path)
  return typeof value === "number" ? value : 0
}

export const listAt = (from: Value | undefined, ...path: ReadonlyArray<string>): Array<Value> => {
  const value = at(from, ...path)
  return Array.isArray(value) ? value : []
}

/** The objects of the list at `path`. */
export const objectsAt = (from: Value | undefined, ...path: ReadonlyArray<string>): Array<Fields> =>
  listAt(from, ...path).filter(isFields)

/** The strings of the map at `path`. */
export const textsAt = (from: Value | undefined, ...path: ReadonlyArray<string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(fieldsAt(from, ...path)).filter((entry): entry is [string, string] => typeof entry[1] === "string")
  )

/** Sets `path` in place, making the objects on the way; `undefined` removes the key. */
export const put = (into: Fields, value: Value | undefined, ...path: ReadonlyArray<string>): void => {
  let target = into
  for (const key of path.slice(0, -1)) {
    const next = Object.hasOwn(target, key) ? target[key] : undefined
    if (isFields(next)) target = next
    else {
      const made: Fields = {}
      target[key] = made
      target = made
    }
  }
  const last = path.at(-1)
  if (last === undefined) return
  if (value === undefined) delete target[last]
  else target[last] = value
}

/** Deep equality; a key that is `undefined` counts as absent. */
export const same = (one: Value | undefined, other: Value | undefined): boolean => {
  if (one === other) return true
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((value, index) => same(value, other[index]))
  }
  if (!isFields(one) || !isFields(other)) return false
  for (const key of Object.keys(one)) if (!same(one[key], own(other, key))) return false
  for (const key of Object.keys(other)) if (other[key] !== undefined && own(one, key) === undefined) return false
  return true
}

const own = (fields: Fields, key: string) => (Object.hasOwn(fields, key) ? fields[key] : undefined)

/** An empty object, list or null is what is absent (Go's zero values). */
export const isEmpty = (value: Value | undefined): boolean =>
  value === undefined ||
  value === null ||
  (Array.isArray(value) ? value.length === 0 : isFields(value) && Object.values(value).every(isEmpty))

/** A deep copy, many times faster than `structuredClone`, in which the simulation would spend most of its time. */
export function clone(value: Fields): Fields
export function clone(value: Value): Value
export function clone(value: Value | undefined): Value | undefined
export function clone(value: Value | undefined): Value | undefined {
  if (Array.isArray(value)) return value.map((one) => clone(one))
  if (!isFields(value)) return value
  const made: Fields = {}
  for (const key of Object.keys(value)) {
    const inner = clone(value[key])
    if (inner === undefined) continue
    // A key of this name that came as JSON is data like any other.
    if (key !== "__proto__") made[key] = inner
    else Object.defineProperty(made, key, { value: inner, enumerable: true, writable: true, configurable: true })
  }
  return made
}

export const nameOf = (object: Fields): string => textAt(object, "metadata", "name")
export const namespaceOf = (object: Fields): string => textAt(object, "metadata", "namespace")
export const uidOf = (object: Fields): string => textAt(object, "metadata", "uid")
export const labelsOf = (object: Fields): Record<string, string> => textsAt(object, "metadata", "labels")
export const annotationsOf = (object: Fields): Record<string, string> => textsAt(object, "metadata", "annotations")
export const isDeleting = (object: Fields): boolean => textAt(object, "metadata", "deletionTimestamp") !== ""

/** The owner reference with `controller: true`. */
export const controllerReference = (object: Fields): Fields | undefined =>
  objectsAt(object, "metadata", "ownerReferences").find((owner) => owner["controller"] === true)
