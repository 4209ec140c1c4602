/** What becomes of an apply, as the stream tells of its action. */
import type { Action } from "#shared/api/admin.ts"
import { Badge } from "../../components/Badge.tsx"
import { Link } from "../../components/Link.tsx"
import { useCluster } from "../../useCluster.ts"
import { ActionBadge, Objects } from "../actions/ActionWords.tsx"
import { phaseTones } from "../../words.ts"

export const Applied = ({ action: first }: { readonly action: Action }) => {
  const cluster = useCluster()
  const action = cluster.actions.find(({ id }) => id === first.id) ?? first
  const rolling = [...(cluster.workloads?.values() ?? [])].filter(
    (workload) =>
      workload.namespace === action.namespace &&
      action.objects.some(({ kind, name }) => kind === workload.kind && name === workload.name)
  )
  return (
    <section class="card section" aria-label="Result" role="status">
      <div class="node-line">
        <h2>Applied</h2>
        <ActionBadge action={action} />
        <span>{action.message}</span>
        <Link to={`/actions/${action.id}`}>Record</Link>
      </div>
      <Objects action={action} />
      {rolling.length === 0 ? null : (
        <ul class="stack-small" aria-label="Rollouts">
          {rolling.map(({ desired, health, kind, name, namespace, phase, ready }) => (
            <li key={`${kind}/${name}`} class="node-line">
              <Link to={`/workloads/${namespace}/${kind}/${name}`}>{name}</Link>
              <Badge tone={phaseTones[phase]}>{phase}</Badge>
              <span>
                {ready}/{desired} ready
              </span>
              <span class="muted">{health.reason}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
