/** The values one can filter by, in the contract's order; kept equal to it by their types, as its schemas weigh too much here. */
import type { Action } from "#shared/api/admin.ts"

/** Fails to compile when a value is missing. */
const all = <A extends string>(values: Readonly<Record<A, true>>): ReadonlyArray<A> => Object.keys(values) as Array<A>

export const actionKinds = all<Action["action"]>({
  apply: true,
  restart: true,
  undo: true,
  pause: true,
  resume: true,
  scale: true
})

export const actionStates = all<Action["state"]>({
  intended: true,
  succeeded: true,
  failed: true,
  skipped: true,
  unchanged: true,
  not_applied: true,
  unknown: true
})
