/** Which action the caller may take in which namespace now, and why not; what a page enables by it, the API must not refuse. */
import { Context, Effect, Layer } from "effect"
import { type Capabilities, type Capability, CapabilityAction } from "#shared/api/admin.ts"
import type { Principal } from "#shared/domain/identity.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { holds, scopeOf } from "./Authority.ts"

export interface CapabilityOptions {
  readonly namespaces: ReadonlyArray<string>
  readonly fourEyes: ReadonlyArray<string>
  readonly directApply: ReadonlyArray<string>
}

export class CapabilityMap extends Context.Service<
  CapabilityMap,
  { readonly of: (principal: Principal) => Capabilities }
>()("gatehouse/admin/CapabilityMap") {
  static readonly layer = (options: CapabilityOptions) =>
    Layer.effect(
      CapabilityMap,
      Effect.map(Kubernetes, ({ description }) =>
        CapabilityMap.of({
          of: (principal) => ({
            namespaces: options.namespaces
              .filter((namespace) => CapabilityAction.literals.some((action) => holds(principal, action, namespace)))
              .map((namespace) => ({
                namespace,
                cluster: description,
                fourEyes: options.fourEyes.includes(namespace),
                directApply: options.directApply.includes(namespace),
                actions: {
                  read: capability(principal, "read", namespace),
                  plan: capability(principal, "plan", namespace),
                  apply: capability(principal, "apply", namespace),
                  restart: capability(principal, "restart", namespace),
                  undo: capability(principal, "undo", namespace),
                  pause: capability(principal, "pause", namespace),
                  resume: capability(principal, "resume", namespace),
                  scale: capability(principal, "scale", namespace),
                  approve: capability(principal, "approve", namespace),
                  propose: capability(principal, "propose", namespace)
                }
              }))
          })
        })
      )
    )
}

const capability = (principal: Principal, action: CapabilityAction, namespace: string): Capability =>
  holds(principal, action, namespace)
    ? { allowed: true, code: "ok", reason: "" }
    : { allowed: false, code: "scope_missing", reason: `needs the scope ${scopeOf(action, namespace)}` }
