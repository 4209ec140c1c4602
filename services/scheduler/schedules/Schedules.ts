/** The schedules as people ask for them: made, changed, paused, previewed and made up for; must not run the clock. */
import { Context, Effect, Layer, Result } from "effect"
import type { Job, ScheduleInput, ScheduleView, SlotPreview } from "#shared/api/scheduler.ts"
import { Conflict, InvalidInput, NotFound, type Unavailable } from "#shared/domain/errors.ts"
import { Database } from "#shared/sql.ts"
import { type Actor, Audit } from "../Audit.ts"
import { BadInput } from "../BadInput.ts"
import { JobHandlers } from "../JobHandler.ts"
import { Jobs } from "../Jobs.ts"
import { type IdempotencyConflict, isTerminal } from "../JobStore.ts"
import { masked } from "../masked.ts"
import { type Calendar, calendarOf, dueSlots, nextSlots } from "./calendar.ts"
import { type Plan, type Schedule, ScheduleStore } from "./ScheduleStore.ts"

/** Slots that one backfill may ask for. */
const maxBackfill = 1000

/** Slots that an answer shows ahead. */
const shown = 5

type Lost = NotFound | Unavailable

export class Schedules extends Context.Service<
  Schedules,
  {
    readonly list: Effect.Effect<ReadonlyArray<ScheduleView>, Unavailable>
    readonly get: (name: string) => Effect.Effect<ScheduleView, Lost>
    /** Makes or changes one; what has passed is never run again. 400 by field for what cannot be, 422 for a kind or payload. */
    readonly put: (
      name: string,
      input: ScheduleInput,
      actor: Actor
    ) => Effect.Effect<
      { readonly view: ScheduleView; readonly created: boolean },
      BadInput | InvalidInput | Unavailable
    >
    /** 409 for one that comes with the platform. Its jobs and slots stay. */
    readonly remove: (name: string, actor: Actor) => Effect.Effect<void, Lost | Conflict>
    readonly preview: (
      name: string,
      count: number,
      from: string | undefined
    ) => Effect.Effect<typeof SlotPreview.Type, Lost>
    /** A job of it now, whatever its slots. */
    readonly trigger: (name: string, actor: Actor) => Effect.Effect<Job, Lost | InvalidInput | IdempotencyConflict>
    readonly setEnabled: (name: string, enabled: boolean, actor: Actor) => Effect.Effect<ScheduleView, Lost>
    /** Jobs for the slots from `from` to `to` that were never taken. */
    readonly backfill: (
      name: string,
      range: { readonly from: string; readonly to: string },
      actor: Actor
    ) => Effect.Effect<
      { readonly enqueued: number; readonly known: number },
      Lost | BadInput | InvalidInput | IdempotencyConflict
    >
  }
>()("gatehouse/scheduler/Schedules") {
  static readonly layer = Layer.effect(
    Schedules,
    Effect.suspend(() => makeSchedules)
  )
}

/** What an input leaves open. */
export const planOf = (input: ScheduleInput): Plan => ({
  cron: input.cron ?? null,
  everySeconds: input.everySeconds ?? null,
  timeZone: input.timeZone ?? "UTC",
  kind: input.kind,
  payload: input.payload,
  overlap: input.overlap ?? "skip",
  missed: input.missed ?? "once",
  catchUpMax: input.catchUpMax ?? 100,
  dstGap: input.dstGap ?? "run",
  dstFold: input.dstFold ?? "first",
  jitterSeconds: input.jitterSeconds ?? 0,
  enabled: input.enabled ?? true
})

/** Of a schedule that was accepted: its timing can no longer be wrong, unless the zones' tables were. */
export const calendarOfKept = (schedule: Plan): Calendar | undefined => {
  const result = calendarOf(schedule)
  return Result.isSuccess(result) ? result.success : undefined
}

const iso = (date: Date | null) => date?.toISOString() ?? null

const sameTiming = (one: Plan, other: Plan) =>
  one.cron === other.cron &&
  one.everySeconds === other.everySeconds &&
  one.timeZone === other.timeZone &&
  one.dstGap === other.dstGap &&
  one.dstFold === other.dstFold

const toView = (schedule: Schedule, now: Date): ScheduleView => {
  const { lastJob, lastSlot, nextSlot, payload, ...plan } = schedule
  const calendar = calendarOfKept(schedule)
  const slots = calendar !== undefined && schedule.enabled ? nextSlots(calendar, now, shown) : []
  return {
    ...plan,
    payload: masked(payload),
    lastJob,
    lastSlot: iso(lastSlot),
    nextSlot: iso(nextSlot),
    nextSlots: slots.map((slot) => iso(slot)!)
  }
}

const notesOf = (calendar: Calendar, slots: ReadonlyArray<Date>) => [
  ...calendar.notes,
  ...slots.filter(calendar.inGap).map((slot) => `${iso(slot)} stands for a time that the clocks skip`),
  ...slots.filter(calendar.inFold).map((slot) => `${iso(slot)} is a time that the clocks show twice`)
]

