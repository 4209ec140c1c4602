/** Reads what EXPLAIN (FORMAT JSON) shows; must run nothing. */

/** The planner's estimates for a whole statement. */
export interface Plan {
  readonly cost: number
  readonly rows: number
}

const field = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null ? Object.entries(value).find(([name]) => name === key)?.[1] : undefined

const numberOf = (value: unknown): number => (typeof value === "number" ? value : Number.POSITIVE_INFINITY)

/** Cost and rows at the top of a plan; infinite where they cannot be read, so that no limit lets it pass. */
export const planOf = (shown: ReadonlyArray<Readonly<Record<string, unknown>>>): Plan => {
  const cell: unknown = Object.values(shown[0] ?? {})[0]
  const document: unknown = typeof cell === "string" ? JSON.parse(cell) : cell
  const plan = field(Array.isArray(document) ? document[0] : undefined, "Plan")
  return { cost: numberOf(field(plan, "Total Cost")), rows: numberOf(field(plan, "Plan Rows")) }
}
