/** A log as it comes: lines in order, none twice after a new connection, until its end; must keep no line. */
import { ApiError } from "./api.ts"
import { readEvents, type ServerEvent } from "./sse.ts"

export interface LogLine {
  /** When it was written (RFC 3339), null where nobody knows. */
  readonly at: string | null
  readonly text: string
  readonly level?: string
}

export type LogState =
  | { readonly kind: "loading" }
  /** More may come. */
  | { readonly kind: "following" }
  /** All there is. */
  | { readonly kind: "complete"; readonly detail: string }
  | { readonly kind: "failed"; readonly detail: string }

export interface LogSource {
  /** Names the log: another key is another log. */
  readonly key: string
  /** Where to read; `seconds` since the last line that came, undefined at first. */
  readonly path: (seconds: number | undefined) => string
  /** Whether a new connection resumes by `Last-Event-ID`; otherwise lines up to the last time are dropped. */
  readonly resumes: boolean
  readonly lineOf: (event: ServerEvent) => LogLine | undefined
}

interface Options extends LogSource {
  readonly onLines: (lines: ReadonlyArray<LogLine>) => void
  readonly onState: (state: LogState) => void
}

/** Milliseconds in which lines are gathered, so that a loud program does not stop the page. */
const gather = 120
const maxDelay = 20_000
/** Milliseconds without a line or a heartbeat after which a connection counts as lost. */
const silence = 30_000
/** Seconds that may be asked for. */
const maxSeconds = 604_800

/** Digits of a second in full, so that times compare as text. */
const comparable = (at: string): string => {
  const [, seconds, fraction = "", zone] = /^(.*?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/u.exec(at) ?? []
  return seconds === undefined ? at : `${seconds}.${fraction.padEnd(9, "0")}${zone}`
}

/** Opens the log; gives the function that ends it. */
export const openLog = ({ lineOf, onLines, onState, path, resumes }: Options): (() => void) => {
  const stop = new AbortController()
  let waiting: Array<LogLine> = []
  let timer: ReturnType<typeof setTimeout> | undefined
  let watch: ReturnType<typeof setTimeout> | undefined
  let lastEventId = ""
  let newest = ""
  let attempt = 0

  const flush = () => {
    timer = undefined
    const lines = waiting
    waiting = []
    if (lines.length > 0 && !stop.signal.aborted) onLines(lines)
  }

  const close = () => {
    stop.abort()
    clearTimeout(timer)
    clearTimeout(watch)
  }
  const finish = (end: LogState) => {
    flush()
    onState(end)
    close()
  }

  const connect = async (): Promise<void> => {
    const resumedAt = newest
    const passed = resumedAt === "" ? undefined : Math.ceil((Date.now() - Date.parse(resumedAt)) / 1000) + 1
    const seconds = passed === undefined ? undefined : Math.min(maxSeconds, Math.max(1, passed))
    const silent = new AbortController()
    clearTimeout(watch)
    watch = setTimeout(() => silent.abort(), silence)
    await readEvents(path(resumes ? undefined : seconds), {
      lastEventId: resumes ? lastEventId : "",
      signal: AbortSignal.any([stop.signal, silent.signal]),
      onAlive: () => {
        clearTimeout(watch)
        watch = setTimeout(() => silent.abort(), silence)
        onState({ kind: "following" })
      },
      onEvent: (event) => {
        attempt = 0
        lastEventId = event.id
        if (event.event === "end") {
          const { detail = "", reason = "complete" } = JSON.parse(event.data) as { reason?: string; detail?: string }
          if (reason === "complete") finish({ kind: "complete", detail })
          else if (reason === "failed") finish({ kind: "failed", detail: detail || "The log could not be read on." })
          return
        }
        const line = lineOf(event)
        if (line === undefined) return
        if (!resumes && line.at !== null) {
          const at = comparable(line.at)
          if (resumedAt !== "" && at <= comparable(resumedAt)) return
          newest = line.at
        }
        waiting.push(line)
        timer ??= setTimeout(flush, gather)
      }
    })
  }

  const run = async () => {
    onState({ kind: "loading" })
    for (;;) {
      let reason = "The stream was cut."
      try {
        await connect()
      } catch (error) {
        if (stop.signal.aborted) return
        if (error instanceof ApiError) {
          reason = error.message
          if (error.status >= 400 && error.status < 500 && error.status !== 429) {
            finish({ kind: "failed", detail: reason })
            return
          }
        }
        if (attempt > 4) {
          finish({ kind: "failed", detail: reason })
          return
        }
      }
      if (stop.signal.aborted) return
      const delay = Math.min(maxDelay, 500 * 2 ** attempt++)
      await new Promise((resolve) => {
        setTimeout(resolve, delay / 2 + (Math.random() * delay) / 2)
      })
      if (stop.signal.aborted) return
    }
  }
  void run()
  return close
}
