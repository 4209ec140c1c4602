/** The routes of incidents, below `/jobs/incidents`: reading, acknowledging, muting; must not touch what the watchman decides. */
import { Clock, Effect, Schema } from "effect"
import { Elysia } from "elysia"
import { IncidentChain, IncidentPage, IncidentQuery, Incident, MuteInput } from "#shared/api/scheduler.ts"
import { MalformedRequest, NotFound } from "#shared/domain/errors.ts"
import type { Principal } from "#shared/domain/identity.ts"
import type { Run } from "#shared/http.ts"
import { detail } from "#shared/openApi.ts"
import { acceptForm, BadInput } from "#scheduler/BadInput.ts"
import { queryOf } from "#scheduler/query.ts"
import { isTime } from "#scheduler/wire.ts"
import { type IncidentRow, IncidentStore } from "./IncidentStore.ts"
import { chainOf, incidentOf } from "./wire.ts"

const json = (value: unknown) => Response.json(value, { headers: { "cache-control": "no-store" } })
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u
const incidentQuery = queryOf(IncidentQuery)

/** Milliseconds of the longest mute: what nobody looks at for longer is no incident any more. */
const longestMute = 30 * 86_400_000

const list = Effect.fnUntraced(function* (request: Request) {
  const { class: which, cursor, limit = 50, namespace, proposal, since, state } = yield* incidentQuery(request)
  if (since !== undefined && !isTime(since)) {
    return yield* new BadInput({ errors: [{ pointer: "/query/since", detail: "not a time of RFC 3339" }] })
  }
  if (cursor !== undefined && !uuid.test(cursor)) {
    return yield* new BadInput({ errors: [{ pointer: "/query/cursor", detail: "not a cursor of this list" }] })
  }
  const rows = yield* IncidentStore.use((store) =>
    store.list({
      limit: limit + 1,
      ...(state === undefined ? {} : { state }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(which === undefined ? {} : { class: which }),
      ...(proposal === undefined ? {} : { remedy: proposal }),
      ...(since === undefined ? {} : { since: Date.parse(since) }),
      ...(cursor === undefined ? {} : { after: cursor })
    })
  )
  const shown = rows.slice(0, limit)
  return json({ items: shown.map(incidentOf), nextCursor: rows.length > limit ? (shown.at(-1)?.id ?? null) : null })
})

const known = (row: IncidentRow | undefined) =>
  row === undefined ? Effect.fail(new NotFound({ resource: "incident" })) : Effect.succeed(row)

/** An id that cannot be one is no incident's, and no question for the database. */
const withId = <A, E, R>(id: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | NotFound, R> =>
  uuid.test(id) ? effect : Effect.fail(new NotFound({ resource: "incident" }))

const show = Effect.fnUntraced(function* (id: string) {
  const store = yield* IncidentStore
  return json(chainOf(yield* known(yield* store.get(id)), yield* store.timeline(id)))
})

const acknowledge = Effect.fnUntraced(function* (id: string, { name, userId }: Principal) {
  return json(
    incidentOf(yield* known(yield* IncidentStore.use((store) => store.acknowledge(id, { id: userId, name }))))
  )
})

const mute = Effect.fnUntraced(function* (id: string, { reason, until }: MuteInput, { name, userId }: Principal) {
  const now = yield* Clock.currentTimeMillis
  const end = isTime(until) ? Date.parse(until) : Number.NaN
  if (!(end > now)) return yield* new MalformedRequest({ detail: "until: not a time in the future" })
  if (end - now > longestMute) return yield* new MalformedRequest({ detail: "until: more than 30 days ahead" })
  const actor = { id: userId, name }
  return json(incidentOf(yield* known(yield* IncidentStore.use((store) => store.mute(id, end, reason, actor)))))
})

const byId = Schema.Struct({ id: Schema.String })
const tag = "scheduler"
const described = {
  list: detail({
    summary: "Incidents, newest first",
    tag,
    query: IncidentQuery,
    answers: { 200: IncidentPage },
    problems: [400]
  }),
  show: detail({
    summary: "One incident with its whole chain",
    description: "Evidence, proposal, decision, action and verification; what has not come yet is null.",
    tag,
    answers: { 200: IncidentChain },
    problems: [404]
  }),
  acknowledge: detail({ summary: "Say that you look after it", tag, answers: { 200: Incident }, problems: [404] }),
  mute: detail({
    summary: "Propose nothing and tell nobody for a while",
    tag,
    answers: { 200: Incident },
    problems: [400, 404, 415]
  })
}

/** The routes, for the scheduler's app; the caller's right was judged before. */
export const incidentRoutes = (run: Run<IncidentStore>, principalOf: (request: Request) => Principal) =>
  new Elysia({ name: "incidents" })
    .get("/jobs/incidents", ({ request }) => run(request, list(request)), { detail: described.list })
    .get("/jobs/incidents/:id", ({ params, request }) => run(request, withId(params.id, show(params.id))), {
      params: acceptForm(byId, "/params"),
      detail: described.show
    })
    .post(
      "/jobs/incidents/:id/ack",
      ({ params, request }) => run(request, withId(params.id, acknowledge(params.id, principalOf(request)))),
      { params: acceptForm(byId, "/params"), detail: described.acknowledge }
    )
    .post(
      "/jobs/incidents/:id/mute",
      ({ body, params, request }) => run(request, withId(params.id, mute(params.id, body, principalOf(request)))),
      { params: acceptForm(byId, "/params"), body: acceptForm(MuteInput), detail: described.mute }
    )
