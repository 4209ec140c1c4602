/** One proposal with all that is known, and the decision; an approval is given for exactly the digest that is shown. */
import { useState } from "preact/hooks"
import type { Proposal } from "#shared/api/admin.ts"
import type { Me } from "#shared/api/auth.ts"
import { adminApi } from "../adminApi.ts"
import { isProduction } from "../components/Act.tsx"
import { NamespaceTag } from "../components/Badge.tsx"
import { ClusterBanner } from "../components/ClusterBanner.tsx"
import { EvidenceView } from "../components/EvidenceView.tsx"
import { GatedButtons } from "../components/Gated.tsx"
import { Link } from "../components/Link.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { Time } from "../components/Table.tsx"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { useCluster } from "../useCluster.ts"
import { firstRefusal, useCapabilities } from "../useCapabilities.ts"
import { useLoaded, useNow } from "../useLoaded.ts"
import { Decide } from "./proposals/Decide.tsx"
import { actOf, Countdown, ProposalBadge } from "./proposals/ProposalWords.tsx"
import { workloadPath } from "./workloads/select.ts"

export const ProposalScreen = ({ me, params }: ScreenProps) => (
  <Guarded allowed={mayI(me, "admin", "read")} title="Proposal" what="the proposals" needs="admin:read">
    <Content me={me} id={params["id"]!} />
  </Guarded>
)

/** What became of it, or what it waits for. */
const Fate = ({ me, proposal }: { readonly me: Me; readonly proposal: Proposal }) => {
  const { actionId, decision, incidentId, message } = proposal
  return (
    <section class="card fate" aria-label="Decision">
      <h2>{proposal.state === "pending" ? "Where it comes from" : "Decision"}</h2>
      <dl class="facts-list">
        <div>
          <dt>Proposed by</dt>
          <dd>
            {proposal.proposer.name}, <Time at={proposal.createdAt} />
          </dd>
        </div>
        {decision === null ? null : (
          <div>
            <dt>{decision.decision === "approved" ? "Approved by" : "Rejected by"}</dt>
            <dd>
              {decision.actor.name}, <Time at={decision.at} />: {decision.reason}
            </dd>
          </div>
        )}
        {message === "" ? null : (
          <div>
            <dt>Outcome</dt>
            <dd>{message}</dd>
          </div>
        )}
        {actionId === null ? null : (
          <div>
            <dt>Action</dt>
            <dd>
              <Link to={`/actions/${actionId}`}>What was done</Link>
            </dd>
          </div>
        )}
        {incidentId === null || !mayI(me, "scheduler", "read") ? null : (
          <div>
            <dt>Incident</dt>
            <dd>
              <Link to={`/incidents/${incidentId}`}>What happened</Link>
            </dd>
          </div>
        )}
        <div>
          <dt>Digest</dt>
          <dd>
            <code class="digest" title={proposal.digest}>
              {proposal.digest.slice(0, 16)}
            </code>{" "}
            <span class="muted">of action, target and live template: what an approval is given for</span>
          </dd>
        </div>
      </dl>
    </section>
  )
}

const Content = ({ id, me }: { readonly me: Me; readonly id: string }) => {
  const cluster = useCluster()
  const now = useNow(1000)
  const rules = useCapabilities()
  const [asking, setAsking] = useState<"approve" | "reject">()
  const told = cluster.proposals.get(id)
  const loaded = useLoaded(() => adminApi.proposal(id), `${id} ${told?.state ?? ""} ${told?.actionId ?? ""}`)
  const [last, setLast] = useState<Proposal>()
  const proposal = told ?? loaded.value ?? last
  if (loaded.value !== undefined && loaded.value !== last) setLast(loaded.value)

  if (proposal === undefined) {
    return (
      <>
        <ScreenHead title="Proposal" back={["/proposals", "Proposals"]} />
        {loaded.error === undefined ? (
          <Loading what="the proposal" />
        ) : loaded.status === 404 ? (
          <Message icon="search" title="There is no such proposal">
            <p>
              It may be older than what is kept. <Link to="/proposals">See all proposals</Link>
            </p>
          </Message>
        ) : (
          <Failed message={loaded.error} onRetry={() => void loaded.reload()} />
        )}
      </>
    )
  }
  const { target } = proposal
  const left = Date.parse(proposal.expiresAt) - now
  const allowed = firstRefusal(
    left <= 0 && "It has expired; the watchman will look again.",
    rules.can(target.namespace, "approve"),
    rules.of(target.namespace)?.fourEyes === true &&
      proposal.proposer.id === me.user.id &&
      "You have proposed it: here somebody else has to decide."
  )
  return (
    <>
      <ScreenHead
        title={actOf(proposal)}
        back={["/proposals", "Proposals"]}
        beside={<ProposalBadge proposal={proposal} />}
        sub={
          <>
            <span>
              in <NamespaceTag namespace={target.namespace} />
            </span>
            <Link to={workloadPath(target)}>Open the workload</Link>
            {proposal.state === "pending" ? <Countdown at={proposal.expiresAt} now={now} /> : null}
          </>
        }
      />
      <ClusterBanner cluster={cluster} />
      <div class="proposal-lead card">
        <p class="lead">{proposal.summary}</p>
        {proposal.state === "pending" ? (
          <GatedButtons
            actions={[
              {
                title: proposal.action === "undo" ? "Approve the undo" : "Approve the restart",
                icon: "check",
                kind: "primary",
                allowance: allowed,
                onPress: () => setAsking("approve")
              },
              { title: "Reject", icon: "close", allowance: allowed, onPress: () => setAsking("reject") }
            ]}
          />
        ) : null}
      </div>
      {proposal.state === "pending" ? null : <Fate proposal={proposal} me={me} />}
      <EvidenceView evidence={proposal.evidence} />
      {proposal.state === "pending" ? <Fate proposal={proposal} me={me} /> : null}
      {asking === undefined ? null : (
        <Decide
          decision={asking}
          proposal={proposal}
          typed={asking === "approve" && isProduction(me.environment, target.namespace) ? target.name : ""}
          onClose={() => setAsking(undefined)}
          onDecided={async () => {
            await Promise.all([loaded.reload(), rules.reload()])
          }}
        />
      )}
    </>
  )
}
