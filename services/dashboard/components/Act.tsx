/**
 * The last step before the cluster changes: what would happen, why it is done, on production the name typed by hand; must know no
 * action. One key stands for one wish, so that trying again after a lost answer does not act twice.
 */
import type { ComponentChildren } from "preact"
import { useId, useRef, useState } from "preact/hooks"
import { newKey } from "../adminApi.ts"
import { Dialog, ErrorLine, useAction } from "./Dialog.tsx"

/** Gives the same key for the same body, and another as soon as the wish is another. */
export const useIntent = (): ((body: unknown) => string) => {
  const last = useRef<{ readonly body: string; readonly key: string }>(undefined)
  return (body) => {
    const text = JSON.stringify(body)
    if (last.current?.body !== text) last.current = { body: text, key: newKey() }
    return last.current.key
  }
}

/** A place where a slip costs most: its name has to be typed. */
export const isProduction = (environment: string, namespace: string): boolean =>
  environment === "prod" || namespace === "prod"

export const maxReason = 500

interface ReasonFieldProps {
  readonly value: string
  readonly onChange: (value: string) => void
  readonly hint?: string
}

export const ReasonField = ({ hint = "kept with the action for ever", onChange, value }: ReasonFieldProps) => {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>
        Reason <small>{hint}</small>
      </label>
      <input
        id={id}
        value={value}
        maxLength={maxReason}
        required
        autocomplete="off"
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </div>
  )
}

interface TypedNameProps {
  /** What has to be typed, "" where nothing has. */
  readonly name: string
  readonly value: string
  readonly onChange: (value: string) => void
}

export const TypedName = ({ name, onChange, value }: TypedNameProps) => {
  const id = useId()
  return name === "" ? null : (
    <div class="field typed-name">
      <label for={id}>
        This is production. Type <code>{name}</code> to confirm
      </label>
      <input
        id={id}
        class="mono"
        value={value}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </div>
  )
}

interface ActDialogProps {
  readonly title: string
  readonly verb: string
  readonly danger?: boolean
  readonly wide?: boolean
  /** What has to be typed before, "" where nothing has. */
  readonly typed: string
  /** The preview is there and allows going on. */
  readonly ready?: boolean
  readonly onAct: (reason: string) => Promise<void>
  readonly onClose: () => void
  readonly children?: ComponentChildren
}

export const ActDialog = (props: ActDialogProps) => {
  const { children, danger = false, onAct, onClose, ready = true, title, typed, verb, wide = false } = props
  const [reason, setReason] = useState("")
  const [name, setName] = useState("")
  const { busy, error, run } = useAction()
  const blocked = busy || !ready || reason.trim() === "" || (typed !== "" && name !== typed)
  const submit = (event: Event) => {
    event.preventDefault()
    if (blocked) return
    void run(async () => {
      await onAct(reason.trim())
      onClose()
    })
  }
  return (
    <Dialog title={title} onClose={onClose} class={wide ? "dialog-wide" : ""}>
      <form onSubmit={submit}>
        <div class="dialog-body">
          {children}
          <ReasonField value={reason} onChange={setReason} />
          <TypedName name={typed} value={name} onChange={setName} />
        </div>
        <ErrorLine error={error} />
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class={`button ${danger ? "button-danger" : "button-primary"}`} disabled={blocked}>
            {busy ? "Sending" : verb}
          </button>
        </footer>
      </form>
    </Dialog>
  )
}