const makeSchedules = Effect.gen(function* () {
  const audit = yield* Audit
  const database = yield* Database
  const handlers = yield* JobHandlers
  const jobs = yield* Jobs
  const store = yield* ScheduleStore

  const found = Effect.fnUntraced(function* (name: string, lock = false) {
    return (yield* store.get(name, lock)) ?? (yield* new NotFound({ resource: "schedule" }))
  })
  const view = Effect.fnUntraced(function* (name: string) {
    return toView(yield* found(name), yield* store.now)
  })
  const calendarFor = Effect.fnUntraced(function* (schedule: Schedule) {
    return calendarOfKept(schedule) ?? (yield* Effect.die(new Error(`schedule ${schedule.name} has no calendar`)))
  })

  const checked = Effect.fnUntraced(function* (input: ScheduleInput) {
    const plan = planOf(input)
    const calendar = calendarOf(plan)
    if (Result.isFailure(calendar)) return yield* new BadInput({ errors: calendar.failure })
    const handler = handlers.find(plan.kind)
    if (handler === undefined) {
      return yield* new InvalidInput({
        errors: [{ pointer: "/kind", detail: "not a known kind; see GET /jobs/kinds" }]
      })
    }
    yield* handler.check(plan.payload, "/payload")
    return { plan, calendar: calendar.success }
  })

  return Schedules.of({
    list: Effect.gen(function* () {
      const now = yield* store.now
      return (yield* store.all).map((schedule) => toView(schedule, now))
    }),
    get: view,
    put: Effect.fn("Schedules.put")(function* (name, input, actor) {
      const { calendar, plan } = yield* checked(input)
      const before = yield* database.transaction(
        Effect.gen(function* () {
          const known = yield* store.get(name, true)
          const now = yield* store.now
          // The slot under way is kept where nothing about time changes: it may be due this moment.
          const keep = known?.enabled === true && known.nextSlot !== null && sameTiming(known, plan)
          const nextSlot = plan.enabled ? (keep ? known.nextSlot : calendar.next(now)) : null
          yield* store.put(name, plan, nextSlot)
          yield* audit.record(actor, known === undefined ? "schedule.created" : "schedule.changed", name, known, plan)
          return known
        })
      )
      return { view: yield* view(name).pipe(Effect.catchTag("NotFound", Effect.die)), created: before === undefined }
    }),
    remove: Effect.fn("Schedules.remove")(function* (name, actor) {
      yield* database.transaction(
        Effect.gen(function* () {
          const schedule = yield* found(name, true)
          if (schedule.builtIn) {
            return yield* new Conflict({ detail: "it comes with the platform: pause it instead" })
          }
          yield* store.remove(name)
          yield* audit.record(actor, "schedule.deleted", name, schedule, undefined)
        })
      )
    }),
    preview: Effect.fn("Schedules.preview")(function* (name, count, from) {
      const calendar = yield* calendarFor(yield* found(name))
      const slots = nextSlots(calendar, from === undefined ? yield* store.now : new Date(from), count)
      // RFC 3339 has no year after 9999.
      const shown = slots.filter((slot) => slot.getUTCFullYear() < 10_000)
      return { slots: shown.map((slot) => slot.toISOString()), notes: notesOf(calendar, shown) }
    }),
    trigger: Effect.fn("Schedules.trigger")(function* (name, actor) {
      return yield* database.transaction(
        Effect.gen(function* () {
          const { kind, payload } = yield* found(name, true)
          const { job } = yield* jobs.enqueue({ kind, payload, schedule: name, by: actor.userId })
          yield* store.setLastJob(name, job.id)
          yield* audit.record(actor, "schedule.triggered", name, undefined, { job: job.id })
          return job
        })
      )
    }),
    setEnabled: Effect.fn("Schedules.setEnabled")(function* (name, enabled, actor) {
      yield* database.transaction(
        Effect.gen(function* () {
          const schedule = yield* found(name, true)
          if (schedule.enabled === enabled) return
          const calendar = yield* calendarFor(schedule)
          yield* store.put(name, { ...schedule, enabled }, enabled ? calendar.next(yield* store.now) : null)
          yield* audit.record(actor, enabled ? "schedule.resumed" : "schedule.paused", name, undefined, undefined)
        })
      )
      return yield* view(name)
    }),
    backfill: Effect.fn("Schedules.backfill")(function* (name, range, actor) {
      return yield* database.transaction(
        Effect.gen(function* () {
          const schedule = yield* found(name, true)
          const { kind, payload } = schedule
          const [from, to, now] = [new Date(range.from), new Date(range.to), yield* store.now]
          const refuse = (pointer: string, detail: string) => new BadInput({ errors: [{ pointer, detail }] })
          if (from > to) return yield* refuse("/to", "lies before `from`")
          if (to > now) return yield* refuse("/to", "lies in the future")
          const calendar = yield* calendarFor(schedule)
          const { count, slots } = dueSlots(calendar, new Date(from.getTime() - 1), to, maxBackfill + 1)
          if (count > maxBackfill) return yield* refuse("/from", `more than ${maxBackfill} slots`)
          const taken = yield* store.take(name, slots)
          let last = schedule.lastJob !== null && !isTerminal(schedule.lastJob.state) ? schedule.lastJob.id : undefined
          const made = []
          for (const slot of taken) {
            // Whoever asks for the past wants it: only `queue` still puts one after the other.
            const after = schedule.overlap === "queue" ? last : undefined
            const { job } = yield* jobs.enqueue({ kind, payload, schedule: name, by: actor.userId, after })
            made.push({ schedule: name, slot, jobId: job.id })
            last = job.id
          }
          yield* store.note(made)
          if (made.length > 0) yield* store.setLastJob(name, last!)
          yield* audit.record(actor, "schedule.backfilled", name, undefined, { ...range, jobs: made.length })
          return { enqueued: made.length, known: count - made.length }
        })
      )
    })
  })
})
