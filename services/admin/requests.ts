/** What admin reads of a request beside its body: queries, kinds and idempotency keys; decides no right. */
import { Effect, Result, Schema } from "effect"
import { ActionKind, ActionState, ProposalState } from "#shared/api/admin.ts"
import { PageQuery } from "#shared/api/paging.ts"
import { InvalidInput, MalformedRequest } from "#shared/domain/errors.ts"
import type { Principal } from "#shared/domain/identity.ts"
import { NamespaceName, ObjectName, type WorkloadKind } from "#shared/domain/workload.ts"
import { requestIdOf } from "#shared/http.ts"
import { invalidInput } from "#shared/problem.ts"
import { digestOf } from "./digests.ts"
import { workloadKindOf } from "./kinds.ts"
import type { IdempotencyKey } from "./idempotency.ts"
import type { Caller } from "./Writes.ts"

/** A time that exists and that the database takes: no 30th of February, no year 0, no zone beyond those on earth. */
const isTime = (text: string) => {
  const [, day, zone] = /^(\d{4}-\d{2}-\d{2})T[0-9:.]+(?:Z|[+-](\d{2}):\d{2})$/u.exec(text) ?? []
  const midnight = Date.parse(`${day}T00:00:00Z`)
  if (day === undefined || Number.isNaN(midnight) || Number.isNaN(Date.parse(text))) return false
  return new Date(midnight).toISOString().startsWith(day) && !day.startsWith("0000") && Number(zone ?? 0) <= 14
}
const time = Schema.String.check(
  Schema.isPattern(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/u, {
    expected: "an RFC 3339 time"
  }),
  Schema.makeFilter((text: string) => isTime(text) || "an RFC 3339 time")
)
/** The database knows no NUL. */
const text = Schema.String.check(
  Schema.isMaxLength(253),
  Schema.makeFilter((one: string) => !one.includes("\0") || "text without NUL")
)

export const ActionQuery = Schema.Struct({
  ...PageQuery.fields,
  namespace: Schema.optionalKey(Schema.String),
  kind: Schema.optionalKey(text),
  name: Schema.optionalKey(text),
  actor: Schema.optionalKey(text),
  action: Schema.optionalKey(ActionKind),
  state: Schema.optionalKey(ActionState),
  since: Schema.optionalKey(time),
  until: Schema.optionalKey(time)
})
export const ProposalQuery = Schema.Struct({
  ...PageQuery.fields,
  namespace: Schema.optionalKey(Schema.String),
  kind: Schema.optionalKey(text),
  name: Schema.optionalKey(text),
  state: Schema.optionalKey(ProposalState)
})
const revision = Schema.optionalKey(
  Schema.String.check(Schema.isPattern(/^\d{1,16}$/u, { expected: "a revision: a whole number" })).pipe(
    Schema.decodeTo(
      Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))
    )
  )
)
export const DiffQuery = Schema.Struct({ from: revision, to: revision })
export const StatusQuery = Schema.Struct({ revision })
/** Of one workload, by kind and name, or of all: half a workload is none. */
export const EventsQuery = Schema.Struct({
  kind: Schema.optionalKey(Schema.String),
  name: Schema.optionalKey(ObjectName)
}).check(
  Schema.makeFilter(
    ({ kind, name }: { readonly kind?: string; readonly name?: string }) =>
      (kind === undefined) === (name === undefined) || {
        path: [kind === undefined ? "kind" : "name"],
        issue: "kind and name are given together"
      }
  )
)
export const StreamQuery = Schema.Struct({ namespace: Schema.optionalKey(NamespaceName) })

/** Decodes the query, each parameter at most once, after the caller is known. */
export const queryOf = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) => {
  const decode = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })
  return (request: Request) =>
    Effect.suspend(() => {
      const params = new URL(request.url).searchParams
      const twice = [...params.keys()].find((key, index, all) => all.indexOf(key) !== index)
      if (twice !== undefined) {
        return Effect.fail(
          new InvalidInput({ errors: [{ pointer: `/query/${twice}`, detail: "expected it at most once" }] })
        )
      }
      const result = decode(Object.fromEntries(params))
      return Result.isSuccess(result)
        ? Effect.succeed(result.success)
        : Effect.fail(invalidInput(result.failure.issue, "/query"))
    })
}

/** The workload of a path; 422 for a kind without revisions and for what is no name. */
export const targetOf = (params: { readonly ns: string; readonly kind: string; readonly name: string }) =>
  Effect.suspend(() => {
    const kind = workloadKindOf(params.kind)
    const faults = [
      ...(kind === undefined
        ? [{ pointer: "/params/kind", detail: "expected Deployment, StatefulSet or DaemonSet" }]
        : []),
      ...(Schema.is(ObjectName)(params.name)
        ? []
        : [{ pointer: "/params/name", detail: "expected an object's name: an RFC 1123 subdomain" }])
    ]
    return kind === undefined || faults.length > 0
      ? Effect.fail(new InvalidInput({ errors: faults }))
      : Effect.succeed({ namespace: params.ns, kind, name: params.name })
  })

/** A kind of a query, where one is given. */
export const kindOf = (text: string): Effect.Effect<WorkloadKind, InvalidInput> => {
  const kind = workloadKindOf(text)
  return kind === undefined
    ? Effect.fail(
        new InvalidInput({
          errors: [{ pointer: "/query/kind", detail: "expected Deployment, StatefulSet or DaemonSet" }]
        })
      )
    : Effect.succeed(kind)
}

/** The request's `Idempotency-Key`, if it has one, with the digest of all that the request asks. */
export const keyOf = (request: Request, body: unknown): Effect.Effect<IdempotencyKey | undefined, MalformedRequest> =>
  Effect.suspend(() => {
    const key = request.headers.get("idempotency-key")
    if (key === null) return Effect.succeed(undefined)
    if (!/^[\x21-\x7e]{1,200}$/u.test(key)) {
      return Effect.fail(new MalformedRequest({ detail: "Idempotency-Key: 1 to 200 printable characters" }))
    }
    return Effect.succeed({ key, requestHash: digestOf([request.method, new URL(request.url).pathname, body]) })
  })

/** Whom a write is made for, as the request proves. */
export const callerOf = (request: Request, { name, sessionId, userId }: Principal): Caller => ({
  actor: { id: userId, name },
  sessionId,
  requestId: requestIdOf(request)
})
