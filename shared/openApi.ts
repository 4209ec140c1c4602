/** The words of an OpenAPI 3.1 description: JSON Schemas of Effect schemas, what one route says of itself, a whole document; must know no route and no router. */
import { Schema } from "effect"
import packageFile from "../package.json" with { type: "json" }
import { Problem } from "./api/problem.ts"

/** Operations by path and, below it, by method in lower case. */
export type Paths = Readonly<Record<string, Readonly<Record<string, unknown>>>>

/** Reusable parts by kind (`schemas`, `parameters`, …) and name. */
export type Components = Readonly<Record<string, Readonly<Record<string, unknown>>>>

type Node = Readonly<Record<string, unknown>>

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && !Array.isArray(value)

const schemaOf = (schema: Schema.Constraint, closed: boolean): Node => {
  const { definitions, schema: root } = Schema.toJsonSchemaDocument(schema)
  // OpenAPI finds no `$defs` of a schema within an operation, so each named schema stands where it is used.
  const inline = (value: unknown, within: ReadonlyArray<string>): unknown => {
    if (Array.isArray(value)) return value.map((item) => inline(item, within))
    if (!isNode(value)) return value
    const { $ref } = value
    if (typeof $ref === "string") {
      const name = $ref.slice($ref.lastIndexOf("/") + 1)
      return within.includes(name) ? {} : inline(definitions[name], [...within, name])
    }
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [
        key,
        closed && key === "additionalProperties" && one === true ? false : inline(one, within)
      ])
    )
  }
  return inline(root, []) as Node
}

/** The JSON Schema of what a schema writes: an answer. A client must bear fields it does not know. */
export const answerSchema = (schema: Schema.Constraint): Node => schemaOf(schema, false)

/** The JSON Schema of a body that is read; unknown fields are refused. */
export const bodySchema = (schema: Schema.Constraint): Node => schemaOf(schema, true)

/** The JSON Schema of parameters, by what they mean (an integer) and not by how a URL spells it (text). */
export const parametersSchema = (schema: Schema.Constraint): Node => schemaOf(Schema.toType(schema), true)

/** Text of another media type than JSON. */
interface Text {
  readonly type: string
  readonly description: string
}

interface Route {
  readonly summary: string
  readonly description?: string
  readonly tag: string
  /** Needs no login. */
  readonly open?: boolean
  /** Query of a route that decodes it by itself; what the router decodes needs no second word. */
  readonly query?: Schema.Top
  /** Further headers a client may send, with what they mean. */
  readonly headers?: Readonly<Record<string, string>>
  /** Fields of an `application/x-www-form-urlencoded` body. */
  readonly form?: Schema.Top
  /** By status: JSON of a schema, text, or the description of an answer without content. */
  readonly answers: Readonly<Record<number, Schema.Top | Text | string>>
  /** Refusals beyond those of every route (500) and every login (401, 403, 503). */
  readonly problems?: ReadonlyArray<400 | 401 | 403 | 404 | 409 | 410 | 413 | 415 | 422 | 429 | 503>
}

interface Response {
  readonly description: string
  readonly content?: Record<string, { readonly schema: object }>
}

interface Parameter {
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly description?: string
  readonly schema: object
}

/** What a route's `detail` says, in the form the router keeps it. */
export interface Detail {
  readonly summary: string
  readonly description?: string
  readonly tags: Array<string>
  readonly security?: Array<Record<string, Array<string>>>
  readonly parameters?: Array<Parameter>
  readonly requestBody?: { readonly required: boolean; readonly content: Record<string, { readonly schema: object }> }
  readonly responses: Record<string, Response>
}

const refusals: Readonly<Record<number, string>> = {
  400: "The request is malformed",
  401: "Nobody is logged in, or the session or token has ended",
  403: "The caller may not do this",
  404: "There is no such thing",
  409: "This contradicts the present state; nothing was changed",
  410: "It has expired",
  413: "The body is too large",
  415: "The body is of another media type",
  422: "The input is not acceptable; `errors` names every fault",
  429: "Too many in a short time",
  503: "A dependency is away; nothing was changed"
}

const answerOf = (answer: Schema.Top | Text | string): Response => {
  if (typeof answer === "string") return { description: answer }
  if (Schema.isSchema(answer)) {
    return { description: "Done", content: { "application/json": { schema: answerSchema(answer) } } }
  }
  return { description: answer.description, content: { [answer.type]: { schema: { type: "string" } } } }
}

const problem = {
  "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } }
}

/** The `detail` of a route: its words, its answers and its refusals. */
export const detail = (route: Route): Detail => {
  const responses: Record<string, Response> = {}
  for (const [status, answer] of Object.entries(route.answers)) responses[status] = answerOf(answer)
  for (const status of [...(route.open === true ? [] : [401, 403, 503]), ...(route.problems ?? [])].toSorted()) {
    responses[status] = { description: refusals[status]!, content: problem }
  }
  const parameters: Array<Parameter> = []
  if (route.query !== undefined) {
    const { properties, required } = parametersSchema(route.query)
    for (const [name, schema] of Object.entries(isNode(properties) ? properties : {})) {
      const needed = Array.isArray(required) && required.includes(name)
      parameters.push({ name, in: "query", required: needed, schema: schema as object })
    }
  }
  for (const [name, description] of Object.entries(route.headers ?? {})) {
    parameters.push({ name, in: "header", description, schema: { type: "string" } })
  }
  return {
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    tags: [route.tag],
    ...(route.open === true ? { security: [] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.form === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { "application/x-www-form-urlencoded": { schema: bodySchema(route.form) } }
          }
        }),
    responses
  }
}

/** Parts that every description of ours refers to. */
export const ownComponents = {
  schemas: { Problem: answerSchema(Problem) },
  securitySchemes: {
    session: { type: "apiKey", in: "cookie", name: "__Host-gatehouse", description: "A browser's login" },
    bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT", description: "An access token of POST /auth/token" }
  }
} satisfies Components

/** A whole document; every operation that does not say otherwise needs a session or an access token. */
export const documentOf = (title: string, paths: Paths, components: Components = ownComponents) => ({
  openapi: "3.1.0",
  info: { title, version: packageFile.version },
  security: [{ session: [] }, { bearer: [] }],
  paths,
  components
})
