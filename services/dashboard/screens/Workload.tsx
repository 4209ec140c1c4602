/** One workload: where its rollout stands, what it is made of, its past, its logs, and what may be done to it. */
import { useEffect, useState } from "preact/hooks"
import type { Action, Workload, WorkloadDetail } from "#shared/api/admin.ts"
import type { Me } from "#shared/api/auth.ts"
import { adminApi } from "../adminApi.ts"
import { HealthBadge, NamespaceTag } from "../components/Badge.tsx"
import { ClusterBanner, isOld } from "../components/ClusterBanner.tsx"
import { CopyText } from "../components/CopyText.tsx"
import { Link } from "../components/Link.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { Tabs, useTab } from "../components/Tabs.tsx"
import { Time } from "../components/Table.tsx"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { workloadKey } from "../clusterState.ts"
import { type Cluster, pendingOf, useCluster } from "../useCluster.ts"
import { useCapabilities } from "../useCapabilities.ts"
import { useLoaded } from "../useLoaded.ts"
import { shortImage } from "../words.ts"
import { ActionBar } from "./workload/ActionBar.tsx"
import { Logs } from "./workload/Logs.tsx"
import { Revisions } from "./workload/Revisions.tsx"
import { RolloutCard } from "./workload/RolloutCard.tsx"
import { Conditions, Environment, Events } from "./workload/Parts.tsx"
import { Tree } from "./workload/Tree.tsx"

export const WorkloadScreen = ({ me, params }: ScreenProps) => (
  <Guarded allowed={mayI(me, "admin", "read")} title={params["name"]!} what="the workloads" needs="admin:read">
    <Content me={me} target={params} />
  </Guarded>
)

const tabs = [
  ["state", "State"],
  ["revisions", "Revisions"],
  ["logs", "Logs"],
  ["events", "Events"],
  ["environment", "Environment"],
  ["yaml", "YAML"]
] as const

/** Changes when the workload does, so that the rest is looked at again. */
const versionOf = (workload: Workload | undefined): string =>
  workload === undefined
    ? ""
    : JSON.stringify([
        workload.uid,
        workload.generation,
        workload.ready,
        workload.updated,
        workload.restarts,
        workload.health,
        workload.phase
      ])

interface ContentProps {
  readonly me: Me
  readonly target: ScreenProps["params"]
}

const Content = ({ me, target }: ContentProps) => {
  const cluster = useCluster()
  const rules = useCapabilities()
  const place = { namespace: target["namespace"]!, kind: target["kind"] as Workload["kind"], name: target["name"]! }
  const key = workloadKey(place)
  const live = cluster.workloads?.get(key)
  const detail = useLoaded(() => adminApi.workload(place), key)
  const [done, setDone] = useState<Action>()
  const version = versionOf(live)
  useEffect(() => {
    if (version !== "") void detail.reload()
  }, [version])
  const back = ["/workloads", "Workloads"] as const

  if (detail.value === undefined) {
    return (
      <>
        <ScreenHead title={place.name} back={back} sub={`${place.kind} in ${place.namespace}`} />
        <ClusterBanner cluster={cluster} />
        {detail.error === undefined ? (
          <Loading what="the workload" rows={6} />
        ) : detail.status === 404 ? (
          <Message icon="search" title="There is no such workload">
            <p>
              It may have been deleted. <Link to="/workloads">See all workloads</Link>
            </p>
          </Message>
        ) : (
          <Failed message={detail.error} onRetry={() => void detail.reload()} />
        )}
      </>
    )
  }
  const shown = live ?? detail.value.workload
  return (
    <>
      <ScreenHead
        title={place.name}
        back={back}
        beside={<HealthBadge health={shown.health} />}
        sub={
          <>
            <span>
              {place.kind} in <NamespaceTag namespace={place.namespace} />
            </span>
            {shown.images.map((image) => (
              <code key={image} title={image}>
                {shortImage(image)}
              </code>
            ))}
            {shown.revision === null ? null : <span>revision {shown.revision}</span>}
            <span>
              created <Time at={shown.createdAt} />
            </span>
          </>
        }
      />
      <ClusterBanner cluster={cluster} />
      <Waiting cluster={cluster} workload={shown} />
      {detail.error === undefined ? null : <Failed message={detail.error} onRetry={() => void detail.reload()} />}
      <div class={isOld(cluster) ? "is-stale" : undefined}>
        <RolloutCard
          workload={shown}
          status={detail.value.status}
          action={done === undefined ? undefined : (cluster.actions.find(({ id }) => id === done.id) ?? done)}
        >
          <ActionBar
            me={me}
            workload={shown}
            detail={detail.value}
            rules={rules}
            onDone={(action) => {
              setDone(action)
              void Promise.all([detail.reload(), rules.reload()])
            }}
          />
        </RolloutCard>
        <Tabs label="Parts of the workload" tabs={tabs} />
        <Part me={me} detail={detail.value} version={version} onDone={setDone} rules={rules} workload={shown} />
      </div>
    </>
  )
}

/** A proposal for this workload is what to look at first. */
const Waiting = ({ cluster, workload }: { readonly cluster: Cluster; readonly workload: Workload }) => (
  <>
    {pendingOf(cluster)
      .filter(({ target }) => workloadKey(target) === workloadKey(workload))
      .map(({ id, summary }) => (
        <div class="banner" key={id}>
          <p>
            <b>A proposal waits for a decision.</b> <span>{summary}</span>
          </p>
          <Link to={`/proposals/${id}`} class="button">
            Look at it
          </Link>
        </div>
      ))}
  </>
)

interface PartProps {
  readonly me: Me
  readonly workload: Workload
  readonly detail: WorkloadDetail
  readonly version: string
  readonly rules: ReturnType<typeof useCapabilities>
  readonly onDone: (action: Action) => void
}

const Part = ({ detail, me, onDone, rules, version, workload }: PartProps) => {
  switch (useTab(tabs)) {
    case "revisions":
      return <Revisions me={me} workload={workload} version={version} rules={rules} onDone={onDone} />
    case "logs":
      return <Logs detail={detail} />
    case "events":
      return <Events detail={detail} />
    case "environment":
      return <Environment detail={detail} />
    case "yaml":
      return (
        <section class="card" aria-label="YAML">
          <CopyText label="YAML" text={detail.yaml} />
        </section>
      )
    default:
      return (
        <>
          <Tree detail={detail} />
          <Conditions detail={detail} />
        </>
      )
  }
}
