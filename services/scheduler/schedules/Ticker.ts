/** The clock of the schedules: takes every slot that is due once, whoever else looks, and gives it its job; must decide no policy. */
import { Cause, Context, Effect, Layer, Metric, Queue, Random } from "effect"
import type { Unavailable } from "#shared/domain/errors.ts"
import { Database } from "#shared/sql.ts"
import { Jobs } from "../Jobs.ts"
import { isTerminal } from "../JobStore.ts"
import { dueSlots } from "./calendar.ts"
import { judge, overlapping } from "./policy.ts"
import { calendarOfKept, planOf } from "./Schedules.ts"
import { type Advance, type Schedule, ScheduleStore } from "./ScheduleStore.ts"
import type { ScheduleInput } from "#shared/api/scheduler.ts"

/** Schedules of one transaction. */
const atOnce = 50

interface Options {
  /** Between two looks at the least, however long until the next slot: another replica may have made a schedule. */
  readonly sweepSeconds: number
  /** Schedules that come with the platform, by name. */
  readonly builtIn: Readonly<Record<string, ScheduleInput>>
}

const missedSlots = Metric.counter("gatehouse_scheduler_missed_slots_total", {
  description: "Slots of schedules that got no job, by a policy or because nobody was there.",
  incremental: true
})

interface Made {
  readonly schedule: string
  readonly slot: Date
  readonly jobId: string
}

export class Ticker extends Context.Service<
  Ticker,
  {
    /** Takes what is due now; gives how many schedules were. */
    readonly tick: Effect.Effect<number, Unavailable>
    /** Looks again soon: something about schedules has changed. */
    readonly wake: Effect.Effect<void>
  }
>()("gatehouse/scheduler/Ticker") {
  static readonly layer = (options: Options) => Layer.effect(Ticker, makeTicker(options))
}

const makeTicker = ({ builtIn, sweepSeconds }: Options) =>
  Effect.gen(function* () {
    const database = yield* Database
    const jobs = yield* Jobs
    const store = yield* ScheduleStore
    const wake = yield* Queue.sliding<void>(1)

    /** Gives the due slots of one schedule their jobs, within the caller's transaction. */
    const serve = Effect.fnUntraced(function* (schedule: Schedule, now: Date, made: Array<Made>) {
      const { name, nextSlot } = schedule
      const calendar = calendarOfKept(schedule)
      if (calendar === undefined || nextSlot === null) {
        yield* Effect.logError("a schedule's time can no longer be told").pipe(Effect.annotateLogs({ schedule: name }))
        return { name, lastSlot: null, nextSlot: new Date(now.getTime() + 3_600_000), missed: 0, lastJob: null }
      }
      const due = dueSlots(calendar, new Date(nextSlot.getTime() - 1), now, 1000 + sweepSeconds)
      const { missed, run } = judge(schedule, due, now)
      // A slot is taken even where overlap leaves it out: it was judged, and stays so.
      const taken = run.length === 0 ? [] : yield* store.take(name, run)
      let last = schedule.lastJob !== null && !isTerminal(schedule.lastJob.state) ? schedule.lastJob.id : undefined
      let left = 0
      let lastJob: string | null = null
      for (const slot of taken) {
        const verdict = overlapping(schedule.overlap, last !== undefined)
        if (verdict === "leave") {
          left += 1
          continue
        }
        const late =
          schedule.jitterSeconds === 0 ? 0 : yield* Random.nextIntBetween(0, schedule.jitterSeconds * 1000 + 1)
        const asked = yield* jobs
          .enqueue({
            kind: schedule.kind,
            payload: schedule.payload,
            schedule: name,
            by: `schedule ${name}`,
            runAt: late === 0 ? undefined : new Date(slot.getTime() + late).toISOString(),
            after: verdict === "wait" ? last : undefined
          })
          .pipe(
            // Its kind has gone or means something else now: the others must not wait for that.
            Effect.catchTag(["InvalidInput", "IdempotencyConflict"], (error) =>
              Effect.as(
                Effect.logError("a schedule's job is not acceptable").pipe(
                  Effect.annotateLogs({ schedule: name, reason: error.message })
                ),
                undefined
              )
            )
          )
        if (asked === undefined) {
          left += 1
          continue
        }
        lastJob = last = asked.job.id
        made.push({ schedule: name, slot, jobId: lastJob })
      }
      const advance: Advance = {
        name,
        lastSlot: due.slots.at(-1) ?? null,
        nextSlot: calendar.next(now),
        missed: missed + left,
        lastJob
      }
      return advance
    })

    const some = database.transaction(
      Effect.gen(function* () {
        const schedules = yield* store.due(atOnce)
        if (schedules.length === 0) return 0
        const now = yield* store.now
        const made: Array<Made> = []
        const advances = yield* Effect.forEach(schedules, (schedule) => serve(schedule, now, made))
        yield* store.note(made)
        yield* store.advance(advances)
        const missed = advances.reduce((sum, one) => sum + one.missed, 0)
        if (missed > 0) yield* Metric.update(missedSlots, missed)
        return schedules.length
      })
    )

    const tick = Effect.gen(function* () {
      let all = 0
      for (;;) {
        const count = yield* some
        all += count
        if (count < atOnce) return all
      }
    }).pipe(Effect.withSpan("Ticker.tick"))

    const plant = Effect.gen(function* () {
      const now = yield* store.now
      for (const [name, input] of Object.entries(builtIn)) {
        const plan = planOf(input)
        yield* store.putBuiltIn(name, plan, calendarOfKept(plan)?.next(now) ?? null)
      }
    })

    let planted = false
    const round = Effect.gen(function* () {
      if (!planted) yield* plant
      planted = true
      // One small question while nothing is due, which is most of the time.
      let next = yield* store.nextSeconds
      if (next !== null && next <= 0) {
        yield* tick
        next = yield* store.nextSeconds
      }
      return Math.min(sweepSeconds, Math.max(0.01, next ?? sweepSeconds))
    }).pipe(
      Effect.catchTag("Unavailable", () => Effect.succeed(1)),
      Effect.catchCause((cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.interrupt
          : Effect.as(Effect.logError("the schedules' tick failed", cause), 1)
      )
    )
    yield* round.pipe(
      Effect.flatMap((pause) => Effect.race(Queue.take(wake), Effect.sleep(Math.ceil(pause * 1000)))),
      Effect.forever,
      Effect.forkScoped
    )

    return Ticker.of({ tick, wake: Effect.asVoid(Queue.offer(wake, undefined)) })
  })
