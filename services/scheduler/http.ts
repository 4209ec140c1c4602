/** The scheduler's routes; reading needs the right `scheduler:read` of the gateway's identity token, all else `scheduler:write`. */
import { Effect, Schema, Stream } from "effect"
import {
  BackfillInput,
  CancelInput,
  CancelManyInput,
  CancelPreviewInput,
  JobInput,
  JobLogLine,
  JobQuery,
  Name,
  ScheduleInput
} from "#shared/api/scheduler.ts"
import { Identity } from "#shared/auth.ts"
import { InvalidInput, MalformedRequest, NotFound } from "#shared/domain/errors.ts"
import type { Principal } from "#shared/domain/identity.ts"
import { describeApp, eventStream, guarded, makeApp, makeRun, requestIdOf } from "#shared/http.ts"
import { documentOf } from "#shared/openApi.ts"
import type { Built, Service } from "#shared/service.ts"
import { type Actor, Audit } from "./Audit.ts"
import type { BackupReport } from "./backups/BackupReport.ts"
import { backupRoutes } from "./backups/http.ts"
import { acceptForm, BadInput } from "./BadInput.ts"
import { incidentRoutes } from "./health/http.ts"
import type { IncidentStore } from "./health/IncidentStore.ts"
import { JobHandlers } from "./JobHandler.ts"
import { JobLogStore } from "./JobLogStore.ts"
import { Jobs } from "./Jobs.ts"
import { JobStore } from "./JobStore.ts"
import { logTail } from "./logTail.ts"
import { masked } from "./masked.ts"
import { queryOf } from "./query.ts"
import { requestHash } from "./requestHash.ts"
import { routeDetails } from "./routeDetails.ts"
import { Schedules } from "./schedules/Schedules.ts"
import { Ticker } from "./schedules/Ticker.ts"
import { SchedulerEvents } from "./SchedulerEvents.ts"
import { WatchState } from "./WatchState.ts"
import { isTime, LogQuery, PreviewQuery } from "./wire.ts"

export type SchedulerServices =
  | Audit
  | BackupReport
  | Identity
  | IncidentStore
  | JobHandlers
  | JobLogStore
  | Jobs
  | JobStore
  | SchedulerEvents
  | Schedules
  | Ticker
  | WatchState

const noStore = { "cache-control": "no-store" }
const json = (value: unknown, status = 200) => Response.json(value, { status, headers: noStore })

const jobQuery = queryOf(JobQuery)
const logQuery = queryOf(LogQuery)
const previewQuery = queryOf(PreviewQuery)
const levels = JobLogLine.fields.level.literals
const wantsStream = (request: Request) => /\btext\/event-stream\b/iu.test(request.headers.get("accept") ?? "")

const idempotencyKey = (request: Request) =>
  Effect.suspend(() => {
    const key = request.headers.get("idempotency-key") ?? undefined
    const sound = key === undefined || /^[\x21-\x7e]{1,200}$/u.test(key)
    return sound
      ? Effect.succeed(key)
      : Effect.fail(new MalformedRequest({ detail: "Idempotency-Key: 1 to 200 printable characters" }))
  })

/** Refuses what is no time, by its place in the input. */
export const times = (under: string, fields: Readonly<Record<string, string | undefined>>) =>
  Effect.suspend(() => {
    const errors = Object.entries(fields)
      .filter(([, text]) => text !== undefined && !isTime(text))
      .map(([field]) => ({ pointer: `${under}/${field}`, detail: "not a time of RFC 3339" }))
    return errors.length === 0 ? Effect.void : Effect.fail(new BadInput({ errors }))
  })

const list = Effect.fnUntraced(function* (request: Request) {
  const asked = yield* jobQuery(request)
  yield* times("/query", { since: asked.since, until: asked.until })
  return json(yield* JobStore.use((store) => store.list({ limit: 50, ...asked })))
})

const previewCancel = Effect.fnUntraced(function* ({ filter }: typeof CancelPreviewInput.Type) {
  yield* times("/filter", { since: filter.since, until: filter.until })
  return json(yield* Jobs.use((jobs) => jobs.previewCancel(filter)))
})

const cancelMany = Effect.fnUntraced(function* ({ confirmCount, filter, reason }: CancelManyInput, actor: Actor) {
  yield* times("/filter", { since: filter.since, until: filter.until })
  return json(yield* Jobs.use((jobs) => jobs.cancelMany(filter, reason, confirmCount, actor)))
})

const enqueue = Effect.fnUntraced(function* (request: Request, body: JobInput, { userId }: Actor) {
  const key = yield* idempotencyKey(request)
  yield* times("", { runAt: body.runAt })
  yield* possible(body.kind)
  const idempotency = key === undefined ? undefined : { key: `${userId} ${key}`, requestHash: requestHash(body) }
  const { created, job } = yield* Jobs.use((jobs) => jobs.enqueue({ ...body, by: userId, idempotency }))
  return json(job, created ? 201 : 200)
})

const stored = Effect.fnUntraced(function* (id: string) {
  const found = yield* JobStore.use((store) => store.get(id))
  return found ?? (yield* new NotFound({ resource: "job" }))
})

