/** The scheduler's live stream for one screen: tells what changed, and when everything has to be asked for anew. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks"
import type { SchedulerEvent } from "#shared/api/scheduler.ts"
import { type Live, openLive, type StreamState } from "./live.ts"

interface Options {
  readonly onEvent: (event: SchedulerEvent) => void
  /** Something may have been missed. */
  readonly onReset: () => void
}

export const useJobsStream = ({ onEvent, onReset }: Options) => {
  const [state, setState] = useState<StreamState>({ kind: "connecting" })
  const live = useRef<Live>(undefined)
  const newest = useRef({ onEvent, onReset })
  newest.current = { onEvent, onReset }
  useEffect(() => {
    live.current = openLive({
      path: "/jobs/stream",
      pulse: "heartbeat",
      silence: 25_000,
      silenceReason: "Nothing was heard from the scheduler for 25 seconds.",
      onEvent: ({ data, event }) => {
        const message = { event, data: JSON.parse(data) } as SchedulerEvent
        if (message.event === "reset") newest.current.onReset()
        else newest.current.onEvent(message)
        return undefined
      },
      onState: (next) => setState((before) => (before.kind === "live" && next.kind === "live" ? before : next))
    })
    return () => live.current?.stop()
  }, [])
  return { state, retry: useCallback(() => live.current?.retry(), []) }
}
