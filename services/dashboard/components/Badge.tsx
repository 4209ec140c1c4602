/** A state as a word with a mark of its own shape; the colour only repeats what both say. Must decide no state. */
import type { ComponentChildren } from "preact"
import type { Health } from "#shared/domain/workload.ts"
import { healthTones, type Tone } from "../words.ts"

const marks: Readonly<Record<Tone, string>> = {
  good: "M3 8.5l3.5 3.5L13 4.5",
  busy: "M8 2.5a5.5 5.5 0 1 0 5.5 5.5",
  rest: "M5.5 4v8M10.5 4v8",
  warn: "M8 3v6M8 12v.5",
  bad: "M4 4l8 8M12 4l-8 8",
  none: "M4 8h8"
}

interface BadgeProps {
  readonly tone: Tone
  readonly title?: string | undefined
  readonly children: ComponentChildren
}

export const Badge = ({ children, title, tone }: BadgeProps) => (
  <span class={`badge badge-${tone}`} title={title}>
    <svg class="badge-mark" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" focusable="false">
      <path d={marks[tone]} />
    </svg>
    {children}
  </span>
)

export const HealthBadge = ({ health }: { readonly health: Health }) => (
  <Badge tone={healthTones[health.status]} title={health.reason === "" ? undefined : health.reason}>
    {health.status}
  </Badge>
)

/** Where something is; production is told by its colour and by the word. */
export const NamespaceTag = ({ namespace }: { readonly namespace: string }) => (
  <span class={namespace === "prod" ? "tag tag-prod" : "tag"}>{namespace}</span>
)
