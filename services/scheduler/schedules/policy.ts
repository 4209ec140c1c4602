/** Which of the slots that are due get a job: the missed and the overlap policies; pure, must know no clock. */
import type { Plan } from "./ScheduleStore.ts"

/** Milliseconds by which a slot may be late and is not missed: longer than the sweep, and than another replica takes to notice. */
export const lateness = 30_000

export interface Judged {
  /** Oldest first. */
  readonly run: ReadonlyArray<Date>
  /** Slots that get no job because nobody was there in time. */
  readonly missed: number
}

/**
 * The slots to run, of the newest `slots` that are due at `now` out of `count`. Slots in time always count; of the missed
 * ones `skip` takes none, `once` the last if no slot in time is due, `all` the newest up to `catchUpMax`.
 */
export const judge = (
  plan: Pick<Plan, "missed" | "catchUpMax">,
  due: { readonly slots: ReadonlyArray<Date>; readonly count: number },
  now: Date
): Judged => {
  const inTime = due.slots.filter((slot) => now.getTime() - slot.getTime() <= lateness)
  const missed = due.slots.slice(0, due.slots.length - inTime.length)
  const madeUp =
    plan.missed === "all"
      ? missed.slice(-plan.catchUpMax)
      : plan.missed === "once" && inTime.length === 0
        ? missed.slice(-1)
        : []
  return { run: [...madeUp, ...inTime], missed: due.count - madeUp.length - inTime.length }
}

/** Whether a slot gets a job while the last one of its schedule has not ended, and if so whether it waits for that one. */
export const overlapping = (overlap: Plan["overlap"], unfinished: boolean): "run" | "wait" | "leave" => {
  if (!unfinished || overlap === "allow") return "run"
  return overlap === "queue" ? "wait" : "leave"
}
