/** Slots by the clock: every row of the specification's table, and odd zones against a minute-by-minute oracle. */
import { describe, expect, test } from "bun:test"
import { Result } from "effect"
import { type Calendar, calendarOf, dueSlots, nextSlots, type Timing } from "#scheduler/schedules/calendar.ts"

const timing = (fields: Partial<Timing>): Timing => ({
  cron: null,
  everySeconds: null,
  timeZone: "UTC",
  dstGap: "run",
  dstFold: "first",
  ...fields
})
const calendar = (fields: Partial<Timing>): Calendar => Result.getOrThrow(calendarOf(timing(fields)))
const faults = (fields: Partial<Timing>) => {
  const result = calendarOf(timing(fields))
  return Result.isFailure(result) ? result.failure.map(({ pointer }) => pointer) : []
}
const slots = (fields: Partial<Timing>, from: string, count: number) =>
  nextSlots(calendar(fields), new Date(from), count).map((slot) => slot.toISOString().replace(":00.000Z", "Z"))

const berlin = { timeZone: "Europe/Berlin" }
const beforeGap = "2026-03-28T12:00:00Z"
const beforeFold = "2026-10-24T12:00:00Z"

describe("a cron schedule in Berlin", () => {
  test("row 1: runs a time in the gap once, an hour later by the clock, or not with `skip`", () => {
    const cron = "30 2 * * *"
    expect(slots({ ...berlin, cron }, beforeGap, 2)).toEqual(["2026-03-29T01:30Z", "2026-03-30T00:30Z"])
    expect(slots({ ...berlin, cron, dstGap: "skip" }, beforeGap, 2)).toEqual(["2026-03-30T00:30Z", "2026-03-31T00:30Z"])
  })
  test("row 2: runs at the gap's own start once", () => {
    const cron = "0 2 * * *"
    expect(slots({ ...berlin, cron }, beforeGap, 2)).toEqual(["2026-03-29T01:00Z", "2026-03-30T00:00Z"])
    expect(slots({ ...berlin, cron, dstGap: "skip" }, beforeGap, 1)).toEqual(["2026-03-30T00:00Z"])
  })
  test("row 3: runs two slots that the gap makes one once, and keeps the one that exists with `skip`", () => {
    const cron = "0 2,3 * * *"
    const expected = ["2026-03-29T01:00Z", "2026-03-30T00:00Z", "2026-03-30T01:00Z"]
    expect(slots({ ...berlin, cron }, beforeGap, 3)).toEqual(expected)
    expect(slots({ ...berlin, cron, dstGap: "skip" }, beforeGap, 3)).toEqual(expected)
  })
  test("row 4: runs once in a gap, however many of its slots lie in it", () => {
    expect(slots({ ...berlin, cron: "15,45 2 * * *" }, beforeGap, 2)).toEqual([
      "2026-03-29T01:15Z",
      "2026-03-30T00:15Z"
    ])
  })
  test("row 5: runs a time that comes twice at the first, the last or both", () => {
    const cron = "30 2 * * *"
    expect(slots({ ...berlin, cron }, beforeFold, 2)).toEqual(["2026-10-25T00:30Z", "2026-10-26T01:30Z"])
    expect(slots({ ...berlin, cron, dstFold: "last" }, beforeFold, 2)).toEqual([
      "2026-10-25T01:30Z",
      "2026-10-26T01:30Z"
    ])
    expect(slots({ ...berlin, cron, dstFold: "both" }, beforeFold, 2)).toEqual([
      "2026-10-25T00:30Z",
      "2026-10-25T01:30Z"
    ])
  })
  test("row 6: runs every 30 real minutes through the fold, whatever the policy", () => {
    for (const dstFold of ["first", "last", "both"] as const) {
      expect(slots({ ...berlin, cron: "*/30 * * * *", dstFold }, "2026-10-24T23:45:00Z", 6)).toEqual([
        "2026-10-25T00:00Z",
        "2026-10-25T00:30Z",
        "2026-10-25T01:00Z",
        "2026-10-25T01:30Z",
        "2026-10-25T02:00Z",
        "2026-10-25T02:30Z"
      ])
    }
  })
  test("row 7: loses no hour in the fold", () => {
    expect(slots({ ...berlin, cron: "0 * * * *" }, "2026-10-24T23:30:00Z", 3)).toEqual([
      "2026-10-25T00:00Z",
      "2026-10-25T01:00Z",
      "2026-10-25T02:00Z"
    ])
  })
  test("row 8: runs every half hour through the gap", () => {
    for (const dstGap of ["run", "skip"] as const) {
      expect(slots({ ...berlin, cron: "*/30 * * * *", dstGap }, "2026-03-29T00:15:00Z", 3)).toEqual([
        "2026-03-29T00:30Z",
        "2026-03-29T01:00Z",
        "2026-03-29T01:30Z"
      ])
    }
  })
})

