/** One live stream: connects, resumes, notices silence, reconnects with growing delay, rests while hidden; must know no event and no screen. */
import { ApiError } from "./api.ts"
import { readEvents, type ServerEvent } from "./sse.ts"

export type StreamState =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" }
  /** The page is hidden: nothing is asked for. */
  | { readonly kind: "paused" }
  /** Values are old; `since` is the time of the last one, null if there never was one. Another attempt is under way or due. */
  | { readonly kind: "stale"; readonly since: string | null; readonly reason: string }
  /** No further attempt helps: the session is over, or the right was taken. */
  | { readonly kind: "ended"; readonly since: string | null; readonly reason: string; readonly login: boolean }

export interface Live {
  readonly stop: () => void
  /** Tries at once instead of waiting. */
  readonly retry: () => void
}

export interface LiveOptions {
  readonly path: string
  /** What makes the stream live: each event, or anything at all, where a quiet stream only beats. */
  readonly pulse: "event" | "heartbeat"
  /** Milliseconds without a pulse after which a connection counts as lost, even if nobody closed it. */
  readonly silence: number
  readonly silenceReason: string
  /** Gives the time that the event speaks of, if it names one. */
  readonly onEvent: (event: ServerEvent) => string | undefined
  readonly onState: (state: StreamState) => void
}

/** Milliseconds after which the end of a stream is no fault of it. */
const steady = 5000

const firstDelay = 1000
const maxDelay = 30_000

/** Half fixed, half random, so that many open dashboards do not come back in the same instant. */
const delayOf = (attempt: number): number => {
  const full = Math.min(maxDelay, firstDelay * 2 ** attempt)
  return full / 2 + (Math.random() * full) / 2
}

/** Opens the stream; it lives until `stop`. A new connection asks for what came after the last event of the one before. */
export const openLive = ({ onEvent, onState, path, pulse, silence, silenceReason }: LiveOptions): Live => {
  let connection: AbortController | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let attempt = 0
  let since: string | null = null
  let lastEventId = ""
  let stopped = false

  const close = () => {
    connection?.abort()
    connection = undefined
    clearTimeout(timer)
  }

  const lost = (reason: string) => {
    close()
    onState({ kind: "stale", since, reason })
    timer = setTimeout(connect, delayOf(attempt++))
  }

  const end = (reason: string, login: boolean) => {
    close()
    onState({ kind: "ended", since, reason, login })
  }

  const alive = (at: string | undefined) => {
    attempt = 0
    since = at ?? new Date().toISOString()
    clearTimeout(timer)
    timer = setTimeout(() => lost(silenceReason), silence)
    onState({ kind: "live" })
  }

  const run = async (mine: AbortController) => {
    const current = () => connection === mine
    const opened = performance.now()
    try {
      await readEvents(path, {
        lastEventId,
        signal: mine.signal,
        onAlive: () => {
          if (current() && pulse === "heartbeat") alive(undefined)
        },
        onEvent: (event) => {
          if (!current()) return
          lastEventId = event.id
          const at = onEvent(event)
          if (pulse === "event") alive(at)
        }
      })
      if (!current()) return
      // A stream ends in order when the proof of identity it was opened with does: the next one goes on from there.
      if (performance.now() - opened > steady) connect()
      else lost("The stream was cut.")
    } catch (error) {
      if (!current()) return
      if (!(error instanceof ApiError)) lost("The stream was cut.")
      else if (error.status === 401) end("Your session is over.", true)
      else if (error.status === 403) end(error.message, false)
      else lost(error.message)
    }
  }

  const connect = () => {
    close()
    if (stopped || document.hidden) return
    connection = new AbortController()
    timer = setTimeout(() => lost(silenceReason), silence)
    void run(connection)
  }

  const onVisible = () => {
    if (document.hidden) {
      close()
      onState({ kind: "paused" })
    } else retry()
  }

  const retry = () => {
    attempt = 0
    onState({ kind: "connecting" })
    connect()
  }

  document.addEventListener("visibilitychange", onVisible)
  addEventListener("online", retry)
  retry()

  return {
    retry,
    stop: () => {
      stopped = true
      close()
      document.removeEventListener("visibilitychange", onVisible)
      removeEventListener("online", retry)
    }
  }
}
