/** The refusal of input whose form is wrong, as spec'd for this service (400); must not stand for a job that its kind refuses. */
import { Schema } from "effect"
import { InputFault, InvalidInput } from "#shared/domain/errors.ts"
import { accept } from "#shared/http.ts"

/**
 * A field that cannot be: out of range, unknown, no time, no cron expression. Has the `code` of InvalidInput, which remains
 * for what is well-formed and not acceptable: an unknown kind, a payload that its kind refuses.
 */
export class BadInput extends Schema.TaggedError<BadInput>()(
  "BadInput",
  { errors: Schema.Array(InputFault) },
  { httpApiStatus: 400 }
) {
  readonly code = "invalid_input"
  override get message() {
    return "the input is not acceptable"
  }
}

const refused = <A>(validate: () => A): A => {
  try {
    return validate()
  } catch (error) {
    throw error instanceof InvalidInput ? new BadInput({ errors: error.errors }) : error
  }
}

/** `accept` of shared/http.ts whose faults are BadInput. */
export const acceptForm = <S extends Schema.ConstraintDecoder<unknown>>(schema: S, under: "" | "/params" = "") => {
  const accepted = accept(schema, under)
  const standard = accepted["~standard"]
  const validate: typeof standard.validate = (value) => refused(() => standard.validate(value))
  return Object.assign(accepted, { "~standard": { ...standard, validate } })
}
