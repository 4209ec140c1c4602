/** Waits for something outside Effect's clock (a socket, a process) to have happened; must not be used where there is a signal to await. */

const firstPause = 2
/** Long enough that many who wait leave the processor to what they wait for. */
const longestPause = 40

/** Looks again and again, ever more rarely, until `seen` gives a value other than undefined and false; fails after `seconds`. */
export const until = async <A>(
  what: string,
  seen: () => A | undefined | false | Promise<A | undefined | false>,
  seconds = 20
): Promise<A> => {
  const end = performance.now() + seconds * 1000
  for (let pause = firstPause; performance.now() < end; pause = Math.min(pause * 1.4, longestPause)) {
    const value = await seen()
    if (value !== undefined && value !== false) return value
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
  throw new Error(`not within ${seconds} s: ${what}`)
}
