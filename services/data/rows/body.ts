/** Which columns a JSON body of rows names, checked against the dataset; must keep no value. */
import { Effect } from "effect"
import type { Dataset } from "#shared/api/data.ts"
import { InvalidInput, MalformedRequest } from "#shared/domain/errors.ts"
import { parseJson } from "#shared/json.ts"

/** Rows of one body at most; more is for an ingest. */
const maxRows = 1000

/** The columns of a body's objects, which must all name the same. `one` takes a single object. */
export const readRowsBody = Effect.fnUntraced(function* (
  text: string,
  dataset: Dataset,
  how: "one" | "many"
): Effect.fn.Return<ReadonlyArray<string>, InvalidInput | MalformedRequest> {
  const body = yield* Effect.try({
    try: () => parseJson(text),
    catch: (error) =>
      error instanceof MalformedRequest ? error : new MalformedRequest({ detail: "the body is not valid JSON" })
  })
  const refused = (pointer: string, detail: string) => new InvalidInput({ errors: [{ pointer, detail }] })
  const rows: ReadonlyArray<unknown> = Array.isArray(body) ? body : [body]
  if (how === "one" && Array.isArray(body)) return yield* refused("", "expected one object")
  if (rows.length === 0 || rows.length > maxRows) return yield* refused("", `expected 1 to ${maxRows} rows`)
  let columns: ReadonlyArray<string> | undefined
  for (const [index, row] of rows.entries()) {
    const at = Array.isArray(body) ? `/${index}` : ""
    if (typeof row !== "object" || row === null || Array.isArray(row)) return yield* refused(at, "expected an object")
    const keys = Object.keys(row)
    for (const key of keys) {
      const pointer = `${at}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`
      const column = dataset.columns.find(({ name }) => name === key)
      if (column === undefined) return yield* refused(pointer, "the dataset has no such column")
      if (column.generated) return yield* refused(pointer, "the column is generated: leave it out")
    }
    columns ??= keys
    if (keys.length !== columns.length || !keys.every((key) => columns?.includes(key))) {
      return yield* refused(at, "every row must name the same columns as the first")
    }
  }
  if (columns === undefined || columns.length === 0) return yield* refused("", "there is no column")
  return columns
})
