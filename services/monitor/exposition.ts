/** Writes metric families as Prometheus text 0.0.4; must not know where they come from. */
import type { Family, Labels } from "./family.ts"

/** The media type of the text (Prometheus exposition formats, text-based format). */
export const expositionType = "text/plain; version=0.0.4; charset=utf-8"

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", '"': '\\"' }
const escapeLabel = (text: string) => (/[\\\n"]/u.test(text) ? text.replace(/[\\\n"]/gu, (one) => escapes[one]!) : text)
const escapeHelp = (text: string) => text.replace(/[\\\n]/gu, (one) => escapes[one]!)

const numberOf = (value: number): string => {
  if (value === Number.POSITIVE_INFINITY) return "+Inf"
  if (value === Number.NEGATIVE_INFINITY) return "-Inf"
  return String(value)
}

const labelsOf = (labels: Labels): string => {
  let text = ""
  for (const name in labels) text += `${text === "" ? "{" : ","}${name}="${escapeLabel(labels[name]!)}"`
  return text === "" ? "" : `${text}}`
}

/** The text, and the series that came more than once: the first of each is kept, because one repeated line makes a scraper refuse all. */
export interface Exposition {
  readonly text: string
  readonly duplicates: ReadonlyArray<string>
}

/** Families of one name are joined under the first one's HELP and TYPE; those without samples are left out. */
export const expose = (families: Iterable<Family>): Exposition => {
  const joined = new Map<string, { readonly head: string; readonly lines: Map<string, string> }>()
  const duplicates: Array<string> = []
  for (const family of families) {
    if (family.samples.length === 0) continue
    let entry = joined.get(family.name)
    if (entry === undefined) {
      const head = `# HELP ${family.name} ${escapeHelp(family.help)}\n# TYPE ${family.name} ${family.type}\n`
      joined.set(family.name, (entry = { head, lines: new Map() }))
    }
    for (const { labels, value } of family.samples) {
      const series = family.name + labelsOf(labels)
      if (entry.lines.has(series)) duplicates.push(series)
      else entry.lines.set(series, numberOf(value))
    }
  }
  let text = ""
  for (const name of [...joined.keys()].sort()) {
    const { head, lines } = joined.get(name)!
    text += head
    for (const [series, value] of lines) text += `${series} ${value}\n`
  }
  return { text, duplicates }
}
