/** What the overview shows: the newest snapshot, the stream's state, and frames for the chosen range; must draw nothing. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks"
import type { HostSnapshot } from "#shared/api/monitor.ts"
import { api } from "./api.ts"
import { type Live, openLive, type StreamState } from "./live.ts"
import { append, fill, type Frame, frameOf, framesOf, overviewMetrics } from "./series.ts"

export type Range = "5m" | "1h" | "24h" | "7d"
export type Aggregate = "avg" | "max"

export const rangeSeconds: Readonly<Record<Range, number>> = { "5m": 300, "1h": 3600, "24h": 86_400, "7d": 604_800 }

/** Seconds between values; the monitor may send at this pace at most. */
const interval = 2

/** A piece of history: `gap` is how far apart two points may be and still be joined. */
export interface Window {
  readonly frames: ReadonlyArray<Frame>
  readonly from: number
  readonly to: number
  readonly gap: number
}

/** History has a point every 10 s at best, so live values may be that far apart where it fills a hole. */
const liveGap = 25
/** Milliseconds between two looks at history that may show a new point. */
const refreshAtLeast = 30_000

/** More would only make a line of this size noisier. */
const points = 180

const loadWindow = async (seconds: number, agg: Aggregate): Promise<Window> => {
  const from = new Date(Date.now() - seconds * 1000).toISOString()
  const step = Math.max(10, Math.round(seconds / points / 10) * 10)
  const histories = await Promise.all(overviewMetrics.map((metric) => api.history({ metric, from, step, agg })))
  const first = histories[0]!
  const widest = Math.max(...histories.map((history) => history.step))
  return {
    frames: framesOf(histories),
    from: Date.parse(first.from) / 1000,
    to: Date.parse(first.to) / 1000,
    gap: widest * 2.5
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : "History could not be loaded.")

/** The live part: runs as long as the component lives. */
export const useLive = () => {
  const [snapshot, setSnapshot] = useState<HostSnapshot>()
  const [state, setState] = useState<StreamState>({ kind: "connecting" })
  const [frames, setFrames] = useState<ReadonlyArray<Frame>>([])
  const [error, setError] = useState<string>()
  const live = useRef<Live>(undefined)

  useEffect(() => {
    let running = true
    let complete = false
    const refill = async () => {
      try {
        const window = await loadWindow(rangeSeconds["5m"], "avg")
        if (!running) return
        setFrames((frames) => fill(frames, window.frames, 10))
        setError(undefined)
      } catch (cause) {
        if (running) setError(messageOf(cause))
      }
    }
    live.current = openLive({
      path: `/monitor/stream?interval=${interval}`,
      pulse: "event",
      silence: 10_000,
      silenceReason: "No value came for 10 seconds.",
      onEvent: ({ data, event }) => {
        if (event !== "host") return undefined
        const next = JSON.parse(data) as HostSnapshot
        setSnapshot(next)
        setFrames((frames) => append(frames, frameOf(next), rangeSeconds["5m"]))
        return next.at
      },
      onState: (next) => {
        setState(next)
        if (next.kind !== "live") complete = false
        else if (!complete) {
          complete = true
          void refill()
        }
      }
    })
    return () => {
      running = false
      live.current?.stop()
    }
  }, [])

  const to = frames.at(-1)?.at ?? Date.now() / 1000
  const window: Window = { frames, from: to - rangeSeconds["5m"], to, gap: liveGap }
  return { snapshot, state, window, error, retry: useCallback(() => live.current?.retry(), []) }
}

/** History of a longer range, looked at again as often as it can have grown; undefined for the live range. */
export const useHistory = (range: Range, agg: Aggregate) => {
  const [window, setWindow] = useState<Window>()
  const [error, setError] = useState<string>()
  const [attempt, setAttempt] = useState(0)

  useEffect(() => {
    setWindow(undefined)
    setError(undefined)
    if (range === "5m") return
    let running = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const load = async () => {
      if (document.hidden) {
        document.addEventListener("visibilitychange", onVisible, { once: true })
        return
      }
      let wait = refreshAtLeast
      try {
        const next = await loadWindow(rangeSeconds[range], agg)
        if (!running) return
        setWindow(next)
        setError(undefined)
        wait = Math.max(refreshAtLeast, (next.gap / 2.5) * 1000)
      } catch (cause) {
        if (!running) return
        setError(messageOf(cause))
      }
      timer = setTimeout(() => void load(), wait)
    }
    const onVisible = () => void load()
    void load()
    return () => {
      running = false
      clearTimeout(timer)
      document.removeEventListener("visibilitychange", onVisible)
    }
  }, [range, agg, attempt])

  return { window, error, retry: useCallback(() => setAttempt((before) => before + 1), []) }
}
