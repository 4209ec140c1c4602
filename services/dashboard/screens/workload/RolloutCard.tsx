/** Where the rollout stands: kubectl's line, why it does not go on, how far it is, what was last done from here. */
import type { ComponentChildren } from "preact"
import type { Action, RolloutStatus, Workload } from "#shared/api/admin.ts"
import { Badge } from "../../components/Badge.tsx"
import { Link } from "../../components/Link.tsx"
import { phaseTones, reasonInWords } from "../../words.ts"
import { ActionBadge } from "../actions/ActionWords.tsx"

interface RolloutCardProps {
  readonly workload: Workload
  readonly status: RolloutStatus
  readonly action: Action | undefined
  readonly children: ComponentChildren
}

const Count = ({ of, title, value }: { readonly title: string; readonly value: number; readonly of: number }) => (
  <div>
    <dt>{title}</dt>
    <dd class={value < of ? "count-short" : undefined}>
      {value}/{of}
    </dd>
  </div>
)

export const RolloutCard = ({ action, children, status, workload }: RolloutCardProps) => {
  const { available, desired, message, phase, pods, ready, reason, updated } = status
  const words = reasonInWords(reason) ?? reason
  return (
    <section class={`card rollout rollout-${phase}`} aria-label="Rollout">
      <div class="rollout-head">
        <Badge tone={phaseTones[phase]}>{phase[0]!.toUpperCase() + phase.slice(1)}</Badge>
        <p class="rollout-message">{message}</p>
      </div>
      {reason === "" || pods.length > 0 ? null : (
        <p>
          <code>{reason}</code> {words === reason ? "" : words}
        </p>
      )}
      {pods.length === 0 ? null : (
        <ul class="rollout-pods">
          {pods.map(({ container, name, reason: why }) => (
            <li key={name + container}>
              <code>{name}</code>: container <code>{container}</code> {reasonInWords(why) ?? why}
            </li>
          ))}
        </ul>
      )}
      <progress
        class={`progress progress-${phaseTones[phase]}`}
        max={Math.max(1, desired)}
        value={desired === 0 ? 1 : Math.min(updated, available)}
        aria-label="Updated and available"
      />
      <dl class="rollout-counts">
        <Count title="Updated" value={updated} of={desired} />
        <Count title="Ready" value={ready} of={desired} />
        <Count title="Available" value={available} of={desired} />
        <div>
          <dt>Restarts</dt>
          <dd>{workload.restarts}</dd>
        </div>
      </dl>
      {action === undefined ? null : <Done action={action} />}
      {children}
    </section>
  )
}

/** What was just done from this page, and what it comes to. */
const Done = ({ action }: { readonly action: Action }) => (
  <p class="done" role="status">
    <ActionBadge action={action} />
    <span>{action.message}</span>
    {action.rollout === null ? null : (
      <span class="muted">
        Rollout {action.rollout.phase}: {action.rollout.message}
      </span>
    )}
    <Link to={`/actions/${action.id}`}>Record</Link>
  </p>
)
