/** Which tier, step and bounds a history query gets. */
import { describe, expect, test } from "bun:test"
import { Result } from "effect"
import type { HistoryQuery } from "#shared/api/monitor.ts"
import { planOf, tiers } from "#monitor/historyPlan.ts"

const now = Date.parse("2026-06-01T12:00:05Z") / 1000
const iso = (seconds: number) => new Date(seconds * 1000).toISOString()
const day = 86_400

const plan = (query: Partial<HistoryQuery>) =>
  Result.getOrThrow(planOf({ metric: "load.load1", ...query } as HistoryQuery, now))
const faultOf = (query: Partial<HistoryQuery>) => {
  const result = planOf({ metric: "load.load1", ...query } as HistoryQuery, now)
  return Result.isFailure(result) ? result.failure : undefined
}

describe("history plan", () => {
  test("is the last hour at the finest step unless told", () => {
    expect(plan({})).toEqual({ from: now - 3600, to: now, step: 10, first: now - 3605, last: now - 5, tier: 0 })
  })

  test("aims at no more than about 500 points", () => {
    for (const range of [3600, 6 * 3600, day, 7 * day, 60 * day, 700 * day]) {
      const { first, last, step } = plan({ from: iso(now - range) })
      expect((last - first) / step).toBeLessThanOrEqual(501)
    }
  })

  test("takes the finest tier that still has the start", () => {
    const tierAt = (age: number) => plan({ from: iso(now - age), to: iso(now - age + 3600) }).tier
    expect([day, 2 * day, 2 * day + 1, 14 * day, 15 * day, 90 * day, 91 * day, 900 * day].map(tierAt)).toEqual([
      0, 0, 1, 1, 2, 2, 3, 3
    ])
  })

  test("rounds the step up to whole rows of the tier", () => {
    expect(plan({ step: 15 }).step).toBe(20)
    expect(plan({ step: 90, from: iso(now - 5 * day) }).step).toBe(120)
    expect(plan({ step: 600, from: iso(now - 30 * day) }).step).toBe(600)
  })

  test("puts both ends on the step's grid", () => {
    const { first, last, step } = plan({ from: "2026-06-01T11:03:20Z", to: "2026-06-01T11:33:20Z", step: 300 })
    expect([first % step, last % step]).toEqual([0, 0])
    expect([iso(first), iso(last)]).toEqual(["2026-06-01T11:00:00.000Z", "2026-06-01T11:30:00.000Z"])
  })

  test("takes zone offsets, an unescaped + too", () => {
    for (const from of ["2026-06-01T13:00:00+02:00", "2026-06-01T13:00:00 02:00", "2026-06-01t11:00:00.000z"]) {
      expect(iso(plan({ from }).from)).toBe("2026-06-01T11:00:00.000Z")
    }
  })

  test("refuses what is no time, a range that ends before it starts and too many points", () => {
    for (const from of ["yesterday", "2026-06-01", "1780315205", "2026-13-01T00:00:00Z", ""]) {
      expect([from, faultOf({ from })?._tag]).toEqual([from, "InvalidInput"])
    }
    expect(faultOf({ to: "soon" })?.message).toBe("/query/to: not an RFC 3339 time")
    expect(faultOf({ from: iso(now), to: iso(now - 1) })?._tag).toBe("MalformedRequest")
    expect(faultOf({ from: iso(now - 110_000), step: 10 })).toBeUndefined()
    expect(faultOf({ from: iso(now - 110_010), step: 10 })?.message).toContain("/query/step")
  })

  test("has tiers whose steps divide each other", () => {
    for (const [index, { step }] of tiers.slice(1).entries()) expect(step % tiers[index]!.step).toBe(0)
  })
})
