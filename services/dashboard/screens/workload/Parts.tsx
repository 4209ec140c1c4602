/** Conditions, events and environment of a workload; must mask nothing itself: secrets never reach the page. */
import { useEffect } from "preact/hooks"
import type { WorkloadDetail } from "#shared/api/admin.ts"
import { adminApi } from "../../adminApi.ts"
import { Badge } from "../../components/Badge.tsx"
import { EventList } from "../../components/EventList.tsx"
import { Failed, Loading, Message } from "../../components/Messages.tsx"
import { Table, Time } from "../../components/Table.tsx"
import { useLoaded } from "../../useLoaded.ts"

interface PartProps {
  readonly detail: WorkloadDetail
}

/** Whether a condition is as one wishes; most are good when true. */
const fine = (type: string, status: string): boolean => (/Failure|Pressure/u.test(type) ? "False" : "True") === status

export const Conditions = ({ detail: { conditions, strategy } }: PartProps) => (
  <section class="section" aria-label="Conditions">
    <h2 class="section-title">
      Conditions <small class="muted">update strategy {strategy}</small>
    </h2>
    {conditions.length === 0 ? (
      <p class="hint">The controller has reported none.</p>
    ) : (
      <Table
        caption="Conditions"
        rows={conditions}
        rowKey={({ type }) => type}
        columns={[
          { title: "Condition", cell: ({ type }) => <b>{type}</b> },
          {
            title: "Status",
            cell: ({ status, type }) => <Badge tone={fine(type, status) ? "good" : "bad"}>{status}</Badge>
          },
          {
            title: "Why",
            cell: ({ message, reason }) => (
              <span class="cell-main wrap">
                {message}
                <small>{reason}</small>
              </span>
            )
          },
          { title: "Since", cell: ({ at }) => <Time at={at} /> }
        ]}
      />
    )}
  </section>
)

/** Milliseconds between looks at events. */
const refresh = 15_000

export const Events = ({ detail: { workload } }: PartProps) => {
  const events = useLoaded(() => adminApi.events(workload), workload.uid)
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) void events.reload()
    }, refresh)
    return () => clearInterval(timer)
  }, [])
  if (events.error !== undefined) return <Failed message={events.error} onRetry={() => void events.reload()} />
  if (events.value === undefined) return <Loading what="events" />
  return (
    <section class="card" aria-label="Events">
      <h2>Events</h2>
      <EventList events={events.value.items} />
    </section>
  )
}

export const Environment = ({ detail: { environment } }: PartProps) =>
  environment.length === 0 ? (
    <Message title="No environment variables">
      <p>Its containers are given none.</p>
    </Message>
  ) : (
    <>
      <Table
        caption="Environment variables"
        rows={environment}
        rowKey={({ container, name }) => `${container}/${name}`}
        columns={[
          { title: "Name", cell: ({ name }) => <b class="mono">{name}</b> },
          { title: "Value", cell: ({ value }) => <span class="mono wrap">{value}</span> },
          { title: "Container", cell: ({ container }) => <span class="mono">{container}</span> }
        ]}
      />
      <p class="hint">Values of secrets are never shown.</p>
    </>
  )
