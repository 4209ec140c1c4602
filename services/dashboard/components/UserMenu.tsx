/** Who is logged in, the theme, the shortcuts and the way out; must know no screen. */
import { useEffect, useId, useRef, useState } from "preact/hooks"
import type { Me } from "#shared/api/auth.ts"
import { api } from "../api.ts"
import { type Theme, useTheme } from "../theme.ts"
import { ErrorLine, useAction } from "./Dialog.tsx"
import { Icon } from "./Icon.tsx"
import { Segmented } from "./Segmented.tsx"

const themes: ReadonlyArray<readonly [Theme, string]> = [
  ["system", "System"],
  ["light", "Light"],
  ["dark", "Dark"]
]

const initials = (name: string) =>
  name
    .split(/\s+/u)
    .map((word) => word[0] ?? "")
    .slice(0, 2)
    .join("")
    .toUpperCase()

interface UserMenuProps {
  readonly me: Me
  readonly onHelp: () => void
}

export const UserMenu = ({ me, onHelp }: UserMenuProps) => {
  const [open, setOpen] = useState(false)
  const [theme, setTheme] = useTheme()
  const { busy, error, run } = useAction()
  const box = useRef<HTMLDivElement>(null)
  const button = useRef<HTMLButtonElement>(null)
  const panel = useId()

  useEffect(() => {
    if (!open) return
    const onPointer = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false)
    }
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return
      event.preventDefault()
      setOpen(false)
      button.current?.focus()
    }
    document.addEventListener("pointerdown", onPointer)
    document.addEventListener("focusin", onPointer)
    document.addEventListener("keydown", onKey)
    return () => {
      document.removeEventListener("pointerdown", onPointer)
      document.removeEventListener("focusin", onPointer)
      document.removeEventListener("keydown", onKey)
    }
  }, [open])

  return (
    <div class="user" ref={box}>
      <button
        type="button"
        ref={button}
        class="user-button"
        aria-expanded={open}
        aria-controls={panel}
        onClick={() => setOpen(!open)}
      >
        <span class="avatar" aria-hidden="true">
          {initials(me.user.name)}
        </span>
        <span class="user-name">
          {me.user.name}
          <small>{me.roles.join(", ") || "no role"}</small>
        </span>
        <Icon name="chevron" />
      </button>
      {open ? (
        <div class="user-panel" id={panel} role="group" aria-label="User menu">
          <p class="user-email">{me.user.email ?? `${me.user.provider}: ${me.user.subject}`}</p>
          <Segmented label="Theme" value={theme} options={themes} onChange={setTheme} />
          <button
            type="button"
            class="menu-item"
            onClick={() => {
              setOpen(false)
              onHelp()
            }}
          >
            <Icon name="keyboard" />
            Keyboard shortcuts
            <kbd>?</kbd>
          </button>
          <button type="button" class="menu-item" disabled={busy} onClick={() => run(api.logout)}>
            <Icon name="exit" />
            Sign out
          </button>
          <ErrorLine error={error} />
        </div>
      ) : null}
    </div>
  )
}
