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
  /** What the platform does, or what concerns people and their rights. */
  readonly group: "platform" | "people"
}

export interface SidebarProps {
  readonly me: Me
  readonly items: ReadonlyArray<NavItem>
  readonly path: string
  readonly onHelp: () => void
}

const Group = ({ items, path }: Pick<SidebarProps, "items" | "path">) => (
  <ul>
    {items.map((item) => (
      <li key={item.path}>
        <Link to={item.path} class="nav-link" aria-current={item.path === path ? "page" : undefined}>
          <Icon name={item.icon} />
          {item.title}
        </Link>
      </li>
    ))}
  </ul>
)

export const Sidebar = ({ items, me, onHelp, path }: SidebarProps) => (
  <div class="sidebar">
    <div class="brand">
      <Logo />
      <span>Gatehouse</span>
    </div>
    <EnvironmentBadge environment={me.environment} />
    <nav aria-label="Main">
      <Group path={path} items={items.filter(({ group }) => group === "platform")} />
      <Group path={path} items={items.filter(({ group }) => group === "people")} />
    </nav>
    <UserMenu me={me} onHelp={onHelp} />
  </div>
)
