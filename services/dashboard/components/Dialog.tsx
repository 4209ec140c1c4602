/** A modal dialog on the platform's own element: it traps focus, closes on Escape, gives focus back; must know no content. */
import type { ComponentChildren } from "preact"
import { useEffect, useId, useRef, useState } from "preact/hooks"
import { Icon } from "./Icon.tsx"

interface DialogProps {
  readonly title: string
  readonly onClose: () => void
  readonly class?: string
  readonly children: ComponentChildren
}

export const Dialog = ({ children, class: className = "", onClose, title }: DialogProps) => {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()
  const leaving = useRef(false)
  useEffect(() => {
    const opener = document.activeElement
    const element = dialog.current!
    element.showModal()
    return () => {
      leaving.current = true
      element.close()
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus()
    }
  }, [])
  // Closing tells of itself a moment later, when another dialog may already be in this one's place.
  const onLeave = () => {
    if (!leaving.current) onClose()
  }
  return (
    <dialog ref={dialog} class={`dialog ${className}`} aria-labelledby={heading} onClose={onLeave}>
      <header class="dialog-head">
        <h2 id={heading}>{title}</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      {children}
    </dialog>
  )
}

interface ConfirmProps {
  readonly title: string
  readonly action: string
  readonly danger?: boolean
  readonly onConfirm: () => Promise<void>
  readonly onClose: () => void
  readonly children: ComponentChildren
}

/** Asks before something that matters; stays open with the reason when it fails. */
export const Confirm = ({ action, children, danger = false, onClose, onConfirm, title }: ConfirmProps) => {
  const { busy, error, run } = useAction()
  return (
    <Dialog title={title} onClose={onClose} class="dialog-small">
      <div class="dialog-body">{children}</div>
      <ErrorLine error={error} />
      <footer class="dialog-foot">
        <button type="button" class="button" onClick={onClose}>
          Cancel
        </button>
        <button
          type="button"
          class={`button ${danger ? "button-danger" : "button-primary"}`}
          disabled={busy}
          onClick={() => run(async () => (await onConfirm(), onClose()))}
        >
          {action}
        </button>
      </footer>
    </Dialog>
  )
}

export const ErrorLine = ({ error }: { readonly error: string | undefined }) => (
  <p class="error-line" role="alert">
    {error}
  </p>
)

/** Runs one action at a time and keeps the reason of its failure for people. */
export const useAction = () => {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<string>()
  const run = async (action: () => Promise<void>) => {
    setBusy(true)
    setError(undefined)
    try {
      await action()
    } catch (cause) {
      setError(cause instanceof Error ? cause.message : "This did not work.")
    } finally {
      setBusy(false)
    }
  }
  return { busy, error, run }
}
