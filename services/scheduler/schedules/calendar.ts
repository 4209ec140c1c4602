/** When a schedule is due: cron by the clock of a zone or every so many seconds, with its policies for changing clocks; pure, must not know now. */
import { Cron, Result } from "effect"
import type { InputFault } from "#shared/domain/errors.ts"

/** What a schedule says about time. Exactly one of `cron` and `everySeconds` is set. */
export interface Timing {
  readonly cron: string | null
  readonly everySeconds: number | null
  readonly timeZone: string
  /** Of a slot in the hour that the clocks skip: `run` once at the same distance after it. */
  readonly dstGap: "run" | "skip"
  /** Of a slot in the hour that comes twice; with a wildcard hour both always count. */
  readonly dstFold: "first" | "last" | "both"
}

export interface Calendar {
  /** The first slot after `time`. Several slots of one gap are one. */
  readonly next: (time: Date) => Date
  /** Whether the slot stands for a time that the clocks skip. */
  readonly inGap: (slot: Date) => boolean
  /** Whether the clocks show the slot's time twice. */
  readonly inFold: (slot: Date) => boolean
  /** What a person might not expect of the expression. */
  readonly notes: ReadonlyArray<string>
}

const macros: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *"
}

/** Least seconds between two slots. */
export const leastSeconds = 10

/** Most seconds between two slots of `everySeconds`: a year. */
const mostSeconds = 366 * 24 * 3600

const overlaps = { first: "earlier", last: "later", both: "both" } as const

const fault = (field: string, detail: string): Result.Result<never, ReadonlyArray<InputFault>> =>
  Result.fail([{ pointer: `/${field}`, detail }])

/** Slots at whole multiples of the interval since the epoch, so that no restart and no other process shifts them. */
const everyOf = (seconds: number): Calendar => ({
  next: (time) => new Date((Math.floor(time.getTime() / 1000 / seconds) + 1) * seconds * 1000),
  inGap: () => false,
  inFold: () => false,
  notes: []
})

/** IANA names start with a letter; offsets such as +02:00 know no summer time and are refused. */
const isZone = (zone: string): boolean => {
  if (!/^[A-Za-z]/u.test(zone)) return false
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone !== ""
  } catch {
    return false
  }
}

const dayAndWeekday = "day of month and weekday are both given: the schedule is due on days that match either"

/** A calendar, or what is wrong with the timing, by field. */
export const calendarOf = (timing: Timing): Result.Result<Calendar, ReadonlyArray<InputFault>> => {
  const { cron, dstFold, dstGap, everySeconds, timeZone } = timing
  if (!isZone(timeZone)) return fault("timeZone", "not an IANA time zone")
  if ((cron === null) === (everySeconds === null)) return fault("cron", "give either cron or everySeconds")
  if (everySeconds !== null) {
    return everySeconds >= leastSeconds && everySeconds <= mostSeconds
      ? Result.succeed(everyOf(everySeconds))
      : fault("everySeconds", `not between ${leastSeconds} and ${mostSeconds}`)
  }
  const expression = macros[cron!.trim().toLowerCase()] ?? cron!.trim()
  const fields = expression.split(/\s+/u)
  if (fields.length !== 5) return fault("cron", "not five fields (minute, hour, day, month, weekday) nor a macro")
  // Whatever the hour of the clock, such a schedule means real time.
  const everyHour = fields[1] === "*" || fields[1] === "*/1" || fields[1] === "0-23"
  const parsed = Cron.parse(expression, timeZone, { onDstOverlap: everyHour ? "both" : overlaps[dstFold] })
  if (Result.isFailure(parsed)) return fault("cron", parsed.failure.message)
  const clock = parsed.success
  try {
    Cron.next(clock, new Date(0))
  } catch {
    return fault("cron", "there is no such date")
  }
  const both = Result.getOrThrow(Cron.parse(expression, timeZone, { onDstOverlap: "both" }))
  const first = Result.getOrThrow(Cron.parse(expression, timeZone, { onDstOverlap: "earlier" }))
  const inGap = (slot: Date) => !Cron.match(both, slot)
  return Result.succeed({
    next: (time) => {
      let slot = Cron.next(clock, time)
      while (dstGap === "skip" && inGap(slot)) slot = Cron.next(clock, slot)
      return slot
    },
    inGap,
    inFold: (slot) => {
      const before = new Date(slot.getTime() - 1000)
      const after = Cron.next(both, slot)
      return (
        Cron.next(both, before).getTime() === slot.getTime() && Cron.next(first, slot).getTime() !== after.getTime()
      )
    },
    notes: fields[2] !== "*" && fields[4] !== "*" ? [dayAndWeekday] : []
  })
}

/** The next `count` slots after `time`. */
export const nextSlots = (calendar: Calendar, time: Date, count: number): ReadonlyArray<Date> => {
  const slots: Array<Date> = []
  for (let at = time; slots.length < count;) {
    at = calendar.next(at)
    slots.push(at)
  }
  return slots
}

/** Slots looked at in one go: a schedule that nobody was there for in years must not hold up the others (kubernetes#42649). */
const looked = 5000

const between = (calendar: Calendar, after: Date, until: Date, limit: number) => {
  const slots: Array<Date> = []
  for (let at = calendar.next(after); at <= until && slots.length < limit; at = calendar.next(at)) slots.push(at)
  return slots
}

export interface DueSlots {
  /** The newest, oldest first. */
  readonly slots: ReadonlyArray<Date>
  /** All of them; no more than were counted. */
  readonly count: number
}

/** The newest slots after `after` and up to `until`, `most` of them. */
export const dueSlots = (calendar: Calendar, after: Date, until: Date, most: number): DueSlots => {
  const all = between(calendar, after, until, looked)
  if (all.length < looked) return { slots: all.slice(-most), count: all.length }
  // Too many to walk from the start: looked for from the end, in a span that doubles until it holds enough.
  for (let span = 60_000; ; span *= 2) {
    const from = new Date(Math.max(after.getTime(), until.getTime() - span))
    const found = between(calendar, from, until, looked)
    if (found.length >= most || from <= after) return { slots: found.slice(-most), count: looked }
  }
}
