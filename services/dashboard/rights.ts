/** Which buttons to offer: the gateway's decision rule (#shared/domain/rights.ts) without its schemas, which would weigh too much here. */
import type { Me } from "#shared/api/auth.ts"
import type { Right } from "#shared/domain/rights.ts"

const covers = (pattern: string, value: string) => pattern === "*" || pattern === value

/** Deny beats allow; what no right names is not allowed. */
export const allows = (rights: ReadonlyArray<Right>, environment: string, service: string, action: string): boolean => {
  const found = rights.filter(
    (right) => covers(right.environment, environment) && covers(right.service, service) && covers(right.action, action)
  )
  return found.length > 0 && found.every((right) => right.effect === "allow")
}

/** Whether the person holds `action` on `service` in the environment this page belongs to. */
export const mayI = (me: Me, service: string, action: string): boolean =>
  allows(me.rights, me.environment, service, action)

/** Actions that a right with `*` stands for today, for places that must name them one by one. */
const actions: ReadonlyArray<readonly [service: string, action: string]> = [
  ["monitor", "read"],
  ["monitor", "processes"],
  ["admin", "read"],
  ["admin", "plan"],
  ["admin", "apply"],
  ["admin", "restart"],
  ["admin", "undo"],
  ["admin", "pause"],
  ["admin", "resume"],
  ["admin", "scale"],
  ["admin", "approve"],
  ["scheduler", "read"],
  ["scheduler", "write"],
  ["dashboard", "read"],
  ["auth", "read"],
  ["auth", "write"]
]

/** All the person may do, now and later: a scope of its own. */
export const everything = "*:*"

/** The scopes (`<service>:<action>`) that the person can put into a token. */
export const scopesOf = (me: Me): ReadonlyArray<string> => {
  const named = me.rights
    .filter(({ action, effect, service }) => effect === "allow" && service !== "*" && action !== "*")
    .map(({ action, service }) => [service, action] as const)
  const held = [...actions, ...named].filter(([service, action]) => mayI(me, service, action))
  return [...new Set(held.map(([service, action]) => `${service}:${action}`))]
}
