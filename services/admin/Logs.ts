/** Logs of containers as server-sent events, bounded per user; must keep no line. */
import { Context, type Effect, Schema, type Stream } from "effect"
import type { InvalidInput } from "#shared/domain/errors.ts"
import type { Upstream } from "./upstream.ts"

/** Query of GET /admin/ns/:ns/pods/:pod/logs. */
export const LogQuery = Schema.Struct({
  container: Schema.optionalKey(Schema.String),
  /** "true": the container's previous instance. */
  previous: Schema.optionalKey(Schema.Literals(["true", "false"])),
  follow: Schema.optionalKey(Schema.Literals(["true", "false"])),
  sinceSeconds: Schema.optionalKey(Schema.String),
  /** Lines from the end, 500 if absent; 0 gives none. */
  tailLines: Schema.optionalKey(Schema.String)
})
export type LogQuery = typeof LogQuery.Type

/** There is no such pod, or no such container in it. */
export class PodNotFound extends Schema.TaggedError<PodNotFound>()(
  "PodNotFound",
  { pod: Schema.String },
  { httpApiStatus: 404 }
) {
  override get message() {
    return `pods "${this.pod}" not found`
  }
}

/** The container has not been restarted: it has no previous instance. */
export class NoPrevious extends Schema.TaggedError<NoPrevious>()(
  "NoPrevious",
  { pod: Schema.String },
  { httpApiStatus: 404 }
) {
  override get message() {
    return `no previous terminated container in pod "${this.pod}"`
  }
}

/** The user has as many log streams open as they may. */
export class TooManyStreams extends Schema.TaggedError<TooManyStreams>()(
  "TooManyStreams",
  { limit: Schema.Int },
  { httpApiStatus: 429 }
) {
  override get message() {
    return `no more than ${this.limit} log streams at a time`
  }
}

/** `line`: one line; `end`: no more will come, and why. Fits `eventStream` of #shared/http.ts. */
export type LogEvent =
  | {
      readonly event: "line"
      readonly id: string
      /** `at`: when it was written (RFC 3339), null where the runtime does not tell. */
      readonly data: { readonly at: string | null; readonly text: string }
    }
  | {
      readonly event: "end"
      readonly id: string
      readonly data: { readonly reason: "complete" | "expired" | "failed"; readonly detail: string }
    }

export interface LogRequest {
  readonly namespace: string
  readonly pod: string
  readonly query: LogQuery
  /** Whose streams are counted. */
  readonly userId: string
  /** Milliseconds since the epoch when the caller's proof of identity ends, and with it the stream. */
  readonly until?: number
}

export class Logs extends Context.Service<
  Logs,
  {
    /** The stream is counted from its first pull to its end. Every refusal comes before its first event, as a status. */
    readonly open: (
      request: LogRequest
    ) => Effect.Effect<Stream.Stream<LogEvent>, InvalidInput | PodNotFound | NoPrevious | TooManyStreams | Upstream>
  }
>()("gatehouse/admin/Logs") {}
