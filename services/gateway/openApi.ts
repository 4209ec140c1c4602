/** One OpenAPI description of the gateway and the services a caller may use: asks each to describe itself and takes only what lies on its route; must trust no word of an upstream. */
import { Effect, Option, Result, Schema } from "effect"
import { identityHeader } from "#shared/auth.ts"
import { type PeerFailed, send } from "#shared/client.ts"
import { type Components, documentOf, ownComponents, type Paths } from "#shared/openApi.ts"
import { isWithin } from "./canonicalPath.ts"
import { type Caller, Gate } from "./Gate.ts"
import { Rights } from "./Rights.ts"
import type { Route, RouteTable } from "./routeTable.ts"
import { ownPaths } from "./settingsFile.ts"

/** Bytes of one service's description that are read at most. */
const maxBytes = 1024 * 1024
const timeout = "2 seconds"
/** Objects and arrays nested deeper than this are no description we pass on. */
const maxDepth = 100

const methods = new Set(["get", "put", "post", "delete", "options", "head", "patch", "trace"])
/** Where a path item or an operation says which server and login it is for: behind the gateway that is the gateway's to say. */
const ours = new Set(["servers", "security"])
const kinds = ["schemas", "responses", "parameters", "examples", "requestBodies", "headers", "links"]
const reference = /^#\/components\/([A-Za-z]+)\/([A-Za-z0-9._-]+)$/u
const componentName = /^[A-Za-z0-9._-]+$/u

const Members = Schema.Record(Schema.String, Schema.Unknown)
const Description = Schema.Struct({
  openapi: Schema.String.check(Schema.isPattern(/^3\.[01]\./u)),
  paths: Schema.Record(Schema.String, Members),
  components: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown))
})
type Description = typeof Description.Type
const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Description))

interface Part {
  readonly paths: Paths
  readonly components: Components
}

const isMembers = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The components of a description that can be referred to, by kind. */
const componentsOf = (description: Description): ReadonlyArray<readonly [string, ReadonlyMap<string, unknown>]> =>
  kinds.map((kind) => {
    const members = description.components?.[kind]
    const named = Object.entries(isMembers(members) ? members : {}).filter(([name]) => componentName.test(name))
    return [kind, new Map(named)]
  })

/** Whether our own document has the very same component, so that a service of ours needs no copy. */
const isOurs = (kind: string, name: string, value: unknown): boolean => {
  const own: Components = ownComponents
  return JSON.stringify(own[kind]?.[name]) === JSON.stringify(value)
}

/** What of a description goes into the document of all; `place` gives the public path of a path, if it lies on the route. */
const adopt = (route: Route, description: Description, place: (path: string) => string | undefined): Part => {
  const given = componentsOf(description)
  const byKind = new Map(given)
  const renamed = (target: string): string | undefined => {
    const [, kind = "", name = ""] = reference.exec(target) ?? []
    const named = byKind.get(kind)
    if (named?.has(name) !== true) return undefined
    return isOurs(kind, name, named.get(name)) ? target : `#/components/${kind}/${route.id}.${name}`
  }
  const copy = (value: unknown, depth: number): unknown => {
    if (typeof value !== "object" || value === null) return value
    if (depth > maxDepth) throw new RangeError("nests too deep")
    if (Array.isArray(value)) return value.map((item) => copy(item, depth + 1))
    const { $ref, ...rest } = value as Readonly<Record<string, unknown>>
    const members = Object.entries(rest).map(([key, one]) => [key, copy(one, depth + 1)] as const)
    if (typeof $ref !== "string") {
      return Object.fromEntries($ref === undefined ? members : [["$ref", copy($ref, depth + 1)], ...members])
    }
    // What refers to nothing we have, or to another document, says nothing here.
    const target = renamed($ref)
    return Object.fromEntries(target === undefined ? members : [["$ref", target], ...members])
  }
  const within = (value: Readonly<Record<string, unknown>>) =>
    Object.entries(value).filter(([key]) => !ours.has(key) && key !== "$ref")
  const operation = (value: unknown): unknown => {
    if (!isMembers(value)) return undefined
    const { operationId, ...rest } = value
    const id = typeof operationId === "string" ? { operationId: `${route.id}.${operationId}` } : {}
    return { ...id, ...Object.fromEntries(within(rest).map(([key, one]) => [key, copy(one, 0)])) }
  }
  const paths: Record<string, Readonly<Record<string, unknown>>> = {}
  for (const [path, item] of Object.entries(description.paths)) {
    const at = place(path)
    if (at === undefined) continue
    paths[at] = Object.fromEntries(
      within(item).flatMap(([key, one]) => {
        const told = methods.has(key) ? operation(one) : copy(one, 0)
        return told === undefined ? [] : [[key, told]]
      })
    )
  }
  const components = Object.fromEntries(
    given.map(([kind, named]) => [
      kind,
      Object.fromEntries(
        [...named]
          .filter(([name, value]) => !isOurs(kind, name, value))
          .map(([name, value]) => [`${route.id}.${name}`, copy(value, 0)])
      )
    ])
  )
  return { paths, components }
}

