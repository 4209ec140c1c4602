/** One request to the API server and its answer: deadline, retries where they are harmless, size limit, no leaked connection; must know no kind. */
import { Cause, Effect, type Scope, Stream } from "effect"
import { failureOf, formatFailed, parsed, unreachable } from "./failures.ts"
import type { KubernetesFailed } from "./Kubernetes.ts"

/** What a TLS connection is made with; verification is always on. */
export interface Tls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  /** Verified instead of the URL's host. */
  readonly serverName?: string
  readonly rejectUnauthorized: true
}

export interface Credentials {
  /** The whole header value. */
  readonly authorization?: string
  readonly tls?: Tls
}

export type SendInit = RequestInit & { readonly tls?: Tls; readonly timeout?: false }
/** `fetch`, or what stands for it: a simulated server's handler. */
export type Send = (url: string, init: SendInit) => Promise<Response>

/** Where the API server is and how to be let in. */
export interface Connection {
  readonly description: string
  /** Without a trailing slash. */
  readonly server: string
  readonly send: Send
  /** Asked for before each request, as tokens rotate; `refused` after a 401, so that what was cached is dropped. */
  readonly credentials: (refused: boolean) => Effect.Effect<Credentials, KubernetesFailed>
}

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Encoded, without the query. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly body?: unknown
  readonly contentType?: string
  /** Asking twice is harmless: 429 and 503 with Retry-After are tried again. */
  readonly repeatable?: boolean
  /** 30 s unless told. */
  readonly seconds?: number
}

export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly warnings: ReadonlyArray<string>
}

const defaultSeconds = 30
const maxTries = 3
/** A longer wait is the caller's to decide. */
const maxRetryAfterSeconds = 10
const maxAnswerBytes = 128 * 1024 * 1024

/** Failures from before a byte of the request was written: name, connection, and certificates, which are checked first. */
const notSent =
  /ECONNREFUSED|ConnectionRefused|FailedToOpenSocket|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|CERT|VERIFY|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|InvalidURL|ERR_INVALID/u

const networkFailure = (error: unknown): KubernetesFailed => {
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : ""
  const message = error instanceof Error ? error.message : String(error)
  return unreachable(code === "" || message.includes(code) ? message : `${message} (${code})`, !notSent.test(code))
}

/** The texts of `Warning: 299 - "text"` headers (RFC 7234 §5.5), several of which may be joined by commas. */
export const warningsOf = (header: string | null): ReadonlyArray<string> =>
  [...(header ?? "").matchAll(/\b\d{3} \S+ "((?:[^"\\]|\\.)*)"/gu)].map(([, text = ""]) =>
    text.replaceAll(/\\(.)/gu, "$1")
  )

const urlOf = (connection: Connection, call: Call): string => {
  const query = new URLSearchParams()
  for (const [key, value] of Object.entries(call.query ?? {})) if (value !== undefined) query.set(key, value)
  const text = query.toString()
  return `${connection.server}${call.path}${text === "" ? "" : `?${text}`}`
}

const initOf = (call: Call, credentials: Credentials, signal: AbortSignal): SendInit => ({
  method: call.method,
  redirect: "error",
  signal,
  headers: {
    accept: "application/json",
    "user-agent": "gatehouse",
    ...(call.body === undefined ? {} : { "content-type": call.contentType ?? "application/json" }),
    ...(credentials.authorization === undefined ? {} : { authorization: credentials.authorization })
  },
  ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
  ...(credentials.tls === undefined ? {} : { tls: credentials.tls })
})

const readAll = async (response: Response): Promise<string> => {
  const chunks: Array<Uint8Array> = []
  let size = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength
    // Leaving the loop cancels the body, and so frees the connection.
    if (size > maxAnswerBytes) throw new RangeError("the answer is too large")
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString("utf8")
}

