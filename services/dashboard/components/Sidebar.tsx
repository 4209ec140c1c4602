/** Brand, environment, navigation and user menu: beside the page on wide screens, in a drawer on narrow ones; must know no screen. */
import type { Me } from "#shared/api/auth.ts"
import { EnvironmentBadge } from "./Environment.tsx"
import { Icon, type IconName, Logo } from "./Icon.tsx"
import { Link } from "./Link.tsx"
import { UserMenu } from "./UserMenu.tsx"

export interface NavItem {
  readonly path: string
  readonly title: string
  readonly icon: IconName
  /** Second key after `g`. */
  readonly key: string
  /** What the platform does, what it watches over, or what concerns people and their rights. */
  readonly group: "platform" | "watch" | "people"
}

export interface SidebarProps {
  readonly me: Me
  readonly items: ReadonlyArray<NavItem>
  readonly path: string
  /** How many things wait for a person, by the path of the page where they do. */
  readonly badges: Readonly<Record<string, number>>
  readonly onHelp: () => void
}

const Group = ({ badges, items, path }: Pick<SidebarProps, "badges" | "items" | "path">) => (
  <ul>
    {items.map((item) => (
      <li key={item.path}>
        <Link to={item.path} class="nav-link" aria-current={item.path === path ? "page" : undefined}>
          <Icon name={item.icon} />
          {item.title}
          {(badges[item.path] ?? 0) > 0 ? (
            <span class="nav-badge">
              {badges[item.path]}
              <span class="visually-hidden"> waiting</span>
            </span>
          ) : null}
        </Link>
      </li>
    ))}
  </ul>
)

const groups = ["platform", "watch", "people"] as const

export const Sidebar = ({ badges, items, me, onHelp, path }: SidebarProps) => (
  <div class="sidebar">
    <div class="brand">
      <Logo />
      <span>Gatehouse</span>
    </div>
    <EnvironmentBadge environment={me.environment} />
    <nav aria-label="Main">
      {groups.map((name) => {
        const mine = items.filter(({ group }) => group === name)
        return mine.length === 0 ? null : <Group key={name} path={path} badges={badges} items={mine} />
      })}
    </nav>
    <UserMenu me={me} onHelp={onHelp} />
  </div>
)
