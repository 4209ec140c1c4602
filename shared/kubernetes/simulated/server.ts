/** The REST protocol of the simulated API server: paths, verbs, media types, Status answers; must hold no rule of a kind. */
import { parse as parseYaml } from "yaml"
import { discovered } from "./discovery.ts"
import { kindAt, kinds, type Kind } from "./kinds.ts"
import type { PodLogs } from "./logs.ts"
import { goText, jsonPatch, mergePatch, strategic } from "./patches.ts"
import { makeReads } from "./reads.ts"
import {
  badOption,
  badRequest,
  noSuchPath,
  notAllowed,
  notFound,
  Refusal,
  statusOf,
  unsupportedMedia
} from "./refusal.ts"
import { review } from "./reviews.ts"
import { scaleOf, scaled } from "./scale.ts"
import type { Store } from "./store.ts"
import type { Timeline } from "./timeline.ts"
import { type Fields, intAt, isFields, listAt, nameOf, textAt, type Value } from "./values.ts"
import type { Watches } from "./watches.ts"
import type { DeleteOptions, Outcome, WriteRequest, Writes } from "./writes.ts"

interface Target {
  readonly kind: Kind
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly subresource: string | undefined
}

/** What a path of an object or collection names. */
const targetOf = (path: string): Target | undefined => {
  const match = /^\/(?:api\/(v1)|apis\/([^/]+)\/([^/]+))\/(.+)$/u.exec(path)
  if (match === null) return undefined
  const group = match[2] ?? ""
  const version = match[1] ?? match[3] ?? ""
  const parts = match[4]!.split("/").map(decodeURIComponent)
  const inNamespace = parts[0] === "namespaces" && parts.length > 2 && kindAt(group, version, parts[2]!) !== undefined
  const [plural = "", name, subresource, ...more] = inNamespace ? parts.slice(2) : parts
  const kind = kindAt(group, version, plural)
  if (
    kind === undefined ||
    more.length > 0 ||
    kind.namespaced !== (inNamespace || (kind.namespaced && name === undefined))
  ) {
    return undefined
  }
  return { kind, namespace: inNamespace ? parts[1] : undefined, name, subresource }
}

const json = (body: Fields, status = 200, warnings: ReadonlyArray<string> = []): Response =>
  new Response(JSON.stringify(body), {
    status,
    headers: [
      ["content-type", "application/json"],
      ...warnings.map((text): [string, string] => ["warning", `299 - ${JSON.stringify(text)}`])
    ]
  })

const checked = (value: unknown): Fields => {
  // Such a key would reach a prototype when objects are merged.
  const visit = (one: unknown): void => {
    if (Array.isArray(one)) one.forEach(visit)
    else if (isFields(one)) {
      if (Object.hasOwn(one, "__proto__")) throw badRequest("a field cannot be named __proto__")
      Object.values(one).forEach(visit)
    }
  }
  visit(value)
  if (!isFields(value)) throw badRequest("the body is no object")
  return value
}

