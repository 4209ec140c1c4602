/** What differs between two pod templates, field by field, with what may be secret left out; pure. */
import type { FieldChange } from "#shared/domain/workload.ts"

/** The stamp that a restart leaves: a template that differs in it alone is the same release. */
const restartStamp = "/metadata/annotations/kubectl.kubernetes.io~1restartedAt"
/** Set by the Deployment controller, not by a person. */
const controllerLabel = "/metadata/labels/pod-template-hash"

const secretName = /(?:password|passwd|secret|token|api[-_]?key|private[-_]?key|credential)/iu
const escape = (part: string) => part.replaceAll("~", "~0").replaceAll("/", "~1")

/** Lists whose elements have names are compared by name: an inserted container moves no other. */
const keyed = (value: unknown): ReadonlyArray<readonly [string, unknown]> | undefined => {
  if (Array.isArray(value)) {
    return value.map((one: unknown, index) => {
      const name = typeof one === "object" && one !== null && "name" in one ? one.name : undefined
      return [typeof name === "string" ? name : String(index), one] as const
    })
  }
  return typeof value === "object" && value !== null ? Object.entries(value) : undefined
}

/** Kubernetes writes nothing, null, {} and [] alike. */
const isNothing = (value: unknown): boolean =>
  value === undefined || value === null || (keyed(value)?.every(([, inner]) => isNothing(inner)) ?? false)

const shown = (path: string, value: unknown): string | null => {
  if (isNothing(value)) return null
  return secretName.test(path) && !path.includes("valueFrom") ? '"***"' : JSON.stringify(value).slice(0, 2000)
}

const walk = (before: unknown, after: unknown, path: string, found: Array<FieldChange>): void => {
  if (isNothing(before) && isNothing(after)) return
  const left = keyed(before)
  const right = keyed(after)
  // A whole new object is told field by field only where a field of it may be no change of a person's.
  const inner = path === "" || path.startsWith("/metadata")
  if ((left !== undefined && right !== undefined) || (inner && (left ?? right) !== undefined)) {
    const a = new Map(left ?? [])
    const b = new Map(right ?? [])
    for (const key of new Set([...a.keys(), ...b.keys()])) walk(a.get(key), b.get(key), `${path}/${escape(key)}`, found)
    return
  }
  if (before === after) return
  const change = { path, before: shown(path, before), after: shown(path, after) }
  if (change.before !== change.after || secretName.test(path)) found.push(change)
}

/** Every changed field of the template that a person could have changed, by JSON pointer; a named list element by its name. */
export const templateChanges = (before: unknown, after: unknown): ReadonlyArray<FieldChange> => {
  const found: Array<FieldChange> = []
  walk(before, after, "", found)
  return found.filter(({ path }) => path !== restartStamp && path !== controllerLabel)
}
