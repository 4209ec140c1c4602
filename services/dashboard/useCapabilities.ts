/** What the person may do in each namespace right now, as admin says it; every button that changes the cluster asks here. */
import { useCallback, useEffect } from "preact/hooks"
import type { Capabilities, Capability, CapabilityAction } from "#shared/api/admin.ts"
import { adminApi } from "./adminApi.ts"
import { useLoaded } from "./useLoaded.ts"

/** Milliseconds between looks: a freeze window opens and closes, a kill switch flips. */
const refresh = 60_000

const unknown: Capability = { allowed: false, code: "unknown", reason: "What you may do is not known yet." }

export type Allowance = Pick<Capability, "allowed" | "reason">
export type NamespaceRules = Capabilities["namespaces"][number]

export interface Rules {
  readonly namespaces: ReadonlyArray<NamespaceRules>
  readonly of: (namespace: string) => NamespaceRules | undefined
  readonly can: (namespace: string, action: typeof CapabilityAction.Type) => Allowance
  readonly reload: () => Promise<void>
  readonly error: string | undefined
}

export const useCapabilities = (): Rules => {
  const { error, reload, value } = useLoaded(adminApi.capabilities, "capabilities")
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) void reload()
    }, refresh)
    return () => clearInterval(timer)
  }, [])
  const of = useCallback((namespace: string) => value?.namespaces.find((one) => one.namespace === namespace), [value])
  return {
    namespaces: value?.namespaces ?? [],
    of,
    can: (namespace, action) => {
      if (value === undefined) return error === undefined ? unknown : { allowed: false, reason: error }
      return (
        of(namespace)?.actions[action] ?? {
          allowed: false,
          reason: `${namespace} is no namespace of this environment.`
        }
      )
    },
    reload,
    error
  }
}

/** The first of these reasons that forbids, or leave to act. */
export const firstRefusal = (...checks: ReadonlyArray<Allowance | false | string | undefined>): Allowance => {
  for (const check of checks) {
    if (typeof check === "string") return { allowed: false, reason: check }
    if (check !== undefined && check !== false && !check.allowed) return check
  }
  return { allowed: true, reason: "" }
}
