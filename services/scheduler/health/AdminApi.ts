/** What the watchman asks of admin, through the gateway and with its own workload identity: propose, and see what became of it. Must be able to do nothing else there. */
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { Action, Proposal, type ProposalInput } from "#shared/api/admin.ts"
import { Problem } from "#shared/api/problem.ts"
import { type PeerFailed, send } from "#shared/client.ts"
import { WorkloadIdentity } from "#shared/workload.ts"

/** Admin has answered and will not: `code` is the problem's (`stale`, `scope_missing` …). */
export class AdminRefused extends Schema.TaggedError<AdminRefused>()("AdminRefused", {
  status: Schema.Int,
  code: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `admin: ${this.code}: ${this.detail}`
  }
}

/** Admin, or the gateway before it, cannot be asked now; asking again makes sense. */
export class AdminAway extends Schema.TaggedError<AdminAway>()("AdminAway", { detail: Schema.String }) {
  override get message() {
    return this.detail
  }
}

export class AdminApi extends Context.Service<
  AdminApi,
  {
    /** The proposal, new or the one that `key` or the target has already. */
    readonly propose: (input: ProposalInput, key: string) => Effect.Effect<Proposal, AdminRefused | AdminAway>
    readonly proposal: (id: string) => Effect.Effect<Proposal, AdminRefused | AdminAway>
    readonly action: (id: string) => Effect.Effect<Action, AdminRefused | AdminAway>
  }
>()("gatehouse/scheduler/AdminApi") {
  static readonly layer = Layer.effect(
    AdminApi,
    Effect.suspend(() => makeAdminApi)
  )
  /** Where nobody has said how admin is reached: what would be proposed waits, and says why. */
  static readonly unknown = Layer.sync(AdminApi, () => {
    const away = new AdminAway({ detail: "GATEWAY_URL is not set: admin cannot be asked" })
    return AdminApi.of({ propose: () => away, proposal: () => away, action: () => away })
  })
}

const decodeProblem = Schema.decodeUnknownEffect(Schema.fromJsonString(Problem))
const timeout = "10 seconds"

const makeAdminApi = Effect.gen(function* () {
  const identity = yield* WorkloadIdentity

  const once = (path: string, init: RequestInit, token: Redacted.Redacted) =>
    send(new URL(path, identity.gatewayUrl), {
      timeout,
      init: { ...init, headers: { ...init.headers, authorization: `Bearer ${Redacted.value(token)}` } }
    })

  const away = (error: PeerFailed | { readonly message: string }) => new AdminAway({ detail: error.message })

  const ask = <S extends Schema.ConstraintDecoder<unknown>>(schema: S, path: string, init: RequestInit = {}) =>
    Effect.gen(function* () {
      const token = yield* Effect.mapError(identity.accessToken, away)
      let answer = yield* Effect.mapError(once(path, init, token), away)
      if (answer.status === 401) {
        // The token may have ended early: with its session, or with an emergency rotation.
        yield* identity.forget(token)
        const fresh = yield* Effect.mapError(identity.accessToken, away)
        answer = yield* Effect.mapError(once(path, init, fresh), away)
      }
      const { status, text } = answer
      if (status >= 200 && status < 300) {
        return yield* Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(text).pipe(
          Effect.mapError(() => new AdminAway({ detail: "admin's answer is not of the agreed form" }))
        )
      }
      if (status >= 500 || status === 429) return yield* new AdminAway({ detail: `admin answered ${status}` })
      const problem = yield* decodeProblem(text).pipe(
        Effect.catch(() => Effect.succeed({ code: `status_${status}`, detail: "" }))
      )
      return yield* new AdminRefused({ status, code: problem.code, detail: problem.detail ?? "" })
    })

  return AdminApi.of({
    propose: Effect.fn("AdminApi.propose")((input, key) =>
      ask(Proposal, "/admin/proposals", {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": key },
        body: JSON.stringify(input)
      })
    ),
    proposal: Effect.fn("AdminApi.proposal")((id) => ask(Proposal, `/admin/proposals/${encodeURIComponent(id)}`)),
    action: Effect.fn("AdminApi.action")((id) => ask(Action, `/admin/actions/${encodeURIComponent(id)}`))
  })
})
