/** Open incidents at a glance, asked for now and then: one more stream would cost the browser a connection. */
import { useEffect } from "preact/hooks"
import { Badge } from "../../components/Badge.tsx"
import { Icon } from "../../components/Icon.tsx"
import { Link } from "../../components/Link.tsx"
import { jobsApi } from "../../jobsApi.ts"
import { useLoaded } from "../../useLoaded.ts"
import { impactWords } from "../../words.ts"

/** Milliseconds between looks. */
const refresh = 15_000
const few = 3

export const IncidentTile = () => {
  const { error, reload, value } = useLoaded(() => jobsApi.incidents({ state: "open" }), "open")
  useEffect(() => {
    const look = () => {
      if (!document.hidden) void reload()
    }
    const timer = setInterval(look, refresh)
    document.addEventListener("visibilitychange", look)
    return () => {
      clearInterval(timer)
      document.removeEventListener("visibilitychange", look)
    }
  }, [])
  const items = value?.items ?? []
  return (
    <section class={items.length > 0 ? "card tile tile-bad" : "card tile"} aria-label="Incidents">
      <h2>
        <Icon name="incidents" />
        <Link to="/incidents">Open incidents</Link>
      </h2>
      {error !== undefined ? (
        <p class="hint">Not known. {error}</p>
      ) : value === undefined ? (
        <p class="hint">Looking</p>
      ) : items.length === 0 ? (
        <p class="hint">There is none.</p>
      ) : null}
      <ul class="stack-small">
        {items.slice(0, few).map(({ id, impact, title }) => (
          <li key={id} class="node-line">
            <Link to={`/incidents/${id}`}>{title}</Link>
            <Badge tone={impactWords[impact][0]}>{impactWords[impact][1]}</Badge>
          </li>
        ))}
      </ul>
      {items.length > few ? <p class="muted">and {items.length - few} more</p> : null}
    </section>
  )
}
