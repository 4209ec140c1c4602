/** Admin's routes: each first asks who may, then says in one line what is done; must hold no rule. */
import { Effect, Schema, Stream } from "effect"
import {
  type Action,
  ApplyInput,
  ApproveInput,
  CapabilityAction,
  PlanInput,
  ProposalInput,
  RejectInput,
  ScaleInput,
  TargetInput,
  UndoInput
} from "#shared/api/admin.ts"
import { forAnyCaller, Identity } from "#shared/auth.ts"
import { accept, describeApp, eventStream, guarded, makeApp, makeRun, requestIdOf } from "#shared/http.ts"
import { KubernetesFailed } from "#shared/kubernetes/Kubernetes.ts"
import { documentOf } from "#shared/openApi.ts"
import type { Built, Service } from "#shared/service.ts"
import { ActionLog } from "./ActionLog.ts"
import { Authority, scopeOf } from "./Authority.ts"
import { CapabilityMap } from "./CapabilityMap.ts"
import { Cluster } from "./Cluster.ts"
import { Feed } from "./Feed.ts"
import { LogQuery, Logs } from "./Logs.ts"
import { type Operation, Operations } from "./Operations.ts"
import { Plans } from "./Plans.ts"
import { Proposals } from "./Proposals.ts"
import { ProposalStore } from "./ProposalStore.ts"
import {
  ActionQuery,
  callerOf,
  DiffQuery,
  EventsQuery,
  keyOf,
  kindOf,
  ProposalQuery,
  queryOf,
  StatusQuery,
  StreamQuery,
  targetOf
} from "./requests.ts"
import { routeDetails } from "./routeDetails.ts"
import { Rollouts } from "./Rollouts.ts"
import type { BackupSets } from "./sets/BackupSets.ts"
import { backupSetRoutes } from "./sets/http.ts"
import { NamespaceNotAllowed } from "./writeRefusals.ts"
import { refusedBy } from "./Writes.ts"

export type AdminServices =
  | ActionLog
  | Authority
  | BackupSets
  | CapabilityMap
  | Cluster
  | Feed
  | Identity
  | Logs
  | Operations
  | Plans
  | Proposals
  | ProposalStore
  | Rollouts

/** A manifest of 1 MiB as a JSON string, whose escapes may double it. */
const bodyLimit = 2 * 1024 * 1024 + 64 * 1024

const json = (value: unknown, status = 200) =>
  Response.json(value, { status, headers: { "cache-control": "no-store" } })

/** 202: it was accepted, and its rollout goes on. Where nothing had to be written there is nothing to wait for. */
const answer = (action: Action) => json(action, action.state === "skipped" || action.state === "unchanged" ? 200 : 202)

/** An event of any sort, as the stream sends it. */
const asSent = (event: { readonly event: string; readonly id: string; readonly data: unknown }) => event

const decodeAction = queryOf(ActionQuery)
const decodeProposal = queryOf(ProposalQuery)
const decodeDiff = queryOf(DiffQuery)
const decodeStatus = queryOf(StatusQuery)
const decodeEvents = queryOf(EventsQuery)
const decodeStream = queryOf(StreamQuery)
const decodeLogs = queryOf(LogQuery)

const allowed = (request: Request, action: CapabilityAction, namespace: string) =>
  Authority.use((authority) => authority.authorize(request, action, namespace))

/** A read of one workload. */
const about = <A, E, R>(
  request: Request,
  params: { readonly ns: string; readonly kind: string; readonly name: string },
  read: (target: Effect.Success<ReturnType<typeof targetOf>>) => Effect.Effect<A, E, R>
) =>
  Effect.andThen(allowed(request, "read", params.ns), Effect.flatMap(targetOf(params), read)).pipe(
    Effect.map((value) => json(value))
  )

const perform = Effect.fnUntraced(function* (
  request: Request,
  namespace: string,
  input: TargetInput,
  operation: Operation
) {
  const principal = yield* allowed(request, operation.action, namespace)
  const key = yield* keyOf(request, input)
  const action = yield* Operations.use((operations) =>
    operations.perform({
      target: { namespace, kind: input.kind, name: input.name },
      operation,
      caller: callerOf(request, principal),
      approver: null,
      proposalId: null,
      reason: input.reason,
      scope: scopeOf(operation.action, namespace),
      key
    })
  )
  return answer(action)
})

