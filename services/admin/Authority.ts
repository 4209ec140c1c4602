/** Who may do what in which namespace; records every refusal, and asks the cluster for nothing. */
import { Context, Effect, Layer } from "effect"
import type { CapabilityAction } from "#shared/api/admin.ts"
import { Identity } from "#shared/auth.ts"
import type { Unauthorized, Unavailable } from "#shared/domain/errors.ts"
import { may, type Principal } from "#shared/domain/identity.ts"
import { requestIdOf } from "#shared/http.ts"
import { ActionLog } from "./ActionLog.ts"
import { NamespaceNotAllowed, ScopeMissing } from "./writeRefusals.ts"

/** `admin:<action>:<namespace>`, as a refusal and the record name it. */
export const scopeOf = (action: CapabilityAction, namespace: string): string => `admin:${action}:${namespace}`

/** Whether the principal holds the action in the namespace. */
export const holds = (principal: Principal, action: CapabilityAction, namespace: string): boolean =>
  may(principal, "admin", action, namespace)

export class Authority extends Context.Service<
  Authority,
  {
    /** The namespaces this admin serves, in the order of its configuration. */
    readonly namespaces: ReadonlyArray<string>
    /** The caller, if the namespace is one of ours and they hold `action` in it. Any other namespace is refused alike. */
    readonly authorize: (
      request: Request,
      action: CapabilityAction,
      namespace: string
    ) => Effect.Effect<Principal, Unauthorized | Unavailable | NamespaceNotAllowed | ScopeMissing>
    /** The caller and the namespaces they may read, at least one. */
    readonly reader: (
      request: Request,
      namespace?: string
    ) => Effect.Effect<
      { readonly principal: Principal; readonly namespaces: ReadonlyArray<string> },
      Unauthorized | Unavailable | NamespaceNotAllowed | ScopeMissing
    >
  }
>()("gatehouse/admin/Authority") {
  static readonly layer = (namespaces: ReadonlyArray<string>) =>
    Layer.effect(
      Authority,
      Effect.gen(function* () {
        const identity = yield* Identity
        const log = yield* ActionLog

        const refuse = Effect.fnUntraced(function* (
          request: Request,
          principal: Principal,
          action: CapabilityAction,
          namespace: string
        ) {
          const scope = scopeOf(action, namespace)
          const content = JSON.stringify({
            scope,
            method: request.method,
            path: new URL(request.url).pathname,
            requestId: requestIdOf(request),
            sessionId: principal.sessionId
          })
          const event = { event: "refused", namespace, kind: "", name: "", actor: principal.userId, content }
          // Refused it is, recorded or not: nothing was changed.
          yield* log
            .record([event])
            .pipe(
              Effect.catch((error) => Effect.logWarning("a refusal is not recorded", { scope, error: error.message }))
            )
          return yield* new ScopeMissing({ scope })
        })

        const authorize = Effect.fn("Authority.authorize")(function* (
          request: Request,
          action: CapabilityAction,
          namespace: string
        ) {
          const principal = yield* identity.verify(request)
          if (!namespaces.includes(namespace)) return yield* new NamespaceNotAllowed()
          if (!holds(principal, action, namespace)) return yield* refuse(request, principal, action, namespace)
          return principal
        })

        return Authority.of({
          namespaces,
          authorize,
          reader: Effect.fn("Authority.reader")(function* (request, namespace) {
            if (namespace !== undefined) {
              return { principal: yield* authorize(request, "read", namespace), namespaces: [namespace] }
            }
            const principal = yield* identity.verify(request)
            const readable = namespaces.filter((one) => holds(principal, "read", one))
            if (readable.length === 0) return yield* refuse(request, principal, "read", namespaces[0] ?? "")
            return { principal, namespaces: readable }
          })
        })
      })
    )
}
