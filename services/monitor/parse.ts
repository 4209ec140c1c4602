/** What the parsers of kernel tables share: whole lines, whole numbers, and NoData where the text is not as the kernel writes it; pure. */
import { NoData } from "./files.ts"

export const malformed = (file: string, detail: string) => new NoData({ file, problem: "malformed", detail })

export const truncated = (file: string, detail: string) => new NoData({ file, problem: "truncated", detail })

/** The lines of a kernel table. The kernel ends each with a line feed, so one without is cut off. */
export const linesOf = (text: string, file: string): ReadonlyArray<string> => {
  if (text === "") throw truncated(file, "empty")
  if (!text.endsWith("\n")) throw truncated(file, "the last line has no end")
  return text.slice(0, -1).split("\n")
}

export const fieldsOf = (line: string): ReadonlyArray<string> => line.trim().split(/[ \t]+/u)

/** A number in decimal notation; anything else is malformed. Beyond 2^53 it is the nearest double. */
export const numberOf = (text: string | undefined, file: string): number => {
  if (text === undefined || text === "") throw truncated(file, "a field is missing")
  if (!/^-?\d+(?:\.\d+)?$/u.test(text)) throw malformed(file, "a field is no number")
  return Number(text)
}

/** The number in a one-value file, or undefined where the driver gives none. */
export const valueOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^-?\d+(?:\.\d+)?$/u.test(text) ? Number(text) : undefined
