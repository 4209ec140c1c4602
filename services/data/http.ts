/** The data service's routes; each needs a right (`data:read`, `write`, `query`, `export`, `manage`) of the gateway's identity token. */
import { Effect, Schema, Stream } from "effect"
import {
  Catalog,
  Dataset,
  Explanation,
  Memberships as MembershipsAnswer,
  Membership,
  Query,
  QueryAnswer
} from "#shared/api/data.ts"
import { Identity } from "#shared/auth.ts"
import { NotFound } from "#shared/domain/errors.ts"
import { accept, describeApp, guarded, makeApp, makeRun } from "#shared/http.ts"
import { detail, documentOf } from "#shared/openApi.ts"
import { internalProblem, problemOfError } from "#shared/problem.ts"
import { allowSilence, type Built, type Service } from "#shared/service.ts"
import { Catalogue } from "./Catalogue.ts"
import type { Limits } from "./config.ts"
import type { Failure } from "./failures.ts"
import { type Format, formatOf, mediaTypes } from "./formats.ts"
import { Memberships } from "./Memberships.ts"
import { Queries } from "./Queries.ts"
import { bodyOf, type Collected, errorLine } from "./results.ts"

export type DataServices = Identity | Catalogue | Memberships | Queries

const caller = (request: Request, action: string) => Identity.use((identity) => identity.authorize(request, action))

/** Says by a header what the body says too, for who reads only the first of it. */
const answerOf = (collected: Collected, format: Format) =>
  new Response(bodyOf(collected, format), {
    headers: {
      "content-type": mediaTypes[format],
      "cache-control": "no-store",
      "x-data-truncated": String(collected.truncated)
    }
  })

const catalog = Effect.fnUntraced(function* (request: Request) {
  yield* caller(request, "read")
  return { datasets: yield* Catalogue.use((one) => one.list) }
})

const dataset = Effect.fnUntraced(function* (request: Request, name: string) {
  yield* caller(request, "read")
  const dot = name.indexOf(".")
  if (dot < 1) return yield* new NotFound({ resource: "dataset: its name is schema.table" })
  return yield* Catalogue.use((one) => one.get(name.slice(0, dot), name.slice(dot + 1)))
})

const exported = Effect.fnUntraced(function* (
  request: Request,
  asked: Query,
  format: Exclude<Format, "json">,
  { context, stopping }: Built<DataServices>
) {
  const principal = yield* caller(request, "export")
  const stream = yield* Queries.use((queries) => queries.export(principal, asked, format))
  // After the first byte no status can say what went wrong: NDJSON says it in its last line, CSV ends in the middle.
  const told =
    format === "csv"
      ? stream
      : stream.pipe(
          Stream.catch((error: Failure) => {
            const { code, detail: text = "" } = problemOfError(error) ?? internalProblem
            return Stream.succeed(errorLine(code, text))
          })
        )
  const body = Stream.toReadableStreamWith(told.pipe(Stream.encodeText), context, {
    signal: AbortSignal.any([request.signal, stopping])
  })
  return new Response(body, {
    headers: { "content-type": mediaTypes[format], "cache-control": "no-store", "x-accel-buffering": "no" }
  })
})

const query = Effect.fnUntraced(function* (request: Request, asked: Query, built: Built<DataServices>) {
  if (asked.export === true) {
    const format = yield* formatOf(request, ["ndjson", "csv"])
    return yield* exported(request, asked, format === "csv" ? "csv" : "ndjson", built)
  }
  const principal = yield* caller(request, "query")
  const format = yield* formatOf(request)
  return answerOf(yield* Queries.use((queries) => queries.run(principal, asked, format)), format)
})

const explain = Effect.fnUntraced(function* (request: Request, asked: Query) {
  const principal = yield* caller(request, "query")
  return yield* Queries.use((queries) => queries.explain(principal, asked))
})

const memberships = Effect.fnUntraced(function* (request: Request) {
  yield* caller(request, "manage")
  return { memberships: yield* Memberships.use((one) => one.list) }
})

const setMembership = Effect.fnUntraced(function* (request: Request, membership: Membership) {
  yield* caller(request, "manage")
  yield* Memberships.use((one) => one.set(membership))
  return membership
})

const described = {
  catalog: detail({
    summary: "Every dataset: columns, keys, size, last write, policies",
    tag: "data",
    answers: { 200: Catalog }
  }),
  dataset: detail({
    summary: "One dataset, named schema.table",
    tag: "data",
    answers: { 200: Dataset },
    problems: [404]
  }),
  query: detail({
    summary: "One statement that reads: SELECT, WITH, VALUES, TABLE or EXPLAIN",
    description:
      "As JSON, NDJSON or CSV by Accept, up to the limits of rows, bytes, time and cost; `X-Data-Truncated` says whether something was left out. With `export` (right `data:export`) a stream of CSV or NDJSON without an end to its rows. NDJSON that does not end with `$end` is not whole.",
    tag: "data",
    answers: { 200: QueryAnswer },
    problems: [404, 409, 422, 429]
  }),
  explain: detail({
    summary: "What the planner expects of a query; nothing is run",
    tag: "data",
    answers: { 200: Explanation },
    problems: [404, 422, 429]
  }),
  memberships: detail({
    summary: "Who belongs to which tenant; needs the right `data:manage`",
    tag: "data",
    answers: { 200: MembershipsAnswer }
  }),
  setMembership: detail({
    summary: "Give a person or a role exactly these tenants; needs the right `data:manage`",
    tag: "data",
    answers: { 200: Membership },
    problems: [422]
  }),
  openapi: detail({
    summary: "This description",
    tag: "data",
    answers: { 200: Schema.Record(Schema.String, Schema.Unknown) }
  })
}

const makeRoutes = (built: Built<DataServices>) => {
  const run = makeRun(built.runtime)
  const app = makeApp({ name: "data", runtime: built.runtime })
    .get("/data/v1/catalog", ({ request }) => run(request, catalog(request)), { detail: described.catalog })
    .get("/data/v1/catalog/:dataset", ({ params, request }) => run(request, dataset(request, params.dataset)), {
      detail: described.dataset
    })
    .post("/data/v1/query", ({ body, request }) => run(request, query(request, body, built)), {
      body: accept(Query),
      detail: described.query
    })
    .post("/data/v1/explain", ({ body, request }) => run(request, explain(request, body)), {
      body: accept(Query),
      detail: described.explain
    })
    .get("/data/v1/memberships", ({ request }) => run(request, memberships(request)), {
      detail: described.memberships
    })
    .put("/data/v1/memberships", ({ body, request }) => run(request, setMembership(request, body)), {
      body: accept(Membership),
      detail: described.setMembership
    })
    .get(
      "/data/openapi.json",
      // Whoever may do anything here may know what there is.
      ({ request }) =>
        run(
          request,
          Effect.map(
            Identity.use((identity) => identity.verify(request)),
            () => document
          )
        ),
      { detail: described.openapi }
    )
  const document: object = documentOf("Gatehouse data", describeApp(app))
  return app
}

/** Seconds for which a slow query, reader or sender may be silent before its connection is closed. */
const patience = 255

/** The service's `fetch`. */
export const makeFetch =
  (_limits: Limits) =>
  (built: Built<DataServices>): Service["fetch"] => {
    const app = makeRoutes(built)
    const handle = guarded((request) => app.fetch(request))
    return (request, connection) => {
      allowSilence(request, connection, patience)
      return handle(request)
    }
  }
