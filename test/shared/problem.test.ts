/** The wire form of failures: the right status, pointers by RFC 6901, and never a value that was rejected nor an internal. */
import { describe, expect, test } from "bun:test"
import { Cause, Exit, Effect, Result, Schema } from "effect"
import * as errors from "#shared/domain/errors.ts"
import {
  faultsOf,
  internalProblem,
  invalidInput,
  problemOf,
  problemOfCause,
  problemOfError,
  problemResponse
} from "#shared/problem.ts"

const secret = "hunter2-value"
const faults = (schema: Schema.ConstraintDecoder<unknown>, value: unknown, under = "") => {
  const result = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })(value)
  if (Result.isSuccess(result)) throw new Error("the value was accepted")
  return invalidInput(result.failure.issue, under).errors
}

describe("a rejected value", () => {
  const Pattern = Schema.String.check(Schema.isPattern(/^[a-z]+$/u, { expected: "lower-case letters" }))
  const unions = Schema.Union([
    Schema.Struct({ kind: Schema.Literal("a"), x: Schema.Int }),
    Schema.Struct({ kind: Schema.Literal("b"), y: Schema.Literals(["p", "q"]) })
  ])
  const schemas: ReadonlyArray<readonly [string, Schema.ConstraintDecoder<unknown>, unknown]> = [
    ["a literal", Schema.Literal("yes"), secret],
    ["literals", Schema.Literals(["yes", "no"]), secret],
    ["a pattern", Pattern, secret],
    ["a pattern without words of its own", Schema.String.check(Schema.isPattern(/^x$/u)), secret],
    ["a type", Schema.Int, secret],
    ["a length", Schema.String.check(Schema.isMaxLength(3)), secret],
    ["a number from text", Schema.FiniteFromString, secret],
    ["a date from text", Schema.DateFromString, secret],
    ["a range", Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })), 424_242],
    ["an object for a text", Schema.String, { [secret]: secret }],
    ["a list for a text", Schema.String, [secret, { deep: secret }]],
    ["a text with line breaks", Schema.Literal("yes"), `a\n${secret}\n, got ${secret}`],
    ["a text with our own words", Schema.Literal("yes"), `, actual x, got ${secret}`],
    ["JSON in a text", Schema.fromJsonString(Schema.Struct({ a: Schema.Int })), `{"a":"${secret}"`],
    ["JSON of a wrong form in a text", Schema.fromJsonString(Schema.Struct({ a: Schema.Int })), `{"a":"${secret}"}`],
    ["a nested field", Schema.Struct({ a: Schema.Struct({ b: Schema.Array(Schema.Int) }) }), { a: { b: [1, secret] } }],
    ["a union", unions, { kind: secret }],
    ["a member of a union", unions, { kind: "b", y: secret }],
    ["a union of plain values", Schema.Union([Schema.Int, Schema.Boolean]), secret],
    ["a tuple", Schema.Tuple([Schema.Int, Schema.Int]), [secret, secret]],
    ["a record's value", Schema.Record(Schema.String, Schema.Int), { a: secret }],
    ["a branded text", Pattern.pipe(Schema.brand("B")), secret],
    ["an own check", Schema.String.check(Schema.makeFilter((text) => text.length < 3)), secret],
    ["an unknown field's value", Schema.Struct({ a: Schema.optionalKey(Schema.Int) }), { b: secret }],
    ["a secret of its own kind", Schema.RedactedFromValue(Pattern), secret]
  ]
  for (const [what, schema, value] of schemas) {
    test(`of ${what} is not repeated`, () => {
      const found = faults(schema, value)
      expect(found.length).toBeGreaterThan(0)
      const text = JSON.stringify(found)
      expect(text).not.toContain("hunter2")
      expect(text).not.toContain("424242")
      expect(found.every(({ detail }) => detail.length > 0 && detail.length <= 200)).toBe(true)
    })
  }
})

test("a value that a schema's own message repeats is cut off", () => {
  for (const word of ["got", "actual"]) {
    const found = faultsOf([{ message: `Expected a name, ${word} "${secret}\n${secret}"`, path: ["a"] }])
    expect(found).toEqual([{ pointer: "/a", detail: "Expected a name" }])
  }
  expect(faultsOf([{ message: "x".repeat(1000) }])[0]?.detail.length).toBe(200)
})

