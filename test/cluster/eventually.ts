/** Waits for a cluster to come to a state, which it does in its own time; must not be used where there is a signal to await. */

const pause = 100

/** Looks some times a second until `seen` gives a value other than undefined and false; fails after `seconds` with what it saw last. */
export const eventually = async <A>(
  what: string,
  seen: () => Promise<A | undefined | false>,
  seconds = 90
): Promise<A> => {
  const end = performance.now() + seconds * 1000
  let complaint = ""
  while (performance.now() < end) {
    try {
      const value = await seen()
      if (value !== undefined && value !== false) return value
      complaint = ""
    } catch (error) {
      // Final: waiting longer cannot help.
      if (error instanceof Hopeless) throw error
      complaint = `: ${String(error)}`
    }
    await Bun.sleep(pause)
  }
  throw new Error(`not within ${seconds} s: ${what}${complaint}`)
}

/** Ends a wait at once. */
export class Hopeless extends Error {
  override readonly name = "Hopeless"
}
