/** The data service's routes; each needs a right (`data:read`, `write`, `query`, `export`, `manage`) of the gateway's identity token. */
import { Effect, Stream } from "effect"
import { Membership, Query } from "#shared/api/data.ts"
import { forAnyCaller, Identity } from "#shared/auth.ts"
import { MalformedRequest, NotFound } from "#shared/domain/errors.ts"
import { accept, describeApp, guarded, makeApp, makeRun } from "#shared/http.ts"
import { documentOf } from "#shared/openApi.ts"
import { internalProblem, problemOfError } from "#shared/problem.ts"
import { allowSilence, type Built, type Service } from "#shared/service.ts"
import { Catalogue } from "./Catalogue.ts"
import type { Failure } from "./failures.ts"
import { type Format, formatOf, mediaTypes } from "./formats.ts"
import { Ingest } from "./Ingest.ts"
import { Memberships } from "./Memberships.ts"
import { Queries } from "./Queries.ts"
import { ingestAskedOf, preferencesOf, readRowsText, rowsAskedOf } from "./requests.ts"
import { bodyOf, type Collected, errorLine, rowsBodyOf } from "./results.ts"
import { described } from "./routeDetails.ts"
import { type Page, Rows, type Written } from "./Rows.ts"

export type DataServices = Identity | Catalogue | Ingest | Memberships | Queries | Rows

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
  const body = Stream.toReadableStreamWith(told, context, {
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

/** As PostgREST: the body is the rows alone, what else there is to say stands in headers. */
const pageOf = (page: Page, offset: number, format: Format) => {
  const last = offset + page.rows.length - 1
  const range = page.rows.length === 0 ? "*" : `${offset}-${last}`
  return new Response(rowsBodyOf(page, format), {
    headers: {
      "content-type": mediaTypes[format],
      "cache-control": "no-store",
      "content-range": `${range}/${page.count ?? "*"}`,
      "x-data-truncated": String(page.truncated),
      ...(page.cursor === undefined ? {} : { "x-next-cursor": page.cursor })
    }
  })
}

const readRows = Effect.fnUntraced(function* (request: Request, schema: string, table: string) {
  const principal = yield* caller(request, "read")
  const format = yield* formatOf(request)
  const asked = yield* rowsAskedOf(request, schema, table)
  const prefer = yield* preferencesOf(request)
  const page = yield* Rows.use((rows) => rows.read(principal, asked, prefer, format))
  return pageOf(page, asked.request.offset, format)
})

const writtenOf = (written: Written, representation: boolean, status: 200 | 201) =>
  new Response(representation ? `[${written.rows.join(",")}]` : null, {
    status: representation ? status : status === 201 ? 201 : 204,
    headers: {
      "cache-control": "no-store",
      "content-range": `*/${written.count}`,
      ...(representation ? { "content-type": mediaTypes.json } : {})
    }
  })

const writeRows = Effect.fnUntraced(function* (request: Request, schema: string, table: string) {
  const principal = yield* caller(request, "write")
  const asked = yield* rowsAskedOf(request, schema, table)
  const prefer = yield* preferencesOf(request)
  const rows = yield* Rows
  if (request.method === "DELETE") {
    return writtenOf(yield* rows.remove(principal, asked, prefer), prefer.representation, 200)
  }
  const body = yield* readRowsText(request)
  if (request.method === "PATCH") {
    return writtenOf(yield* rows.update(principal, asked, prefer, body), prefer.representation, 200)
  }
  return writtenOf(yield* rows.insert(principal, asked, prefer, body), prefer.representation, 201)
})

const ingest = Effect.fnUntraced(function* (request: Request, schema: string, table: string) {
  const principal = yield* caller(request, "write")
  const asked = yield* ingestAskedOf(request, schema, table)
  const { body } = request
  if (body === null) return yield* new MalformedRequest({ detail: "there is no body" })
  return yield* Ingest.use((one) => one.run(principal, asked, body))
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

const makeRoutes = (built: Built<DataServices>) => {
  const run = makeRun(built.runtime)
  const app = makeApp({
    name: "data",
    runtime: built.runtime,
    // Rows keep the digits that JSON.parse would lose; an ingest is a stream.
    ownBody: (path) => path.startsWith("/data/v1/rows/") || path.startsWith("/data/v1/ingest/")
  })
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
    .get(
      "/data/v1/rows/:schema/:table",
      ({ params, request }) => run(request, readRows(request, params.schema, params.table)),
      { detail: described.readRows }
    )
    .post(
      "/data/v1/rows/:schema/:table",
      ({ params, request }) => run(request, writeRows(request, params.schema, params.table)),
      { detail: described.postRows }
    )
    .patch(
      "/data/v1/rows/:schema/:table",
      ({ params, request }) => run(request, writeRows(request, params.schema, params.table)),
      { detail: described.patchRows }
    )
    .delete(
      "/data/v1/rows/:schema/:table",
      ({ params, request }) => run(request, writeRows(request, params.schema, params.table)),
      { detail: described.deleteRows }
    )
    .post(
      "/data/v1/ingest/:schema/:table",
      ({ params, request }) => run(request, ingest(request, params.schema, params.table)),
      { detail: described.ingest }
    )
    .get("/data/v1/memberships", ({ request }) => run(request, memberships(request)), {
      detail: described.memberships
    })
    .put("/data/v1/memberships", ({ body, request }) => run(request, setMembership(request, body)), {
      body: accept(Membership),
      detail: described.setMembership
    })
    .get("/data/openapi.json", ({ request }) => run(request, forAnyCaller(request, document)), {
      detail: described.openapi
    })
  const document: object = documentOf("Gatehouse data", describeApp(app))
  return app
}

/** Seconds for which a slow query, reader or sender may be silent before its connection is closed. */
const patience = 255

/** The service's `fetch`. */
export const makeFetch = (built: Built<DataServices>): Service["fetch"] => {
  const app = makeRoutes(built)
  const handle = guarded((request) => app.fetch(request))
  return (request, connection) => {
    allowSilence(request, connection, patience)
    return handle(request)
  }
}
