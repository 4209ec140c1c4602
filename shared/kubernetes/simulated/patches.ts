/** The three patch formats besides apply: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386) and strategic merge; pure. */
import { badRequest, internal, unprocessable } from "./refusal.ts"
import type { Node } from "./schema.ts"
import { clone, type Fields, isFields, same, textAt, type Value } from "./values.ts"

const pointer = (path: string): ReadonlyArray<string> => {
  if (path !== "" && !path.startsWith("/")) throw unprocessable()
  return path
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
}

const indexOf = (list: ReadonlyArray<Value>, key: string, end: number): number => {
  const index = key === "-" ? list.length : /^(?:0|[1-9]\d*)$/u.test(key) ? Number(key) : -1
  if (index < 0 || index > end) throw unprocessable()
  return index
}

const step = (from: Value | undefined, key: string): Value | undefined => {
  if (Array.isArray(from)) return /^\d+$/u.test(key) ? from[Number(key)] : undefined
  return isFields(from) && Object.hasOwn(from, key) ? from[key] : undefined
}
const lookUp = (document: Value, path: string): Value | undefined => {
  let value: Value | undefined = document
  for (const key of pointer(path)) value = step(value, key)
  return value
}

type Operation = "add" | "replace" | "remove"

/** As the real server's library has it, a `replace` of a missing field adds it, against RFC 6902 §4.3. */
const write = (document: Fields, operation: Operation, path: string, value: Value | undefined): void => {
  const last = pointer(path).at(-1)
  if (last === undefined) throw unprocessable()
  const parent = lookUp(document, path.slice(0, path.lastIndexOf("/")))
  if (Array.isArray(parent)) {
    const index = indexOf(parent, last, operation === "add" ? parent.length : parent.length - 1)
    if (value === undefined) parent.splice(index, 1)
    else parent.splice(index, operation === "add" ? 0 : 1, value)
  } else if (isFields(parent)) {
    if (operation === "remove" && !Object.hasOwn(parent, last)) throw unprocessable()
    if (value === undefined) delete parent[last]
    else parent[last] = value
  } else {
    throw unprocessable()
  }
}

export const jsonPatch = (object: Fields, body: Value): Fields => {
  if (!Array.isArray(body))
    throw badRequest("error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp")
  const document = clone(object)
  for (const operation of body) {
    const kind = textAt(operation, "op")
    const path = textAt(operation, "path")
    const value = isFields(operation) ? operation["value"] : undefined
    switch (kind) {
      case "test":
        if (!same(lookUp(document, path) ?? null, value ?? null)) {
          throw unprocessable()
        }
        break
      case "add":
      case "replace":
        write(document, kind, path, clone(value ?? null))
        break
      case "remove":
        write(document, kind, path, undefined)
        break
      case "move":
      case "copy": {
        const from = textAt(operation, "from")
        const found = lookUp(document, from)
        if (found === undefined) throw unprocessable()
        const carried = clone(found)
        if (kind === "move") write(document, "remove", from, undefined)
        write(document, "add", path, carried)
        break
      }
      default:
        throw unprocessable()
    }
  }
  return document
}

export const mergePatch = (object: Value | undefined, patch: Value): Value => {
  if (!isFields(patch)) return patch
  const result: Fields = isFields(object) ? { ...object } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null || value === undefined) delete result[key]
    else result[key] = mergePatch(result[key], value)
  }
  return result
}

