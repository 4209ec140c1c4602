/** Reads Prometheus text back, so that tests compare series and not the order of lines. */

export interface Exposed {
  readonly types: ReadonlyMap<string, string>
  readonly helps: ReadonlyMap<string, string>
  /** By name and sorted labels. */
  readonly values: ReadonlyMap<string, number>
}

const seriesOf = (text: string): string => {
  const brace = text.indexOf("{")
  if (brace === -1) return text
  const labels = [...text.slice(brace).matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/gu)].map((found) => found[0]).sort()
  return `${text.slice(0, brace)}{${labels.join(",")}}`
}

export const parseExposition = (text: string): Exposed => {
  const types = new Map<string, string>()
  const helps = new Map<string, string>()
  const values = new Map<string, number>()
  for (const line of text.split("\n")) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/u.exec(line)
    if (comment !== null) (comment[1] === "TYPE" ? types : helps).set(comment[2]!, comment[3]!)
    else if (line !== "") {
      const space = line.lastIndexOf(" ")
      values.set(seriesOf(line.slice(0, space)), Number(line.slice(space + 1)))
    }
  }
  return { types, helps, values }
}
