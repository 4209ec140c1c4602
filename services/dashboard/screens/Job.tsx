/** One job: its attempts, what it was given and gave back, its log as it is written; cancel and retry. */
import { useMemo, useState } from "preact/hooks"
import type { Job, JobDetail, JobLogLine } from "#shared/api/scheduler.ts"
import type { Me } from "#shared/api/auth.ts"
import { ActDialog, useIntent } from "../components/Act.tsx"
import { Badge } from "../components/Badge.tsx"
import { ErrorLine, useAction } from "../components/Dialog.tsx"
import { GatedButtons } from "../components/Gated.tsx"
import { Link } from "../components/Link.tsx"
import { LogView } from "../components/LogView.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { StatusBanner } from "../components/StatusBanner.tsx"
import { Table, Time } from "../components/Table.tsx"
import { fullTime } from "../format.ts"
import { jobsApi } from "../jobsApi.ts"
import type { LogSource } from "../logStream.ts"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { navigate } from "../router.ts"
import { firstRefusal } from "../useCapabilities.ts"
import { useJobsStream } from "../useJobsStream.ts"
import { useLoaded } from "../useLoaded.ts"
import type { Tone } from "../words.ts"
import { JobBadge } from "./Jobs.tsx"

export const JobScreen = ({ me, params }: ScreenProps) => (
  <Guarded allowed={mayI(me, "scheduler", "read")} title="Job" what="the jobs" needs="scheduler:read">
    <Content me={me} id={params["id"]!} />
  </Guarded>
)

const attemptTones: Readonly<Record<JobDetail["attempts"][number]["state"], Tone>> = {
  running: "busy",
  succeeded: "good",
  failed: "bad",
  crashed: "bad",
  cancelled: "rest",
  released: "rest"
}

const terminal = new Set<Job["state"]>(["succeeded", "cancelled", "failed", "expired"])

const Json = ({ title, value }: { readonly title: string; readonly value: unknown }) => (
  <section class="card" aria-label={title}>
    <h2>{title}</h2>
    <pre class="log-block">{JSON.stringify(value, null, 2)}</pre>
  </section>
)

const Content = ({ id, me }: { readonly me: Me; readonly id: string }) => {
  const [told, setTold] = useState<Job>()
  const [cancelling, setCancelling] = useState(false)
  const { busy, error, run } = useAction()
  const intent = useIntent()
  const detail = useLoaded(() => jobsApi.job(id), id)
  const stream = useJobsStream({
    onEvent: (event) => {
      if (event.event !== "job" || event.data.id !== id) return
      setTold(event.data)
      void detail.reload()
    },
    onReset: () => void detail.reload()
  })
  const source = useMemo(
    (): LogSource => ({
      key: id,
      resumes: true,
      path: () => jobsApi.logPath(id),
      lineOf: ({ data, event }) => {
        if (event !== "line") return undefined
        const { at, attempt, level, message } = JSON.parse(data) as JobLogLine
        return { at, level, text: attempt === 1 ? message : `[attempt ${attempt}] ${message}` }
      }
    }),
    [id]
  )
  const back = ["/queue", "Jobs"] as const
  const found = detail.value
  if (found === undefined) {
    return (
      <>
        <ScreenHead title="Job" back={back} />
        {detail.error === undefined ? (
          <Loading what="the job" />
        ) : detail.status === 404 ? (
          <Message icon="search" title="There is no such job">
            <p>
              It may be older than what is kept. <Link to="/queue">See all jobs</Link>
            </p>
          </Message>
        ) : (
          <Failed message={detail.error} onRetry={() => void detail.reload()} />
        )}
      </>
    )
  }
  const job = told ?? found.job
  const ended = terminal.has(job.state)
  const mayWrite = {
    allowed: mayI(me, "scheduler", "write"),
    reason: "It needs the right scheduler:write in this environment."
  }
  return (
    <>
      <ScreenHead
        title={job.kind}
        back={back}
        beside={<JobBadge state={job.state} />}
        sub={
          <>
            {job.schedule === null ? null : <Link to={`/queue?schedule=${job.schedule}`}>of {job.schedule}</Link>}
            {job.retryOf === null ? null : <Link to={`/queue/${job.retryOf}`}>retry of an earlier one</Link>}
            <span>
              attempt {job.attempt} of {job.maxAttempts}
            </span>
            <span title={fullTime(job.runAt)}>
              due <Time at={job.runAt} />
            </span>
            {job.reason === "" ? null : <span>{job.reason}</span>}
          </>
        }
      />
      <StatusBanner state={stream.state} onRetry={stream.retry} />
      <div class="section">
        <GatedButtons
          actions={[
            ended
              ? {
                  title: "Run it again",
                  icon: "restart",
                  allowance: firstRefusal(mayWrite, busy && "It is being asked for."),
                  onPress: () =>
                    void run(async () => navigate(`/queue/${(await jobsApi.retry(id, intent({ retry: id }))).id}`))
                }
              : {
                  title: "Cancel",
                  icon: "close",
                  allowance: mayWrite,
                  onPress: () => setCancelling(true)
                }
          ]}
        />
        <ErrorLine error={error} />
      </div>
      {found.attempts.length === 0 ? null : (
        <section class="section" aria-label="Attempts">
          <Table
            caption="Attempts"
            rows={found.attempts.toReversed()}
            rowKey={({ attempt }) => String(attempt)}
            columns={[
              { title: "Attempt", cell: ({ attempt }) => <b>{attempt}</b> },
              { title: "State", cell: ({ state }) => <Badge tone={attemptTones[state]}>{state}</Badge> },
              { title: "Began", cell: ({ startedAt }) => <Time at={startedAt} /> },
              { title: "Ended", cell: ({ finishedAt }) => <Time at={finishedAt} /> },
              { title: "Why", cell: ({ error: why }) => <span class="wrap">{why || "–"}</span> },
              { title: "Worker", cell: ({ worker }) => <span class="mono wrap">{worker}</span> }
            ]}
          />
        </section>
      )}
      <div class="section">
        <LogView source={source} fileName={`job-${id}.log`} />
      </div>
      <div class="evidence">
        <Json title="Payload" value={found.payload} />
        {found.result === null ? null : <Json title="Result" value={found.result} />}
      </div>
      {cancelling ? (
        <ActDialog
          title="Cancel this job?"
          verb="Cancel the job"
          danger
          typed=""
          onClose={() => setCancelling(false)}
          onAct={async (reason) => {
            setTold(await jobsApi.cancel(id, reason, intent({ id, reason })))
            await detail.reload()
          }}
        >
          <p>
            {job.state === "running"
              ? "It is asked to stop, and stopped by force after 15 seconds."
              : "It is not run any more."}
          </p>
        </ActDialog>
      ) : null}
    </>
  )
}
