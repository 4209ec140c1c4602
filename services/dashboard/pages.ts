/** Every page there is: its address, its place in the navigation, who sees it, and where its screen is; screens load when first shown. */
import type { Me } from "#shared/api/auth.ts"
import type { NavItem } from "./components/Sidebar.tsx"
import { mayI } from "./rights.ts"
import type { Screen, ScreenProps } from "./screen.ts"

export interface Page {
  /** Segments that begin with a colon name a part of the address. */
  readonly pattern: string
  readonly title: string
  /** Its own place in the navigation, or the path of the page it belongs to. */
  readonly nav: NavItem | string
  readonly visible: (me: Me) => boolean
  readonly load: () => Promise<Screen>
}

const always = () => true
const seesCluster = (me: Me) => mayI(me, "admin", "read")

const seesJobs = (me: Me) => mayI(me, "scheduler", "read")

const top = (item: NavItem, visible: Page["visible"], load: Page["load"]): Page => ({
  pattern: item.path,
  title: item.title,
  nav: item,
  visible,
  load
})

export const pages: ReadonlyArray<Page> = [
  top(
    { path: "/", title: "Overview", icon: "overview", key: "o", group: "platform" },
    always,
    async () => (await import("./screens/Overview.tsx")).Overview
  ),
  top(
    { path: "/workloads", title: "Workloads", icon: "workloads", key: "w", group: "platform" },
    seesCluster,
    async () => (await import("./screens/Workloads.tsx")).Workloads
  ),
  {
    pattern: "/workloads/:namespace/:kind/:name",
    title: "Workload",
    nav: "/workloads",
    visible: seesCluster,
    load: async () => (await import("./screens/Workload.tsx")).WorkloadScreen
  },
  top(
    { path: "/proposals", title: "Proposals", icon: "proposals", key: "p", group: "platform" },
    seesCluster,
    async () => (await import("./screens/Proposals.tsx")).Proposals
  ),
  {
    pattern: "/proposals/:id",
    title: "Proposal",
    nav: "/proposals",
    visible: seesCluster,
    load: async () => (await import("./screens/Proposal.tsx")).ProposalScreen
  },
  top(
    { path: "/apply", title: "Apply", icon: "apply", key: "y", group: "platform" },
    (me) => mayI(me, "admin", "plan"),
    async () => (await import("./screens/Apply.tsx")).Apply
  ),
  top(
    { path: "/actions", title: "Actions", icon: "actions", key: "t", group: "platform" },
    seesCluster,
    async () => (await import("./screens/Actions.tsx")).Actions
  ),
  {
    pattern: "/actions/:id",
    title: "Action",
    nav: "/actions",
    visible: seesCluster,
    load: async () => (await import("./screens/Action.tsx")).ActionScreen
  },
  top(
    { path: "/incidents", title: "Incidents", icon: "incidents", key: "i", group: "watch" },
    seesJobs,
    async () => (await import("./screens/Incidents.tsx")).Incidents
  ),
  {
    pattern: "/incidents/:id",
    title: "Incident",
    nav: "/incidents",
    visible: seesJobs,
    load: async () => (await import("./screens/Incident.tsx")).IncidentScreen
  },
  // Not /jobs: that path is the scheduler's API, which the gateway answers before any page.
  top(
    { path: "/queue", title: "Jobs", icon: "jobs", key: "j", group: "watch" },
    seesJobs,
    async () => (await import("./screens/Jobs.tsx")).Jobs
  ),
  {
    pattern: "/queue/:id",
    title: "Job",
    nav: "/queue",
    visible: seesJobs,
    load: async () => (await import("./screens/Job.tsx")).JobScreen
  },
  top(
    { path: "/schedules", title: "Schedules", icon: "schedules", key: "c", group: "watch" },
    seesJobs,
    async () => (await import("./screens/Schedules.tsx")).Schedules
  ),
  top(
    { path: "/sessions", title: "Sessions & tokens", icon: "sessions", key: "s", group: "people" },
    always,
    async () => (await import("./screens/Sessions.tsx")).Sessions
  ),
  top(
    { path: "/access", title: "Access", icon: "access", key: "a", group: "people" },
    (me) => mayI(me, "auth", "read"),
    async () => (await import("./screens/Access.tsx")).Access
  )
]

const decoded = (segment: string): string | undefined => {
  try {
    return decodeURIComponent(segment) || undefined
  } catch {
    return undefined
  }
}

/** What `path` gives the pattern's names, or undefined if it is another page. */
export const match = (pattern: string, path: string): Readonly<Record<string, string>> | undefined => {
  const names = pattern.split("/")
  const segments = path.split("/")
  if (names.length !== segments.length) return undefined
  const params: Record<string, string> = {}
  for (const [index, name] of names.entries()) {
    const segment = segments[index]!
    if (name.startsWith(":")) {
      const value = decoded(segment)
      if (value === undefined) return undefined
      params[name.slice(1)] = value
    } else if (name !== segment) return undefined
  }
  return params
}

export const findPage = (path: string): { readonly page: Page; readonly params: ScreenProps["params"] } | undefined => {
  for (const page of pages) {
    const params = match(page.pattern, path)
    if (params !== undefined) return { page, params }
  }
  return undefined
}