/** As Go prints a map with %v. */
export const goText = (value: Value | undefined): string => {
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`
  if (!isFields(value)) return value === null || value === undefined ? "<nil>" : String(value)
  const keys = Object.keys(value).toSorted()
  return `map[${keys.map((key) => `${key}:${goText(value[key])}`).join(" ")}]`
}

const inner = (node: Node | undefined, key: string): Node | undefined => {
  if (node?.type === "struct") return Object.hasOwn(node.fields, key) ? node.fields[key] : undefined
  return node?.type === "map" ? node.of : undefined
}

const withoutDirectives = (value: Value): Value => {
  if (Array.isArray(value)) return value.map(withoutDirectives)
  if (!isFields(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, one]) =>
      key.startsWith("$") || one === undefined || one === null ? [] : [[key, withoutDirectives(one)]]
    )
  )
}

const mergeList = (current: ReadonlyArray<Value>, patch: ReadonlyArray<Value>, of: Node, key: string): Array<Value> => {
  if (patch.some((item) => textAt(item, "$patch") === "replace")) {
    return patch.filter((item) => textAt(item, "$patch") !== "replace").map(withoutDirectives)
  }
  const result = [...current]
  const added: Array<Value> = []
  for (const item of patch) {
    if (!isFields(item)) throw internal("unable to merge a list of primitives by key")
    if (item[key] === undefined) {
      throw internal(`map: ${goText(item)} does not contain declared merge key: ${key}`)
    }
    const index = result.findIndex((one) => isFields(one) && same(one[key], item[key]))
    if (item["$patch"] === "delete") {
      if (index >= 0) result.splice(index, 1)
    } else if (index >= 0) {
      result[index] = strategic(result[index], item, of)
    } else {
      added.push(withoutDirectives(item))
    }
  }
  return [...result, ...added]
}

const inOrder = (list: ReadonlyArray<Value>, order: Value | undefined, key: string | undefined): Array<Value> => {
  if (!Array.isArray(order)) return [...list]
  const idOf = (item: Value) => (key !== undefined && isFields(item) ? item[key] : item)
  const rank = (item: Value) => order.findIndex((one) => same(idOf(one), idOf(item)))
  const ranked = list.filter((item) => rank(item) >= 0).toSorted((one, other) => rank(one) - rank(other))
  return [...ranked, ...list.filter((item) => rank(item) < 0)]
}

/** Strategic merge of `patch` into `current`: keyed lists item by item, other lists whole, `$patch: replace|delete`, `$retainKeys`, `$setElementOrder`. */
export const strategic = (current: Value | undefined, patch: Value, node: Node | undefined): Value => {
  if (!isFields(patch)) return patch
  if (patch["$patch"] === "replace") return withoutDirectives(patch)
  if (patch["$patch"] === "delete") return {}
  const result: Fields = isFields(current) ? { ...current } : {}
  const retained = patch["$retainKeys"]
  if (Array.isArray(retained)) {
    for (const key of Object.keys(result)) if (!retained.includes(key)) delete result[key]
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$deleteFromPrimitiveList/") && Array.isArray(value)) {
      const field = key.slice(key.indexOf("/") + 1)
      const list = result[field]
      if (Array.isArray(list)) result[field] = list.filter((one) => !value.some((gone) => same(gone, one)))
    }
    if (key.startsWith("$")) continue
    const shape = inner(node, key)
    const before = result[key]
    if (value === null || value === undefined) {
      delete result[key]
    } else if (Array.isArray(value) && shape?.type === "list" && shape.keys !== undefined) {
      result[key] = mergeList(Array.isArray(before) ? before : [], value, shape.of, shape.keys[0]!)
    } else if (Array.isArray(value) && shape?.type === "list" && shape.set === true) {
      const kept = Array.isArray(before) ? before : []
      result[key] = [...kept, ...value.filter((one) => !kept.some((old) => same(old, one)))]
    } else if (isFields(value)) {
      result[key] = strategic(before, value, shape)
    } else {
      result[key] = value
    }
  }
  for (const [key, order] of Object.entries(patch)) {
    if (!key.startsWith("$setElementOrder/")) continue
    const field = key.slice(key.indexOf("/") + 1)
    const shape = inner(node, field)
    const list = result[field]
    if (Array.isArray(list)) result[field] = inOrder(list, order, shape?.type === "list" ? shape.keys?.[0] : undefined)
  }
  return result
}
