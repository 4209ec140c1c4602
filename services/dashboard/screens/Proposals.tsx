/** What the watchman proposes: what waits for a decision first, the decided ones below; must decide nothing. */
import type { Proposal } from "#shared/api/admin.ts"
import { adminApi } from "../adminApi.ts"
import { NamespaceTag } from "../components/Badge.tsx"
import { ClusterBanner } from "../components/ClusterBanner.tsx"
import { Link } from "../components/Link.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { StatusBadge } from "../components/StatusBanner.tsx"
import { More, Table, Time } from "../components/Table.tsx"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { pendingOf, useCluster } from "../useCluster.ts"
import { useNow } from "../useLoaded.ts"
import { usePages } from "../usePages.ts"
import { reasonInWords } from "../words.ts"
import { actOf, Countdown, ProposalBadge } from "./proposals/ProposalWords.tsx"

export const Proposals = ({ me }: ScreenProps) => (
  <Guarded allowed={mayI(me, "admin", "read")} title="Proposals" what="the proposals" needs="admin:read">
    <Content />
  </Guarded>
)

const Pending = ({ now, proposal }: { readonly proposal: Proposal; readonly now: number }) => {
  const { evidence, summary, target } = proposal
  return (
    <li class="card proposal-card">
      <header class="proposal-head">
        <h2>
          <Link to={`/proposals/${proposal.id}`}>{actOf(proposal)}</Link>
        </h2>
        <NamespaceTag namespace={target.namespace} />
        <Countdown at={proposal.expiresAt} now={now} />
      </header>
      <p>{summary}</p>
      <p class="muted">
        {evidence.container === null ? null : (
          <>
            Container <code>{evidence.container}</code> {reasonInWords(evidence.reason) ?? evidence.reason}
            {evidence.exitCode === null ? "" : `, exit code ${evidence.exitCode}`}.{" "}
          </>
        )}
        {evidence.restarts} restarts in {evidence.podCount === 1 ? "1 pod" : `${evidence.podCount} pods`}. Proposed by{" "}
        {proposal.proposer.name}, <Time at={proposal.createdAt} />.
      </p>
    </li>
  )
}

const Content = () => {
  const cluster = useCluster()
  const now = useNow(1000)
  // A proposal that the stream tells of anew may have left or joined the list.
  const list = usePages((cursor) => adminApi.proposals("", cursor), "all")
  const pending = pendingOf(cluster)
  const known = new Map<string, Proposal>()
  for (const proposal of list.items ?? []) known.set(proposal.id, proposal)
  for (const proposal of cluster.proposals.values()) known.set(proposal.id, proposal)
  const decided = [...known.values()]
    .filter(({ state }) => state !== "pending")
    .sort((one, other) => (one.createdAt < other.createdAt ? 1 : -1))
  const waiting = cluster.workloads === undefined && list.items === undefined && list.error === undefined
  return (
    <>
      <ScreenHead
        title="Proposals"
        sub="The watchman finds and proposes; a person decides; nothing is done without one."
      >
        <StatusBadge state={cluster.stream} />
      </ScreenHead>
      <ClusterBanner cluster={cluster} />
      {list.error === undefined ? null : <Failed message={list.error} onRetry={() => void list.reload()} />}
      {waiting ? (
        <Loading what="proposals" />
      ) : (
        <>
          <section class="section" aria-label="Waiting for a decision">
            {pending.length === 0 ? (
              <Message icon="check" title="Nothing waits for a decision">
                <p>When a workload keeps crashing after a change, an undo is proposed here.</p>
              </Message>
            ) : (
              <ul class="stack">
                {pending.map((proposal) => (
                  <Pending key={proposal.id} proposal={proposal} now={now} />
                ))}
              </ul>
            )}
          </section>
          {decided.length === 0 ? null : (
            <section class="section" aria-label="Decided">
              <h2 class="section-title">Decided</h2>
              <Table
                caption="Decided proposals"
                rows={decided}
                rowKey={({ id }) => id}
                columns={[
                  {
                    title: "Proposal",
                    cell: (proposal) => (
                      <span class="cell-main">
                        <Link to={`/proposals/${proposal.id}`} class="cell-link">
                          {actOf(proposal)}
                        </Link>
                        <small>
                          in <NamespaceTag namespace={proposal.target.namespace} />
                        </small>
                      </span>
                    )
                  },
                  { title: "State", cell: (proposal) => <ProposalBadge proposal={proposal} /> },
                  {
                    title: "Decided by",
                    cell: ({ decision }) =>
                      decision === null ? (
                        "–"
                      ) : (
                        <span class="cell-main">
                          {decision.actor.name}
                          <small>{decision.reason}</small>
                        </span>
                      )
                  },
                  { title: "Proposed", cell: ({ createdAt }) => <Time at={createdAt} /> }
                ]}
              />
            </section>
          )}
          <More more={list.more} busy={list.busy} />
        </>
      )}
    </>
  )
}
