/** The forms of an answer and how a row looks in each; must know nothing of where rows come from. */
import { Effect, Schema } from "effect"

export type Format = "json" | "ndjson" | "csv"

export const mediaTypes: Readonly<Record<Format, string>> = {
  json: "application/json",
  ndjson: "application/x-ndjson",
  csv: "text/csv"
}

/** No form of an answer that the client takes is one of ours. */
export class NotAcceptable extends Schema.TaggedError<NotAcceptable>()(
  "NotAcceptable",
  { offered: Schema.Array(Schema.String) },
  { httpApiStatus: 406 }
) {
  override get message() {
    return `the answer can be had as ${this.offered.join(", ")}`
  }
}

const formats = ["json", "ndjson", "csv"] as const

/** The best of `offered` by the request's Accept (RFC 9110 §12.5.1; the first of equals in the client's order). */
export const formatOf = Effect.fnUntraced(function* (request: Request, offered: ReadonlyArray<Format> = formats) {
  const accept = request.headers.get("accept") ?? "*/*"
  const wanted = accept
    .split(",")
    .map((part) => {
      const [type = "", ...parameters] = part
        .trim()
        .toLowerCase()
        .split(/\s*;\s*/u)
      const quality = parameters.find((one) => one.startsWith("q="))?.slice(2)
      return { type, quality: quality === undefined ? 1 : Number(quality) }
    })
    .filter(({ quality }) => quality > 0)
    .toSorted((one, other) => other.quality - one.quality)
  for (const { type } of wanted) {
    const found = offered.find((format) => {
      const own = mediaTypes[format]
      return type === own || type === "*/*" || type === `${own.slice(0, own.indexOf("/"))}/*`
    })
    if (found !== undefined) return found
  }
  return yield* new NotAcceptable({ offered: offered.map((format) => mediaTypes[format]) })
})

const special = /[",\r\n]|^[\t-\r ]|[\t-\r ]$/u

const csvField = (value: string | null) => {
  // As COPY writes it: nothing is null, the empty text is quoted.
  if (value === null) return ""
  if (value === "") return '""'
  return special.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}

/** One line of CSV (RFC 4180), its end included. */
export const csvLine = (values: ReadonlyArray<string | null>): string => `${values.map(csvField).join(",")}\r\n`
