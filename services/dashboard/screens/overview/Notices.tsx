/** One calm line above the cards: what needs attention, or that nothing does; must hold no threshold. */
import type { HostSnapshot } from "#shared/api/monitor.ts"
import { Icon } from "../../components/Icon.tsx"
import { clockTime } from "../../format.ts"
import { noticesOf } from "./levels.ts"

interface NoticesProps {
  readonly snapshot: HostSnapshot
  readonly historyError: string | undefined
  /** Nothing newer comes: the line speaks of the past. */
  readonly old: boolean
}

export const Notices = ({ historyError, old, snapshot }: NoticesProps) => {
  const notices = noticesOf(snapshot)
  return (
    <ul class="notices" aria-label="Needs attention">
      {notices.length === 0 ? (
        <li class="notice notice-calm">
          <Icon name="check" />
          {old ? `Nothing needed attention at ${clockTime(snapshot.at)}` : "Nothing needs attention"}
        </li>
      ) : null}
      {notices.map(({ level, text }) => (
        <li class={`notice notice-${level}`} key={text}>
          <Icon name="warning" />
          {level === "critical" ? <b>Critical: </b> : null}
          {text}
        </li>
      ))}
      {historyError === undefined ? null : (
        <li class="notice">
          <Icon name="pause" />
          Earlier values are missing. {historyError}
        </li>
      )}
    </ul>
  )
}
