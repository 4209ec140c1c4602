/** Fields that differ, before and after, as text; must interpret no value. */
import type { FieldChange } from "#shared/domain/workload.ts"

/** A JSON pointer as people write paths: containers[0].image. */
const pathOf = (pointer: string): string =>
  pointer
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part, index) =>
      /^\d+$/u.test(part) ? `[${part}]` : /[./]/u.test(part) ? `["${part}"]` : index === 0 ? part : `.${part}`
    )
    .join("")

/** Text of a JSON string without its quotes, anything else as it is. */
const valueOf = (json: string): string => (/^"[^"\\]*"$/u.test(json) ? json.slice(1, -1) : json)

const Side = ({ json, kind }: { readonly json: string | null; readonly kind: "before" | "after" }) => (
  <div class={`change-${kind}${json === null ? " change-none" : ""}`}>
    <span class="change-sign" aria-hidden="true">
      {kind === "before" ? "−" : "+"}
    </span>
    <span class="visually-hidden">{kind}: </span>
    <code>{json === null ? "not set" : valueOf(json)}</code>
  </div>
)

interface ChangesProps {
  readonly changes: ReadonlyArray<FieldChange>
  readonly empty?: string
}

export const Changes = ({ changes, empty = "No field differs." }: ChangesProps) =>
  changes.length === 0 ? (
    <p class="hint">{empty}</p>
  ) : (
    <ul class="changes">
      {changes.map(({ after, before, path }) => (
        <li key={path}>
          <p class="change-path">{pathOf(path)}</p>
          <Side kind="before" json={before} />
          <Side kind="after" json={after} />
        </li>
      ))}
    </ul>
  )
