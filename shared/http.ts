/** The one adapter around Elysia: runs an Effect per route, reads bodies, answers problem+json; must hold no route of any service. */
import { Cause, type Context, Effect, Exit, type ManagedRuntime, Schema, Stream } from "effect"
import { Sse } from "effect/encoding"
import { toOpenAPISchema } from "@elysiajs/openapi/openapi"
import { type AnyElysia, Elysia } from "elysia"
import {
  InvalidInput,
  MalformedRequest,
  PayloadTooLarge,
  Unauthorized,
  Unavailable,
  UnsupportedMediaType
} from "./domain/errors.ts"
import { uuidv7 } from "./domain/ids.ts"
import { parseJson } from "./json.ts"
import { bodySchema, parametersSchema, type Paths } from "./openApi.ts"
import { faultsOf, internalProblem, problemOf, problemOfCause, problemOfError, problemResponse } from "./problem.ts"

/** Bytes of a JSON body that a route takes unless it says otherwise. */
export const defaultBodyLimit = 256 * 1024

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u
const requestIds = new WeakMap<Request, string>()

/** The request's id: the gateway's `X-Request-Id` if it is a UUID, else a new one, the same for every call with this request. */
export const requestIdOf = (request: Request): string => {
  const known = requestIds.get(request)
  if (known !== undefined) return known
  const given = request.headers.get("x-request-id")
  const id = given !== null && uuid.test(given) ? given : uuidv7(Date.now())
  requestIds.set(request, id)
  return id
}

/** Gives the request the id that its judge has chosen already; what its header says is then of no account. */
export const adoptRequestId = (request: Request, id: string): void => void requestIds.set(request, id)

export type Run<R> = <A, E>(request: Request, effect: Effect.Effect<A, E, R>) => A | Promise<A>

/**
 * Runs one route's effect. Its success is the route's answer, its failure a problem response; a defect is logged with the
 * request id and answered 500. A connection that the client closes interrupts the effect. An effect that needs no waiting
 * is answered without a promise.
 */
export const makeRun =
  <R>(runtime: ManagedRuntime.ManagedRuntime<R, never>): Run<R> =>
  (request, effect) => {
    const settle = <A, E>(exit: Exit.Exit<A, E>): A => {
      if (Exit.isSuccess(exit)) return exit.value
      // Elysia passes a Response through untouched, so a route's declared type stays that of its success.
      return respondCause(runtime, request, exit.cause) as never
    }
    const fiber = runtime.runFork(effect, { signal: request.signal })
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return settle(exit)
    return new Promise((resolve) => fiber.addObserver((done) => resolve(settle(done))))
  }

const respondCause = <R>(
  runtime: ManagedRuntime.ManagedRuntime<R, never>,
  request: Request,
  cause: Cause.Cause<unknown>
) => {
  const id = requestIdOf(request)
  const { error, problem } = problemOfCause(cause)
  if (problem.status === 500) {
    runtime.runFork(Effect.logError("request failed", cause).pipe(Effect.annotateLogs({ requestId: id })))
  }
  return problemResponse(problem, id, headersOf(error))
}

/** What the standards ask of a status beyond its body: a challenge with 401, when to ask again with 503. */
const headersOf = (error: unknown): Record<string, string> | undefined => {
  if (error instanceof Unauthorized) return { "www-authenticate": error.challenge ?? "Bearer" }
  if (error instanceof Unavailable) return { "retry-after": String(error.retryAfterSeconds) }
  return undefined
}

/** Reads a whole body of at most `limit` bytes as UTF-8, refusing early by Content-Length and late by count. */
export const readText = async (request: Request, limit: number): Promise<string> => {
  const declared = request.headers.get("content-length")
  if (declared !== null && Number(declared) > limit) throw new PayloadTooLarge({ limit })
  const decoder = new TextDecoder("utf-8", { fatal: true })
  let text = ""
  let size = 0
  try {
    for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
      size += chunk.byteLength
      if (size > limit) throw new PayloadTooLarge({ limit })
      text += decoder.decode(chunk, { stream: true })
    }
    return text + decoder.decode()
  } catch (error) {
    if (error instanceof PayloadTooLarge) throw error
    throw new MalformedRequest({ detail: "the body is not valid UTF-8" })
  }
}

/** Reads a JSON body: 415, 413 or 400, never a half-read value. An empty body is undefined. */
export const readJson = async (request: Request, limit: number): Promise<unknown> => {
  const type = (request.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase()
  if (type !== "application/json") throw new UnsupportedMediaType({ expected: "application/json" })
  return parseJson(await readText(request, limit))
}

/**
 * A schema for Elysia's `body`, `query` and `params`: all faults at once, unknown fields refused; `under` is the JSON
 * pointer of the decoded part ("" for a body). The JSON Schema side feeds the OpenAPI description, in which every named
 * schema stands where it is used. A fault throws our own InvalidInput, because Elysia's report of a failed validation
 * repeats the whole input.
 */
export const accept = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  under: "" | "/query" | "/params" = ""
) => {
  const standard = Schema.toStandardJSONSchemaV1(
    Schema.toStandardSchemaV1(schema, { parseOptions: { errors: "all", onExcessProperty: "error" } })
  )
  const inner = standard["~standard"].validate
  const validate = ((value: unknown) => {
    const result = inner(value)
    if (!("then" in result) && result.issues !== undefined) {
      throw new InvalidInput({ errors: faultsOf(result.issues, under) })
    }
    return result
  }) as typeof inner
  const described = () => (under === "" ? bodySchema(schema) : parametersSchema(schema))
  return Object.assign(Object.create(standard) as typeof standard, {
    "~standard": { ...standard["~standard"], validate, jsonSchema: { input: described, output: described } }
  })
}

