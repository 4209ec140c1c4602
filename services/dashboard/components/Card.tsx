/** The frame of one resource: its name, the number that matters, how far the section can be trusted; must hold no data. */
import type { ComponentChildren } from "preact"
import type { SectionStatus } from "#shared/api/monitor.ts"

interface CardProps {
  readonly title: string
  readonly value?: string | undefined
  readonly note?: ComponentChildren
  readonly status?: SectionStatus | undefined
  readonly class?: string
  readonly children?: ComponentChildren
}

/** A number with its unit set smaller, so that columns of digits stay calm. */
export const Value = ({ text }: { readonly text: string }) => {
  const [number, ...unit] = text.split("\u202f")
  return (
    <span class="value">
      {number}
      {unit.length === 0 ? null : <small> {unit.join(" ")}</small>}
    </span>
  )
}

export const Card = ({ children, class: className = "", note, status, title, value }: CardProps) => (
  <section class={`card ${className}`} aria-label={title}>
    <header class="card-head">
      <h2>{title}</h2>
      {value === undefined ? null : <Value text={value} />}
      {note === undefined ? null : <p class="card-note">{note}</p>}
    </header>
    {status === undefined || status.status === "ok" ? null : (
      <p class={`section-status section-${status.status}`}>
        <b>{status.status === "degraded" ? "Degraded" : "Unavailable"}</b>
        {status.reason === undefined ? "" : `: ${status.reason}`}
      </p>
    )}
    {status?.status === "unavailable" ? null : children}
  </section>
)

interface BarProps {
  readonly label: string
  readonly percent: number | null
  readonly level?: "ok" | "warning" | "critical"
}

export const Bar = ({ label, level = "ok", percent }: BarProps) => (
  <span
    class={`bar bar-${level}`}
    role="meter"
    aria-label={label}
    aria-valuemin={0}
    aria-valuemax={100}
    aria-valuenow={percent ?? undefined}
    aria-valuetext={percent === null ? "not known" : `${Math.round(percent)} %`}
  >
    <i style={{ width: `${Math.min(100, Math.max(0, percent ?? 0))}%` }} />
  </span>
)
