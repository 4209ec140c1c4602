/** One action's record: who, why, what was changed, what was saved before, what it came to. */
import type { ComponentChildren } from "preact"
import type { Action } from "#shared/api/admin.ts"
import { adminApi } from "../adminApi.ts"
import { Badge, NamespaceTag } from "../components/Badge.tsx"
import { Changes } from "../components/Changes.tsx"
import { Icon } from "../components/Icon.tsx"
import { Link } from "../components/Link.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { fullTime } from "../format.ts"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { useCluster } from "../useCluster.ts"
import { useLoaded } from "../useLoaded.ts"
import { kinds, phaseTones } from "../words.ts"
import { ActionBadge, actOf, Objects } from "./actions/ActionWords.tsx"

export const ActionScreen = ({ me, params }: ScreenProps) => (
  <Guarded allowed={mayI(me, "admin", "read")} title="Action" what="the actions" needs="admin:read">
    <Content id={params["id"]!} />
  </Guarded>
)

const Fact = ({ children, title }: { readonly title: string; readonly children: ComponentChildren }) => (
  <div>
    <dt>{title}</dt>
    <dd>{children}</dd>
  </div>
)

const seconds = ({ createdAt, finishedAt }: Action): string =>
  finishedAt === null ? "" : ` (${((Date.parse(finishedAt) - Date.parse(createdAt)) / 1000).toFixed(1)}\u202fs)`

const Record = ({ action }: { readonly action: Action }) => (
  <section class="card" aria-label="Record">
    <h2>Record</h2>
    <dl class="facts-list">
      <Fact title="Who">
        {action.actor.name}
        {action.approver === null ? "" : `, approved by ${action.approver.name}`}
      </Fact>
      <Fact title="Why">{action.reason}</Fact>
      <Fact title="Result">{action.message}</Fact>
      <Fact title="Began">{fullTime(action.createdAt)}</Fact>
      <Fact title="Ended">
        {action.finishedAt === null ? "not yet" : `${fullTime(action.finishedAt)}${seconds(action)}`}
      </Fact>
      {action.proposalId === null ? null : (
        <Fact title="Proposal">
          <Link to={`/proposals/${action.proposalId}`}>What it was done for</Link>
        </Fact>
      )}
      <Fact title="Backup">{action.backup === null ? "none" : <code>{action.backup}</code>}</Fact>
      <Fact title="Kubernetes">
        {action.upstreamStatus === null ? "no answer" : `answered ${action.upstreamStatus}`}
      </Fact>
      <Fact title="Request">
        <code>{action.requestId}</code>
      </Fact>
      <Fact title="Action">
        <code>{action.id}</code>
      </Fact>
    </dl>
  </section>
)

const Content = ({ id }: { readonly id: string }) => {
  const told = useCluster().actions.find((action) => action.id === id)
  const loaded = useLoaded(() => adminApi.action(id), id)
  const action = told ?? loaded.value
  const back = ["/actions", "Actions"] as const
  if (action === undefined) {
    return (
      <>
        <ScreenHead title="Action" back={back} />
        {loaded.error === undefined ? (
          <Loading what="the action" />
        ) : loaded.status === 404 ? (
          <Message icon="search" title="There is no such action">
            <p>
              <Link to="/actions">See all actions</Link>
            </p>
          </Message>
        ) : (
          <Failed message={loaded.error} onRetry={() => void loaded.reload()} />
        )}
      </>
    )
  }
  const { kind, name, namespace, rollout, undo } = action
  return (
    <>
      <ScreenHead
        title={actOf(action)}
        back={back}
        beside={<ActionBadge action={action} />}
        sub={
          <>
            <span>
              in <NamespaceTag namespace={namespace} />
            </span>
            {kinds.some((one) => one === kind) ? (
              <Link to={`/workloads/${namespace}/${kind}/${name}`}>Open the workload</Link>
            ) : null}
          </>
        }
      />
      <div class="evidence">
        <Record action={action} />
        <section class="card" aria-label="Rollout">
          <h2>What it came to</h2>
          {rollout === null ? (
            <p class="hint">
              {action.state === "succeeded"
                ? "The rollout has not come to an end yet, or there is none to watch."
                : "Nothing was rolled out."}
            </p>
          ) : (
            <p>
              <Badge tone={phaseTones[rollout.phase]}>{rollout.phase}</Badge> {rollout.message}, {fullTime(rollout.at)}
            </p>
          )}
          <Objects action={action} />
        </section>
        {undo === null ? null : (
          <section class="card" aria-label="What changed">
            <h2>
              {undo.fromRevision === null ? "" : `From revision ${undo.fromRevision} `}to revision {undo.toRevision}
            </h2>
            {undo.warnings.length === 0 ? null : (
              <ul class="warnings">
                {undo.warnings.map((warning) => (
                  <li key={warning}>
                    <Icon name="warning" />
                    {warning}
                  </li>
                ))}
              </ul>
            )}
            <Changes changes={undo.changes} />
            {undo.lostAnnotations.length === 0 ? null : (
              <p class="hint">Lost annotations: {undo.lostAnnotations.join(", ")}</p>
            )}
          </section>
        )}
      </div>
    </>
  )
}