const show = Effect.fnUntraced(function* (id: string) {
  const { attempts, job, payload, result } = yield* stored(id)
  return json({ job, payload: masked(payload), result: result === null ? null : masked(result), attempts })
})

const logs = Effect.fnUntraced(function* (request: Request, id: string, built: Built<SchedulerServices>) {
  const { after = 0, level = "debug", limit = 500 } = yield* logQuery(request)
  yield* stored(id)
  const shown = levels.slice(levels.indexOf(level))
  if (!wantsStream(request)) {
    return json({ items: yield* JobLogStore.use((store) => store.read({ jobId: id, after, levels: shown, limit })) })
  }
  const last = Number(request.headers.get("last-event-id") ?? "")
  const from = Math.max(after, Number.isSafeInteger(last) ? last : 0)
  return eventStream(built.context, request, logTail(id, from, shown), built.stopping)
})

const stream = Effect.fnUntraced(function* (request: Request, built: Built<SchedulerServices>) {
  const events = (yield* SchedulerEvents).follow(request.headers.get("last-event-id") ?? undefined)
  return eventStream(
    built.context,
    request,
    Stream.map(events, (one) => one),
    built.stopping
  )
})

const health = Effect.gen(function* () {
  const watch = yield* WatchState.use((state) => state.current)
  const runnable = (yield* JobHandlers).runnable()
  return json({ ...watch, queue: yield* JobStore.use((store) => store.depth(runnable)) })
})

const kinds = Effect.gen(function* () {
  const items = yield* Effect.forEach((yield* JobHandlers).all(), ({ description, kind, unavailable }) =>
    Effect.map(unavailable, (reason) => ({ kind, description, unavailable: reason ?? null }))
  )
  return json({ items })
})

/** Refused where a person can still read why, instead of a job that waits or fails. */
const possible = Effect.fnUntraced(function* (kind: string) {
  const reason = yield* (yield* JobHandlers).find(kind)?.unavailable ?? Effect.succeed(undefined)
  if (reason === undefined) return
  return yield* new InvalidInput({ errors: [{ pointer: "/kind", detail: `cannot be run: ${reason}` }] })
})

const audited = Effect.map(
  Audit.use((audit) => audit.verify),
  (verdict) => json(verdict)
)

const preview = Effect.fnUntraced(function* (request: Request, name: string) {
  const { from, n = 10 } = yield* previewQuery(request)
  yield* times("/query", { from })
  return json(yield* Schedules.use((schedules) => schedules.preview(name, n, from)))
})

const putSchedule = Effect.fnUntraced(function* (name: string, body: ScheduleInput, actor: Actor) {
  yield* possible(body.kind)
  const { created, view } = yield* Schedules.use((schedules) => schedules.put(name, body, actor))
  yield* Ticker.use((ticker) => ticker.wake)
  return json(view, created ? 201 : 200)
})

const setEnabled = Effect.fnUntraced(function* (name: string, enabled: boolean, actor: Actor) {
  const view = yield* Schedules.use((schedules) => schedules.setEnabled(name, enabled, actor))
  yield* Ticker.use((ticker) => ticker.wake)
  return json(view)
})

const backfill = Effect.fnUntraced(function* (name: string, body: typeof BackfillInput.Type, actor: Actor) {
  yield* times("", { from: body.from, to: body.to })
  return json(yield* Schedules.use((schedules) => schedules.backfill(name, body, actor)))
})

const byId = Schema.Struct({ id: Schema.String })
const byName = Schema.Struct({ name: Name })

