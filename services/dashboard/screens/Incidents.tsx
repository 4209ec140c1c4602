/** What the watchman has found, open ones first; what the stream tells changes the rows at once. */
import { useState } from "preact/hooks"
import type { Incident } from "#shared/api/scheduler.ts"
import { Badge, NamespaceTag } from "../components/Badge.tsx"
import { Icon } from "../components/Icon.tsx"
import { Link } from "../components/Link.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { FilterSelect } from "../components/SearchBox.tsx"
import { Segmented } from "../components/Segmented.tsx"
import { StatusBadge, StatusBanner } from "../components/StatusBanner.tsx"
import { More, Table, Time } from "../components/Table.tsx"
import { fullTime } from "../format.ts"
import { jobsApi } from "../jobsApi.ts"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { setQuery, useLocation } from "../router.ts"
import { useJobsStream } from "../useJobsStream.ts"
import { useLoaded, useNow } from "../useLoaded.ts"
import { usePages } from "../usePages.ts"
import { classWords, impactWords, remedyWords } from "../words.ts"
import { IncidentState } from "./incidents/IncidentState.tsx"

export const Incidents = ({ me }: ScreenProps) => (
  <Guarded allowed={mayI(me, "scheduler", "read")} title="Incidents" what="the incidents" needs="scheduler:read">
    <Content />
  </Guarded>
)

const states = [
  ["open", "Open"],
  ["resolved", "Resolved"],
  ["all", "All"]
] as const

const Content = () => {
  const { query } = useLocation()
  const given = query.get("state")
  const state = given === "resolved" || given === "all" ? given : "open"
  const filter = {
    state: state === "all" ? "" : state,
    class: query.get("class") ?? "",
    proposal: query.get("remedy") ?? ""
  }
  const list = usePages((cursor) => jobsApi.incidents(filter, cursor), JSON.stringify(filter))
  const health = useLoaded(jobsApi.health, "health")
  const [told, setTold] = useState<ReadonlyMap<string, Incident>>(new Map())
  useNow(30_000)
  const stream = useJobsStream({
    onEvent: (event) => {
      if (event.event === "incident") setTold((before) => new Map(before).set(event.data.id, event.data))
      else if (event.event === "health") void health.reload()
    },
    onReset: () => void list.reload()
  })
  const known = new Map((list.items ?? []).map((incident) => [incident.id, incident]))
  for (const incident of told.values()) known.set(incident.id, incident)
  const rows = [...known.values()]
    .filter(
      (one) =>
        (filter.state === "" || one.state === filter.state) &&
        (filter.class === "" || one.class === filter.class) &&
        (filter.proposal === "" || one.remedy === filter.proposal)
    )
    .sort((one, other) => one.state.localeCompare(other.state) || (one.openedAt < other.openedAt ? 1 : -1))
  const watch = health.value?.watch
  return (
    <>
      <ScreenHead title="Incidents" sub="What the watchman has found in the workloads of this environment.">
        <StatusBadge state={stream.state} />
        <Segmented
          label="State"
          value={state}
          options={states}
          onChange={(next) => setQuery("state", next === "open" ? "" : next)}
        />
      </ScreenHead>
      <StatusBanner state={stream.state} onRetry={stream.retry} />
      {watch === undefined || watch.state === "live" ? null : (
        <div class="banner" role="alert">
          <Icon name="warning" />
          <p>
            <b>
              {watch.state === "off"
                ? "Nobody watches the cluster."
                : `The watchman does not see the cluster${watch.since === null ? "" : ` since ${fullTime(watch.since)}`}.`}
            </b>{" "}
            <span>Nothing is resolved or proposed from old values.</span>
          </p>
        </div>
      )}
      <div class="toolbar">
        <FilterSelect
          label="Class"
          name="class"
          options={[["", "Every class"], ...Object.entries(classWords).map(([name, word]) => [name, word] as const)]}
        />
        <FilterSelect
          label="Remedy"
          name="remedy"
          options={[
            ["", "Every remedy"],
            ...Object.entries(remedyWords).map(([name, [, word]]) => [name, word] as const)
          ]}
        />
      </div>
      {list.error === undefined ? null : <Failed message={list.error} onRetry={() => void list.reload()} />}
      {list.items === undefined ? (
        list.error === undefined ? (
          <Loading what="incidents" />
        ) : null
      ) : rows.length === 0 ? (
        <Message icon="check" title={state === "open" ? "No open incident" : "No incident matches"}>
          <p>
            {health.value === undefined
              ? "Nothing fits the filter."
              : `${health.value.workloads} workloads with ${health.value.pods} pods are watched.`}
          </p>
        </Message>
      ) : (
        <Table
          caption="Incidents"
          rows={rows}
          rowKey={({ id }) => id}
          columns={[
            {
              title: "Incident",
              cell: (incident) => (
                <span class="cell-main">
                  <Link to={`/incidents/${incident.id}`} class="cell-link">
                    {incident.title}
                  </Link>
                  <small>
                    {classWords[incident.class]}, {incident.kind} {incident.name} in{" "}
                    <NamespaceTag namespace={incident.namespace} />
                  </small>
                </span>
              )
            },
            {
              title: "State",
              cell: (incident) => (
                <span class="cell-health">
                  <IncidentState incident={incident} />
                  <small>{impactWords[incident.impact][1]}</small>
                </span>
              )
            },
            {
              title: "Remedy",
              cell: ({ advice, proposalId, remedy }) => (
                <span class="cell-health">
                  {proposalId === null ? (
                    <Badge tone={remedyWords[remedy][0]}>{remedyWords[remedy][1]}</Badge>
                  ) : (
                    <Link to={`/proposals/${proposalId}`} class="cell-link">
                      <Badge tone={remedyWords[remedy][0]}>{remedyWords[remedy][1]}</Badge>
                    </Link>
                  )}
                  {advice === "" ? null : <small>{advice}</small>}
                </span>
              )
            },
            {
              title: "Opened",
              cell: ({ lastSeenAt, openedAt }) => (
                <span class="cell-main">
                  <Time at={openedAt} />
                  <small>
                    seen <Time at={lastSeenAt} />
                  </small>
                </span>
              )
            }
          ]}
        />
      )}
      <More more={list.more} busy={list.busy} />
    </>
  )
}
