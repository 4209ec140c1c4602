/** Which workloads are shown, and in which order; pure. */
import type { Workload } from "#shared/api/admin.ts"
import { healthOrder } from "../../words.ts"

export interface Filter {
  readonly q: string
  readonly namespace: string
  readonly kind: string
  readonly health: string
  /** A column's name, with a leading dash from the largest down. */
  readonly sort: string
}

/** The address of a workload's page. */
export const workloadPath = ({ kind, name, namespace }: Pick<Workload, "kind" | "name" | "namespace">): string =>
  `/workloads/${namespace}/${kind}/${name}`

const textOf = ({ health, images, kind, name, namespace }: Workload) =>
  [name, namespace, kind, health.status, health.reason, ...images].join("\n").toLowerCase()

const rank = ({ health }: Workload) => healthOrder.indexOf(health.status)

const orders: Readonly<Record<string, (one: Workload, other: Workload) => number>> = {
  name: (one, other) => one.name.localeCompare(other.name),
  health: (one, other) => rank(one) - rank(other),
  ready: (one, other) => one.ready - one.desired - (other.ready - other.desired) || one.desired - other.desired,
  restarts: (one, other) => one.restarts - other.restarts,
  // The youngest first: the largest time of creation.
  age: (one, other) => Date.parse(other.createdAt ?? "1970-01-01") - Date.parse(one.createdAt ?? "1970-01-01"),
  changed: (one, other) => (other.lastChange?.at ?? "").localeCompare(one.lastChange?.at ?? "")
}

/** Those that fit, sorted; where the order leaves a choice, by name and namespace. An unknown order is the one by health. */
export const select = (workloads: ReadonlyArray<Workload>, filter: Filter): ReadonlyArray<Workload> => {
  const words = filter.q.toLowerCase().split(/\s+/u).filter(Boolean)
  const descending = filter.sort.startsWith("-")
  const column = descending ? filter.sort.slice(1) : filter.sort
  const order = orders[Object.hasOwn(orders, column) ? column : "health"]!
  return workloads
    .filter(
      (workload) =>
        (filter.namespace === "" || workload.namespace === filter.namespace) &&
        (filter.kind === "" || workload.kind === filter.kind) &&
        (filter.health === "" || workload.health.status === filter.health) &&
        words.every((word) => textOf(workload).includes(word))
    )
    .sort(
      (one, other) =>
        order(one, other) * (descending ? -1 : 1) ||
        one.name.localeCompare(other.name) ||
        one.namespace.localeCompare(other.namespace)
    )
}

export const countHealth = (workloads: ReadonlyArray<Workload>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const { health } of workloads) counts.set(health.status, (counts.get(health.status) ?? 0) + 1)
  return counts
}
