/** What runs by the clock: next and last runs; run now, pause, change, make a new one. */
import { useState } from "preact/hooks"
import type { ScheduleView } from "#shared/api/scheduler.ts"
import type { Me } from "#shared/api/auth.ts"
import { useIntent } from "../components/Act.tsx"
import { Confirm, ErrorLine, useAction } from "../components/Dialog.tsx"
import { Icon } from "../components/Icon.tsx"
import { Link } from "../components/Link.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { Table, Time } from "../components/Table.tsx"
import { duration, fullTime } from "../format.ts"
import { jobsApi } from "../jobsApi.ts"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { navigate } from "../router.ts"
import { useLoaded, useNow } from "../useLoaded.ts"
import { JobBadge } from "./Jobs.tsx"
import { ScheduleEditor } from "./schedules/ScheduleEditor.tsx"

export const Schedules = ({ me }: ScreenProps) => (
  <Guarded allowed={mayI(me, "scheduler", "read")} title="Schedules" what="the schedules" needs="scheduler:read">
    <Content me={me} />
  </Guarded>
)

type Asking =
  | { readonly kind: "edit"; readonly schedule: ScheduleView | undefined }
  | { readonly kind: "delete"; readonly schedule: ScheduleView }

const Rule = ({ schedule: { cron, everySeconds, timeZone } }: { readonly schedule: ScheduleView }) =>
  cron === null ? (
    <>every {duration(everySeconds)}</>
  ) : (
    <span class="cell-main">
      <code>{cron}</code>
      <small>{timeZone}</small>
    </span>
  )

const Next = ({ schedule: { enabled, nextSlot, nextSlots } }: { readonly schedule: ScheduleView }) =>
  enabled ? (
    <details class="slots">
      <summary>
        <Time at={nextSlot} />
      </summary>
      <ol>
        {nextSlots.map((slot) => (
          <li key={slot}>{fullTime(slot)}</li>
        ))}
      </ol>
    </details>
  ) : (
    <span class="tag">paused</span>
  )

const Content = ({ me }: { readonly me: Me }) => {
  const list = useLoaded(jobsApi.schedules, "schedules")
  const [asking, setAsking] = useState<Asking>()
  const { busy, error, run } = useAction()
  const intent = useIntent()
  useNow(30_000)
  const mayWrite = mayI(me, "scheduler", "write")
  const close = () => setAsking(undefined)
  const items = list.value?.items
  return (
    <>
      <ScreenHead title="Schedules" sub="Each slot runs once, whoever is away.">
        <button
          type="button"
          class="button button-primary"
          disabled={!mayWrite}
          title={mayWrite ? undefined : "It needs the right scheduler:write."}
          onClick={() => setAsking({ kind: "edit", schedule: undefined })}
        >
          <Icon name="plus" />
          New schedule
        </button>
      </ScreenHead>
      <ErrorLine error={error} />
      {list.error === undefined ? null : <Failed message={list.error} onRetry={() => void list.reload()} />}
      {items === undefined ? (
        list.error === undefined ? (
          <Loading what="schedules" />
        ) : null
      ) : items.length === 0 ? (
        <Message icon="schedules" title="Nothing is scheduled">
          <p>Make a schedule to run a job by the clock.</p>
        </Message>
      ) : (
        <Table
          caption="Schedules"
          rows={items}
          rowKey={({ name }) => name}
          rowClass={({ enabled }) => (enabled ? "" : "row-disabled")}
          columns={[
            {
              title: "Schedule",
              cell: (schedule) => (
                <span class="cell-main">
                  <span class="cell-title">
                    {schedule.name}
                    {schedule.builtIn ? <span class="tag">built in</span> : null}
                  </span>
                  <small>
                    <Link to={`/queue?schedule=${schedule.name}`}>{schedule.kind}</Link>
                  </small>
                </span>
              )
            },
            { title: "When", cell: (schedule) => <Rule schedule={schedule} /> },
            { title: "Next", cell: (schedule) => <Next schedule={schedule} /> },
            {
              title: "Last run",
              cell: ({ lastJob, lastSlot, missedCount }) => (
                <span class="cell-health">
                  {lastJob === null ? (
                    <span class="muted">never</span>
                  ) : (
                    <Link to={`/queue/${lastJob.id}`} class="cell-link">
                      <JobBadge state={lastJob.state} />
                    </Link>
                  )}
                  <small>
                    {lastSlot === null ? null : <Time at={lastSlot} />}
                    {missedCount === 0 ? "" : `, ${missedCount} missed`}
                  </small>
                </span>
              )
            },
            {
              title: "Action",
              quiet: true,
              cell: (schedule) =>
                mayWrite ? (
                  <span class="row-tools">
                    <button
                      type="button"
                      class="button button-small"
                      disabled={busy}
                      aria-label={`Run ${schedule.name} now`}
                      onClick={() =>
                        run(async () => {
                          const job = await jobsApi.trigger(
                            schedule.name,
                            intent({ trigger: schedule.name, list: list.value })
                          )
                          navigate(`/queue/${job.id}`)
                        })
                      }
                    >
                      Run now
                    </button>
                    <button
                      type="button"
                      class="button button-small"
                      disabled={busy}
                      aria-label={`${schedule.enabled ? "Pause" : "Resume"} ${schedule.name}`}
                      onClick={() =>
                        run(async () => {
                          const enabled = !schedule.enabled
                          await jobsApi.setEnabled(schedule.name, enabled, intent({ name: schedule.name, enabled }))
                          await list.reload()
                        })
                      }
                    >
                      {schedule.enabled ? "Pause" : "Resume"}
                    </button>
                    <button
                      type="button"
                      class="button button-small"
                      aria-label={`Edit ${schedule.name}`}
                      onClick={() => setAsking({ kind: "edit", schedule })}
                    >
                      Edit
                    </button>
                    {schedule.builtIn ? null : (
                      <button
                        type="button"
                        class="button button-small"
                        aria-label={`Delete ${schedule.name}`}
                        onClick={() => setAsking({ kind: "delete", schedule })}
                      >
                        Delete
                      </button>
                    )}
                  </span>
                ) : null
            }
          ]}
        />
      )}
      {asking?.kind === "edit" ? (
        <ScheduleEditor schedule={asking.schedule} taken={items ?? []} onClose={close} onSaved={list.reload} />
      ) : null}
      {asking?.kind === "delete" ? (
        <Confirm
          title={`Delete ${asking.schedule.name}?`}
          action="Delete"
          danger
          onClose={close}
          onConfirm={async () => {
            await jobsApi.deleteSchedule(asking.schedule.name)
            await list.reload()
          }}
        >
          <p>It runs no more. Its jobs and their logs are kept.</p>
        </Confirm>
      ) : null}
    </>
  )
}
