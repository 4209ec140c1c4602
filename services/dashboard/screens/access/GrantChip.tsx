/** One grant in a few words: role, environment, how long; must change nothing by itself. */
import type { Grant } from "#shared/api/auth.ts"
import { Icon } from "../../components/Icon.tsx"
import { fullTime, relative } from "../../format.ts"

interface GrantChipProps {
  readonly grant: Grant
  readonly onRemove: (() => void) | undefined
}

export const GrantChip = ({ grant, onRemove }: GrantChipProps) => {
  const { environment, expiresAt, reason, role } = grant
  const expired = expiresAt !== null && Date.parse(expiresAt) <= Date.now()
  const hint = [expiresAt === null ? undefined : `${expired ? "Ended" : "Ends"} ${fullTime(expiresAt)}`, reason]
  return (
    <span class={expired ? "chip chip-expired" : "chip"} title={hint.filter(Boolean).join(" · ") || undefined}>
      <b>{role}</b>
      <span>{environment === "*" ? "everywhere" : environment}</span>
      {expiresAt === null ? null : (
        <small>{expired ? "ended" : `${relative(expiresAt, Date.now()).replace("in ", "")} left`}</small>
      )}
      {onRemove === undefined ? null : (
        <button type="button" aria-label={`Remove the grant ${role} in ${environment}`} onClick={onRemove}>
          <Icon name="close" />
        </button>
      )}
    </span>
  )
}