const makeRoutes = (built: Built<SchedulerServices>, principalOf: (request: Request) => Principal) => {
  const run = makeRun(built.runtime)
  const actorOf = (request: Request): Actor => ({
    userId: principalOf(request).userId,
    requestId: requestIdOf(request)
  })
  const schedules = <A, E>(use: (one: Schedules["Service"]) => Effect.Effect<A, E>, status = 200) =>
    Effect.map(Schedules.use(use), (value) => json(value, status))
  const app = makeApp({ name: "scheduler", runtime: built.runtime })
    .use(incidentRoutes(run, principalOf))
    .use(backupRoutes(run))
    .get("/jobs", ({ request }) => run(request, list(request)), { detail: routeDetails.jobs })
    .post("/jobs", ({ body, request }) => run(request, enqueue(request, body, actorOf(request))), {
      body: acceptForm(JobInput),
      detail: routeDetails.enqueue
    })
    .post("/jobs/cancel", ({ body, request }) => run(request, cancelMany(body, actorOf(request))), {
      body: acceptForm(CancelManyInput),
      detail: routeDetails.cancelMany
    })
    .post("/jobs/cancel/preview", ({ body, request }) => run(request, previewCancel(body)), {
      body: acceptForm(CancelPreviewInput),
      detail: routeDetails.previewCancel
    })
    .get("/jobs/kinds", ({ request }) => run(request, kinds), { detail: routeDetails.kinds })
    .get("/jobs/health", ({ request }) => run(request, health), { detail: routeDetails.health })
    .get("/jobs/stream", ({ request }) => run(request, stream(request, built)), { detail: routeDetails.stream })
    .get("/jobs/audit/verify", ({ request }) => run(request, audited), { detail: routeDetails.audit })
    .get(
      "/jobs/schedules",
      ({ request }) =>
        run(
          request,
          Effect.map(
            Schedules.use((all) => all.list),
            (items) => json({ items })
          )
        ),
      { detail: routeDetails.schedules }
    )
    .get(
      "/jobs/schedules/:name",
      ({ params, request }) =>
        run(
          request,
          schedules((all) => all.get(params.name))
        ),
      {
        params: acceptForm(byName, "/params"),
        detail: routeDetails.schedule
      }
    )
    .put(
      "/jobs/schedules/:name",
      ({ body, params, request }) => run(request, putSchedule(params.name, body, actorOf(request))),
      { params: acceptForm(byName, "/params"), body: acceptForm(ScheduleInput), detail: routeDetails.putSchedule }
    )
    .delete(
      "/jobs/schedules/:name",
      ({ params, request }) =>
        run(
          request,
          Effect.as(
            Schedules.use((all) => all.remove(params.name, actorOf(request))),
            new Response(null, { status: 204, headers: noStore })
          )
        ),
      { params: acceptForm(byName, "/params"), detail: routeDetails.deleteSchedule }
    )
    .get("/jobs/schedules/:name/preview", ({ params, request }) => run(request, preview(request, params.name)), {
      params: acceptForm(byName, "/params"),
      detail: routeDetails.preview
    })
    .post(
      "/jobs/schedules/:name/trigger",
      ({ params, request }) =>
        run(
          request,
          schedules((all) => all.trigger(params.name, actorOf(request)), 201)
        ),
      { params: acceptForm(byName, "/params"), detail: routeDetails.trigger }
    )
    .post(
      "/jobs/schedules/:name/pause",
      ({ params, request }) => run(request, setEnabled(params.name, false, actorOf(request))),
      { params: acceptForm(byName, "/params"), detail: routeDetails.pause }
    )
    .post(
      "/jobs/schedules/:name/resume",
      ({ params, request }) => run(request, setEnabled(params.name, true, actorOf(request))),
      { params: acceptForm(byName, "/params"), detail: routeDetails.resume }
    )
    .post(
      "/jobs/schedules/:name/backfill",
      ({ body, params, request }) => run(request, backfill(params.name, body, actorOf(request))),
      { params: acceptForm(byName, "/params"), body: acceptForm(BackfillInput), detail: routeDetails.backfill }
    )
    .get("/jobs/openapi.json", () => document, { detail: routeDetails.openapi })
    .get("/jobs/:id", ({ params, request }) => run(request, show(params.id)), {
      params: acceptForm(byId, "/params"),
      detail: routeDetails.job
    })
    .get("/jobs/:id/logs", ({ params, request }) => run(request, logs(request, params.id, built)), {
      params: acceptForm(byId, "/params"),
      detail: routeDetails.logs
    })
    .post(
      "/jobs/:id/cancel",
      ({ body, params, request }) =>
        run(
          request,
          Effect.map(
            Jobs.use((jobs) => jobs.cancel(params.id, body.reason, actorOf(request))),
            (job) => json(job)
          )
        ),
      { params: acceptForm(byId, "/params"), body: acceptForm(CancelInput), detail: routeDetails.cancel }
    )
    .post(
      "/jobs/:id/retry",
      ({ params, request }) =>
        run(
          request,
          Effect.map(
            Jobs.use((jobs) => jobs.retry(params.id, actorOf(request))),
            (job) => json(job, 201)
          )
        ),
      { params: acceptForm(byId, "/params"), detail: routeDetails.retry }
    )
  const document: object = documentOf("Gatehouse scheduler", describeApp(app))
  return app
}

const safe = new Set(["GET", "HEAD"])

/**
 * The service's `fetch`. The caller's right is judged before the router and the body: a stranger learns nothing, not even
 * which routes there are. HEAD is answered as GET without the body (RFC 9110 §9.3.2).
 */
export const makeFetch = (built: Built<SchedulerServices>): Service["fetch"] => {
  const principals = new WeakMap<Request, Principal>()
  const run = makeRun(built.runtime)
  const app = makeRoutes(built, (request) => principals.get(request)!)
  const authorize = (request: Request) =>
    Identity.use((identity) => {
      // Whoever may do anything here may know what there is.
      if (new URL(request.url).pathname === "/jobs/openapi.json") return identity.verify(request)
      return identity.authorize(request, safe.has(request.method) ? "read" : "write")
    })
  return guarded(async (request) => {
    const principal: Principal | Response = await run(request, authorize(request))
    if (principal instanceof Response) return principal
    const { headers, method, signal, url } = request
    const asked = method === "HEAD" ? new Request(url, { headers, signal }) : request
    principals.set(asked, principal)
    const answer = await app.fetch(asked)
    if (method !== "HEAD") return answer
    await answer.body?.cancel()
    return new Response(null, { status: answer.status, headers: answer.headers })
  })
}
