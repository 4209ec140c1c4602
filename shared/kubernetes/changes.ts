/** The difference between two JSON values, field by field, with what is secret masked; pure. */
import type { FieldChange } from "../domain/workload.ts"
import { at, type Fields, isFields, textAt } from "./fields.ts"
import { hidden, hiddenAfter, hiddenBefore, isSecretName, lastApplied, maskText } from "./mask.ts"

interface Options {
  /** JSON pointer of the compared values in their object, e.g. "/spec/template". */
  readonly root?: string
  /** Of the object: the data of a Secret is masked. */
  readonly kind?: string
}

const escaped = (key: string) => key.replaceAll("~", "~0").replaceAll("/", "~1")

/** The elements' names, where a list is one of named elements (containers, variables, volumes) and so is compared by name. */
const namesOf = (list: ReadonlyArray<unknown>): ReadonlyArray<string> | undefined => {
  const names = list.flatMap((one) => textAt(one, "name") ?? [])
  return names.length === list.length && new Set(names).size === names.length ? names : undefined
}

/** Whether what stands at this path is secret as a whole. `parents` are the values around it, innermost last. */
const isSecret = (path: string, owner: unknown, kind: string | undefined): boolean => {
  if (kind === "Secret" && /^\/(?:data|stringData)\//u.test(path)) return true
  if (path.endsWith(`/annotations/${escaped(lastApplied)}`)) return true
  return /\/env\/\d+\/value$/u.test(path) && isSecretName(textAt(owner, "name") ?? "")
}

const shown = (value: unknown, secret: boolean): string | null => {
  if (value === undefined) return null
  return secret ? JSON.stringify(hidden) : maskText(JSON.stringify(value))
}

/**
 * Every leaf that differs; a field that only one side has is shown whole. Elements of named lists are matched by name: a path's
 * index is that of the later list, or of the earlier one for what was removed.
 */
export const changesBetween = (
  before: unknown,
  after: unknown,
  { kind, root = "" }: Options = {}
): ReadonlyArray<FieldChange> => {
  const found: Array<FieldChange> = []

  const leaf = (path: string, left: unknown, right: unknown, owner: unknown) => {
    const secret = isSecret(path, owner, kind)
    const [was, is] = [shown(left, secret), shown(right, secret)]
    // Two secrets that differ must not look alike.
    if (was !== null && was === is) {
      found.push({ path, before: JSON.stringify(hiddenBefore), after: JSON.stringify(hiddenAfter) })
    } else found.push({ path, before: was, after: is })
  }

  const list = (path: string, left: ReadonlyArray<unknown>, right: ReadonlyArray<unknown>) => {
    const [was, is] = [namesOf(left), namesOf(right)]
    if (was === undefined || is === undefined) {
      for (let index = 0; index < Math.max(left.length, right.length); index++) {
        walk(`${path}/${index}`, left[index], right[index], right)
      }
      return
    }
    for (const [index, name] of is.entries()) walk(`${path}/${index}`, left[was.indexOf(name)], right[index], right)
    for (const [index, name] of was.entries()) {
      if (!is.includes(name)) walk(`${path}/${index}`, left[index], undefined, left)
    }
  }

  /** A whole element or object that is new or gone goes down to its leaves only where something in it is secret. */
  const oneSided = (path: string, value: unknown, gone: boolean, owner: unknown) => {
    const masked = (at: string, one: unknown, holder: unknown): unknown => {
      if (isSecret(at, holder, kind)) return hidden
      if (Array.isArray(one)) return one.map((element, index) => masked(`${at}/${index}`, element, one))
      if (isFields(one)) {
        return Object.fromEntries(
          Object.entries(one).map(([key, field]) => [key, masked(`${at}/${escaped(key)}`, field, one)])
        )
      }
      return one
    }
    const text = shown(masked(path, value, owner), false)
    found.push({ path, before: gone ? text : null, after: gone ? null : text })
  }

  const walk = (path: string, was: unknown, is: unknown, owner: unknown): void => {
    // To the API server null is as good as absent.
    const [left, right] = [was ?? undefined, is ?? undefined]
    if (left === undefined && right === undefined) return
    if (Array.isArray(left) && Array.isArray(right)) return list(path, left, right)
    if (isFields(left) && isFields(right)) return fields(path, left, right)
    if (left === undefined) return oneSided(path, right, false, owner)
    if (right === undefined) return oneSided(path, left, true, owner)
    if (JSON.stringify(left) !== JSON.stringify(right)) leaf(path, left, right, owner)
  }

  const fields = (path: string, left: Fields, right: Fields) => {
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
      walk(`${path}/${escaped(key)}`, at(left, key), at(right, key), right)
    }
  }

  walk(root, before, after, undefined)
  return found
}