describe("a pointer", () => {
  test("names every fault at once, through objects and lists", () => {
    const schema = Schema.Struct({ a: Schema.Int, list: Schema.Array(Schema.Struct({ b: Schema.Int })) })
    const found = faults(schema, { a: "x", list: [{ b: 1 }, { b: "x" }], more: 1 })
    expect(found.map(({ pointer }) => pointer).toSorted()).toEqual(["/a", "/list/1/b", "/more"])
    expect(faults(schema, {}).map(({ pointer }) => pointer)).toEqual(["/a", "/list"])
  })
  test("is empty for the whole and starts with the decoded part", () => {
    expect(faults(Schema.Int, "x")[0]?.pointer).toBe("")
    expect(faults(Schema.Struct({ a: Schema.Int }), { a: "x" }, "/query")[0]?.pointer).toBe("/query/a")
  })
  test("escapes ~ and / as RFC 6901 says, ~ first", () => {
    const found = faults(Schema.Record(Schema.String, Schema.Int), { "a/b": "x", "c~d": "x", "~1": "x" })
    expect(found.map(({ pointer }) => pointer)).toEqual(["/a~1b", "/c~0d", "/~01"])
    expect(faultsOf([{ message: "m", path: [{ key: "a/b" }, 0] }])[0]?.pointer).toBe("/a~1b/0")
  })
})

describe("an expected failure", () => {
  test("has the status that its class is annotated with", () => {
    const table = [
      [new errors.MalformedRequest({ detail: "d" }), 400, "malformed_request"],
      [new errors.Unauthorized({ detail: "d" }), 401, "unauthorized"],
      [new errors.Forbidden({ detail: "d" }), 403, "forbidden"],
      [new errors.NotFound({ resource: "user" }), 404, "not_found"],
      [new errors.Conflict({ detail: "d" }), 409, "conflict"],
      [new errors.PayloadTooLarge({ limit: 1 }), 413, "payload_too_large"],
      [new errors.UnsupportedMediaType({ expected: "x" }), 415, "unsupported_media_type"],
      [new errors.InvalidInput({ errors: [] }), 422, "invalid_input"],
      [new errors.Unavailable({ dependency: "DB", retryAfterSeconds: 2 }), 503, "unavailable"]
    ] as const
    for (const [error, status, code] of table) {
      expect(problemOfError(error)).toMatchObject({ status, code, type: `/problems/${code.replaceAll("_", "-")}` })
    }
    // A new error class gets a line above.
    const classes = Object.values(errors).filter((value) => "prototype" in value && value.prototype instanceof Error)
    expect(classes.length).toBe(table.length)
  })
  test("lists the faults of bad input", () => {
    const problem = problemOfError(new errors.InvalidInput({ errors: [{ pointer: "/a", detail: "an integer" }] }))
    expect(problem).toMatchObject({
      detail: "the input is not acceptable",
      errors: [{ pointer: "/a", detail: "an integer" }]
    })
  })
  test("without a status of its own is a defect", () => {
    class Odd extends Schema.TaggedError<Odd>()("Odd", { detail: Schema.String }) {}
    expect(problemOfError(new Odd({ detail: secret }))).toBeUndefined()
    expect(problemOfCause(Cause.fail(new Odd({ detail: secret }))).problem).toEqual(internalProblem)
    expect(problemOfError(Object.assign(new Error(secret), { _tag: "Forged" }))).toBeUndefined()
  })
})

describe("a defect", () => {
  const causeOf = async (effect: Effect.Effect<unknown, unknown>) => {
    const exit = await Effect.runPromise(Effect.exit(effect))
    if (!Exit.isFailure(exit)) throw new Error("it succeeded")
    return exit.cause
  }
  test("is an opaque 500, with the request id and not cached", async () => {
    for (const effect of [
      Effect.die(new Error(secret)),
      Effect.die(secret),
      Effect.sync(() => {
        throw new TypeError(secret)
      }),
      Effect.fail(new Error(secret)),
      Effect.fail({ status: 200, message: secret })
    ]) {
      const { problem } = problemOfCause(await causeOf(effect))
      const response = problemResponse(problem, "0190e0a0-0000-7000-8000-000000000001")
      const body = await response.text()
      expect(response.status).toBe(500)
      expect(body).not.toContain("hunter2")
      expect(JSON.parse(body)).toEqual({
        type: "/problems/internal-error",
        title: "Internal error",
        status: 500,
        code: "internal_error",
        instance: "0190e0a0-0000-7000-8000-000000000001"
      })
      expect(response.headers.get("content-type")).toBe("application/problem+json")
      expect(response.headers.get("cache-control")).toBe("no-store")
    }
  })
  test("is not what an interruption is", async () => {
    expect(problemOfCause(await causeOf(Effect.interrupt)).problem).toEqual(problemOf(503, "interrupted"))
  })
})
