/** Who owns which field (meta/v1 ManagedFieldsEntry, FieldsV1): sets of paths, and how a write moves them; must not merge objects. */
import { keyDefault, type Node } from "./schema.ts"
import { type Fields, isFields, objectsAt, same, textAt, type Value } from "./values.ts"

const separator = "\u0000"
/** The value of an item of an associative list as such. */
const item = "\u0001item"

/** Fields nobody owns. */
const unowned = new Set([
  "f:apiVersion",
  "f:kind",
  ...[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
    "generateName"
  ].map((field) => `f:metadata${separator}f:${field}`)
])

/** `{"name":"web"}`: the key of a list item as FieldsV1 writes it. */
export const keyOf = (value: Value, keys: ReadonlyArray<string>): string =>
  JSON.stringify(
    Object.fromEntries(
      keys.flatMap((key) => {
        const found = (isFields(value) ? value[key] : undefined) ?? keyDefault(key)
        return found === undefined ? [] : [[key, found]]
      })
    )
  )

/** Every owned unit of an object: the path of a leaf, an atomic value or a list item, with its value. */
export const flatten = (object: Fields, schema: Node): ReadonlyMap<string, Value> => {
  const found = new Map<string, Value>()
  const visit = (value: Value | undefined, node: Node, path: string): void => {
    if (value === undefined || unowned.has(path)) return
    const below = (part: string) => (path === "" ? part : `${path}${separator}${part}`)
    if (node.type === "struct" && node.atomic !== true && isFields(value) && Object.keys(value).length > 0) {
      for (const [key, one] of Object.entries(value)) visit(one, node.fields[key] ?? { type: "any" }, below(`f:${key}`))
    } else if (node.type === "map" && node.atomic !== true && isFields(value) && Object.keys(value).length > 0) {
      for (const [key, one] of Object.entries(value)) visit(one, node.of, below(`f:${key}`))
    } else if (node.type === "list" && node.keys !== undefined && Array.isArray(value) && value.length > 0) {
      for (const one of value) {
        const place = below(`k:${keyOf(one, node.keys)}`)
        found.set(place, item)
        visit(one, node.of, place)
      }
    } else if (node.type === "list" && node.set === true && Array.isArray(value) && value.length > 0) {
      for (const one of value) found.set(below(`v:${JSON.stringify(one)}`), item)
    } else {
      found.set(path, value)
    }
  }
  visit(object, schema, "")
  return found
}

/** `.spec.template.spec.containers[name="web"].image`, as conflicts name it. */
export const readable = (path: string): string =>
  path
    .split(separator)
    .map((part) => {
      const rest = part.slice(2)
      if (part.startsWith("f:")) return `.${rest}`
      if (part.startsWith("v:")) return `[=${rest}]`
      const key: unknown = JSON.parse(rest)
      const pairs = isFields(key) ? Object.entries(key) : []
      return `[${pairs.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(",")}]`
    })
    .join("")

export interface Entry {
  readonly manager: string
  readonly operation: "Apply" | "Update"
  readonly apiVersion: string
  readonly subresource: string
  readonly time: string
  readonly fields: ReadonlySet<string>
}

const pathsOf = (fields: Value | undefined): ReadonlySet<string> => {
  const found = new Set<string>()
  const visit = (value: Value | undefined, path: string): void => {
    const entries = isFields(value) ? Object.entries(value) : []
    if (entries.length === 0 && path !== "") found.add(path)
    for (const [key, inner] of entries) {
      if (key === ".") found.add(path)
      else visit(inner, path === "" ? key : `${path}${separator}${key}`)
    }
  }
  visit(fields, "")
  return found
}

const treeOf = (paths: ReadonlySet<string>): Fields => {
  const root: Fields = {}
  const sorted = [...paths].toSorted()
  for (const [index, path] of sorted.entries()) {
    let node = root
    for (const part of path.split(separator)) {
      const next = node[part]
      const made = isFields(next) ? next : {}
      node[part] = made
      node = made
    }
    if (sorted[index + 1]?.startsWith(`${path}${separator}`) === true) node["."] = {}
  }
  return root
}

