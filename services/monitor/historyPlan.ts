/** The tiers of the history and how a query is laid over them; pure. */
import { Result } from "effect"
import type { HistoryQuery } from "#shared/api/monitor.ts"
import { InvalidInput, MalformedRequest } from "#shared/domain/errors.ts"

export interface Tier {
  readonly table: string
  /** Seconds of one row. */
  readonly step: number
  /** Seconds for which rows are kept. */
  readonly keep: number
}

const day = 24 * 3600

/** From the finest to the coarsest; each step divides the next. */
export const tiers: readonly [Tier, ...ReadonlyArray<Tier>] = [
  { table: "history_10s", step: 10, keep: 2 * day },
  { table: "history_1m", step: 60, keep: 14 * day },
  { table: "history_10m", step: 600, keep: 90 * day },
  { table: "history_1h", step: 3600, keep: 730 * day }
]

/** Points one series of an answer may have. */
export const maxPoints = 11_000

/** Points aimed at where the query names no step. */
const usualPoints = 500

/** What a query comes to: seconds since the epoch, both ends on the grid of `step`; `last` is the start of the last point. */
export interface Plan {
  readonly from: number
  readonly to: number
  readonly step: number
  readonly first: number
  readonly last: number
  /** Index of the finest tier that still has `from` and whose rows are no longer than the step. */
  readonly tier: number
}

const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/u

/** Seconds since the epoch of an RFC 3339 time, or undefined. */
const secondsOf = (text: string): number | undefined => {
  // An unescaped + of a zone offset arrives as a blank.
  const time = text.replace(/ (?=\d\d:\d\d$)/u, "+")
  const milliseconds = rfc3339.test(time) ? Date.parse(time) : Number.NaN
  return Number.isNaN(milliseconds) ? undefined : milliseconds / 1000
}

const fault = (name: string, detail: string) => new InvalidInput({ errors: [{ pointer: `/query/${name}`, detail }] })

const down = (value: number, step: number) => Math.floor(value / step) * step
const up = (value: number, step: number) => Math.ceil(value / step) * step

/** Lays `query` over the tiers; `now` in seconds since the epoch. */
export const planOf = (query: HistoryQuery, now: number): Result.Result<Plan, InvalidInput | MalformedRequest> => {
  const to = query.to === undefined ? now : secondsOf(query.to)
  if (to === undefined) return Result.fail(fault("to", "not an RFC 3339 time"))
  const from = query.from === undefined ? to - 3600 : secondsOf(query.from)
  if (from === undefined) return Result.fail(fault("from", "not an RFC 3339 time"))
  if (from > to) return Result.fail(new MalformedRequest({ detail: "from is later than to" }))
  const asked = query.step ?? Math.max(tiers[0].step, (to - from) / usualPoints)
  if ((to - from) / asked > maxPoints) {
    return Result.fail(fault("step", `more than ${maxPoints} points; a longer step or a shorter range is needed`))
  }
  const covering = tiers.findIndex((tier) => from >= now - tier.keep)
  const tier = covering === -1 ? tiers.length - 1 : covering
  const step = up(asked, tiers[tier]!.step)
  return Result.succeed({ from, to, step, first: down(from, step), last: down(to, step), tier })
}
