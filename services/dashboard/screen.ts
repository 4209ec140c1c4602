/** What every screen is given. */
import type { ComponentType } from "preact"
import type { Me } from "#shared/api/auth.ts"

export interface ScreenProps {
  readonly me: Me
  /** What the address names, by the pattern's names. */
  readonly params: Readonly<Record<string, string>>
}
export type Screen = ComponentType<ScreenProps>