const readBody = async (request: Request): Promise<Value> => {
  const text = await request.text()
  const type = request.headers.get("content-type") ?? ""
  if (type.includes("protobuf")) throw unsupportedMedia()
  try {
    const value: Value = type.includes("yaml") && !/^\s*[{[]/u.test(text) ? parseYaml(text) : JSON.parse(text)
    return value
  } catch {
    throw badRequest("the body cannot be read")
  }
}

const managerOf = (request: Request, query: URLSearchParams) =>
  query.get("fieldManager") || (request.headers.get("user-agent") ?? "unknown").split("/")[0]!.slice(0, 128)

const writeRequest = (request: Request, query: URLSearchParams): WriteRequest => {
  const validation = query.get("fieldValidation")
  const dryRun = query.get("dryRun")
  if (dryRun !== null && dryRun !== "All") {
    const message = `Unsupported value: ${JSON.stringify([dryRun])}: supported values: "All"`
    const options = { POST: "CreateOptions", PUT: "UpdateOptions" }[request.method] ?? "PatchOptions"
    throw badOption(options, { reason: "FieldValueNotSupported", message, field: "dryRun" })
  }
  return {
    manager: managerOf(request, query),
    dryRun: dryRun === "All",
    validation: validation === "Strict" || validation === "Ignore" ? validation : "Warn"
  }
}

const deleteOptions = (body: Value, query: URLSearchParams): DeleteOptions => {
  const grace = isFields(body) ? body["gracePeriodSeconds"] : undefined
  const uid = textAt(body, "preconditions", "uid")
  const resourceVersion = textAt(body, "preconditions", "resourceVersion")
  const asked = query.get("gracePeriodSeconds")
  return {
    ...(uid === "" ? {} : { uid }),
    ...(resourceVersion === "" ? {} : { resourceVersion }),
    ...(typeof grace === "number" ? { graceSeconds: grace } : asked === null ? {} : { graceSeconds: Number(asked) }),
    propagation: textAt(body, "propagationPolicy") || query.get("propagationPolicy") || "Background",
    dryRun: query.get("dryRun") === "All" || listAt(body, "dryRun").includes("All")
  }
}

export interface ServerParts {
  readonly store: Store
  readonly timeline: Timeline
  readonly writes: Writes
  readonly watches: Watches
  readonly logs: PodLogs
}

/** Answers one request; never rejects. */
export const makeServer = ({ logs, store, timeline, watches, writes }: ServerParts) => {
  const reads = makeReads(store, timeline, watches)
  const asked = (request: Request) => ({ table: (request.headers.get("accept") ?? "").includes("as=Table") })

  const existing = (target: Target): Fields => {
    const found = store.get(target.kind, target.namespace ?? "", target.name ?? "")
    if (found === undefined) throw notFound(target.kind, target.name ?? "")
    return found
  }

  const read = (target: Target, request: Request, query: URLSearchParams): Response => {
    const reading = { ...target, ...asked(request), query }
    const watching = query.get("watch") === "true" || query.get("watch") === "1"
    if (target.name === undefined) {
      const { name: _, ...collection } = reading
      return watching ? reads.watch(collection) : json(reads.list(collection))
    }
    if (watching && target.subresource === undefined) return reads.watch({ ...reading, name: target.name })
    const object = existing(target)
    if (target.subresource === "log") return logs.answer(object, query)
    if (target.subresource === "scale") return json(scaleOf(target.kind, object))
    return json(reads.single({ ...reading, name: target.name }, object))
  }

  const patched = (target: Target, type: string, body: Value, current: Fields): Fields => {
    const shown = target.subresource === "scale" ? scaleOf(target.kind, current) : current
    const result =
      type === "application/json-patch+json"
        ? jsonPatch(shown, body)
        : type === "application/merge-patch+json"
          ? mergePatch(shown, checked(body))
          : strategic(shown, checked(body), target.kind.schema)
    const object = checked(result)
    return target.subresource === "scale" ? scaled(current, object) : object
  }

  const patch = async (target: Target & { readonly name: string }, request: Request, query: URLSearchParams) => {
    const type = (request.headers.get("content-type") ?? "").split(";")[0]!.trim()
    const body = await readBody(request)
    const asking = writeRequest(request, query)
    const { kind, name } = target
    const namespace = target.namespace ?? ""
    if (type === "application/apply-patch+yaml") {
      if (query.get("fieldManager") === null) {
        const message = "Required value: is required for apply patch"
        throw badOption("PatchOptions", { reason: "FieldValueRequired", message, field: "fieldManager" })
      }
      const force = query.get("force") === "true"
      const status = target.subresource === "status" ? { subresource: "status" as const } : {}
      return writes.apply(kind, namespace, name, checked(body), { ...asking, ...status, force })
    }
    if (!/^application\/(?:json-patch|merge-patch|strategic-merge-patch)\+json$/u.test(type)) {
      throw unsupportedMedia()
    }
    const shownPatch = type === "application/strategic-merge-patch+json" ? goText(body) : ""
    return write(target, { ...asking, patch: shownPatch }, (current) => patched(target, type, body, current))
  }

  const write = (
    target: Target & { readonly name: string },
    asking: WriteRequest,
    change: (current: Fields) => Fields
  ): Outcome => {
    const { subresource } = target
    return writes.update(target.kind, target.namespace ?? "", target.name, change, {
      ...asking,
      ...(subresource === "status" || subresource === "scale" ? { subresource } : {})
    })
  }

  const shown = (target: Target, { created, object, warnings }: Outcome) =>
    json(target.subresource === "scale" ? scaleOf(target.kind, object) : object, created ? 201 : 200, warnings)

  const removeAll = (target: Target, query: URLSearchParams, options: DeleteOptions): Response => {
    const { name: _, ...collection } = target
    const found = reads.list({ ...collection, table: false, query })
    for (const object of listAt(found, "items")) {
      if (isFields(object)) writes.remove(target.kind, textAt(object, "metadata", "namespace"), nameOf(object), options)
    }
    return json(found)
  }

  const route = async (request: Request): Promise<Response> => {
    const url = new URL(request.url)
    const query = url.searchParams
    const path = url.pathname.length > 1 ? url.pathname.replace(/\/$/u, "") : url.pathname
    if (request.method === "GET") {
      const found = discovered(path)
      if (found !== undefined) return typeof found === "string" ? new Response(found) : json(found)
    }
    if (request.method === "POST") {
      const answer = review(path, () => readBody(request), store, timeline)
      if (answer !== undefined) return json(await answer, 201)
    }
    const target = targetOf(path)
    if (target === undefined) throw noSuchPath()
    const { kind, name, subresource } = target
    if (subresource !== undefined && !kind.subresources.includes(subresource)) throw noSuchPath()
    const namespace = target.namespace ?? ""
    switch (request.method) {
      case "GET":
        return read(target, request, query)
      case "POST": {
        if (name !== undefined) throw notAllowed()
        if (kind.namespaced && target.namespace === undefined) throw notAllowed()
        const body = checked(await readBody(request))
        return shown(target, writes.create(kind, namespace, body, writeRequest(request, query)))
      }
      case "PUT": {
        if (name === undefined) throw notAllowed()
        const body = checked(await readBody(request))
        const change = (current: Fields) => (subresource === "scale" ? scaled(current, body) : body)
        return shown(target, write({ ...target, name }, writeRequest(request, query), change))
      }
      case "PATCH":
        if (name === undefined) throw notAllowed()
        return shown(target, await patch({ ...target, name }, request, query))
      case "DELETE": {
        const text = await request.text()
        const options = deleteOptions(text === "" ? {} : checked(JSON.parse(text)), query)
        if (name === undefined) return removeAll(target, query, options)
        const gone = writes.remove(kind, namespace, name, options)
        if (kind === kinds.Pod && store.get(kind, namespace, name) !== undefined) return json(gone)
        return json({
          kind: "Status",
          apiVersion: "v1",
          metadata: {},
          status: "Success",
          details: { name, group: kind.group, kind: kind.plural, uid: textAt(gone, "metadata", "uid") }
        })
      }
      default:
        throw notAllowed()
    }
  }

  return async (request: Request): Promise<Response> => {
    try {
      return await route(request)
    } catch (error) {
      const refusal =
        error instanceof Refusal ? error : new Refusal(500, "InternalError", `the simulation failed: ${String(error)}`)
      const wait = intAt(refusal.details, "retryAfterSeconds")
      const answer = json(statusOf(refusal), refusal.code)
      if (wait > 0) answer.headers.set("retry-after", String(wait))
      return answer
    }
  }
}
