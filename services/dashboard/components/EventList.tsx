/** Kubernetes events, newest first as they come; must fetch none. */
import { Badge } from "./Badge.tsx"
import { Time } from "./Table.tsx"

interface ShownEvent {
  readonly at: string | null
  readonly type?: string
  readonly reason: string
  readonly message: string
  readonly count: number
  readonly object?: { readonly kind: string; readonly name: string }
}

export const EventList = ({ events }: { readonly events: ReadonlyArray<ShownEvent> }) =>
  events.length === 0 ? (
    <p class="hint">There are no events. Kubernetes keeps them for an hour.</p>
  ) : (
    <ul class="events">
      {events.map(({ at, count, message, object, reason, type }, index) => (
        <li key={`${at}${reason}${index}`}>
          <p class="event-head">
            {type === undefined ? <b>{reason}</b> : <Badge tone={type === "Warning" ? "warn" : "none"}>{reason}</Badge>}
            {count > 1 ? <span class="muted">{count} times</span> : null}
            <span class="event-time">
              <Time at={at} />
            </span>
          </p>
          <p>{message}</p>
          {object === undefined ? null : (
            <p class="muted">
              {object.kind} <span class="mono">{object.name}</span>
            </p>
          )}
        </li>
      ))}
    </ul>
  )
