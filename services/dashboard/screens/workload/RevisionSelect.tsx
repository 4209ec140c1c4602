/** A choice among a workload's revisions, newest first, each with its image. */
import type { ComponentChildren } from "preact"
import { useId } from "preact/hooks"
import type { Revision } from "#shared/api/admin.ts"
import { Options } from "../../components/Options.tsx"
import { shortImage } from "../../words.ts"

interface RevisionSelectProps {
  readonly label: string
  readonly items: ReadonlyArray<Revision>
  readonly value: string
  readonly onChange: (value: string) => void
  /** Choices before the revisions. */
  readonly children?: ComponentChildren
}

const health: Readonly<Record<Revision["health"], string>> = { good: "was healthy", bad: "never healthy", unknown: "" }

const textOf = (one: Revision): string =>
  [
    `${one.revision}${one.current ? " (current)" : ""}`,
    shortImage(one.images[0] ?? ""),
    health[one.health],
    one.onlyRestartedAt ? "only restarted" : ""
  ]
    .filter((part) => part !== "")
    .join(", ")

export const RevisionSelect = ({ children, items, label, onChange, value }: RevisionSelectProps) => {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {children}
        <Options of={items.toReversed().map((one) => [one.revision, textOf(one)])} />
      </select>
    </div>
  )
}
