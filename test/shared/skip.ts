/** Tests that a machine cannot run are skipped aloud: the reason stands in the title, where test/run.ts reads it; must decide nothing itself. */
import { describe, test } from "bun:test"

type Body = () => void | Promise<unknown>

interface Registers {
  readonly test: (title: string, body: Body, timeout?: number) => void
  /** Its hooks do not run either when it is skipped. */
  readonly describe: (title: string, body: () => void) => void
}

/** `test` and `describe` where `condition` holds; elsewhere they register as skipped, with `reason` in the title. */
export const skipUnless = (condition: boolean, reason: string): Registers => {
  if (condition) return { test, describe }
  console.warn(`skipping tests: ${reason}`)
  const titled = (title: string) => `${title} (skipped: ${reason})`
  return {
    test: (title, body, timeout) => test.skip(titled(title), body, timeout),
    describe: (title, body) => describe.skip(titled(title), body)
  }
}
