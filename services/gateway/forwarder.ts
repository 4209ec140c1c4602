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

/** An upstream request until its first byte. */
interface Pending {
  readonly deadline: number
  readonly controller: AbortController
  timedOut: boolean
}

export interface ForwardRequest {
  readonly url: string
  readonly origin: string
  readonly method: string
  readonly headers: Record<string, string>
  readonly body: ReadableStream<Uint8Array> | null
  readonly signal: AbortSignal
  readonly firstByteTimeoutMs: number
}

/** The upstream's answer as it came (head only; its body streams), or why there is none. */
export type Forwarded =
  | { readonly _tag: "Answer"; readonly response: Response; readonly controller: AbortController }
  | { readonly _tag: "Failed"; readonly problem: Problem }

export interface Forwarder {
  readonly forward: (request: ForwardRequest) => Promise<Forwarded>
  readonly close: () => void
}

const failed = (problem: Problem): Forwarded => ({ _tag: "Failed", problem })

/** Deadlines are checked by one timer for all: a timer for each request costs more than what it guards. */
const tickMilliseconds = 250

export const makeForwarder = (): Forwarder => {
  const lanes = new Map<string, Lane>()
  const pending = new Set<Pending>()

  const timer = setInterval(() => {
    const now = performance.now()
    for (const one of pending) {
      if (one.deadline > now) continue
      one.timedOut = true
      one.controller.abort()
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

  const turn = (lane: Lane): Promise<void> =>
    new Promise((resolve) => {
      const go = () => {
        clearTimeout(late)
        const place = lane.waiting.indexOf(go)
        if (place !== -1) lane.waiting.splice(place, 1)
        resolve()
      }
      const late = setTimeout(go, maxQueueing)
      lane.waiting.push(go)
    })

  const forward = async (request: ForwardRequest): Promise<Forwarded> => {
    const lane = laneOf(request.origin)
    if (lane.inFlight >= smoothInFlight) await turn(lane)
    if (request.signal.aborted) return failed(problemOf(503, "client_gone"))
    lane.inFlight++
    const controller = new AbortController()
    const onAbort = () => controller.abort()
    request.signal.addEventListener("abort", onAbort, { once: true })
    const waiting: Pending = { deadline: performance.now() + request.firstByteTimeoutMs, controller, timedOut: false }
    pending.add(waiting)
    try {
      const response = await fetch(request.url, {
        method: request.method,
        headers: request.headers,
        body: request.body,
        redirect: "manual",
        signal: controller.signal,
        // Bun: hand the bytes through as they come; decoding them would leave Content-Encoding untrue.
        decompress: false,
        // Deno and Node want to be told that a stream is sent while the answer may already come.
        duplex: "half"
      } as RequestInit)
      return { _tag: "Answer", response, controller }
    } catch (error) {
      request.signal.removeEventListener("abort", onAbort)
      if (waiting.timedOut) return failed(problemOf(504, "upstream_timeout", "the service did not answer in time"))
      if (request.signal.aborted) return failed(problemOf(503, "client_gone"))
      if (error instanceof BodyTooLarge) return failed(problemOf(413, "payload_too_large", error.message))
      return failed(problemOf(502, "upstream_unreachable", "the service cannot be reached"))
    } finally {
      pending.delete(waiting)
      lane.inFlight--
      lane.waiting[0]?.()
    }
  }

  return { forward, close: () => clearInterval(timer) }
}

/** An upload without a declared length that grew past its route's limit. */
export class BodyTooLarge extends Error {
  constructor(limit: number) {
    super(`the body is larger than ${limit} bytes`)
  }
}

/** The body, failing with BodyTooLarge as soon as more than `limit` bytes came. */
export const limitedBody = (body: ReadableStream<Uint8Array>, limit: number): ReadableStream<Uint8Array> => {
  let size = 0
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, out) {
        size += chunk.byteLength
        if (size > limit) out.error(new BodyTooLarge(limit))
        else out.enqueue(chunk)
      }
    })
  )
}
