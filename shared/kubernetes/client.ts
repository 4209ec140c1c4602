/** The Kubernetes port over a connection: raw JSON both ways, paging, server-side apply, logs, discovery; must interpret no object. */
import { Clock, Effect, Layer, Option, Schema, Stream } from "effect"
import { formatFailed } from "./failures.ts"
import { Kubernetes, KubernetesFailed, type Selection, type WriteOptions, type Written } from "./Kubernetes.ts"
import { apiVersionOf, type KubernetesList, type KubernetesObject, type Resource } from "./objects.ts"
import { collectionPath, groupPath, objectPath } from "./paths.ts"
import { type Answer, type Call, type Connection, lines, open, request } from "./transport.ts"
import { watch, type WatchTiming, watchTiming } from "./watch.ts"

const pageSize = 500
const readySeconds = 2
const discoveryMillis = 600_000
/** The kubelet splits lines at 16 KiB by itself; whatever comes in one piece beyond this is no log. */
const maxLogLine = 1024 * 1024

const isObject = Schema.is(
  Schema.Struct({
    apiVersion: Schema.String,
    kind: Schema.String,
    metadata: Schema.Record(Schema.String, Schema.Unknown)
  })
)
const objectOf = (value: unknown): value is KubernetesObject => isObject(value)

const Page = Schema.Struct({
  apiVersion: Schema.String,
  kind: Schema.String,
  metadata: Schema.Struct({
    resourceVersion: Schema.String,
    continue: Schema.optionalKey(Schema.String)
  }),
  items: Schema.NullOr(Schema.Array(Schema.Record(Schema.String, Schema.Unknown)))
})
const decodePage = Schema.decodeUnknownOption(Page)
const decodeDiscovery = Schema.decodeUnknownOption(
  Schema.Struct({
    resources: Schema.Array(Schema.Struct({ name: Schema.String, kind: Schema.String, namespaced: Schema.Boolean }))
  })
)

const written = (answer: Answer): Effect.Effect<Written, KubernetesFailed> =>
  objectOf(answer.body)
    ? Effect.succeed({ object: answer.body, warnings: answer.warnings, created: answer.status === 201 })
    : Effect.fail(formatFailed("the answer to a write is no object"))

const writeQuery = (options: WriteOptions | undefined) => ({
  fieldManager: options?.fieldManager,
  dryRun: options?.dryRun === true ? "All" : undefined
})

const patchTypes = {
  json: "application/json-patch+json",
  strategic: "application/strategic-merge-patch+json",
  merge: "application/merge-patch+json"
}

