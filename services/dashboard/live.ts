/** The live stream of host values: connects, notices silence, reconnects with growing delay, rests while hidden; must know no screen. */
import type { HostSnapshot } from "#shared/api/monitor.ts"
import { api, ApiError } from "./api.ts"

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

interface Options {
  readonly onSnapshot: (snapshot: HostSnapshot) => void
  readonly onState: (state: StreamState) => void
}

/** Seconds between values; the monitor may send at this pace at most. */
const interval = 2

/** Milliseconds without a value after which a connection counts as lost, even if nobody closed it. */
const silence = 10_000

const firstDelay = 1000
const maxDelay = 30_000

/** Half fixed, half random, so that many open dashboards do not come back in the same instant. */
const delayOf = (attempt: number): number => {
  const full = Math.min(maxDelay, firstDelay * 2 ** attempt)
  return full / 2 + (Math.random() * full) / 2
}

/** Opens the stream; it lives until `stop`. */
export const openLive = ({ onSnapshot, onState }: Options): Live => {
  let source: EventSource | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let attempt = 0
  let since: string | null = null
  let stopped = false

  const close = () => {
    source?.close()
    source = undefined
    clearTimeout(timer)
  }

  const lost = (reason: string) => {
    close()
    onState({ kind: "stale", since, reason })
    timer = setTimeout(connect, delayOf(attempt++))
  }

  /** An EventSource hides the status of a refusal, so a plain request asks for it. */
  const refused = async () => {
    close()
    onState({ kind: "stale", since, reason: "The stream was cut." })
    try {
      const snapshot = await api.host()
      if (stopped || document.hidden) return
      since = snapshot.at
      onSnapshot(snapshot)
      lost("The stream was cut.")
    } catch (error) {
      if (stopped || document.hidden) return
      const status = error instanceof ApiError ? error.status : 0
      const reason = error instanceof Error ? error.message : "The stream was cut."
      if (status === 401) onState({ kind: "ended", since, reason: "Your session is over.", login: true })
      else if (status === 403) onState({ kind: "ended", since, reason, login: false })
      else lost(reason)
    }
  }

  const watch = () => {
    clearTimeout(timer)
    timer = setTimeout(() => lost("No value came for 10 seconds."), silence)
  }

  const connect = () => {
    close()
    if (stopped || document.hidden) return
    const opened = new EventSource(`/monitor/stream?interval=${interval}`)
    source = opened
    watch()
    opened.addEventListener("host", (event) => {
      const snapshot = JSON.parse(event.data as string) as HostSnapshot
      attempt = 0
      since = snapshot.at
      watch()
      onSnapshot(snapshot)
      onState({ kind: "live" })
    })
    opened.addEventListener("error", () => {
      if (source === opened) void refused()
    })
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

  const onOnline = () => retry()
  document.addEventListener("visibilitychange", onVisible)
  addEventListener("online", onOnline)
  retry()

  return {
    retry,
    stop: () => {
      stopped = true
      close()
      document.removeEventListener("visibilitychange", onVisible)
      removeEventListener("online", onOnline)
    }
  }
}
