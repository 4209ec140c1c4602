/** Whether an incident is open, known to somebody, or muted; in words. */
import type { Incident } from "#shared/api/scheduler.ts"
import { Badge } from "../../components/Badge.tsx"
import { fullTime } from "../../format.ts"

export const IncidentState = ({ incident }: { readonly incident: Incident }) => {
  const { acknowledged, flapping, mutedUntil, state } = incident
  const muted = mutedUntil !== null && Date.parse(mutedUntil) > Date.now()
  return (
    <span class="tags">
      <Badge tone={state === "resolved" ? "good" : "bad"}>{state === "resolved" ? "Resolved" : "Open"}</Badge>
      {flapping ? <span class="tag tag-danger">flapping</span> : null}
      {acknowledged === null ? null : (
        <span class="tag" title={fullTime(acknowledged.at)}>
          seen by {acknowledged.actor.name}
        </span>
      )}
      {muted ? (
        <span class="tag" title={fullTime(mutedUntil)}>
          muted
        </span>
      ) : null}
    </span>
  )
}
