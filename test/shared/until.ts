/** Waits for something outside Effect's clock (a socket, a process) to have happened; must not be used where there is a signal to await. */

/** Looks at every turn of the event loop until `seen` gives a value other than undefined and false; fails after `seconds`. */
export const until = async <A>(
  what: string,
  seen: () => A | undefined | false | Promise<A | undefined | false>,
  seconds = 20
): Promise<A> => {
  const end = performance.now() + seconds * 1000
  while (performance.now() < end) {
    const value = await seen()
    if (value !== undefined && value !== false) return value
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  throw new Error(`not within ${seconds} s: ${what}`)
}