const once = Effect.fnUntraced(function* (connection: Connection, call: Call, refused: boolean) {
  const credentials = yield* connection.credentials(refused)
  const { response, text } = yield* Effect.tryPromise({
    try: async (signal) => {
      const answer = await connection.send(urlOf(connection, call), initOf(call, credentials, signal))
      return { response: answer, text: await readAll(answer) }
    },
    catch: (error) => (error instanceof RangeError ? formatFailed(error.message) : networkFailure(error))
  }).pipe(
    Effect.timeoutOrElse({
      duration: `${call.seconds ?? defaultSeconds} seconds`,
      orElse: () => unreachable(`no answer within ${call.seconds ?? defaultSeconds} s`, true)
    })
  )
  const body = parsed(text)
  if (response.status >= 400) {
    return yield* failureOf(response.status, body, text, response.headers.get("retry-after"))
  }
  if (response.status < 200 || response.status > 299) {
    return yield* formatFailed(`an answer with status ${response.status}`)
  }
  return { status: response.status, body: body ?? text, warnings: warningsOf(response.headers.get("warning")) }
})

const worthRetrying = (failure: KubernetesFailed): failure is KubernetesFailed & { retryAfterSeconds: number } =>
  (failure.status === 429 || failure.status === 503) &&
  failure.retryAfterSeconds !== null &&
  failure.retryAfterSeconds <= maxRetryAfterSeconds

/** A 401 is tried once more with fresh credentials: the server has done nothing, and a token may just have been rotated. */
export const request = Effect.fnUntraced(function* (
  connection: Connection,
  call: Call
): Effect.fn.Return<Answer, KubernetesFailed> {
  let refused = false
  for (let tries = 1; ; tries += 1) {
    const result = yield* Effect.result(once(connection, call, refused))
    if (result._tag === "Success") return result.success
    const { failure } = result
    if (failure.status === 401 && !refused) {
      refused = true
      continue
    }
    if (call.repeatable !== true || tries >= maxTries || !worthRetrying(failure)) return yield* failure
    yield* Effect.sleep(`${failure.retryAfterSeconds} seconds`)
  }
})

/** The body of a streamed answer; the connection is closed with the scope. Only the wait for its head has a deadline. */
export const open = Effect.fnUntraced(function* (
  connection: Connection,
  call: Call
): Effect.fn.Return<Stream.Stream<Uint8Array, KubernetesFailed>, KubernetesFailed, Scope.Scope> {
  const abort = yield* Effect.acquireRelease(
    Effect.sync(() => new AbortController()),
    (controller) => Effect.sync(() => controller.abort())
  )
  const connect = Effect.fnUntraced(function* (refused: boolean) {
    const credentials = yield* connection.credentials(refused)
    return yield* Effect.tryPromise({
      try: () =>
        connection.send(urlOf(connection, call), { ...initOf(call, credentials, abort.signal), timeout: false }),
      catch: networkFailure
    }).pipe(
      Effect.timeoutOrElse({
        duration: `${call.seconds ?? defaultSeconds} seconds`,
        orElse: () => unreachable("no answer in time", true)
      })
    )
  })
  let response = yield* connect(false)
  if (response.status === 401) {
    yield* Effect.promise(() => response.body?.cancel() ?? Promise.resolve())
    response = yield* connect(true)
  }
  if (response.status !== 200) {
    const text = yield* Effect.tryPromise({ try: () => readAll(response), catch: networkFailure })
    return yield* failureOf(response.status, parsed(text), text, response.headers.get("retry-after"))
  }
  const body = response.body
  if (body === null) return Stream.empty
  return Stream.fromReadableStream({ evaluate: () => body, onError: networkFailure })
})

/** Splits bytes into lines without their ends (LF or CRLF); a last line without one counts. A line of more than `limit` characters fails. */
export const lines =
  (limit: number) =>
  (bytes: Stream.Stream<Uint8Array, KubernetesFailed>): Stream.Stream<string, KubernetesFailed> =>
    Stream.suspend(() => {
      const decoder = new TextDecoder()
      let rest = ""
      const take = (text: string): ReadonlyArray<string> => {
        const parts = (rest + text).split("\n")
        rest = parts.pop() ?? ""
        return parts.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line))
      }
      return bytes.pipe(
        Stream.mapEffect((chunk) => {
          const found = take(decoder.decode(chunk, { stream: true }))
          return rest.length > limit ? Effect.fail(formatFailed("a line is too long")) : Effect.succeed(found)
        }),
        Stream.concat(Stream.sync(() => (rest + decoder.decode() === "" ? [] : [rest]))),
        Stream.flatMap((found) => Stream.fromIterable(found))
      )
    })

/** Whether a cause holds a failure of the port (and not a defect). */
export const failureIn = (cause: Cause.Cause<KubernetesFailed>) => Cause.findErrorOption(cause)