export const entriesOf = (object: Fields): ReadonlyArray<Entry> =>
  objectsAt(object, "metadata", "managedFields").map((entry) => ({
    manager: textAt(entry, "manager"),
    operation: textAt(entry, "operation") === "Apply" ? "Apply" : "Update",
    apiVersion: textAt(entry, "apiVersion"),
    subresource: textAt(entry, "subresource"),
    time: textAt(entry, "time"),
    fields: pathsOf(entry["fieldsV1"])
  }))

export const managedFieldsOf = (entries: ReadonlyArray<Entry>): Array<Fields> =>
  entries
    .filter(({ fields }) => fields.size > 0)
    .map(({ apiVersion, fields, manager, operation, subresource, time }) => ({
      manager,
      operation,
      apiVersion,
      time,
      fieldsType: "FieldsV1",
      fieldsV1: treeOf(fields),
      ...(subresource === "" ? {} : { subresource })
    }))

export interface Writer {
  readonly manager: string
  readonly apiVersion: string
  readonly subresource: string
  readonly time: string
}

const isOf = (entry: Entry, writer: Writer, operation: Entry["operation"]) =>
  entry.manager === writer.manager && entry.operation === operation && entry.subresource === writer.subresource

const without = (paths: ReadonlySet<string>, gone: ReadonlySet<string>) =>
  new Set([...paths].filter((path) => !gone.has(path)))

const withEntry = (
  entries: ReadonlyArray<Entry>,
  writer: Writer,
  operation: Entry["operation"],
  fields: ReadonlySet<string>
) => {
  const own = entries.find((entry) => isOf(entry, writer, operation))
  const unchanged =
    own !== undefined && own.fields.size === fields.size && [...fields].every((path) => own.fields.has(path))
  const entry: Entry = { ...writer, operation, fields, time: unchanged ? own.time : writer.time }
  return own === undefined ? [...entries, entry] : entries.map((one) => (one === own ? entry : one))
}

/** After an update: what changed belongs to the writer, and to nobody else any more. */
export const afterUpdate = (
  entries: ReadonlyArray<Entry>,
  before: ReadonlyMap<string, Value>,
  after: ReadonlyMap<string, Value>,
  writer: Writer
): ReadonlyArray<Entry> => {
  const changed = new Set([...after].filter(([path, value]) => !same(before.get(path), value)).map(([path]) => path))
  const gone = new Set([...before.keys()].filter((path) => !after.has(path)))
  if (changed.size === 0 && gone.size === 0) return entries
  const own = entries.find((entry) => isOf(entry, writer, "Update"))
  const rest = entries.map((entry) => ({ ...entry, fields: without(entry.fields, new Set([...changed, ...gone])) }))
  const fields = new Set([...without(own?.fields ?? new Set(), gone), ...changed])
  return fields.size === 0 ? rest : withEntry(rest, writer, "Update", fields)
}

/** After an apply: the writer owns exactly what it applied; `taken` (forced conflicts) and `gone` leave all others. */
export const afterApply = (
  entries: ReadonlyArray<Entry>,
  applied: ReadonlySet<string>,
  taken: ReadonlySet<string>,
  gone: ReadonlySet<string>,
  writer: Writer
): ReadonlyArray<Entry> => {
  const rest = entries.map((entry) =>
    isOf(entry, writer, "Apply") ? entry : { ...entry, fields: without(entry.fields, new Set([...taken, ...gone])) }
  )
  return withEntry(rest, writer, "Apply", applied)
}

/** What the writer applied last. */
export const appliedBy = (entries: ReadonlyArray<Entry>, writer: Writer): ReadonlySet<string> =>
  entries.find((entry) => isOf(entry, writer, "Apply"))?.fields ?? new Set()

export const others = (entries: ReadonlyArray<Entry>, writer: Writer): ReadonlyArray<Entry> =>
  entries.filter((entry) => !isOf(entry, writer, "Apply"))

/** `"kubectl"`, `"kube-controller-manager" with subresource "scale"`, with the API version as conflicts name a manager. */
export const managerText = (entry: Entry): string =>
  [
    JSON.stringify(entry.manager),
    ...(entry.subresource === "" ? [] : [`with subresource ${JSON.stringify(entry.subresource)}`]),
    ...(entry.operation === "Update" ? [`using ${entry.apiVersion}`] : [])
  ].join(" ")
