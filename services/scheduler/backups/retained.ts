/** Which backups are kept: the last of each of 7 days, 4 weeks and 6 months, and whatever must never go; must touch nothing. */

export interface Kept {
  readonly set: string
  readonly takenAt: Date
  /** A drill has restored it. */
  readonly restored: boolean
}

const day = 86_400_000
const days = 7
const weeks = 4
const months = 6

const dayOf = (time: Date) => Math.floor(time.getTime() / day)
/** Weeks from Monday to Sunday: 1 January 1970 was a Thursday. */
const weekOf = (time: Date) => Math.floor((dayOf(time) + 3) / 7)
const monthOf = (time: Date) => time.getUTCFullYear() * 12 + time.getUTCMonth()

/**
 * The names of those to keep, by UTC: the newest of each of the last 7 days, 4 weeks and 6 months that have any, beside it the newest of
 * that span that a drill has restored, the newest of all, and the newest that a drill has restored.
 */
export const retained = (sets: ReadonlyArray<Kept>): ReadonlySet<string> => {
  const newestFirst = sets.toSorted((one, other) => other.takenAt.getTime() - one.takenAt.getTime())
  const restored = newestFirst.filter((one) => one.restored)
  const spans = [
    [dayOf, days],
    [weekOf, weeks],
    [monthOf, months]
  ] as const
  const newestOfEach = spans.flatMap(([spanOf, count]) =>
    [...new Set(newestFirst.map(({ takenAt }) => spanOf(takenAt)))]
      .slice(0, count)
      .flatMap((span) => [
        newestFirst.find(({ takenAt }) => spanOf(takenAt) === span),
        restored.find(({ takenAt }) => spanOf(takenAt) === span)
      ])
  )
  return new Set([newestFirst[0], restored[0], ...newestOfEach].flatMap((one) => one?.set ?? []))
}
