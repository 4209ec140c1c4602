/** The chain of an incident: found → proposed → decided → done → verified; what has not come yet is shown as not yet come. */
import type { ComponentChildren } from "preact"
import type { IncidentChain } from "#shared/api/scheduler.ts"
import { Badge } from "../../components/Badge.tsx"
import { Link } from "../../components/Link.tsx"
import { Time } from "../../components/Table.tsx"
import { actionWords, phaseTones, proposalWords, remedyWords, type Tone } from "../../words.ts"

interface StepProps {
  readonly title: string
  readonly tone: Tone
  readonly word: string
  readonly at: string | null
  readonly children?: ComponentChildren
}

const Step = ({ at, children, title, tone, word }: StepProps) => (
  <li class={at === null ? "step step-open" : "step"}>
    <h3>{title}</h3>
    <Badge tone={tone}>{word}</Badge>
    {children}
    {at === null ? null : (
      <p class="muted">
        <Time at={at} />
      </p>
    )}
  </li>
)

/** Why the chain does not go on from here, if it does not. */
const waiting = ({ incident }: IncidentChain): readonly [Tone, string] =>
  incident.state === "resolved" ? ["none", "Not needed"] : ["none", "Not yet"]

export const Chain = ({ chain }: { readonly chain: IncidentChain }) => {
  const { action, decision, incident, proposal, verification } = chain
  const [tone, word] = waiting(chain)
  return (
    <ol class="chain section" aria-label="From finding to verification">
      <Step title="Found" tone="bad" word={incident.state === "open" ? "Open" : "Found"} at={incident.openedAt}>
        {incident.revision === null ? null : <p>Revision {incident.revision} fails</p>}
      </Step>
      {proposal === null ? (
        <Step
          title="Proposal"
          tone={remedyWords[incident.remedy][0]}
          word={remedyWords[incident.remedy][1]}
          at={null}
        />
      ) : (
        <Step
          title="Proposal"
          tone={proposalWords[proposal.state][0]}
          word={proposalWords[proposal.state][1]}
          at={proposal.createdAt}
        >
          <p>
            <Link to={`/proposals/${proposal.id}`}>
              {proposal.action}
              {proposal.toRevision === null ? "" : ` to revision ${proposal.toRevision}`}
            </Link>
          </p>
        </Step>
      )}
      {decision === null ? (
        <Step title="Decision" tone={tone} word={word} at={null} />
      ) : (
        <Step
          title="Decision"
          tone={decision.decision === "approved" ? "good" : "rest"}
          word={decision.decision === "approved" ? "Approved" : "Rejected"}
          at={decision.at}
        >
          <p>
            {decision.actor.name}: {decision.reason}
          </p>
        </Step>
      )}
      {action === null ? (
        <Step title="Action" tone={tone} word={word} at={null} />
      ) : (
        <Step
          title="Action"
          tone={actionWords[action.state][0]}
          word={actionWords[action.state][1]}
          at={action.createdAt}
        >
          <p>
            <Link to={`/actions/${action.id}`}>{action.message}</Link>
          </p>
          {action.rollout === null ? null : (
            <Badge tone={phaseTones[action.rollout.phase]}>{action.rollout.phase}</Badge>
          )}
        </Step>
      )}
      {verification === null ? (
        <Step
          title="Verification"
          tone={incident.remedy === "verifying" ? "busy" : tone}
          word={incident.remedy === "verifying" ? "Being verified" : word}
          at={null}
        />
      ) : (
        <Step
          title="Verification"
          tone={verification.result === "verified" ? "good" : "bad"}
          word={verification.result === "verified" ? "It works again" : "It did not help"}
          at={verification.at}
        >
          <p>{verification.message}</p>
        </Step>
      )}
    </ol>
  )
}
