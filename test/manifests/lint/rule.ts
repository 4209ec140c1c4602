/** What a rule of the lint is, and how the objects are broken to show that it finds something; must hold no rule. */
import { isFields } from "#shared/kubernetes/fields.ts"
import type { Json, KubernetesObject } from "#shared/kubernetes/objects.ts"
import { objectAt } from "#test/manifests/render.ts"
import { type Container, type Workload, workloadsOf } from "#test/manifests/workloads.ts"

export interface Finding {
  readonly object: KubernetesObject
  readonly detail: string
}

/** A change that must be found: fields set or removed by JSON pointer in an object, or an object added. */
export type Breach =
  | {
      readonly place: string
      readonly set?: Readonly<Record<string, Json>>
      readonly remove?: ReadonlyArray<string>
    }
  | { readonly add: KubernetesObject }
  | { readonly drop: string }

export interface Rule {
  readonly name: string
  /** What it demands, in a line. */
  readonly demands: string
  readonly check: (objects: ReadonlyArray<KubernetesObject>) => ReadonlyArray<Finding>
  /** Each must be found by it. */
  readonly breaches: ReadonlyArray<Breach>
}

/** A rule on each workload; the answers say what is wrong. */
export const perWorkload = (
  name: string,
  demands: string,
  check: (workload: Workload) => ReadonlyArray<string>,
  breaches: ReadonlyArray<Breach>
): Rule => ({
  name,
  demands,
  check: (objects) =>
    workloadsOf(objects).flatMap((workload) => check(workload).map((detail) => ({ object: workload.object, detail }))),
  breaches
})

/** A rule on each container, those that run first included. */
export const perContainer = (
  name: string,
  demands: string,
  check: (container: Container, workload: Workload) => ReadonlyArray<string>,
  breaches: ReadonlyArray<Breach>
): Rule =>
  perWorkload(
    name,
    demands,
    (workload) =>
      workload.containers.flatMap((container) =>
        check(container, workload).map((detail) => `container ${container.name}: ${detail}`)
      ),
    breaches
  )

/** A rule on each object of some kinds. */
export const perObject = (
  name: string,
  demands: string,
  kinds: ReadonlyArray<string>,
  check: (object: KubernetesObject, all: ReadonlyArray<KubernetesObject>) => ReadonlyArray<string>,
  breaches: ReadonlyArray<Breach>
): Rule => ({
  name,
  demands,
  check: (objects) =>
    objects
      .filter(({ kind }) => kinds.includes(kind))
      .flatMap((object) => check(object, objects).map((detail) => ({ object, detail }))),
  breaches
})

export const when = (wrong: boolean, detail: string): ReadonlyArray<string> => (wrong ? [detail] : [])

const keysOf = (pointer: string) =>
  pointer
    .slice(1)
    .split("/")
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"))

type Mutable = Record<string, unknown> | Array<unknown>
const isMutable = (value: unknown): value is Mutable => Array.isArray(value) || isFields(value)

const change = (target: unknown, keys: ReadonlyArray<string>, value: Json | undefined): void => {
  const [key, ...rest] = keys
  if (key === undefined || !isMutable(target)) throw new Error(`there is no ${key ?? "field"} to change`)
  const holder = target as Record<string, unknown>
  if (rest.length === 0) {
    if (value !== undefined) holder[key] = value
    else if (Array.isArray(target)) target.splice(Number(key), 1)
    else delete holder[key]
    return
  }
  if (holder[key] === undefined) holder[key] = {}
  change(holder[key], rest, value)
}

/** A copy of the objects with the breach in it. */
export const breached = (objects: ReadonlyArray<KubernetesObject>, breach: Breach): ReadonlyArray<KubernetesObject> => {
  if ("add" in breach) return [...objects, breach.add]
  const meant = objectAt(objects, "drop" in breach ? breach.drop : breach.place)
  if ("drop" in breach) return objects.filter((one) => one !== meant)
  const target = structuredClone(meant)
  for (const [pointer, value] of Object.entries(breach.set ?? {})) change(target, keysOf(pointer), value)
  for (const pointer of breach.remove ?? []) change(target, keysOf(pointer), undefined)
  return objects.map((one) => (one === meant ? target : one))
}