/** What the routes of an app say of themselves, as OpenAPI paths. */
export const describeApp = (app: AnyElysia): Paths => {
  // "Static files" are to it all paths with a dot, such as `jwks.json`.
  const paths = toOpenAPISchema(app, { staticFile: false }, undefined, undefined, "3.1.0").paths as Paths
  for (const { hooks, method, path } of app.routes) {
    const body = hooks.body as ReturnType<typeof accept> | undefined
    if (body === undefined) continue
    // It cannot tell what a parser of ours reads: that is JSON wherever a schema is given.
    const schema = body["~standard"].jsonSchema.input({ target: "draft-2020-12" })
    const operation = paths[path.replaceAll(/:([^/]+)/gu, "{$1}")]?.[method.toLowerCase()]
    Object.assign(operation ?? {}, { requestBody: { required: true, content: { "application/json": { schema } } } })
  }
  return paths
}

interface AppOptions<R> {
  readonly name: string
  readonly runtime: ManagedRuntime.ManagedRuntime<R, never>
  readonly bodyLimit?: number
  /** Paths, or what tells them, whose routes read the body themselves (a form, a stream); every other body is JSON. */
  readonly ownBody?: ReadonlyArray<string> | ((path: string) => boolean)
}

/** Whether a path is of a route's pattern: `/users/:id`, or `/files/*` for all below. */
const isOf = (pattern: string, path: string): boolean => {
  const wanted = pattern.split("/")
  const given = path.split("/")
  const rest = wanted.at(-1) === "*" && given.length >= wanted.length
  if (!rest && wanted.length !== given.length) return false
  return wanted.every(
    (part, index) => part === "*" || part === given[index] || (part[0] === ":" && given[index] !== "")
  )
}

/** The methods that a path has routes for; none where there is no such path. HEAD is answered wherever GET is. */
const methodsOf = ({ routes }: AnyElysia, path: string): ReadonlyArray<string> => {
  const methods = new Set(routes.filter((route) => isOf(route.path, path)).map(({ method }) => method))
  if (methods.has("GET")) methods.add("HEAD")
  return [...methods].toSorted()
}

/**
 * The Elysia app every service starts from. A service's own `fetch` goes through `guarded`, which is what keeps the path
 * that Elysia finds equal to the path in `request.url`.
 */
export const makeApp = <R>({ bodyLimit = defaultBodyLimit, name, ownBody = [], runtime }: AppOptions<R>) => {
  const readsItself = typeof ownBody === "function" ? ownBody : (path: string) => ownBody.includes(path)
  const app = new Elysia({ name, handler: { standardHostname: false } })
  return app
    .onParse(({ path, request }) => {
      // Elysia would read what a parser leaves: null says that it was read.
      if (readsItself(path)) return null
      return request.body === null ? undefined : readJson(request, bodyLimit)
    })
    .onError(({ code, error, path, request }) => {
      const id = requestIdOf(request)
      if (error instanceof Response) return error
      if (code === "NOT_FOUND") {
        const allow = methodsOf(app, path).join(", ")
        if (allow === "") return problemResponse(problemOf(404, "not_found", "no such route"), id)
        const problem = problemOf(405, "method_not_allowed", "the path has no such method: see Allow")
        return problemResponse(problem, id, { allow })
      }
      if (code === "PARSE") {
        const problem = problemOfError(error) ?? problemOfError((error as Error).cause)
        return problemResponse(problem ?? problemOf(400, "malformed_request", "the body cannot be read"), id)
      }
      const problem = problemOfError(error)
      if (problem !== undefined) return problemResponse(problem, id, headersOf(error))
      runtime.runFork(Effect.logError("request failed", error).pipe(Effect.annotateLogs({ requestId: id })))
      return problemResponse(internalProblem, id)
    })
}

const plainHost = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/u

/**
 * Guards a service's `fetch` against requests whose URL and Host disagree or are no plain host (RFC 9112 §3.2): Elysia
 * looks for the path from a fixed offset of the URL, so an odd Host could select another route.
 */
export const guarded =
  (handle: (request: Request) => Response | Promise<Response>) =>
  (request: Request): Response | Promise<Response> => {
    const host = request.headers.get("host")
    // In-process callers (tests) send no Host header; their URL is their own.
    if (host !== null && !plainHost.test(host)) {
      return problemResponse(problemOf(400, "malformed_request", "the Host header is not one host"))
    }
    return handle(request)
  }

/** Server-sent events of a stream of JSON values, each with its id, with a comment every 10 s so that no proxy cuts a quiet one. */
export const eventStream = <A, E, R>(
  context: Context.Context<R>,
  request: Request,
  events: Stream.Stream<{ readonly event: string; readonly id: string; readonly data: A }, E, R>,
  stopping: AbortSignal
): Response =>
  new Response(
    Stream.toReadableStreamWith(
      events.pipe(
        Stream.map((one): Sse.Event => ({
          _tag: "Event",
          event: one.event,
          id: one.id,
          data: JSON.stringify(one.data)
        })),
        Stream.pipeThroughChannel(Sse.encode<E, unknown>()),
        Stream.merge(Stream.tick("10 seconds").pipe(Stream.map(() => ": ping\n\n")), { haltStrategy: "left" }),
        Stream.encodeText
      ),
      context,
      { signal: AbortSignal.any([request.signal, stopping]) }
    ),
    { headers: { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" } }
  )
