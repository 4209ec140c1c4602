/** The top of a screen: where one is, its heading, its tools; and the screen for those who may not see it. */
import type { ComponentChildren } from "preact"
import { Link } from "./Link.tsx"
import { NotAllowed } from "./Messages.tsx"

interface ScreenHeadProps {
  readonly title: string
  /** The list that this belongs to. */
  readonly back?: readonly [path: string, title: string]
  /** Beside the heading: badges. */
  readonly beside?: ComponentChildren
  readonly sub?: ComponentChildren
  /** Tools at the right. */
  readonly children?: ComponentChildren
}

export const ScreenHead = ({ back, beside, children, sub, title }: ScreenHeadProps) => (
  <header class="page-head">
    <div class="page-name">
      {back === undefined ? null : (
        <p class="crumb">
          <Link to={back[0]}>{back[1]}</Link>
        </p>
      )}
      <div class="page-title">
        <h1 tabIndex={-1}>{title}</h1>
        {beside}
      </div>
      {sub === undefined ? null : <p class="page-sub">{sub}</p>}
    </div>
    {children === undefined ? null : <div class="page-tools">{children}</div>}
  </header>
)

interface GuardedProps {
  readonly allowed: boolean
  readonly title: string
  readonly what: string
  readonly needs: string
  readonly children: ComponentChildren
}

export const Guarded = ({ allowed, children, needs, title, what }: GuardedProps) =>
  allowed ? (
    <>{children}</>
  ) : (
    <>
      <ScreenHead title={title} />
      <NotAllowed what={what} needs={needs} />
    </>
  )
