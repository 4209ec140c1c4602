/** The simulated cluster's time: it moves only when it is told to, and runs what became due on the way; must read no clock. */

/** RFC 3339, whole seconds, UTC: what Kubernetes writes. */
export const stampOf = (milliseconds: number): string => `${new Date(milliseconds).toISOString().slice(0, 19)}Z`

interface Timer {
  readonly due: number
  readonly order: number
  readonly run: () => void
}

export interface Timeline {
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly stamp: () => string
  /** Runs `run` after so many seconds of cluster work, which the speed factor shortens; the same key again replaces. */
  readonly after: (key: string, seconds: number, run: () => void) => void
  /** As `after`, but of real time: for what clients have asked for in seconds. */
  readonly afterReal: (key: string, seconds: number, run: () => void) => void
  readonly cancel: (key: string) => void
  readonly pending: (key: string) => boolean
  readonly advanceTo: (milliseconds: number) => void
  /** When the next timer is due, or undefined. */
  readonly nextDue: () => number | undefined
}

export const makeTimeline = (start: number, speed: number): Timeline => {
  let now = start
  let order = 0
  const timers = new Map<string, Timer>()
  const earliest = (): readonly [string, Timer] | undefined => {
    let found: readonly [string, Timer] | undefined
    for (const entry of timers) {
      const before = found === undefined || entry[1].due < found[1].due
      if (before || (entry[1].due === found![1].due && entry[1].order < found![1].order)) found = entry
    }
    return found
  }
  const afterReal: Timeline["afterReal"] = (key, seconds, run) => {
    timers.set(key, { due: now + seconds * 1000, order: order++, run })
  }
  return {
    now: () => now,
    stamp: () => stampOf(now),
    after: (key, seconds, run) => afterReal(key, seconds / speed, run),
    afterReal,
    cancel: (key) => {
      timers.delete(key)
    },
    pending: (key) => timers.has(key),
    advanceTo: (milliseconds) => {
      for (let next = earliest(); next !== undefined && next[1].due <= milliseconds; next = earliest()) {
        now = Math.max(now, next[1].due)
        timers.delete(next[0])
        next[1].run()
      }
      now = Math.max(now, milliseconds)
    },
    nextDue: () => earliest()?.[1].due
  }
}