const undo = Effect.fnUntraced(function* (request: Request, namespace: string, input: UndoInput) {
  const { dryRun = false, kind, name, toRevision = 0 } = input
  if (!dryRun) return yield* perform(request, namespace, input, { action: "undo", toRevision })
  yield* allowed(request, "undo", namespace)
  const prepared = yield* Rollouts.use((rollouts) => rollouts.undo({ namespace, kind, name }, toRevision, true)).pipe(
    Effect.mapError((error) => (error instanceof KubernetesFailed ? refusedBy(error, null) : error))
  )
  return json(prepared.undo)
})

const makeRoutes = (built: Built<AdminServices>) => {
  const run = makeRun(built.runtime)
  const app = makeApp({ name: "admin", runtime: built.runtime, bodyLimit })
    .use(backupSetRoutes(run))
    .get(
      "/admin/ns/:ns/workloads",
      ({ params, request }) =>
        run(
          request,
          Effect.andThen(
            allowed(request, "read", params.ns),
            Cluster.use((cluster) => cluster.workloads(params.ns))
          ).pipe(Effect.map((items) => json({ items })))
        ),
      { detail: routeDetails.workloads }
    )
    .get(
      "/admin/ns/:ns/events",
      ({ params, request }) =>
        run(
          request,
          Effect.gen(function* () {
            yield* allowed(request, "read", params.ns)
            const { kind, name } = yield* decodeEvents(request)
            const target = kind === undefined || name === undefined ? undefined : { kind: yield* kindOf(kind), name }
            return json({ items: yield* Cluster.use((cluster) => cluster.events(params.ns, target)) })
          })
        ),
      { detail: routeDetails.events }
    )
    .get(
      "/admin/ns/:ns/pods/:pod/logs",
      ({ params, request }) =>
        run(
          request,
          Effect.gen(function* () {
            const { userId } = yield* allowed(request, "read", params.ns)
            const query = yield* decodeLogs(request)
            const open = { namespace: params.ns, pod: params.pod, query, userId }
            const lines = yield* Logs.use((logs) => logs.open(open))
            return eventStream(built.context, request, lines.pipe(Stream.map(asSent)), built.stopping)
          })
        ),
      { detail: routeDetails.logs }
    )
    .get(
      "/admin/ns/:ns/:kind/:name",
      ({ params, request }) =>
        run(
          request,
          about(request, params, (target) => Cluster.use((cluster) => cluster.detail(target)))
        ),
      { detail: routeDetails.workload }
    )
    .get(
      "/admin/ns/:ns/:kind/:name/status",
      ({ params, request }) =>
        run(
          request,
          about(request, params, (target) =>
            Effect.flatMap(decodeStatus(request), ({ revision }) =>
              Cluster.use((cluster) => cluster.status(target, revision))
            )
          )
        ),
      { detail: routeDetails.status }
    )
    .get(
      "/admin/ns/:ns/:kind/:name/history",
      ({ params, request }) =>
        run(
          request,
          about(request, params, (target) =>
            Effect.map(
              Cluster.use((cluster) => cluster.history(target)),
              (items) => ({ items })
            )
          )
        ),
      { detail: routeDetails.history }
    )
    .get(
      "/admin/ns/:ns/:kind/:name/diff",
      ({ params, request }) =>
        run(
          request,
          about(request, params, (target) =>
            Effect.flatMap(decodeDiff(request), ({ from = 0, to = 0 }) =>
              Cluster.use((cluster) => cluster.diff(target, from, to))
            )
          )
        ),
      { detail: routeDetails.diff }
    )
    .post(
      "/admin/ns/:ns/plan",
      ({ body, params, request }) =>
        run(
          request,
          Effect.flatMap(allowed(request, "plan", params.ns), (principal) =>
            Plans.use((plans) => plans.plan(params.ns, body.manifest, callerOf(request, principal)))
          ).pipe(Effect.map((plan) => json(plan)))
        ),
      { body: accept(PlanInput), detail: routeDetails.plan }
    )
    .post(
      "/admin/ns/:ns/apply",
      ({ body, params, request }) =>
        run(
          request,
          Effect.gen(function* () {
            const principal = yield* allowed(request, "apply", params.ns)
            const key = yield* keyOf(request, body)
            return answer(yield* Plans.use((plans) => plans.apply(params.ns, body, callerOf(request, principal), key)))
          })
        ),
      { body: accept(ApplyInput), detail: routeDetails.apply }
    )
    .post(
      "/admin/ns/:ns/restart",
      ({ body, params, request }) => run(request, perform(request, params.ns, body, { action: "restart" })),
      { body: accept(TargetInput), detail: routeDetails.restart }
    )
    .post("/admin/ns/:ns/undo", ({ body, params, request }) => run(request, undo(request, params.ns, body)), {
      body: accept(UndoInput),
      detail: routeDetails.undo
    })
    .post(
      "/admin/ns/:ns/pause",
      ({ body, params, request }) => run(request, perform(request, params.ns, body, { action: "pause" })),
      { body: accept(TargetInput), detail: routeDetails.pause }
    )
    .post(
      "/admin/ns/:ns/resume",
      ({ body, params, request }) => run(request, perform(request, params.ns, body, { action: "resume" })),
      { body: accept(TargetInput), detail: routeDetails.resume }
    )
    .post(
      "/admin/ns/:ns/scale",
      ({ body, params, request }) =>
        run(request, perform(request, params.ns, body, { action: "scale", replicas: body.replicas })),
      { body: accept(ScaleInput), detail: routeDetails.scale }
    )
    .get(
      "/admin/actions",
      ({ request }) =>
        run(
          request,
          Effect.gen(function* () {
            yield* Identity.use((identity) => identity.verify(request))
            const { cursor, limit = 50, namespace, ...filter } = yield* decodeAction(request)
            const { namespaces } = yield* Authority.use((authority) => authority.reader(request, namespace))
            return json(yield* ActionLog.use((log) => log.list({ ...filter, namespaces }, { limit, cursor })))
          })
        ),
      { detail: routeDetails.actions }
    )
    .get(
      "/admin/actions/verify",
      ({ request }) =>
        run(
          request,
          Effect.andThen(
            Authority.use((authority) => authority.reader(request)),
            ActionLog.use((log) => log.verify)
          ).pipe(Effect.map((check) => json(check)))
        ),
      { detail: routeDetails.verify }
    )
    .get(
      "/admin/actions/:id",
      ({ params, request }) =>
        run(
          request,
          Effect.gen(function* () {
            yield* Authority.use((authority) => authority.reader(request))
            const { action } = yield* ActionLog.use((log) => log.find(params.id))
            yield* allowed(request, "read", action.namespace)
            return json(action)
          })
        ),
      { detail: routeDetails.action }
    )
    .get(
      "/admin/proposals",
      ({ request }) =>
        run(
          request,
          Effect.gen(function* () {
            yield* Identity.use((identity) => identity.verify(request))
            const { cursor, limit = 50, namespace, ...filter } = yield* decodeProposal(request)
            const { namespaces } = yield* Authority.use((authority) => authority.reader(request, namespace))
            yield* Proposals.use((proposals) => proposals.sweep)
            return json(yield* ProposalStore.use((store) => store.list({ ...filter, namespaces }, { limit, cursor })))
          })
        ),
      { detail: routeDetails.proposals }
    )
    .post(
      "/admin/proposals",
      ({ body, request }) =>
        run(
          request,
          Effect.gen(function* () {
            const principal = yield* allowed(request, "propose", body.target.namespace)
            const key = yield* keyOf(request, body)
            const { created, proposal } = yield* Proposals.use((proposals) => proposals.propose(body, principal, key))
            return json(proposal, created ? 201 : 200)
          })
        ),
      { body: accept(ProposalInput), detail: routeDetails.propose }
    )
    .get(
      "/admin/proposals/:id",
      ({ params, request }) =>
        run(
          request,
          Effect.gen(function* () {
            yield* Authority.use((authority) => authority.reader(request))
            yield* Proposals.use((proposals) => proposals.sweep)
            const proposal = yield* ProposalStore.use((store) => store.find(params.id))
            yield* allowed(request, "read", proposal.target.namespace)
            return json(proposal)
          })
        ),
      { detail: routeDetails.proposal }
    )
    .post(
      "/admin/proposals/:id/approve",
      ({ body, params, request }) =>
        run(
          request,
          Effect.gen(function* () {
            const { target } = yield* ProposalStore.use((store) => store.find(params.id))
            const principal = yield* allowed(request, "approve", target.namespace)
            const key = yield* keyOf(request, body)
            const decider = { principal, requestId: requestIdOf(request) }
            return answer(yield* Proposals.use((proposals) => proposals.approve(params.id, body, decider, key)))
          })
        ),
      { body: accept(ApproveInput), detail: routeDetails.approve }
    )
    .post(
      "/admin/proposals/:id/reject",
      ({ body, params, request }) =>
        run(
          request,
          Effect.gen(function* () {
            const { target } = yield* ProposalStore.use((store) => store.find(params.id))
            const principal = yield* allowed(request, "approve", target.namespace)
            const decider = { principal, requestId: requestIdOf(request) }
            return json(yield* Proposals.use((proposals) => proposals.reject(params.id, body.reason, decider)))
          })
        ),
      { body: accept(RejectInput), detail: routeDetails.reject }
    )
    .get(
      "/admin/capabilities",
      ({ request }) =>
        run(
          request,
          Effect.gen(function* () {
            const principal = yield* Identity.use((identity) => identity.verify(request))
            return json((yield* CapabilityMap).of(principal))
          })
        ),
      { detail: routeDetails.capabilities }
    )
    .get(
      "/admin/stream",
      ({ request }) =>
        run(
          request,
          Effect.gen(function* () {
            yield* Identity.use((identity) => identity.verify(request))
            const { namespace } = yield* decodeStream(request)
            const { namespaces } = yield* Authority.use((authority) => authority.reader(request, namespace))
            const lastEventId = request.headers.get("last-event-id")
            const events = Stream.unwrap(Feed.use((feed) => Effect.succeed(feed.open({ namespaces, lastEventId }))))
            return eventStream(built.context, request, events.pipe(Stream.map(asSent)), built.stopping)
          })
        ),
      { detail: routeDetails.stream }
    )
    .get("/admin/openapi.json", ({ request }) => run(request, forAnyCaller(request, document)), {
      detail: routeDetails.openapi
    })
  const document: object = documentOf("Gatehouse admin", describeApp(app))
  return app
}

