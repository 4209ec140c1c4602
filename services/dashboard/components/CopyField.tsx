/** A text to take along, with a button that copies it; must not keep or send it. */
import { useId, useRef, useState } from "preact/hooks"
import { Icon } from "./Icon.tsx"

interface CopyFieldProps {
  readonly label: string
  readonly value: string
}

export const CopyField = ({ label, value }: CopyFieldProps) => {
  const id = useId()
  const field = useRef<HTMLInputElement>(null)
  const [said, setSaid] = useState("")
  const copy = async () => {
    field.current?.select()
    try {
      await navigator.clipboard.writeText(value)
      setSaid("Copied")
    } catch {
      // Without a secure context there is no clipboard: the selection is one key press away from it.
      setSaid("Selected: press Ctrl+C")
    }
  }
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <div class="copy">
        <input id={id} ref={field} class="mono" readOnly value={value} onFocus={() => field.current?.select()} />
        <button type="button" class="button" aria-label={`Copy ${label.toLowerCase()}`} onClick={() => void copy()}>
          <Icon name={said === "Copied" ? "check" : "copy"} />
          <span role="status">{said || "Copy"}</span>
        </button>
      </div>
    </div>
  )
}