export const makeKubernetes = (
  connection: Connection,
  timing: WatchTiming = watchTiming
): Effect.Effect<Kubernetes["Service"]> =>
  Effect.sync(() => {
    const ask = (call: Call) => request(connection, call)
    const object = Effect.fnUntraced(function* (call: Call) {
      const { body } = yield* ask(call)
      return objectOf(body) ? body : yield* formatFailed("the answer is no object")
    })

    /** One snapshot, page by page; undefined if the server forgot it on the way. */
    const pages = Effect.fnUntraced(function* (selection: Selection) {
      const path = yield* collectionPath(selection)
      const items: Array<KubernetesObject> = []
      let next: string | undefined
      while (true) {
        const result = yield* Effect.result(
          ask({
            method: "GET",
            path,
            query: {
              limit: String(pageSize),
              continue: next,
              labelSelector: selection.labelSelector,
              fieldSelector: selection.fieldSelector
            },
            repeatable: true
          })
        )
        if (result._tag === "Failure") {
          if (next !== undefined && result.failure.reason === "gone") return undefined
          return yield* result.failure
        }
        const page = Option.getOrUndefined(decodePage(result.success.body))
        if (page === undefined) return yield* formatFailed("the answer is no list")
        // Items of a list come without their kind.
        const kind = page.kind.replace(/List$/u, "")
        for (const item of page.items ?? []) {
          const whole = { apiVersion: page.apiVersion, kind, ...item }
          if (!objectOf(whole)) return yield* formatFailed("an item of a list is no object")
          items.push(whole)
        }
        next = page.metadata.continue
        if (next === undefined || next === "") {
          return { items, resourceVersion: page.metadata.resourceVersion } satisfies KubernetesList
        }
      }
    })
    const list = Effect.fn("Kubernetes.list")(function* (selection: Selection) {
      const maxRestarts = 3
      for (let restarts = 0; restarts < maxRestarts; restarts += 1) {
        const found = yield* pages(selection)
        if (found !== undefined) return found
      }
      return yield* new KubernetesFailed({
        reason: "gone",
        status: 410,
        detail: "the list expired again and again before its last page",
        causes: [],
        retryAfterSeconds: null,
        sent: true
      })
    })

    const discovered = new Map<string, { readonly at: number; readonly resources: ReadonlyArray<Resource> }>()
    const discover = Effect.fnUntraced(function* (group: string, version: string) {
      const key = `${group}/${version}`
      const now = yield* Clock.currentTimeMillis
      const known = discovered.get(key)
      if (known !== undefined && now - known.at < discoveryMillis) return known.resources
      const found = yield* ask({ method: "GET", path: groupPath({ group, version }), repeatable: true }).pipe(
        Effect.map(({ body }) => Option.getOrUndefined(decodeDiscovery(body))),
        Effect.catchIf(
          (failure) => failure.reason === "not_found",
          () => Effect.succeed({ resources: [] })
        )
      )
      if (found === undefined) return yield* formatFailed("the answer to discovery is no list of resources")
      const resources = found.resources
        .filter(({ name }) => !name.includes("/"))
        .map(({ kind, name, namespaced }) => ({ group, version, kind, plural: name, namespaced }))
      discovered.set(key, { at: now, resources })
      return resources
    })

    return Kubernetes.of({
      description: connection.description,
      get: Effect.fn("Kubernetes.get")(function* (place) {
        return yield* object({ method: "GET", path: yield* objectPath(place), repeatable: true })
      }),
      list,
      watch: (selection) => watch(connection, selection, list(selection), timing),
      apply: Effect.fn("Kubernetes.apply")(function* (place, configuration, options) {
        const { resource } = place
        if (configuration.apiVersion !== apiVersionOf(resource) || configuration.kind !== resource.kind) {
          return yield* new KubernetesFailed({
            reason: "invalid",
            status: null,
            detail: `a ${configuration.apiVersion} ${configuration.kind} is no ${apiVersionOf(resource)} ${resource.kind}`,
            causes: [],
            retryAfterSeconds: null,
            sent: false
          })
        }
        return yield* ask({
          method: "PATCH",
          path: yield* objectPath(place),
          query: {
            ...writeQuery(options),
            force: String(options.force ?? false),
            fieldValidation: "Strict"
          },
          body: configuration,
          contentType: "application/apply-patch+yaml",
          repeatable: true
        }).pipe(Effect.flatMap(written))
      }),
      create: Effect.fn("Kubernetes.create")(function* (selection, body, options) {
        return yield* ask({
          method: "POST",
          path: yield* collectionPath(selection),
          query: { ...writeQuery(options), fieldValidation: "Strict" },
          body,
          repeatable: options?.dryRun === true
        }).pipe(Effect.flatMap(written))
      }),
      patch: Effect.fn("Kubernetes.patch")(function* (place, patch, options) {
        return yield* ask({
          method: "PATCH",
          path: yield* objectPath(place),
          query: writeQuery(options),
          body: patch.body,
          contentType: patchTypes[patch.type],
          repeatable: options?.dryRun === true
        }).pipe(Effect.flatMap(written))
      }),
      delete: Effect.fn("Kubernetes.delete")(function* (place, options) {
        yield* ask({
          method: "DELETE",
          path: yield* objectPath(place),
          body: {
            apiVersion: "v1",
            kind: "DeleteOptions",
            propagationPolicy: options?.propagation ?? "Background",
            ...(options?.uid === undefined ? {} : { preconditions: { uid: options.uid } })
          }
        })
      }),
      logs: (options) =>
        Stream.unwrap(
          Effect.gen(function* () {
            const number = (value: number | undefined) => (value === undefined ? undefined : String(value))
            const flag = (value: boolean | undefined) => (value === true ? "true" : undefined)
            const place = {
              resource: { group: "", version: "v1", kind: "Pod", plural: "pods", namespaced: true },
              namespace: options.namespace,
              name: options.pod,
              subresource: "log"
            }
            const bytes = yield* open(connection, {
              method: "GET",
              path: yield* objectPath(place),
              query: {
                container: options.container,
                previous: flag(options.previous),
                follow: flag(options.follow),
                timestamps: flag(options.timestamps),
                tailLines: number(options.tailLines),
                sinceSeconds: number(options.sinceSeconds),
                limitBytes: number(options.limitBytes)
              }
            })
            return lines(maxLogLine)(bytes)
          })
        ),
      post: Effect.fn("Kubernetes.post")(function* (path, body) {
        if (!/^\/apis?\//u.test(path) || path.split("/").some((one) => one === "." || one === "..")) {
          return yield* new KubernetesFailed({
            reason: "invalid",
            status: null,
            detail: "a path of the API starts with /api or /apis",
            causes: [],
            retryAfterSeconds: null,
            sent: false
          })
        }
        return yield* object({ method: "POST", path, body })
      }),
      resourceOf: Effect.fn("Kubernetes.resourceOf")(function* (apiVersion, kind) {
        const [first = "", second] = apiVersion.split("/")
        const found = yield* second === undefined ? discover("", first) : discover(first, second)
        return found.find((one) => one.kind === kind)
      }),
      ready: ask({ method: "GET", path: "/readyz", seconds: readySeconds }).pipe(Effect.asVoid)
    })
  })

/** The port over `connection`. */
export const layerOf = (connection: Connection, timing?: WatchTiming): Layer.Layer<Kubernetes> =>
  Layer.effect(Kubernetes, makeKubernetes(connection, timing))
