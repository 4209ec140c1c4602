/** What the workload is made of: its revisions with pods, pods with containers, each with its state in words. */
import type { ContainerState, PodNode, WorkloadDetail } from "#shared/api/admin.ts"
import { Badge, HealthBadge } from "../../components/Badge.tsx"
import { Link } from "../../components/Link.tsx"
import { Message } from "../../components/Messages.tsx"
import { Time } from "../../components/Table.tsx"
import { containerTone, exitInWords, reasonInWords, shortImage } from "../../words.ts"
import { workloadPath } from "../workloads/select.ts"

type Revision = WorkloadDetail["revisions"][number]

const wordOf = ({ ready, reason, state }: ContainerState) =>
  reason !== "" ? reason : state === "running" ? (ready ? "Running" : "Running, not ready") : state

interface ContainerProps {
  readonly container: ContainerState
  readonly logs: string
}

const Container = ({ container, logs }: ContainerProps) => {
  const words = reasonInWords(container.reason)
  const { lastExit } = container
  return (
    <li class="node-container">
      <p class="node-line">
        <b class="mono">{container.name}</b>
        {container.init ? <span class="tag">init</span> : null}
        <Badge tone={containerTone(container)}>{wordOf(container)}</Badge>
        <code title={container.image}>{shortImage(container.image)}</code>
        {container.restarts === 0 ? null : (
          <span class="count-short">
            {container.restarts} {container.restarts === 1 ? "restart" : "restarts"}
          </span>
        )}
        <span class="node-tools">
          <Link to={logs}>Logs</Link>
          {lastExit === null ? null : <Link to={`${logs}&previous=true`}>Logs before the crash</Link>}
        </span>
      </p>
      {words === undefined || container.reason === "Completed" ? null : (
        <p class="node-words">
          It {words}. {container.message}
        </p>
      )}
      {lastExit === null ? null : (
        <p class="node-words">
          Its previous instance ended with code <b>{lastExit.exitCode}</b> ({lastExit.reason},{" "}
          {exitInWords(lastExit.exitCode)}), <Time at={lastExit.finishedAt} />.
        </p>
      )}
    </li>
  )
}

const Pod = ({ path, pod }: { readonly pod: PodNode; readonly path: string }) => (
  <li class="node-pod">
    <p class="node-line">
      <span class="mono node-name">{pod.name}</span>
      <HealthBadge health={pod.health} />
      <span class="muted">
        {pod.phase} on {pod.node ?? "no node yet"}, <Time at={pod.createdAt} />
      </span>
    </p>
    <ul>
      {pod.containers.map((container) => (
        <Container
          key={container.name}
          container={container}
          logs={`${path}?tab=logs&pod=${encodeURIComponent(pod.name)}&container=${encodeURIComponent(container.name)}`}
        />
      ))}
    </ul>
  </li>
)

const RevisionCard = ({ path, revision }: { readonly revision: Revision; readonly path: string }) => (
  <section class="card" aria-label={`Revision ${revision.revision}`}>
    <div class="node-line">
      <h2>Revision {revision.revision}</h2>
      {revision.current ? <span class="tag tag-accent">current</span> : <span class="tag">old</span>}
      <span class="mono muted node-name">{revision.name}</span>
    </div>
    {revision.pods.length === 0 ? (
      <p class="hint">It has no pods.</p>
    ) : (
      <ul class="node-pods">
        {revision.pods.map((pod) => (
          <Pod key={pod.name} pod={pod} path={path} />
        ))}
      </ul>
    )}
  </section>
)

export const Tree = ({ detail }: { readonly detail: WorkloadDetail }) => {
  const shown = detail.revisions.filter(({ current, pods }) => current || pods.length > 0)
  return shown.length === 0 ? (
    <Message title="There are no pods">
      <p>{detail.workload.desired === 0 ? "It is scaled to 0." : "None has been created yet: see the events."}</p>
    </Message>
  ) : (
    <div class="stack section">
      {shown
        .toSorted((one, other) => Number(other.current) - Number(one.current) || other.revision - one.revision)
        .map((revision) => (
          <RevisionCard key={revision.name} revision={revision} path={workloadPath(detail.workload)} />
        ))}
    </div>
  )
}
