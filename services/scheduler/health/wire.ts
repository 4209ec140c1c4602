/** Incidents as the API shows them; pure. */
import type { Incident, IncidentChain } from "#shared/api/scheduler.ts"
import type { IncidentRow } from "./IncidentStore.ts"

const at = (time: number) => new Date(time).toISOString()
const maybe = (time: number | null) => (time === null ? null : at(time))

/** From so many returns on an incident is one that comes and goes. */
const flapping = 3

const words: Readonly<Record<IncidentRow["class"], string>> = {
  crash_loop: "crashes again and again",
  oom_loop: "is killed for its memory again and again",
  image_pull: "cannot get its image",
  config_error: "cannot be started as configured",
  rollout_stuck: "does not finish its rollout",
  not_ready: "does not get ready",
  pending: "finds no node",
  node: "is in trouble",
  cluster_wide: "fails in many places at once"
}

export const incidentOf = (row: IncidentRow): Incident => ({
  id: row.id,
  class: row.class,
  state: row.state,
  namespace: row.namespace,
  kind: row.kind,
  name: row.name,
  revision: row.revision,
  title: `${row.kind} ${row.name} ${words[row.class]}`,
  impact: row.impact,
  podCount: row.podCount,
  restarts: row.restarts,
  flaps: row.flaps,
  flapping: row.flaps >= flapping,
  openedAt: at(row.openedAt),
  lastSeenAt: at(row.lastSeenAt),
  resolvedAt: maybe(row.resolvedAt),
  acknowledged: row.acknowledged,
  mutedUntil: maybe(row.mutedUntil),
  remedy: row.remedy,
  advice: row.advice,
  proposalId: row.proposal?.id ?? null
})

/** The whole chain; what has not come yet is null. */
export const chainOf = (row: IncidentRow, timeline: IncidentChain["timeline"]): IncidentChain => ({
  incident: incidentOf(row),
  target:
    row.kind === "Deployment" || row.kind === "StatefulSet" || row.kind === "DaemonSet"
      ? { namespace: row.namespace, kind: row.kind, name: row.name, uid: row.uid, generation: row.generation }
      : null,
  evidence: row.evidence,
  proposal:
    row.proposal === null
      ? null
      : {
          id: row.proposal.id,
          state: row.proposal.state,
          action: row.proposal.action,
          toRevision: row.proposal.toRevision,
          createdAt: row.proposal.createdAt,
          expiresAt: row.proposal.expiresAt
        },
  decision: row.proposal?.decision ?? null,
  action: row.action,
  verification: row.verification,
  timeline
})
