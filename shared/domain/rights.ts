/** Who may do what: rights, roles, grants and the one decision function; pure, must not know where they are stored. */
import { Schema } from "effect"
import { GrantId, UserId } from "./ids.ts"

const name = (expected: string, pattern: RegExp) => Schema.String.check(Schema.isPattern(pattern, { expected }))

/** An environment is a namespace with its own complete set of services: `prod`, `nightly`, `dev` or a team's own. */
export const Environment = name("an environment: a DNS label", /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/u)
export type Environment = typeof Environment.Type

/** In a right or a grant `*` stands for every environment (service, action). */
export const EnvironmentPattern = name("an environment or *", /^(\*|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$/u)
export const ServicePattern = name("a service name or *", /^(\*|[a-z][-a-z0-9]{0,62})$/u)
export const ActionPattern = name("an action or *", /^(\*|[a-z][-a-z0-9_.]{0,62})$/u)
export const RoleName = name("a role name: lower-case letters, digits and dashes", /^[a-z][-a-z0-9]{0,62}$/u)
export type RoleName = typeof RoleName.Type

/** (environment, service, action), e.g. (`prod`, `admin`, `undo`). A deny beats every allow. */
export const Right = Schema.Struct({
  environment: EnvironmentPattern,
  service: ServicePattern,
  action: ActionPattern,
  effect: Schema.Literals(["allow", "deny"])
})
export type Right = typeof Right.Type

/** A named set of rights. Built-in roles can be edited, not deleted. */
export const Role = Schema.Struct({
  name: RoleName,
  description: Schema.String.check(Schema.isMaxLength(500)),
  builtIn: Schema.Boolean,
  rights: Schema.Array(Right).check(Schema.isMaxLength(500))
})
export type Role = typeof Role.Type

/** user × role × environment; after `expiresAt` (RFC 3339, UTC) it is as if it were not there. */
export const Grant = Schema.Struct({
  id: GrantId,
  userId: UserId,
  role: RoleName,
  environment: EnvironmentPattern,
  expiresAt: Schema.NullOr(Schema.String),
  reason: Schema.NullOr(Schema.String)
})
export type Grant = typeof Grant.Type

/** What a route or an operation asks for; never a pattern. */
export interface Demand {
  readonly environment: string
  readonly service: string
  readonly action: string
}

export type Decision = "allow" | "deny" | "unmatched"

const covers = (pattern: string, value: string) => pattern === "*" || pattern === value

/** Deny beats allow; what no right names is `unmatched`, which callers treat as denied. */
export const decide = (rights: Iterable<Right>, demand: Demand): Decision => {
  let decision: Decision = "unmatched"
  for (const right of rights) {
    if (
      covers(right.environment, demand.environment) &&
      covers(right.service, demand.service) &&
      covers(right.action, demand.action)
    ) {
      if (right.effect === "deny") return "deny"
      decision = "allow"
    }
  }
  return decision
}

/**
 * The rights a user holds at the time `now` (milliseconds): those of each unexpired grant's role, each narrowed to the
 * grant's environment. A right and a grant for two different environments give nothing.
 */
export const rightsOf = (
  grants: Iterable<Grant>,
  roles: ReadonlyMap<string, Role>,
  now: number
): ReadonlyArray<Right> => {
  const held: Array<Right> = []
  for (const grant of grants) {
    if (grant.expiresAt !== null && Date.parse(grant.expiresAt) <= now) continue
    for (const right of roles.get(grant.role)?.rights ?? []) {
      if (grant.environment === "*") held.push(right)
      else if (covers(right.environment, grant.environment)) held.push({ ...right, environment: grant.environment })
    }
  }
  return held
}

const all = (service: string, ...actions: ReadonlyArray<string>): ReadonlyArray<Right> =>
  actions.map((action) => ({ environment: "*", service, action, effect: "allow" }))

const viewing = [
  ...all("dashboard", "read"),
  ...all("monitor", "read"),
  ...all("admin", "read"),
  ...all("scheduler", "read"),
  ...all("hello", "read")
]
const developing = [
  ...viewing,
  ...all("admin", "plan"),
  ...all("scheduler", "write"),
  ...all("data", "read", "query"),
  ...all("hello", "greet")
]

/** The roles every new gateway DB starts with. */
export const builtInRoles: ReadonlyArray<Role> = [
  {
    name: "viewer",
    description: "Sees dashboards, metrics, workloads and jobs; changes nothing",
    builtIn: true,
    rights: viewing
  },
  {
    name: "developer",
    description: "A viewer who plans changes, runs jobs and reads data",
    builtIn: true,
    rights: developing
  },
  {
    name: "operator",
    description: "A developer who applies, restarts, scales and undoes",
    builtIn: true,
    rights: [
      ...developing,
      ...all("admin", "apply", "restart", "undo", "pause", "resume", "scale"),
      ...all("monitor", "processes"),
      ...all("data", "write", "export")
    ]
  },
  {
    name: "approver",
    description: "A viewer who decides on proposals",
    builtIn: true,
    rights: [...viewing, ...all("admin", "approve")]
  },
  {
    name: "watchman",
    description: "The scheduler's own: reads workloads, proposes to admin",
    builtIn: true,
    rights: [
      ...all("admin", "read", "propose"),
      ...all("monitor", "read"),
      ...all("scheduler", "read"),
      // What its jobs ask of the sample service.
      ...all("hello", "read", "greet")
    ]
  },
  {
    name: "microservice",
    description: "A service of the team's own: has the scheduler run jobs",
    builtIn: true,
    rights: all("scheduler", "read", "write")
  },
  { name: "owner", description: "May do everything, rights included", builtIn: true, rights: all("*", "*") }
]
