/** A log to read along: follows unless one scrolls up, filters, wraps, saves; keeps a bounded number of lines, all of them text. */
import type { ComponentChildren } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { type LogLine, openLog, type LogSource, type LogState } from "../logStream.ts"
import { saveAs } from "../saveAs.ts"
import { Icon } from "./Icon.tsx"

/** Lines kept; the oldest go first. */
const maxLines = 3000

interface Numbered extends LogLine {
  readonly number: number
}

/** The lines so far; begins anew with another source. */
export const useLog = (source: LogSource | undefined) => {
  const [lines, setLines] = useState<ReadonlyArray<Numbered>>([])
  const [state, setState] = useState<LogState>({ kind: "loading" })
  const [attempt, setAttempt] = useState(0)
  useEffect(() => {
    let number = 0
    setLines([])
    setState({ kind: "loading" })
    if (source === undefined) return
    return openLog({
      ...source,
      onLines: (more) =>
        setLines((before) => [...before, ...more.map((line) => ({ ...line, number: ++number }))].slice(-maxLines)),
      onState: (next) => setState((before) => (before.kind === next.kind ? before : next))
    })
  }, [source?.key, attempt])
  return { lines, state, again: () => setAttempt((before) => before + 1) }
}

const textOf = (lines: ReadonlyArray<LogLine>) =>
  lines.map(({ at, text }) => `${at === null ? text : `${at} ${text}`}\n`).join("")

const clock = (at: string | null) => (at === null ? "" : `${at.slice(11, 23).replace(/Z$/u, "")} `)

const stateWords: Readonly<Record<LogState["kind"], string>> = {
  loading: "Loading",
  following: "Following",
  complete: "Complete",
  failed: "Stopped"
}

const CheckBox = (props: {
  readonly label: string
  readonly checked: boolean
  readonly onChange: (on: boolean) => void
}) => (
  <label class="check">
    <input type="checkbox" checked={props.checked} onChange={(event) => props.onChange(event.currentTarget.checked)} />
    {props.label}
  </label>
)

interface LogViewProps {
  readonly source: LogSource | undefined
  /** Of the saved file. */
  readonly fileName: string
  /** Chooses the source. */
  readonly children?: ComponentChildren
}

export const LogView = ({ children, fileName, source }: LogViewProps) => {
  const { again, lines, state } = useLog(source)
  const [filter, setFilter] = useState("")
  const [wrap, setWrap] = useState(true)
  const [times, setTimes] = useState(false)
  // Where the newest line was when the reading began; undefined while the newest is in sight.
  const [heldAt, setHeldAt] = useState<number>()
  const box = useRef<HTMLDivElement>(null)
  const wanted = filter.toLowerCase()
  const shown = wanted === "" ? lines : lines.filter(({ text }) => text.toLowerCase().includes(wanted))
  const newest = lines.at(-1)?.number ?? 0

  useEffect(() => {
    if (heldAt === undefined && box.current !== null) box.current.scrollTop = box.current.scrollHeight
  }, [shown.length, newest, heldAt, wrap, times])
  useEffect(() => setHeldAt(undefined), [source?.key])

  const onScroll = () => {
    const { clientHeight, scrollHeight, scrollTop } = box.current!
    const atEnd = scrollHeight - scrollTop - clientHeight < 40
    if (atEnd) setHeldAt(undefined)
    else setHeldAt((before) => before ?? newest)
  }
  return (
    <section class="log" aria-label="Log">
      <div class="log-tools">
        {children}
        <label class="search log-filter">
          <Icon name="search" />
          <span class="visually-hidden">Show lines with</span>
          <input
            type="search"
            data-search
            value={filter}
            placeholder="Show lines with"
            autocomplete="off"
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
          <kbd>/</kbd>
        </label>
        <CheckBox label="Wrap" checked={wrap} onChange={setWrap} />
        <CheckBox label="Times" checked={times} onChange={setTimes} />
        <button
          type="button"
          class="button button-small"
          disabled={shown.length === 0}
          onClick={() => saveAs(fileName, "text/plain", textOf(shown))}
        >
          <Icon name="download" />
          Save
        </button>
      </div>
      {/* Read by the keyboard, too: it takes the focus and scrolls. */}
      <div
        ref={box}
        class={`log-lines${wrap ? "" : " log-nowrap"}`}
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label="Log lines"
        onScroll={onScroll}
      >
        {shown.map(({ at, level, number, text }) => (
          <div key={number} class={level === undefined ? "log-line" : `log-line log-${level}`} title={at ?? undefined}>
            {times ? <span class="log-time">{clock(at)}</span> : null}
            {level === undefined || level === "info" ? null : <b class="log-level">{level} </b>}
            {text}
          </div>
        ))}
        {shown.length > 0 ? null : (
          <p class="hint">
            {state.kind === "loading"
              ? "Loading the log"
              : wanted !== "" && lines.length > 0
                ? "No line holds this text."
                : "There are no lines yet."}
          </p>
        )}
      </div>
      <div class="log-foot">
        <span role="status">
          {heldAt === undefined || state.kind !== "following" ? stateWords[state.kind] : "Held while you read"}
        </span>
        <span class="muted">
          {wanted === "" ? `${lines.length} lines` : `${shown.length} of ${lines.length} lines`}
          {lines.length === maxLines ? ", older ones are not kept here" : ""}
        </span>
        {state.kind === "failed" ? (
          <>
            <span class="error-line" role="alert">
              {state.detail}
            </span>
            <button type="button" class="button button-small" onClick={again}>
              Try again
            </button>
          </>
        ) : null}
        {state.kind === "complete" && state.detail !== "" ? <span class="muted">{state.detail}</span> : null}
        {heldAt === undefined ? null : (
          <button type="button" class="button button-small log-newest" onClick={() => setHeldAt(undefined)}>
            {newest > heldAt ? `${newest - heldAt} new lines, go to the newest` : "Go to the newest"}
          </button>
        )}
      </div>
    </section>
  )
}
