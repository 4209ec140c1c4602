/** Reads what a request to the rows and the ingest of a dataset asks for; must reach no database. */
import { Effect, Result, Schema } from "effect"
import { IngestQuery } from "#shared/api/data.ts"
import { InvalidInput, MalformedRequest, PayloadTooLarge, UnsupportedMediaType } from "#shared/domain/errors.ts"
import { readText } from "#shared/http.ts"
import { invalidInput } from "#shared/problem.ts"
import type { Asked, Preferences } from "./Rows.ts"
import { readRowsRequest } from "./rows/grammar.ts"

/** Bytes of a JSON body of rows at most. */
const rowsBodyLimit = 1024 * 1024

const paramsOf = (request: Request) => new URL(request.url).searchParams

export const rowsAskedOf = Effect.fnUntraced(function* (request: Request, schema: string, table: string) {
  const asked: Asked = {
    schema,
    table,
    request: yield* readRowsRequest(paramsOf(request))
  }
  return asked
})

/** `Prefer` (RFC 7240): a preference that is not known is ignored, as the standard wants. */
export const preferencesOf = (request: Request): Effect.Effect<Preferences> =>
  Effect.sync(() => {
    const given = new Map(
      (request.headers.get("prefer") ?? "")
        .split(",")
        .map((part) => part.trim().toLowerCase().split("="))
        .map(([key = "", value = ""]) => [key, value.replaceAll('"', "")])
    )
    const count = given.get("count")
    const resolution = given.get("resolution")
    return {
      count: count === "exact" || count === "planned" || count === "estimated" ? count : undefined,
      representation: given.get("return") === "representation",
      resolution:
        resolution === "merge-duplicates" ? "merge" : resolution === "ignore-duplicates" ? "ignore" : undefined
    }
  })

export const mediaTypeOf = (request: Request): string =>
  (request.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase()

/** The body of a write of rows as it came. */
export const readRowsText = Effect.fnUntraced(function* (request: Request) {
  if (mediaTypeOf(request) !== "application/json")
    return yield* new UnsupportedMediaType({ expected: "application/json" })
  return yield* Effect.tryPromise({
    try: () => readText(request, rowsBodyLimit),
    catch: (error) =>
      error instanceof PayloadTooLarge ? error : new MalformedRequest({ detail: "the body is not valid UTF-8" })
  })
})

const decodeIngest = Schema.decodeUnknownResult(IngestQuery, { errors: "all", onExcessProperty: "error" })

/** Mode and what a bad row does; and the key under which a repetition is known. */
export const ingestAskedOf = Effect.fnUntraced(function* (request: Request, schema: string, table: string) {
  const result = decodeIngest(Object.fromEntries(paramsOf(request)))
  if (Result.isFailure(result)) return yield* invalidInput(result.failure.issue, "/query")
  const key = request.headers.get("idempotency-key") ?? undefined
  if (key !== undefined && !/^[\x21-\x7e]{1,200}$/u.test(key)) {
    return yield* new InvalidInput({
      errors: [{ pointer: "/headers/idempotency-key", detail: "expected 1 to 200 visible characters" }]
    })
  }
  const type = mediaTypeOf(request)
  if (type !== "text/csv" && type !== "application/x-ndjson") {
    return yield* new UnsupportedMediaType({ expected: "text/csv or application/x-ndjson" })
  }
  return {
    schema,
    table,
    mode: result.success.mode ?? ("append" as const),
    skip: result.success.on_error === "skip",
    format: type === "text/csv" ? ("csv" as const) : ("ndjson" as const),
    key
  }
})