describe("a cron schedule", () => {
  test("row 13: waits for leap years", () => {
    expect(slots({ cron: "0 0 29 2 *" }, "2026-01-01T00:00:00Z", 2)).toEqual(["2028-02-29T00:00Z", "2032-02-29T00:00Z"])
  })
  test("row 14: is refused where there is no such date", () => {
    expect(faults({ cron: "0 0 30 2 *" })).toEqual(["/cron"])
  })
  test("row 15: passes over months that are too short", () => {
    expect(slots({ cron: "0 0 31 * *" }, "2026-01-01T00:00:00Z", 3)).toEqual([
      "2026-01-31T00:00Z",
      "2026-03-31T00:00Z",
      "2026-05-31T00:00Z"
    ])
  })
  test("row 16: takes day of month or weekday, and says so", () => {
    expect(slots({ cron: "0 0 13 * 5" }, "2026-01-01T00:00:00Z", 4)).toEqual([
      "2026-01-02T00:00Z",
      "2026-01-09T00:00Z",
      "2026-01-13T00:00Z",
      "2026-01-16T00:00Z"
    ])
    expect(calendar({ cron: "0 0 13 * 5" }).notes).toHaveLength(1)
    expect(calendar({ cron: "0 0 13 * *" }).notes).toEqual([])
  })
  test("row 17: takes macros, and refuses what it does not support by its field", () => {
    expect(slots({ cron: "@daily" }, "2026-01-01T00:00:00Z", 1)).toEqual(["2026-01-02T00:00Z"])
    expect(slots({ cron: "@hourly" }, "2026-01-01T00:00:00Z", 1)).toEqual(["2026-01-01T01:00Z"])
    for (const cron of [
      "* * * * L",
      "H * * * *",
      "60 * * * *",
      "5-1 * * * *",
      "",
      "@reboot",
      "@every 1m",
      "a b c d e"
    ]) {
      expect([cron, faults({ cron })]).toEqual([cron, ["/cron"]])
    }
    for (const timeZone of ["Mars/Phobos", "", "+02:00", "UTC; DROP"]) {
      expect([timeZone, faults({ cron: "* * * * *", timeZone })]).toEqual([timeZone, ["/timeZone"]])
    }
  })
  test("row 18: is refused with a field for seconds, and more often than every 10 s", () => {
    expect(faults({ cron: "* * * * * *" })).toEqual(["/cron"])
    expect(faults({ everySeconds: 9 })).toEqual(["/everySeconds"])
    expect(faults({ everySeconds: 10 })).toEqual([])
    expect(faults({})).toEqual(["/cron"])
    expect(faults({ cron: "* * * * *", everySeconds: 10 })).toEqual(["/cron"])
  })
})

