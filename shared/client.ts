/** The one adapter around outgoing HTTP of the control paths: JSON by schema, with a deadline and a size limit; the gateway's data path does not pass here. */
import { type Duration, Effect, Schema } from "effect"

/** A peer that did not answer as agreed. `retryable` is false where asking again gives the same answer. */
export class PeerFailed extends Schema.TaggedError<PeerFailed>()("PeerFailed", {
  host: Schema.String,
  reason: Schema.Literals(["unreachable", "timeout", "status", "format"]),
  status: Schema.NullOr(Schema.Int),
  retryable: Schema.Boolean
}) {
  override get message() {
    return `${this.host}: ${this.reason}${this.status === null ? "" : ` ${this.status}`}`
  }
}

interface Options {
  readonly timeout: Duration.Input
  readonly init?: RequestInit
  /** Bytes of answer that are read at most; 1 MiB unless told. */
  readonly limit?: number
}

/** Sends a request and gives its answer, any status; a redirect is an answer, never followed. */
export const send = Effect.fnUntraced(function* (url: URL, options: Options) {
  const host = url.host
  const limit = options.limit ?? 1024 * 1024
  return yield* Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(url, { redirect: "error", ...options.init, signal })
      const chunks: Array<Uint8Array> = []
      let size = 0
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
        size += chunk.byteLength
        if (size > limit) throw new RangeError("answer too large")
        chunks.push(chunk)
      }
      return { status: response.status, headers: response.headers, text: Buffer.concat(chunks).toString("utf8") }
    },
    catch: (error) =>
      error instanceof RangeError
        ? new PeerFailed({ host, reason: "format", status: null, retryable: false })
        : new PeerFailed({ host, reason: "unreachable", status: null, retryable: true })
  }).pipe(
    Effect.timeoutOrElse({
      duration: options.timeout,
      orElse: () => new PeerFailed({ host, reason: "timeout", status: null, retryable: true })
    })
  )
})

/** Sends a request whose answer must be 2xx JSON of the given schema. */
export const fetchJson = <S extends Schema.ConstraintDecoder<unknown>>(url: URL, schema: S, options: Options) =>
  Effect.gen(function* () {
    const answer = yield* send(url, options)
    if (answer.status < 200 || answer.status > 299) {
      return yield* new PeerFailed({
        host: url.host,
        reason: "status",
        status: answer.status,
        retryable: answer.status >= 500 || answer.status === 429
      })
    }
    return yield* Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(answer.text).pipe(
      Effect.mapError(() => new PeerFailed({ host: url.host, reason: "format", status: null, retryable: false }))
    )
  })
