/** The parts of a page, one of them shown; which one is in the address. */
import { useLocation } from "../router.ts"
import { Link } from "./Link.tsx"

interface TabsProps<A extends string> {
  readonly label: string
  /** The first is the one without a word in the address. */
  readonly tabs: ReadonlyArray<readonly [value: A, text: string]>
}

/** The chosen tab of those; an unknown one is the first. */
export const useTab = <A extends string>(tabs: ReadonlyArray<readonly [A, string]>): A => {
  const given = useLocation().query.get("tab")
  return tabs.find(([value]) => value === given)?.[0] ?? tabs[0]![0]
}

export const Tabs = <A extends string>({ label, tabs }: TabsProps<A>) => {
  const { path } = useLocation()
  const current = useTab(tabs)
  return (
    <nav class="tabs tabs-page" aria-label={label}>
      {tabs.map(([value, text], index) => (
        <Link
          key={value}
          to={index === 0 ? path : `${path}?tab=${value}`}
          aria-current={value === current ? "page" : undefined}
        >
          {text}
        </Link>
      ))}
    </nav>
  )
}
