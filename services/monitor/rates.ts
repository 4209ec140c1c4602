/** From two readings of a counter to a rate; pure. Unknown stays null: it is never 0 and never a spike. */

/** Per second over `seconds`; null without an earlier value, after a reset (the counter fell) and over no time. */
export const rate = (before: number | undefined, now: number | undefined, seconds: number): number | null => {
  const gained = delta(before, now)
  return gained === null || !(seconds > 0) ? null : gained / seconds
}

/** What a counter gained; null without an earlier value and after a reset. */
export const delta = (before: number | undefined, now: number | undefined): number | null =>
  before === undefined || now === undefined || now < before ? null : now - before

/** `part` of `whole` in percent, 0–100; null where either is unknown or the whole is nothing. */
export const percent = (part: number | null | undefined, whole: number | null | undefined): number | null => {
  if (part === null || part === undefined || whole === null || whole === undefined || !(whole > 0)) return null
  return Math.min(100, Math.max(0, (part / whole) * 100))
}

/** The sum, or null if any part is unknown. */
export const sum = (...parts: ReadonlyArray<number | null | undefined>): number | null => {
  let total = 0
  for (const part of parts) {
    if (part === null || part === undefined) return null
    total += part
  }
  return total
}
