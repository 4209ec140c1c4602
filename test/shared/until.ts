/** Waits for something outside Effect's clock (a socket, a process, a cluster) to have happened; must not be used where there is a signal to await. */

const firstPause = 2
/** Long enough that many who wait leave the processor to what they wait for. */
const longestPause = 40

type Seen<A> = A | undefined | false

interface Wait {
  readonly seconds: number
  /** Milliseconds between two looks, at first and at most. */
  readonly pauses: readonly [first: number, longest: number]
  readonly complaint?: () => string
}

const look = async <A>(
  what: string,
  seen: () => Seen<A> | Promise<Seen<A>>,
  { complaint = () => "", pauses: [first, longest], seconds }: Wait
): Promise<A> => {
  const end = performance.now() + seconds * 1000
  for (let pause = first; performance.now() < end; pause = Math.min(pause * 1.4, longest)) {
    const value = await seen()
    if (value !== undefined && value !== false) return value
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
  throw new Error(`not within ${seconds} s: ${what}${complaint()}`)
}

/** Looks again and again, ever more rarely, until `seen` gives a value other than undefined and false; fails after `seconds`. */
export const until = <A>(what: string, seen: () => Seen<A> | Promise<Seen<A>>, seconds = 20): Promise<A> =>
  look(what, seen, { seconds, pauses: [firstPause, longestPause] })

/**
 * The same for what comes in its own time, such as a cluster's state: looks each `pause` milliseconds, and takes a failure, of
 * a peer that is just being restarted, for not yet; fails after `seconds` with what it saw last.
 */
export const eventually = <A>(what: string, seen: () => Promise<Seen<A>>, seconds = 90, pause = 100): Promise<A> => {
  let complaint = ""
  const patiently = async () => {
    try {
      const value = await seen()
      complaint = ""
      return value
    } catch (error) {
      // Final: waiting longer cannot help.
      if (error instanceof Hopeless) throw error
      complaint = `: ${String(error)}`
      return undefined
    }
  }
  return look(what, patiently, { seconds, pauses: [pause, pause], complaint: () => complaint })
}

/** Ends such a wait at once. */
export class Hopeless extends Error {
  override readonly name = "Hopeless"
}
