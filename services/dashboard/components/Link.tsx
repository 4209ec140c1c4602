/** An ordinary link that changes the page in place on a plain click; must leave every other click to the browser. */
import type { ComponentChildren } from "preact"
import { navigate } from "../router.ts"

interface LinkProps {
  readonly to: string
  readonly class?: string
  readonly "aria-current"?: "page" | undefined
  readonly children: ComponentChildren
}

export const Link = ({ children, to, ...rest }: LinkProps) => (
  <a
    {...rest}
    href={to}
    onClick={(event) => {
      if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
      event.preventDefault()
      navigate(to)
    }}
  >
    {children}
  </a>
)
