/** Says how fresh the values are: a badge always, a banner when they are not; must never look live when nothing comes. */
import { clockTime } from "../format.ts"
import type { StreamState } from "../live.ts"
import { goToLogin } from "../api.ts"
import { Icon } from "./Icon.tsx"

const words: Readonly<Record<StreamState["kind"], string>> = {
  connecting: "Connecting",
  live: "Live",
  paused: "Paused",
  stale: "Stale",
  ended: "Ended"
}

/** The one live region for the stream: it speaks only when the state changes. */
export const StatusBadge = ({ state }: { readonly state: StreamState }) => (
  <span class={`status-badge status-${state.kind}`} role="status">
    <i class="status-dot" />
    {words[state.kind]}
  </span>
)

const sinceText = (since: string | null) => (since === null ? "No values yet" : `Stale since ${clockTime(since)}`)

interface StatusBannerProps {
  readonly state: StreamState
  readonly onRetry: () => void
}

export const StatusBanner = ({ onRetry, state }: StatusBannerProps) => {
  if (state.kind !== "stale" && state.kind !== "ended") return null
  const final = state.kind === "ended"
  return (
    <div class={`banner ${final ? "banner-ended" : "banner-stale"}`} role="alert">
      <Icon name="warning" />
      <p>
        <b>
          {sinceText(state.since)}
          {final ? "." : ", reconnecting."}
        </b>{" "}
        <span>{state.reason}</span>
      </p>
      {final && state.login ? (
        <button type="button" class="button" onClick={goToLogin}>
          Sign in again
        </button>
      ) : (
        <button type="button" class="button" onClick={onRetry}>
          Try now
        </button>
      )}
    </div>
  )
}
