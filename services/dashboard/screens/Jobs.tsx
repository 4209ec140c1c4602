/** The background jobs, newest first, as the address filters them; what the stream tells changes the rows at once. */
import { useState } from "preact/hooks"
import type { Job } from "#shared/api/scheduler.ts"
import { Badge } from "../components/Badge.tsx"
import { Link } from "../components/Link.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { FilterSelect, SearchBox } from "../components/SearchBox.tsx"
import { StatusBadge, StatusBanner } from "../components/StatusBanner.tsx"
import { More, Table, Time } from "../components/Table.tsx"
import { duration, unknown } from "../format.ts"
import { jobsApi } from "../jobsApi.ts"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { useLocation } from "../router.ts"
import { useJobsStream } from "../useJobsStream.ts"
import { useLoaded } from "../useLoaded.ts"
import { usePages } from "../usePages.ts"
import { jobWords } from "../words.ts"

export const Jobs = ({ me }: ScreenProps) => (
  <Guarded allowed={mayI(me, "scheduler", "read")} title="Jobs" what="the jobs" needs="scheduler:read">
    <Content />
  </Guarded>
)

export const JobBadge = ({ state }: { readonly state: Job["state"] }) => (
  <Badge tone={jobWords[state][0]}>{jobWords[state][1]}</Badge>
)

const took = ({ finishedAt, startedAt }: Job): string => {
  if (startedAt === null || finishedAt === null) return unknown
  const milliseconds = Date.parse(finishedAt) - Date.parse(startedAt)
  return milliseconds < 1000 ? `${Math.max(0, milliseconds)}\u202fms` : duration(milliseconds / 1000)
}

/** As the server searches, but for the errors of attempts, which a row does not tell. */
const says = ({ id, kind, reason, schedule }: Job, q: string): boolean =>
  [id, kind, schedule ?? "", reason].some((text) => text.toLowerCase().includes(q.toLowerCase()))

const fits = (job: Job, filter: Readonly<Record<string, string>>): boolean =>
  (filter["state"] === "" || job.state === filter["state"]) &&
  (filter["kind"] === "" || job.kind === filter["kind"]) &&
  (filter["schedule"] === "" || job.schedule === filter["schedule"])

const Content = () => {
  const { query } = useLocation()
  const filter = Object.fromEntries(["q", "state", "kind", "schedule"].map((name) => [name, query.get(name) ?? ""]))
  const list = usePages((cursor) => jobsApi.jobs(filter, cursor), JSON.stringify(filter))
  const kinds = useLoaded(jobsApi.kinds, "kinds")
  const [told, setTold] = useState<ReadonlyMap<string, Job>>(new Map())
  const stream = useJobsStream({
    onEvent: (event) => {
      if (event.event === "job") setTold((before) => new Map(before).set(event.data.id, event.data))
    },
    onReset: () => void list.reload()
  })
  const known = new Map((list.items ?? []).map((job) => [job.id, job]))
  for (const job of told.values()) {
    // What the server has found stays; what comes anew is searched here.
    if (known.has(job.id) || says(job, filter["q"] ?? "")) known.set(job.id, job)
  }
  // Ids are UUIDv7: in the order of their creation.
  const rows = [...known.values()].filter((job) => fits(job, filter)).sort((one, other) => (one.id < other.id ? 1 : -1))
  const filtered = Object.values(filter).some((value) => value !== "")
  return (
    <>
      <ScreenHead title="Jobs" sub="What the platform does in the background, and what came of it.">
        <StatusBadge state={stream.state} />
      </ScreenHead>
      <StatusBanner state={stream.state} onRetry={stream.retry} />
      <div class="toolbar">
        <SearchBox label="Search the jobs" placeholder="Id, kind, schedule or error" />
        <SearchBox label="Jobs of a schedule" placeholder="Schedule" name="schedule" />
        <FilterSelect
          label="State"
          name="state"
          options={[
            ["", "Every state"],
            ...Object.entries(jobWords).map(([state, [, word]]) => [state, word] as const)
          ]}
        />
        <FilterSelect
          label="Kind"
          name="kind"
          options={[["", "Every kind"], ...(kinds.value?.items ?? []).map(({ kind }) => [kind, kind] as const)]}
        />
      </div>
      {list.error === undefined ? null : <Failed message={list.error} onRetry={() => void list.reload()} />}
      {list.items === undefined ? (
        list.error === undefined ? (
          <Loading what="jobs" />
        ) : null
      ) : rows.length === 0 ? (
        <Message icon="jobs" title={filtered ? "No job matches" : "No job has run yet"}>
          <p>{filtered ? "Nothing fits the filter." : "Schedules and people create them."}</p>
        </Message>
      ) : (
        <Table
          caption="Jobs"
          rows={rows}
          rowKey={({ id }) => id}
          columns={[
            {
              title: "Job",
              cell: ({ id, kind, schedule }) => (
                <span class="cell-main">
                  <Link to={`/queue/${id}`} class="cell-link">
                    {kind}
                  </Link>
                  <small>{schedule === null ? "made by hand" : `of ${schedule}`}</small>
                </span>
              )
            },
            {
              title: "State",
              cell: ({ reason, state }) => (
                <span class="cell-health">
                  <JobBadge state={state} />
                  {reason === "" ? null : <small>{reason}</small>}
                </span>
              )
            },
            {
              title: "Attempt",
              number: true,
              cell: ({ attempt, maxAttempts }) => `${attempt}/${maxAttempts}`
            },
            { title: "Due", cell: ({ runAt }) => <Time at={runAt} /> },
            { title: "Took", cell: took },
            { title: "Ended", cell: ({ finishedAt }) => <Time at={finishedAt} /> }
          ]}
        />
      )}
      <More more={list.more} busy={list.busy} />
    </>
  )
}
