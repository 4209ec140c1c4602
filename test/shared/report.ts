/** Reads Bun's JUnit report into one sum; pure, so that the runner's own mistakes can be tested. */

export interface Skip {
  readonly title: string
  readonly reason: string
}

export interface Summary {
  readonly passed: number
  readonly failed: number
  readonly skips: ReadonlyArray<Skip>
  /** Failures that belong to no test: a file that did not run, a skip without a reason, a crash. */
  readonly faults: ReadonlyArray<string>
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" }

const unescape = (text: string) =>
  text.replaceAll(/&(?:#x([0-9a-f]+)|#([0-9]+)|([a-z]+));/giu, (all, hex?: string, decimal?: string, name?: string) => {
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16))
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal))
    return entities[name!] ?? all
  })

const attribute = (tag: string, name: string) => unescape(new RegExp(` ${name}="([^"]*)"`, "u").exec(tag)?.[1] ?? "")

/** One test case as the report writes it: `<` and `>` inside attributes and texts are escaped. */
const cases = /<testcase\b([^<>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/gu

const reasonOf = (title: string) => /\(skipped: (.+?)\)(?= > |$)/u.exec(title)?.[1]

/**
 * Sums a report up. `files` are those that should have run: one that reports nothing failed to load. `exitCode` and
 * `signal` are the runner's end: a bad one that no failed test explains is a failure of its own.
 */
export const sumUp = (
  report: string,
  files: ReadonlyArray<string>,
  exitCode: number | null,
  signal?: string
): Summary => {
  let passed = 0
  let failed = 0
  const skips: Array<Skip> = []
  const faults: Array<string> = []
  const seen = new Set<string>()
  for (const [, tag = "", body = ""] of report.matchAll(cases)) {
    seen.add(attribute(tag, "file"))
    const name = attribute(tag, "name")
    const title = [attribute(tag, "classname"), name].filter((part) => part !== "").join(" > ")
    if (/<(?:failure|error)\b/u.test(body)) {
      failed++
    } else if (/<skipped\b/u.test(body)) {
      // A hook of a skipped group; it is no test.
      if (name === "(unnamed)") continue
      const reason = reasonOf(title)
      if (reason === undefined) faults.push(`${title}: skipped without a reason; use test/shared/skip.ts`)
      else skips.push({ title: title.replace(` (skipped: ${reason})`, ""), reason })
    } else passed++
  }
  for (const file of files) if (!seen.has(file)) faults.push(`${file}: no test of it ran`)
  if (signal !== undefined) faults.push(`the runner was ended by ${signal}`)
  else if (exitCode !== 0 && failed + faults.length === 0) faults.push(`the runner ended with ${exitCode}`)
  if (passed + failed + skips.length === 0 && faults.length === 0) faults.push("no test ran")
  return { passed, failed: failed + faults.length, skips, faults }
}
