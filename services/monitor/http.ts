/** The monitor's routes; each needs the right `monitor:read` of the gateway's identity token. */
import { Effect, Result, Schema, Stream } from "effect"
import { History as HistoryAnswer, HistoryQuery, HostSnapshot, SelfCheck, StreamQuery } from "#shared/api/monitor.ts"
import { forAnyCaller, Identity } from "#shared/auth.ts"
import { MalformedRequest } from "#shared/domain/errors.ts"
import { describeApp, eventStream, guarded, makeApp, makeRun } from "#shared/http.ts"
import { detail, documentOf } from "#shared/openApi.ts"
import { invalidInput } from "#shared/problem.ts"
import type { Built, Service } from "#shared/service.ts"
import { Collectors } from "./Collectors.ts"
import { expose, expositionType } from "./exposition.ts"
import { freshness, Host } from "./Host.ts"
import { History } from "./History.ts"
import { selfCheckOf } from "./selfcheck.ts"
import { StatFs } from "./StatFs.ts"

export type MonitorServices = Identity | Collectors | Host | History | StatFs

const reader = (request: Request) => Identity.use((identity) => identity.authorize(request, "read"))

const paramsOf = (request: Request) => new URL(request.url).searchParams

/** Decodes the query after the caller is known, so that a stranger's answer is 401 whatever they ask. */
const query = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) => {
  const decode = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })
  return (request: Request) =>
    Effect.suspend(() => {
      const result = decode(Object.fromEntries(paramsOf(request)))
      return Result.isSuccess(result) ? Effect.succeed(result.success) : invalidInput(result.failure.issue, "/query")
    })
}
const historyQuery = query(HistoryQuery)
const streamQuery = query(StreamQuery)

/** The collectors to show: `collect[]` names some, `exclude[]` leaves some out; rules and words as node_exporter's. */
const chosen = Effect.fnUntraced(function* (request: Request) {
  const { names } = yield* Collectors
  const collect = paramsOf(request).getAll("collect[]")
  const exclude = paramsOf(request).getAll("exclude[]")
  if (collect.length > 0 && exclude.length > 0) {
    return yield* new MalformedRequest({ detail: "combined collect[] and exclude[] queries are not allowed" })
  }
  const known: ReadonlySet<string> = new Set(names)
  if (collect.some((name) => !known.has(name))) {
    return yield* new MalformedRequest({ detail: `collect[] names a missing collector; there are ${names.join(", ")}` })
  }
  if (collect.length > 0) return new Set(collect)
  return new Set<string>(names.filter((name) => !exclude.includes(name)))
})

/** Age in seconds a reading may have for this request; `Cache-Control: no-cache` asks for a new one. */
const maxAgeOf = (request: Request) =>
  /\bno-cache\b/u.test(request.headers.get("cache-control") ?? "") ? -1 : freshness

const metrics = Effect.fnUntraced(function* (request: Request) {
  yield* reader(request)
  const names = yield* chosen(request)
  const reading = yield* Host.use((host) => host.reading(maxAgeOf(request)))
  const { text } = expose((yield* Collectors).families(reading, names))
  return new Response(text, { headers: { "content-type": expositionType } })
})

const host = Effect.fnUntraced(function* (request: Request) {
  yield* reader(request)
  return yield* Host.use((one) => one.snapshot(maxAgeOf(request)))
})

const selfcheck = Effect.fnUntraced(function* (request: Request) {
  yield* reader(request)
  const reading = yield* Host.use((one) => one.reading(maxAgeOf(request)))
  return selfCheckOf(yield* Collectors, reading, (yield* StatFs).stuck())
})

const history = Effect.fnUntraced(function* (request: Request) {
  yield* reader(request)
  const asked = yield* historyQuery(request)
  return yield* History.use((one) => one.query(asked))
})

/** Seconds between two events unless the client says otherwise. */
const defaultInterval = 2

const stream = Effect.fnUntraced(function* (request: Request, { context, stopping }: Built<MonitorServices>) {
  yield* reader(request)
  const { interval = defaultInterval } = yield* streamQuery(request)
  const snapshots = (yield* Host).stream(interval)
  return eventStream(
    context,
    request,
    snapshots.pipe(Stream.map((data) => ({ event: "host", id: data.at, data }))),
    stopping
  )
})

const names = Schema.optionalKey(Schema.Array(Schema.String))
const described = {
  metrics: detail({
    summary: "The host's metrics in the Prometheus text format",
    description: "`Cache-Control: no-cache` asks for a new reading; otherwise one may be a moment old.",
    tag: "monitor",
    query: Schema.Struct({ "collect[]": names, "exclude[]": names }),
    answers: { 200: { type: "text/plain", description: "Text format 0.0.4, with node_exporter's names" } },
    problems: [400]
  }),
  host: detail({ summary: "What the host does now", tag: "monitor", answers: { 200: HostSnapshot } }),
  stream: detail({
    summary: "What the host does, again and again",
    description: "Each event is of type `host`; its data is one answer of /monitor/host.",
    tag: "monitor",
    query: StreamQuery,
    answers: { 200: { type: "text/event-stream", description: "Server-sent events until the client leaves" } },
    problems: [422]
  }),
  history: detail({
    summary: "One metric over time",
    description: "Without `to`, until now; without `from`, one hour; without `step`, at most 500 points.",
    tag: "monitor",
    query: HistoryQuery,
    answers: { 200: HistoryAnswer },
    problems: [422]
  }),
  selfcheck: detail({
    summary: "Whether the monitor sees the host, and how to mend what it does not",
    tag: "monitor",
    answers: { 200: SelfCheck }
  }),
  openapi: detail({
    summary: "This description",
    tag: "monitor",
    answers: { 200: Schema.Record(Schema.String, Schema.Unknown) }
  })
}

const makeRoutes = (built: Built<MonitorServices>) => {
  const run = makeRun(built.runtime)
  const app = makeApp({ name: "monitor", runtime: built.runtime })
    .get("/monitor/metrics", ({ request }) => run(request, metrics(request)), { detail: described.metrics })
    .get("/monitor/host", ({ request }) => run(request, host(request)), { detail: described.host })
    .get("/monitor/stream", ({ request }) => run(request, stream(request, built)), { detail: described.stream })
    .get("/monitor/history", ({ request }) => run(request, history(request)), { detail: described.history })
    .get("/monitor/selfcheck", ({ request }) => run(request, selfcheck(request)), { detail: described.selfcheck })
    .get("/monitor/openapi.json", ({ request }) => run(request, forAnyCaller(request, document)), {
      detail: described.openapi
    })
  const document: object = documentOf("Gatehouse monitor", describeApp(app))
  return app
}

const headOf = ({ body, headers, status }: Response) => ({ body, headers, status })

/** The service's `fetch`. HEAD is answered as GET without the body (RFC 9110 §9.3.2). */
export const makeFetch = (built: Built<MonitorServices>): Service["fetch"] => {
  const app = makeRoutes(built)
  return guarded(async (request) => {
    if (request.method !== "HEAD") return app.fetch(request)
    const { headers, signal, url } = request
    const { body, ...answer } = headOf(await app.fetch(new Request(url, { headers, signal })))
    await body?.cancel()
    return new Response(null, answer)
  })
}
