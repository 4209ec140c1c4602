/** Keyboard shortcuts of the whole app; must not act while someone types or a dialog is open. */
import { useEffect } from "preact/hooks"
import { navigate } from "./router.ts"

/** Milliseconds within which the second key of `g o` must follow. */
const chordTime = 1500

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/u.test(target.tagName))

export interface Destination {
  readonly key: string
  readonly path: string
}

/** Listens as long as the component lives. `/` focuses the page's search, `?` calls `onHelp`, `g` and a key goes to a page. */
export const useShortcuts = (destinations: ReadonlyArray<Destination>, onHelp: () => void): void => {
  useEffect(() => {
    let pending = Number.NEGATIVE_INFINITY
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return
      if (document.querySelector("dialog[open]") !== null) return
      const afterG = event.timeStamp - pending < chordTime
      pending = Number.NEGATIVE_INFINITY
      const destination = afterG ? destinations.find(({ key }) => key === event.key) : undefined
      if (destination !== undefined) navigate(destination.path)
      else if (event.key === "g") pending = event.timeStamp
      else if (event.key === "?") onHelp()
      else if (event.key === "/") document.querySelector<HTMLElement>("[data-search]")?.focus()
      else return
      event.preventDefault()
    }
    addEventListener("keydown", onKey)
    return () => removeEventListener("keydown", onKey)
  }, [destinations, onHelp])
}
