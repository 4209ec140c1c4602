/** Which route and which right a request needs (spec R5): host, method and canonical path → service, environment, action; pure, must not know who asks. */
import { isWithin, type OptionalCharacter } from "./canonicalPath.ts"
import type { RouteSettings } from "./settingsFile.ts"

export interface Route {
  readonly id: string
  readonly path: string
  readonly service: string
  readonly environment: string
  readonly audience: string
  /** The other environments it acts on. */
  readonly namespaces: ReadonlyArray<string>
  readonly public: boolean
  /** Origin of the upstream and the path it is mounted under there ("" if at its root). */
  readonly upstream: string
  readonly strip: number
  readonly rules: ReadonlyArray<Rule>
  readonly allowed: ReadonlySet<OptionalCharacter>
  readonly origins: ReadonlySet<string>
  readonly maxBodyBytes: number | undefined
  readonly firstByteTimeoutMs: number
}

interface Rule {
  readonly path: string
  readonly methods: ReadonlySet<string> | undefined
  readonly action: string
}

export interface RouteTable {
  /** The most specific route of a host for a canonical path. */
  readonly find: (host: string, path: string) => Route | undefined
  readonly routes: ReadonlyArray<Route>
}

const compile = (settings: RouteSettings, ownEnvironment: string): Route => {
  const upstream = new URL(settings.upstream)
  const environment = settings.environment ?? ownEnvironment
  const mounted = upstream.pathname.endsWith("/") ? upstream.pathname.slice(0, -1) : upstream.pathname
  return {
    id: settings.id,
    path: settings.path,
    service: settings.service,
    environment,
    audience: `${settings.service}.${environment}`,
    namespaces: (settings.namespaces ?? []).filter((namespace) => namespace !== environment),
    public: settings.public ?? false,
    upstream: upstream.origin + mounted,
    strip: settings.stripPrefix === true && settings.path !== "/" ? settings.path.length : 0,
    // The longest path first: a rule for a part of the route is more specific than one for all of it.
    rules: (settings.rules ?? [])
      .map((rule) => ({
        path: rule.path ?? settings.path,
        methods: rule.methods === undefined ? undefined : new Set<string>(rule.methods),
        action: rule.action
      }))
      .sort((one, other) => other.path.length - one.path.length),
    allowed: new Set(settings.allowCharacters),
    origins: new Set((settings.origins ?? []).map((origin) => new URL(origin).origin)),
    maxBodyBytes: settings.maxBodyBytes,
    firstByteTimeoutMs: settings.firstByteTimeoutMs ?? 30_000
  }
}

/** The table of a checked settings file. `hosts` are the gateway's public names, lower case, with port as given. */
export const makeRouteTable = (
  settings: ReadonlyArray<RouteSettings>,
  environment: string,
  hosts: ReadonlyArray<string>
): RouteTable => {
  const routes = settings.map((route) => compile(route, environment))
  const byHost = new Map<string, ReadonlyArray<Route>>()
  for (const host of hosts) {
    const mine = routes.filter(
      (_, index) => settings[index]!.hosts?.map((one) => one.toLowerCase()).includes(host) ?? true
    )
    // A route for this host alone comes before one of the same path for every host.
    const specific = (route: Route) => (settings[routes.indexOf(route)]!.hosts === undefined ? 0 : 1)
    byHost.set(
      host,
      mine.toSorted((one, other) => other.path.length - one.path.length || specific(other) - specific(one))
    )
  }
  return {
    routes,
    find: (host, path) => {
      for (const route of byHost.get(host) ?? []) if (isWithin(path, route.path)) return route
      return undefined
    }
  }
}

/**
 * The action a request of this route needs, or undefined if no rule names it (refused). The rules of the longest matching
 * path decide alone: a rule for a part of the route is not widened by one for all of it. HEAD is as GET.
 */
export const actionOf = (route: Route, method: string, path: string): string | undefined => {
  let decided: string | undefined
  for (const rule of route.rules) {
    if (!isWithin(path, rule.path)) continue
    if (decided !== undefined && rule.path !== decided) return undefined
    decided = rule.path
    if (rule.methods === undefined || rule.methods.has(method)) return rule.action
    if (method === "HEAD" && rule.methods.has("GET")) return rule.action
  }
  return undefined
}
