/** Decodes a request's query after its caller is known, so that a stranger's answer is 401 whatever they ask. */
import { Effect, Result, Schema } from "effect"
import { invalidInput } from "#shared/problem.ts"
import { BadInput } from "./BadInput.ts"

/** Unknown parameters are refused; faults are 400 with their names. */
export const queryOf = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) => {
  const decode = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })
  return (request: Request) =>
    Effect.suspend(() => {
      const result = decode(Object.fromEntries(new URL(request.url).searchParams))
      return Result.isSuccess(result)
        ? Effect.succeed(result.success)
        : Effect.fail(new BadInput({ errors: invalidInput(result.failure.issue, "/query").errors }))
    })
}
