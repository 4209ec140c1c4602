/** Which backups stay: days, weeks and months, and never without one that was proven. */
import { expect, test } from "bun:test"
import { type Kept, retained } from "#scheduler/backups/retained.ts"

const day = 86_400_000
const end = Date.parse("2026-11-26T02:23:00Z")
const daily = (count: number, restored: (age: number) => boolean): ReadonlyArray<Kept> =>
  Array.from({ length: count }, (_, age) => ({
    set: `${age}`,
    takenAt: new Date(end - age * day),
    restored: restored(age)
  }))
const agesOf = (kept: ReadonlySet<string>) => [...kept].map(Number).toSorted((one, other) => one - other)

test("keeps 7 days, 4 weeks and 6 months of a year of daily backups", () => {
  const kept = agesOf(retained(daily(365, () => true)))
  // 26 November 2026 is a Thursday: Sundays are 4, 11 and 18 days back; months end 26, 57, 87, 118 and 149 days back.
  expect(kept).toEqual([0, 1, 2, 3, 4, 5, 6, 11, 18, 26, 57, 87, 118, 149])
})

test("never removes the newest that was restored, however old", () => {
  expect(agesOf(retained(daily(365, (age) => age === 300)))).toContain(300)
})

test("keeps the proven one of a day beside a newer one that is not", () => {
  const sets = [
    { set: "late", takenAt: new Date(end + 3_600_000), restored: false },
    { set: "proven", takenAt: new Date(end), restored: true },
    { set: "early", takenAt: new Date(end - 1000), restored: false }
  ]
  expect([...retained(sets)].toSorted()).toEqual(["late", "proven"])
})

test("counts days that have backups, so that a long pause removes nothing by itself", () => {
  const old = daily(7, () => true).map((one) => ({ ...one, takenAt: new Date(one.takenAt.getTime() - 365 * day) }))
  expect(retained(old).size).toBe(7)
})

test("keeps the only one", () => {
  expect(retained(daily(1, () => false)).size).toBe(1)
})
