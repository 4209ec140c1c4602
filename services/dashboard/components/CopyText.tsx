/** A longer text as it is, with a button that copies it. */
import { useState } from "preact/hooks"
import { Icon } from "./Icon.tsx"

export const CopyText = ({ label, text }: { readonly label: string; readonly text: string }) => {
  const [said, setSaid] = useState("")
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      setSaid("Copied")
    } catch {
      setSaid("Copying is not allowed here")
    }
  }
  return (
    <>
      <button type="button" class="button button-small copy-text" onClick={() => void copy()}>
        <Icon name={said === "Copied" ? "check" : "copy"} />
        <span role="status">{said || `Copy ${label}`}</span>
      </button>
      <pre class="log-block text-block" tabIndex={0} role="region" aria-label={label}>
        {text}
      </pre>
    </>
  )
}
