/** One incident from its first sign to the proof that its remedy worked, as a chain and as a timeline; acknowledge, mute. */
import { useId, useState } from "preact/hooks"
import type { IncidentChain } from "#shared/api/scheduler.ts"
import type { Me } from "#shared/api/auth.ts"
import { ActDialog, useIntent } from "../components/Act.tsx"
import { Badge, NamespaceTag } from "../components/Badge.tsx"
import { ErrorLine, useAction } from "../components/Dialog.tsx"
import { EvidenceView } from "../components/EvidenceView.tsx"
import { type GatedAction, GatedButtons } from "../components/Gated.tsx"
import { Link } from "../components/Link.tsx"
import { Failed, Loading, Message } from "../components/Messages.tsx"
import { Options } from "../components/Options.tsx"
import { Guarded, ScreenHead } from "../components/ScreenHead.tsx"
import { StatusBanner } from "../components/StatusBanner.tsx"
import { Time } from "../components/Table.tsx"
import { jobsApi } from "../jobsApi.ts"
import type { ScreenProps } from "../screen.ts"
import { mayI } from "../rights.ts"
import { firstRefusal } from "../useCapabilities.ts"
import { useJobsStream } from "../useJobsStream.ts"
import { useLoaded } from "../useLoaded.ts"
import { classWords, impactWords, kinds } from "../words.ts"
import { Chain } from "./incidents/Chain.tsx"
import { IncidentState } from "./incidents/IncidentState.tsx"

export const IncidentScreen = ({ me, params }: ScreenProps) => (
  <Guarded allowed={mayI(me, "scheduler", "read")} title="Incident" what="the incidents" needs="scheduler:read">
    <Content me={me} id={params["id"]!} />
  </Guarded>
)

const lengths: ReadonlyArray<readonly [hours: number, text: string]> = [
  [1, "1 hour"],
  [4, "4 hours"],
  [24, "1 day"],
  [168, "7 days"],
  [720, "30 days"]
]

const Content = ({ id, me }: { readonly me: Me; readonly id: string }) => {
  const chain = useLoaded(() => jobsApi.incident(id), id)
  const [muting, setMuting] = useState(false)
  const [hours, setHours] = useState(4)
  const { busy, error, run } = useAction()
  const intent = useIntent()
  const length = useId()
  const stream = useJobsStream({
    onEvent: (event) => {
      if (event.event === "incident" && event.data.id === id) void chain.reload()
    },
    onReset: () => void chain.reload()
  })
  const back = ["/incidents", "Incidents"] as const
  const found = chain.value
  if (found === undefined) {
    return (
      <>
        <ScreenHead title="Incident" back={back} />
        {chain.error === undefined ? (
          <Loading what="the incident" />
        ) : chain.status === 404 ? (
          <Message icon="search" title="There is no such incident">
            <p>
              It is gone, or in a namespace you may not see. <Link to="/incidents">See all incidents</Link>
            </p>
          </Message>
        ) : (
          <Failed message={chain.error} onRetry={() => void chain.reload()} />
        )}
      </>
    )
  }
  const { incident } = found
  const mayWrite = {
    allowed: mayI(me, "scheduler", "write"),
    reason: "It needs the right scheduler:write in this environment."
  }
  const muted = incident.mutedUntil !== null && Date.parse(incident.mutedUntil) > Date.now()
  const seen: GatedAction = {
    title: "I have seen it",
    icon: "check",
    allowance: firstRefusal(mayWrite, busy && "It is being told."),
    onPress: () =>
      void run(async () => {
        await jobsApi.acknowledge(id, intent({ ack: id }))
        await chain.reload()
      })
  }
  const mute: GatedAction = {
    title: muted ? "Mute for another time" : "Mute",
    icon: "pause",
    allowance: mayWrite,
    onPress: () => setMuting(true)
  }
  const actions = incident.state === "resolved" ? [] : incident.acknowledged === null ? [seen, mute] : [mute]
  return (
    <>
      <ScreenHead
        title={incident.title}
        back={back}
        beside={<IncidentState incident={incident} />}
        sub={
          <>
            <span>
              {classWords[incident.class]} in <NamespaceTag namespace={incident.namespace} />
            </span>
            {kinds.some((kind) => kind === incident.kind) && mayI(me, "admin", "read") ? (
              <Link to={`/workloads/${incident.namespace}/${incident.kind}/${incident.name}`}>Open the workload</Link>
            ) : null}
            <span>
              opened <Time at={incident.openedAt} />
            </span>
          </>
        }
      />
      <StatusBanner state={stream.state} onRetry={stream.retry} />
      <section class="card section" aria-label="Now">
        <p class="node-line">
          <Badge tone={impactWords[incident.impact][0]}>{impactWords[incident.impact][1]}</Badge>
          <span>
            {incident.podCount === 1 ? "1 pod" : `${incident.podCount} pods`}, {incident.restarts} restarts
            {incident.flaps === 0 ? "" : `, came back ${incident.flaps} times`}
          </span>
          <span class="muted">
            last seen <Time at={incident.lastSeenAt} />
          </span>
        </p>
        {incident.advice === "" ? null : (
          <p>
            <b>Advice:</b> {incident.advice}
          </p>
        )}
        <GatedButtons actions={actions} />
        <ErrorLine error={error} />
      </section>
      <Chain chain={found} />
      {found.evidence === null ? null : <EvidenceView evidence={found.evidence} />}
      <Timeline chain={found} />
      {muting ? (
        <ActDialog
          title="Mute this incident?"
          verb="Mute"
          typed=""
          onClose={() => setMuting(false)}
          onAct={async (reason) => {
            const until = new Date(Date.now() + hours * 3_600_000).toISOString()
            await jobsApi.mute(id, { until, reason }, intent({ id, hours, reason }))
            await chain.reload()
          }}
        >
          <p>Nothing is proposed for it and nobody is told of it until then.</p>
          <div class="field">
            <label for={length}>How long</label>
            <select id={length} value={hours} onChange={(event) => setHours(Number(event.currentTarget.value))}>
              <Options of={lengths} />
            </select>
          </div>
        </ActDialog>
      ) : null}
    </>
  )
}

const Timeline = ({ chain: { timeline } }: { readonly chain: IncidentChain }) => (
  <section class="card timeline-card" aria-label="Timeline">
    <h2>Timeline</h2>
    <ol class="timeline">
      {timeline.map(({ actor, at, detail, event }) => (
        <li key={`${at}${event}${detail}`}>
          <p>
            <b>{event.replaceAll("_", " ")}</b>
            {actor === null ? "" : ` by ${actor.name}`}{" "}
            <span class="event-time">
              <Time at={at} />
            </span>
          </p>
          {detail === "" ? null : <p class="muted">{detail}</p>}
        </li>
      ))}
    </ol>
  </section>
)
