/** Every workload with its health, live, filtered and sorted as the address says; must fetch only through the cluster's stream. */
import type { Workload } from "#shared/api/admin.ts"
import { Badge, HealthBadge, NamespaceTag } from "../components/Badge.tsx"
import { ClusterBanner, isOld } from "../components/ClusterBanner.tsx"
import { Icon } from "../components/Icon.tsx"
import { Images } from "../components/Images.tsx"
import { Link } from "../components/Link.tsx"
import { Loading, Message } from "../components/Messages.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { FilterSelect, SearchBox } from "../components/SearchBox.tsx"
import { StatusBadge } from "../components/StatusBanner.tsx"
import { type Column, Table, Time } from "../components/Table.tsx"
import type { ScreenProps } from "../screen.ts"
import { fullTime } from "../format.ts"
import { mayI } from "../rights.ts"
import { setQuery, useLocation } from "../router.ts"
import { useCluster } from "../useCluster.ts"
import { useNow } from "../useLoaded.ts"
import { age, healthOrder, healthTones, kinds } from "../words.ts"
import { countHealth, type Filter, select, workloadPath } from "./workloads/select.ts"

export const Workloads = ({ me }: ScreenProps) => (
  <Guarded allowed={mayI(me, "admin", "read")} title="Workloads" what="the workloads" needs="admin:read">
    <Content />
  </Guarded>
)

const columns = (now: number, several: boolean): ReadonlyArray<Column<Workload>> => [
  {
    title: "Workload",
    sort: "name",
    cell: (workload) => (
      <span class="cell-main">
        <Link to={workloadPath(workload)} class="cell-link">
          {workload.name}
        </Link>
        <small>
          {workload.kind}
          {several ? (
            <>
              {" "}
              in <NamespaceTag namespace={workload.namespace} />
            </>
          ) : null}
        </small>
      </span>
    )
  },
  {
    title: "Health",
    sort: "health",
    cell: ({ health }) => (
      <span class="cell-health">
        <HealthBadge health={health} />
        {health.reason === "" ? null : <small>{health.reason}</small>}
      </span>
    )
  },
  {
    title: "Ready",
    sort: "ready",
    number: true,
    cell: ({ desired, ready }) => (
      <span class={ready < desired ? "count-short" : undefined}>
        {ready}/{desired}
      </span>
    )
  },
  {
    title: "Restarts",
    sort: "restarts",
    number: true,
    cell: ({ restarts }) => (restarts === 0 ? <span class="muted">0</span> : restarts)
  },
  {
    title: "Age",
    sort: "age",
    number: true,
    cell: ({ createdAt }) => (
      <time dateTime={createdAt ?? undefined} title={createdAt === null ? undefined : fullTime(createdAt)}>
        {age(createdAt, now)}
      </time>
    )
  },
  {
    title: "Image",
    cell: ({ images }) => <Images images={images} />
  },
  {
    title: "Last change",
    sort: "changed",
    cell: ({ lastChange }) =>
      lastChange === null ? (
        <span class="muted" title="Nothing was changed through Gatehouse">
          –
        </span>
      ) : (
        <span class="cell-main">
          <Link to={`/actions/${lastChange.actionId}`}>{lastChange.action}</Link> by {lastChange.actor.name}
          <small>
            <Time at={lastChange.at} />
          </small>
        </span>
      )
  }
]

const Content = () => {
  const cluster = useCluster()
  const now = useNow(30_000)
  const { query } = useLocation()
  const filter: Filter = {
    q: query.get("q") ?? "",
    namespace: query.get("namespace") ?? "",
    kind: query.get("kind") ?? "",
    health: query.get("health") ?? "",
    sort: query.get("sort") ?? "health"
  }
  const all = [...(cluster.workloads?.values() ?? [])]
  const namespaces = [...new Set(all.map(({ namespace }) => namespace))].sort()
  const shown = select(all, filter)
  const counts = countHealth(select(all, { ...filter, health: "" }))
  return (
    <>
      <ScreenHead
        title="Workloads"
        sub={cluster.workloads === undefined ? "Waiting for the cluster" : `${all.length} in ${namespaces.join(", ")}`}
      >
        <StatusBadge state={cluster.stream} />
      </ScreenHead>
      <ClusterBanner cluster={cluster} />
      {cluster.workloads === undefined ? (
        cluster.stream.kind === "stale" || cluster.stream.kind === "ended" ? null : (
          <Loading what="workloads" rows={8} />
        )
      ) : all.length === 0 ? (
        <Message icon="workloads" title="There are no workloads yet">
          <p>
            <Link to="/apply">Apply a manifest</Link> to create the first one.
          </p>
        </Message>
      ) : (
        <div class={isOld(cluster) ? "is-stale" : undefined}>
          <div class="toolbar">
            <SearchBox label="Search workloads" placeholder="Name, image or reason" />
            {namespaces.length > 1 ? (
              <FilterSelect
                label="Namespace"
                name="namespace"
                options={[["", "Every namespace"], ...namespaces.map((name) => [name, name] as const)]}
              />
            ) : null}
            <FilterSelect
              label="Kind"
              name="kind"
              options={[["", "Every kind"], ...kinds.map((kind) => [kind, kind] as const)]}
            />
            <div class="toggles" role="group" aria-label="Health">
              {healthOrder.map((status) =>
                (counts.get(status) ?? 0) === 0 && filter.health !== status ? null : (
                  <button
                    key={status}
                    type="button"
                    class="toggle"
                    aria-pressed={filter.health === status}
                    onClick={() => setQuery("health", filter.health === status ? "" : status)}
                  >
                    <Badge tone={healthTones[status]}>{status}</Badge>
                    <b>{counts.get(status) ?? 0}</b>
                  </button>
                )
              )}
            </div>
          </div>
          {shown.length === 0 ? (
            <Message icon="search" title="No workload matches">
              <p>Nothing fits the filter.</p>
              <button
                type="button"
                class="button"
                onClick={() => {
                  for (const name of ["q", "namespace", "kind", "health"]) setQuery(name, "")
                }}
              >
                <Icon name="close" />
                Show all
              </button>
            </Message>
          ) : (
            <Table
              caption="Workloads"
              rows={shown}
              rowKey={({ uid }) => uid}
              columns={columns(now, namespaces.length > 1)}
              sorting={{ by: filter.sort, onSort: (by) => setQuery("sort", by === "health" ? "" : by) }}
            />
          )}
        </div>
      )}
    </>
  )
}
