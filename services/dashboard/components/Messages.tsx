/** What a screen shows instead of content: loading, empty, failed, not allowed; must fetch nothing. */
import type { ComponentChildren } from "preact"
import { Icon, type IconName } from "./Icon.tsx"

interface MessageProps {
  readonly icon?: IconName
  readonly title: string
  readonly children?: ComponentChildren
}

export const Message = ({ children, icon, title }: MessageProps) => (
  <div class="message">
    {icon === undefined ? null : <Icon name={icon} />}
    <p class="message-title">{title}</p>
    {children}
  </div>
)

/** Placeholder rows; said once to screen readers. */
export const Loading = ({ rows = 4, what }: { readonly rows?: number; readonly what: string }) => (
  <div class="loading" role="status">
    <span class="visually-hidden">Loading {what}</span>
    {Array.from({ length: rows }, (_, row) => (
      <span class="skeleton" key={row} />
    ))}
  </div>
)

export const Failed = ({ message, onRetry }: { readonly message: string; readonly onRetry: () => void }) => (
  <div role="alert">
    <Message icon="warning" title="This could not be loaded">
      <p>{message}</p>
      <button type="button" class="button" onClick={onRetry}>
        Try again
      </button>
    </Message>
  </div>
)

export const NotAllowed = ({ needs, what }: { readonly what: string; readonly needs: string }) => (
  <Message icon="key" title={`You may not see ${what}`}>
    <p>
      It needs the right <code>{needs}</code> in this environment. An owner can grant a role that has it.
    </p>
  </Message>
)