describe("an interval", () => {
  test("has its slots at whole multiples since the epoch, whoever asks when", () => {
    expect(slots({ everySeconds: 3600 }, "2026-01-01T10:17:03Z", 2)).toEqual(["2026-01-01T11:00Z", "2026-01-01T12:00Z"])
    expect(slots({ everySeconds: 3600 }, "2026-01-01T11:00:00Z", 1)).toEqual(["2026-01-01T12:00Z"])
  })
})

/** Wall time of an instant by the platform's own tables: minutes and hours as the zone's clocks show them. */
const wallOf = (zone: string) => {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23"
  })
  return (instant: number) => format.format(instant)
}

/** The days of 2026 on which the zone's clocks are shifted. */
const shiftsOf = (zone: string): ReadonlyArray<number> => {
  const wall = wallOf(zone)
  const days = Array.from({ length: 365 }, (_, day) => Date.UTC(2026, 0, 1) + day * 86_400_000)
  return days.filter((day) => wall(day) !== wall(day + 86_400_000))
}

describe("zones with odd shifts", () => {
  const cases = [
    ["Australia/Lord_Howe", "half an hour"],
    ["Africa/Cairo", "a gap at midnight"],
    ["America/Santiago", "a gap and a fold at midnight"],
    ["Africa/Casablanca", "shifts around Ramadan"],
    ["America/St_Johns", "an offset of half an hour"],
    ["Asia/Kathmandu", "an offset of a quarter"]
  ] as const
  for (const [timeZone, what] of cases) {
    test(`${timeZone} (${what}): daily at 00:15 comes once each day, at 00:15 wherever that exists`, () => {
      const wall = wallOf(timeZone)
      const found = nextSlots(calendar({ cron: "15 0 * * *", timeZone }), new Date("2026-01-01T12:00:00Z"), 365)
      const days = new Set(found.map((slot) => slot.toLocaleDateString("en-CA", { timeZone })))
      expect(days.size).toBe(365)
      const daily = calendar({ cron: "15 0 * * *", timeZone })
      const odd = found.filter((slot) => wall(slot.getTime()) !== "00:15")
      expect(odd).toEqual(found.filter(daily.inGap))
      expect(odd.length).toBeLessThanOrEqual(1)
    })
    test(`${timeZone} (${what}): every quarter of an hour comes every 15 real minutes around each shift`, () => {
      const quarterly = calendar({ cron: "*/15 * * * *", timeZone })
      for (const shift of shiftsOf(timeZone)) {
        const found = nextSlots(quarterly, new Date(shift - 12 * 3_600_000), 150)
        const gaps = new Set(found.slice(1).map((slot, index) => slot.getTime() - found[index]!.getTime()))
        expect([...gaps]).toEqual([900_000])
      }
    })
  }
})

describe("slots that nobody was there for", () => {
  const minutely = calendar({ cron: "* * * * *" })
  const until = new Date("2026-06-01T12:00:30Z")
  const ago = (minutes: number) => new Date(Date.parse("2026-06-01T12:00:00Z") - minutes * 60_000)
  test("row 19: 101 minutes are 101 slots, of which the newest are given", () => {
    const { count, slots } = dueSlots(minutely, ago(101), until, 10)
    expect([count, slots.length]).toEqual([101, 10])
    expect(slots.at(-1)?.toISOString()).toBe("2026-06-01T12:00:00.000Z")
    expect(slots[0]?.toISOString()).toBe("2026-06-01T11:51:00.000Z")
  })
  test("row 19: three days and ten years give the newest too, and do not walk them all", () => {
    expect(dueSlots(minutely, ago(3 * 1440), until, 1000)).toMatchObject({ count: 4320 })
    const years = dueSlots(minutely, ago(10 * 366 * 1440), until, 1000)
    expect(years.slots).toHaveLength(1000)
    expect(years.slots.at(-1)?.toISOString()).toBe("2026-06-01T12:00:00.000Z")
  })
  test("none are none", () => {
    expect(dueSlots(minutely, new Date("2026-06-01T12:00:00Z"), until, 10)).toEqual({ slots: [], count: 0 })
  })
})