const isAction = Schema.is(CapabilityAction)

/** The namespace of a path, as the router will read it; "" where it cannot be one. */
const decoded = (segment: string) => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return ""
  }
}

/**
 * What can be judged before anything that was sent is read: who asks, and where the path tells it, in which namespace and
 * whether they may. The routes ask again, so that none of them rests on how a path is read here.
 */
const door = Effect.fnUntraced(function* (request: Request) {
  yield* Identity.use((identity) => identity.verify(request))
  const [, segment, verb] = /^\/admin\/ns\/([^/]*)(?:\/([^/]*))?/u.exec(new URL(request.url).pathname) ?? []
  if (segment === undefined) return
  const { namespaces } = yield* Authority
  const namespace = decoded(segment)
  if (!namespaces.includes(namespace)) return yield* new NamespaceNotAllowed()
  if (request.method === "POST" && isAction(verb)) yield* allowed(request, verb, namespace)
})

/** The service's `fetch`. A stranger is told so before anything they sent is read. */
export const makeFetch = (built: Built<AdminServices>): Service["fetch"] => {
  const app = makeRoutes(built)
  const run = makeRun(built.runtime)
  return guarded(async (request) => {
    const refused: Response | void = await run(request, door(request))
    return refused ?? app.fetch(request)
  })
}
