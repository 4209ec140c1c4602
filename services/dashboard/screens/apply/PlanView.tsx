/** A plan to read: object by object what is created, changed or left, with warnings and conflicts in front. */
import type { Plan, PlannedObject } from "#shared/api/admin.ts"
import { Badge } from "../../components/Badge.tsx"
import { Changes } from "../../components/Changes.tsx"
import { Icon } from "../../components/Icon.tsx"
import { Time } from "../../components/Table.tsx"
import type { Tone } from "../../words.ts"

const changeWords: Readonly<Record<PlannedObject["change"], readonly [Tone, string]>> = {
  create: ["good", "Create"],
  update: ["busy", "Change"],
  unchanged: ["rest", "Unchanged"]
}

const Planned = ({ object }: { readonly object: PlannedObject }) => {
  const { change, changes, conflicts, kind, name, warnings } = object
  const [tone, word] = changeWords[change]
  return (
    <li class="card">
      <div class="node-line">
        <h2>
          {kind} {name}
        </h2>
        <Badge tone={tone}>{word}</Badge>
        <span class="muted">{object.apiVersion}</span>
      </div>
      {conflicts.length + warnings.length === 0 ? null : (
        <ul class="warnings" aria-label={`Warnings for ${name}`}>
          {conflicts.map(({ field, manager }) => (
            <li key={`${field} ${manager}`}>
              <Icon name="warning" />
              <span>
                <b>Conflict:</b> <code>{field}</code> belongs to <b>{manager}</b>. Take it out of the manifest.
              </span>
            </li>
          ))}
          {warnings.map((warning) => (
            <li key={warning}>
              <Icon name="warning" />
              <span>{warning}</span>
            </li>
          ))}
        </ul>
      )}
      {change === "unchanged" ? null : (
        <details open={change === "update"}>
          <summary>{changes.length === 1 ? "1 field" : `${changes.length} fields`}</summary>
          <Changes changes={changes} />
        </details>
      )}
    </li>
  )
}

const order: Readonly<Record<PlannedObject["change"], number>> = { update: 0, create: 1, unchanged: 2 }

export const PlanView = ({ plan }: { readonly plan: Plan }) => (
  <>
    <p class="page-sub plan-sum">
      {(["create", "update", "unchanged"] as const).map((change) => (
        <span key={change}>
          {plan.objects.filter((one) => one.change === change).length} {changeWords[change][1].toLowerCase()}
        </span>
      ))}
      <span>
        expires <Time at={plan.expiresAt} />
      </span>
    </p>
    <ul class="stack">
      {plan.objects
        .toSorted((one, other) => order[one.change] - order[other.change])
        .map((object) => (
          <Planned key={`${object.kind}/${object.name}`} object={object} />
        ))}
    </ul>
  </>
)
