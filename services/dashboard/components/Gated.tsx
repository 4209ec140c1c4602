/** Buttons that admin may refuse: enabled only where it would not, else with the reason in sight; must decide nothing itself. */
import { useId } from "preact/hooks"
import type { Allowance } from "../useCapabilities.ts"
import { Icon, type IconName } from "./Icon.tsx"

export interface GatedAction {
  readonly title: string
  readonly icon?: IconName
  readonly kind?: "primary" | "danger"
  readonly allowance: Allowance
  readonly onPress: () => void
}

/** A row of buttons; below it, once each, why some cannot be pressed. */
export const GatedButtons = ({ actions }: { readonly actions: ReadonlyArray<GatedAction> }) => {
  const hint = useId()
  const refused = new Map<string, Array<string>>()
  for (const { allowance, title } of actions) {
    if (allowance.allowed) continue
    refused.set(allowance.reason, [...(refused.get(allowance.reason) ?? []), title])
  }
  return (
    <div class="gated">
      <div class="gated-buttons">
        {actions.map(({ allowance, icon, kind, onPress, title }) => (
          <button
            key={title}
            type="button"
            class={`button ${kind === undefined ? "" : `button-${kind}`}`}
            disabled={!allowance.allowed}
            title={allowance.allowed ? undefined : allowance.reason}
            aria-describedby={allowance.allowed ? undefined : hint}
            onClick={onPress}
          >
            {icon === undefined ? null : <Icon name={icon} />}
            {title}
          </button>
        ))}
      </div>
      {refused.size === 0 ? null : (
        <ul class="gated-reasons" id={hint}>
          {[...refused].map(([reason, titles]) => (
            <li key={reason}>
              <b>{titles.join(", ")}:</b> {reason}
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
