/** Turns any failure into its one wire form, application/problem+json (RFC 9457); must show no internals and no rejected value. */
import { Cause, Schema, SchemaIssue } from "effect"
import type { Problem } from "./api/problem.ts"
import { InputFault, InvalidInput } from "./domain/errors.ts"

export const problemContentType = "application/problem+json"

const titles: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Not logged in",
  403: "Not allowed",
  404: "Not found",
  405: "Method not allowed",
  409: "Conflict",
  410: "Gone",
  413: "Too large",
  415: "Unsupported media type",
  421: "Unknown host",
  422: "Invalid input",
  423: "Not now",
  429: "Too many requests",
  431: "Request header fields too large",
  500: "Internal error",
  501: "Not implemented",
  502: "Upstream refused",
  503: "Unavailable",
  504: "Upstream too slow"
}

/** A problem made of its status and stable code, for faults that no error class stands for. */
export const problemOf = (status: number, code: string, detail?: string): Problem => ({
  type: `/problems/${code.replaceAll("_", "-")}`,
  title: titles[status] ?? "Error",
  status,
  code,
  ...(detail === undefined ? {} : { detail })
})

/** `UserNotFound` → `user_not_found`. */
const codeOf = (tag: string) => tag.replaceAll(/(?<=[a-z0-9])(?=[A-Z])/gu, "_").toLowerCase()

/** The status is the error class's `httpApiStatus` annotation; a class without one is a bug and shows as 500. */
const statusOf = (error: Error): number | undefined => {
  const schema: unknown = error.constructor
  if (!Schema.isSchema(schema)) return undefined
  const status = Schema.resolveAnnotations(schema)?.["httpApiStatus"]
  return typeof status === "number" ? status : undefined
}

const isFaults = Schema.is(Schema.Array(InputFault))

/**
 * The problem of an expected failure, or undefined where `error` is none (a defect: answer `internalProblem`). Its stable
 * code is made of its tag, unless it has a `code` of its own; faults that it names in `errors` are shown.
 */
export const problemOfError = (error: unknown): Problem | undefined => {
  if (!(error instanceof Error) || !("_tag" in error) || typeof error._tag !== "string") return undefined
  const status = statusOf(error)
  if (status === undefined) return undefined
  const code = "code" in error && typeof error.code === "string" ? error.code : codeOf(error._tag)
  if (error instanceof InvalidInput) {
    return { ...problemOf(status, code, "the input is not acceptable"), errors: error.errors }
  }
  const problem = problemOf(status, code, error.message)
  return "errors" in error && isFaults(error.errors) ? { ...problem, errors: error.errors } : problem
}

export const internalProblem: Problem = problemOf(500, "internal_error")

/** The response of a problem; `requestId` becomes `instance`. Errors are never cached. */
export const problemResponse = (problem: Problem, requestId?: string, headers?: Record<string, string>): Response =>
  new Response(JSON.stringify(requestId === undefined ? problem : { ...problem, instance: requestId }), {
    status: problem.status,
    headers: { "content-type": problemContentType, "cache-control": "no-store", ...headers }
  })

/** The response of a failed effect: the problem of its expected failure; an interruption is 503; all else an opaque 500. */
export const problemOfCause = (cause: Cause.Cause<unknown>): { readonly problem: Problem; readonly error: unknown } => {
  for (const reason of cause.reasons) {
    if (reason._tag === "Fail") {
      const problem = problemOfError(reason.error)
      return { problem: problem ?? internalProblem, error: reason.error }
    }
  }
  if (Cause.hasInterruptsOnly(cause)) return { problem: problemOf(503, "interrupted"), error: undefined }
  return { problem: internalProblem, error: undefined }
}

const pointer = (path: ReadonlyArray<unknown> | undefined) =>
  (path ?? [])
    .map((part) => {
      const key = typeof part === "object" && part !== null && "key" in part ? part.key : part
      return `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`
    })
    .join("")

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** The value a schema issue rejects must not reach the client: only where it is and what was expected. */
const detailOf = (message: string) => message.replace(/, (?:actual|got) .*$/su, "").slice(0, 200)

/** All faults of a failed decode as one InvalidInput; `under` is the pointer of the decoded part, e.g. "/query". */
export const invalidInput = (issue: SchemaIssue.Issue, under = ""): InvalidInput =>
  new InvalidInput({ errors: faultsOf(formatIssue(issue).issues, under) })

/** The same for issues that a Standard Schema consumer hands over. */
export const faultsOf = (
  issues: ReadonlyArray<{ readonly message: string; readonly path?: ReadonlyArray<unknown> | undefined }>,
  under = ""
) => issues.map((found) => ({ pointer: under + pointer(found.path), detail: detailOf(found.message) }))