/** Says nothing of the upstream's address: that is nobody's business outside. */
const reasonOf = (failed: PeerFailed): string => {
  switch (failed.reason) {
    case "timeout":
      return "it does not answer in time"
    case "format":
      return `its answer is longer than ${maxBytes} bytes`
    default:
      return "it cannot be reached"
  }
}

const isHtml = (headers: Headers) => /^text\/html\b/iu.test(headers.get("content-type") ?? "")

export const makeOpenApi = (publicUrl: string, routes: () => RouteTable) => {
  const host = new URL(publicUrl).hostname

  /** The public path of what an upstream calls `path`, if a request for it would come to this route. */
  const placeOn = (table: RouteTable, route: Route) => (path: string) => {
    const at = route.strip === 0 ? path : route.path + path
    if (!path.startsWith("/") || ownPaths.some((own) => isWithin(at, own))) return undefined
    return table.find(host, at) === route ? at : undefined
  }

  /** One service's part; none where it has no API to describe; fails with why it could not be had. */
  const partOf = Effect.fnUntraced(function* (
    table: RouteTable,
    route: Route,
    identity: string | undefined,
    requestId: string
  ) {
    if (identity === undefined) return yield* Effect.fail("the signing keys cannot be reached")
    const base = route.strip > 0 || route.path === "/" ? "" : route.path
    const headers = { accept: "application/json", [identityHeader]: identity, "x-request-id": requestId }
    const answer = yield* Effect.mapError(
      send(new URL(`${route.upstream}${base}/openapi.json`), { timeout, limit: maxBytes, init: { headers } }),
      reasonOf
    )
    const answered = answer.status >= 200 && answer.status <= 299
    if (answer.status === 404 || (answered && isHtml(answer.headers))) return Option.none<Part>()
    if (!answered) return yield* Effect.fail(`it answers ${answer.status}`)
    const description = decode(answer.text)
    if (Result.isFailure(description)) return yield* Effect.fail("its answer is no OpenAPI 3 description")
    return Option.some(
      yield* Effect.try({
        try: () => adopt(route, description.success, placeOn(table, route)),
        catch: () => "its description nests too deep"
      })
    )
  })

  /** The description for one caller, with the gateway's own paths. */
  return Effect.fnUntraced(function* (own: Paths, caller: Caller, requestId: string) {
    const gate = yield* Gate
    const snapshot = yield* Rights.use((rights) => rights.snapshot)
    const table = routes()
    const asked = table.routes.filter((route) => {
      if (route.public || table.find(host, route.path) !== route) return false
      const { environment, namespaces, service } = route
      return route.rules.some(({ action }) =>
        gate.allows(snapshot, caller, { environment, namespaces, service, action })
      )
    })
    const parts = yield* Effect.forEach(
      asked,
      (route) => {
        const { environment, namespaces, service } = route
        const target = { environment, namespaces, service, method: "GET", path: "" }
        const identity = gate.identityToken(snapshot, caller, target)
        return Effect.map(Effect.result(partOf(table, route, identity, requestId)), (result) => ({ route, result }))
      },
      { concurrency: "unbounded" }
    )
    const paths: Record<string, Readonly<Record<string, unknown>>> = { ...own }
    const components: Record<string, Readonly<Record<string, unknown>>> = { ...ownComponents }
    const unavailable: Array<{ readonly route: string; readonly reason: string }> = []
    for (const { result, route } of parts) {
      if (Result.isFailure(result)) unavailable.push({ route: route.id, reason: result.failure })
      else if (Option.isSome(result.success)) {
        const part = result.success.value
        Object.assign(paths, part.paths)
        for (const [kind, named] of Object.entries(part.components)) {
          if (Object.keys(named).length > 0) components[kind] = { ...components[kind], ...named }
        }
      }
    }
    return {
      ...documentOf("Gatehouse", paths, components),
      servers: [{ url: publicUrl }],
      "x-gatehouse-unavailable": unavailable
    }
  })
}
