/** The workloads at a glance above the host: health, rollouts, what waits for a decision, incidents, what was done last. */
import type { ComponentChildren } from "preact"
import type { Me } from "#shared/api/auth.ts"
import { Badge } from "../../components/Badge.tsx"
import { ClusterBanner, isOld } from "../../components/ClusterBanner.tsx"
import { Icon, type IconName } from "../../components/Icon.tsx"
import { Link } from "../../components/Link.tsx"
import { Time } from "../../components/Table.tsx"
import { mayI } from "../../rights.ts"
import { type Cluster, pendingOf, useCluster } from "../../useCluster.ts"
import { useNow } from "../../useLoaded.ts"
import { healthOrder, healthTones, phaseTones } from "../../words.ts"
import { ActionBadge, actOf } from "../actions/ActionWords.tsx"
import { actOf as proposed, Countdown } from "../proposals/ProposalWords.tsx"
import { countHealth, workloadPath } from "../workloads/select.ts"
import { IncidentTile } from "./IncidentTile.tsx"

interface TileProps {
  readonly title: string
  readonly to: string
  readonly icon: IconName
  readonly class?: string
  readonly children: ComponentChildren
}

const Tile = ({ children, class: more = "", icon, title, to }: TileProps) => (
  <section class={`card tile ${more}`} aria-label={title}>
    <h2>
      <Icon name={icon} />
      <Link to={to}>{title}</Link>
    </h2>
    {children}
  </section>
)

/** Shown at most; the page behind has the rest. */
const few = 3

const Health = ({ cluster }: { readonly cluster: Cluster }) => {
  const all = [...(cluster.workloads?.values() ?? [])]
  const counts = countHealth(all)
  return (
    <Tile title="Workloads" to="/workloads" icon="workloads">
      <ul class="tile-counts">
        {healthOrder
          .filter((status) => (counts.get(status) ?? 0) > 0)
          .map((status) => (
            <li key={status}>
              <Link to={`/workloads?health=${status}`} class="count-link">
                <b>{counts.get(status)}</b>
                <Badge tone={healthTones[status]}>{status}</Badge>
              </Link>
            </li>
          ))}
      </ul>
      {all.length === 0 ? <p class="hint">There are none yet.</p> : null}
    </Tile>
  )
}

const Rollouts = ({ cluster }: { readonly cluster: Cluster }) => {
  const rolling = [...(cluster.workloads?.values() ?? [])].filter(
    ({ phase }) => phase === "progressing" || phase === "stalled" || phase === "failed"
  )
  return (
    <Tile title="Rollouts" to="/workloads?sort=health" icon="restart">
      {rolling.length === 0 ? <p class="hint">None is under way.</p> : null}
      <ul class="stack-small">
        {rolling.slice(0, few).map((workload) => (
          <li key={workload.uid} class="node-line">
            <Link to={workloadPath(workload)}>{workload.name}</Link>
            <Badge tone={phaseTones[workload.phase]} title={workload.health.reason}>
              {workload.phase}
            </Badge>
            <span class="muted">
              {workload.ready}/{workload.desired}
            </span>
          </li>
        ))}
      </ul>
      {rolling.length > few ? <p class="muted">and {rolling.length - few} more</p> : null}
    </Tile>
  )
}

const Pending = ({ cluster }: { readonly cluster: Cluster }) => {
  const now = useNow(1000)
  const pending = pendingOf(cluster)
  return (
    <Tile
      title={
        pending.length === 0
          ? "Proposals"
          : pending.length === 1
            ? "1 proposal waits"
            : `${pending.length} proposals wait`
      }
      to="/proposals"
      icon="proposals"
      class={pending.length === 0 ? "" : "tile-urgent"}
    >
      {pending.length === 0 ? <p class="hint">Nothing waits for a decision.</p> : null}
      <ul class="stack-small">
        {pending.slice(0, few).map((proposal) => (
          <li key={proposal.id}>
            <Link to={`/proposals/${proposal.id}`}>{proposed(proposal)}</Link>{" "}
            <Countdown at={proposal.expiresAt} now={now} />
          </li>
        ))}
      </ul>
      {pending.length > few ? <p class="muted">and {pending.length - few} more</p> : null}
    </Tile>
  )
}

const Done = ({ cluster }: { readonly cluster: Cluster }) => (
  <Tile title="Last actions" to="/actions" icon="actions" class="tile-wide">
    {cluster.actions.length === 0 ? <p class="hint">Nothing has been done yet.</p> : null}
    <ul class="stack-small">
      {cluster.actions.slice(0, few).map((action) => (
        <li key={action.id} class="tile-action">
          <Link to={`/actions/${action.id}`}>{actOf(action)}</Link>
          <span class="muted">{action.actor.name}</span>
          <ActionBadge action={action} />
          <span class="muted">
            <Time at={action.createdAt} />
          </span>
        </li>
      ))}
    </ul>
  </Tile>
)

export const ClusterTiles = ({ me }: { readonly me: Me }) => {
  const sees = mayI(me, "admin", "read")
  const cluster = useCluster(sees)
  const watches = mayI(me, "scheduler", "read")
  if (!sees && !watches) return null
  return (
    <>
      {sees ? <ClusterBanner cluster={cluster} /> : null}
      <div class={isOld(cluster) ? "tiles is-stale" : "tiles"}>
        {sees && cluster.workloads !== undefined ? (
          <>
            <Pending cluster={cluster} />
            <Health cluster={cluster} />
            <Rollouts cluster={cluster} />
          </>
        ) : null}
        {watches ? <IncidentTile /> : null}
        {sees && cluster.workloads !== undefined ? <Done cluster={cluster} /> : null}
      </div>
    </>
  )
}
