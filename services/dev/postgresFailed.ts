/** The one failure of the embedded Postgres and the way its files raise it; must know nothing about the server itself. */
import { Effect, Schema } from "effect"

/** The embedded Postgres cannot be had: `operation` is the step that failed, `detail` what went wrong and, where there is one, the way out. */
export class PostgresFailed extends Schema.TaggedError<PostgresFailed>()("PostgresFailed", {
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `embedded Postgres: ${this.operation}: ${this.detail}`
  }
}

/** Runs plain file or process code as a step that fails with `PostgresFailed`. */
export const attempt = <A>(operation: string, body: () => A): Effect.Effect<A, PostgresFailed> =>
  Effect.try({
    try: body,
    catch: (cause) => new PostgresFailed({ operation, detail: cause instanceof Error ? cause.message : String(cause) })
  })
