/** Sends a decided request to its upstream and streams the answer back (spec R3, R17); must decide nothing about who may. */
import { problemOf } from "#shared/problem.ts"
import type { Problem } from "#shared/api/problem.ts"

/**
 * Requests per upstream that wait for their first byte at once before further ones queue. The runtime keeps about this
 * many idle sockets to a host: beyond it every request pays for a new connection.
 */
const smoothInFlight = 64
/** Milliseconds a request queues at most: a slow upstream must not hold up its other requests. */
const maxQueueing = 50

interface Lane {
  inFlight: number
  readonly waiting: Array<() => void>
}

export interface ForwardRequest {
  readonly url: string
  readonly origin: string
  readonly method: string
  readonly headers: Headers
  readonly body: ReadableStream<Uint8Array> | null
  /** Bytes of the body at most, counted as they come; undefined for a small body whose length is declared. */
  readonly bodyLimit: number | undefined
  readonly signal: AbortSignal
  /** Milliseconds of silence until the first byte of the answer; a body that still comes is no silence. */
  readonly firstByteTimeoutMs: number
}

/** What becomes of a request: the upstream's answer as it came (head only; its body streams), or why there is none. */
export interface Outcome {
  readonly answered: (response: Response) => Response
  readonly failed: (problem: Problem) => Response
}

export interface Forwarder {
  readonly forward: (request: ForwardRequest, outcome: Outcome) => Promise<Response>
  readonly close: () => void
}

/** Deadlines are checked by one timer for all: a timer for each request costs more than what it guards. */
const tickMilliseconds = 250

/** One request on its way, from its turn to the answer's head: one object, because each closure costs on every request. */
class Exchange {
  /** On the clock that ticks: late by one tick at most. */
  deadline = 0
  late = false
  readonly request: ForwardRequest
  readonly outcome: Outcome
  readonly lane: Lane
  readonly resolve: (response: Response) => void
  readonly reject: (error: unknown) => void
  readonly controller: AbortController | undefined
  constructor(
    request: ForwardRequest,
    outcome: Outcome,
    lane: Lane,
    resolve: (response: Response) => void,
    reject: (error: unknown) => void,
    controller: AbortController | undefined
  ) {
    this.request = request
    this.outcome = outcome
    this.lane = lane
    this.resolve = resolve
    this.reject = reject
    this.controller = controller
  }
  expire(): void {
    this.late = true
    this.resolve(this.outcome.failed(problemOf(504, "upstream_timeout", "the service did not answer in time")))
    this.controller?.abort()
  }
  leave(): void {
    this.lane.inFlight--
    this.lane.waiting[0]?.()
  }
  answered(response: Response): void {
    this.leave()
    if (this.late) {
      response.body?.cancel().catch(() => {})
      return
    }
    try {
      this.resolve(this.outcome.answered(response))
    } catch (error) {
      this.reject(error)
    }
  }
  failed(error: unknown): void {
    this.leave()
    this.resolve(this.outcome.failed(problemOfFailure(error, this.request.signal.aborted)))
  }
}

export const makeForwarder = (): Forwarder => {
  const lanes = new Map<string, Lane>()
  const pending = new Set<Exchange>()
  let now = performance.now()

  const timer = setInterval(() => {
    now = performance.now()
    for (const one of pending) {
      if (one.deadline > now) continue
      pending.delete(one)
      one.expire()
    }
  }, tickMilliseconds)
  timer.unref?.()

  const laneOf = (origin: string): Lane => {
    const known = lanes.get(origin)
    if (known !== undefined) return known
    const lane: Lane = { inFlight: 0, waiting: [] }
    lanes.set(origin, lane)
    return lane
  }

  /** Whether the wait was in vain: nobody before has had an answer meanwhile. */
  const turn = (lane: Lane): Promise<boolean> =>
    new Promise((resolve) => {
      const leave = (inVain: boolean) => {
        clearTimeout(late)
        const place = lane.waiting.indexOf(go)
        if (place !== -1) lane.waiting.splice(place, 1)
        resolve(inVain)
      }
      const go = () => leave(false)
      const late = setTimeout(() => leave(true), maxQueueing)
      lane.waiting.push(go)
    })

  const send = (lane: Lane, request: ForwardRequest, outcome: Outcome, crowded: boolean): Promise<Response> =>
    new Promise((resolve, reject) => {
      lane.inFlight++
      const { body, bodyLimit, firstByteTimeoutMs, signal } = request
      // Only an upload, or a request to an upstream that keeps many waiting, gets a controller of its own: making and
      // linking one costs as much as all checks together. A late answer to one of the others is thrown away.
      const controller = body === null && !crowded ? undefined : new AbortController()
      if (controller !== undefined) signal.addEventListener("abort", () => controller.abort(), { once: true })
      const exchange = new Exchange(request, outcome, lane, resolve, reject, controller)
      const extend = () => {
        // A tick may be due at any moment: without it the wait could be shorter than promised.
        exchange.deadline = now + firstByteTimeoutMs + tickMilliseconds
      }
      extend()
      pending.add(exchange)
      const init: BunFetchRequestInit & { duplex?: string } = {
        method: request.method,
        headers: request.headers,
        redirect: "manual",
        signal: controller?.signal ?? signal,
        // Bun: hand the bytes through as they come; decoding them would leave Content-Encoding untrue.
        decompress: false
      }
      if (body !== null) {
        init.body = bodyLimit === undefined ? body : watchedBody(body, bodyLimit, extend)
        // Deno and Node want to be told that a stream is sent while the answer may already come.
        init.duplex = "half"
      }
      fetch(request.url, init).then(
        (response) => {
          pending.delete(exchange)
          exchange.answered(response)
        },
        (error: unknown) => {
          pending.delete(exchange)
          exchange.failed(error)
        }
      )
    })

  const forward = (request: ForwardRequest, outcome: Outcome): Promise<Response> => {
    const lane = laneOf(request.origin)
    return lane.inFlight < smoothInFlight
      ? send(lane, request, outcome, false)
      : turn(lane).then((inVain) => send(lane, request, outcome, inVain))
  }

  return { forward, close: () => clearInterval(timer) }
}

const problemOfFailure = (error: unknown, clientGone: boolean): Problem => {
  if (clientGone) return problemOf(503, "client_gone")
  if (error instanceof BodyTooLarge) return problemOf(413, "payload_too_large", error.message)
  return problemOf(502, "upstream_unreachable", "the service cannot be reached")
}

/** An upload without a declared length that grew past its route's limit. */
export class BodyTooLarge extends Error {
  constructor(limit: number) {
    super(`the body is larger than ${limit} bytes`)
  }
}

/** The body, telling of each chunk and failing with BodyTooLarge as soon as more than `limit` bytes came. */
const watchedBody = (
  body: ReadableStream<Uint8Array>,
  limit: number,
  onChunk: () => void
): ReadableStream<Uint8Array> => {
  let size = 0
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, out) {
        onChunk()
        size += chunk.byteLength
        if (size > limit) out.error(new BodyTooLarge(limit))
        else out.enqueue(chunk)
      }
    })
  )
}
