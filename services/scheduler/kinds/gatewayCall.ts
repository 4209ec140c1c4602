/** One request to a service through the gateway with the scheduler's own token; must reach no other origin and follow no redirect. */
import { Clock, Effect, Redacted } from "effect"
import { type PeerFailed, send } from "#shared/client.ts"
import type { Unavailable } from "#shared/domain/errors.ts"
import type { WorkloadIdentity } from "#shared/workload.ts"

export interface Call {
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly timeoutSeconds: number
}

export interface Answer {
  readonly status: number
  readonly text: string
  readonly latencyMs: number
}

export const callGateway = Effect.fnUntraced(function* (
  identity: WorkloadIdentity["Service"],
  call: Call
): Effect.fn.Return<Answer, PeerFailed | Unavailable> {
  const { gatewayUrl } = identity
  const url = new URL(call.path, gatewayUrl)
  if (url.origin !== gatewayUrl.origin) return yield* Effect.die(new Error("a call that leaves the gateway"))
  const once = Effect.fnUntraced(function* (token: Redacted.Redacted) {
    const began = yield* Clock.currentTimeMillis
    const answer = yield* send(url, {
      timeout: `${call.timeoutSeconds} seconds`,
      init: {
        method: call.method,
        headers: {
          accept: "application/json",
          authorization: `Bearer ${Redacted.value(token)}`,
          ...(call.body === undefined ? {} : { "content-type": "application/json" }),
          ...call.headers
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) })
      }
    })
    return { status: answer.status, text: answer.text, latencyMs: (yield* Clock.currentTimeMillis) - began }
  })
  const token = yield* identity.accessToken
  const first = yield* once(token)
  if (first.status !== 401) return first
  // Revoked or of an older key: a new one decides.
  yield* identity.forget(token)
  return yield* once(yield* identity.accessToken)
})
