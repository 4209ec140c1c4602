/** Paths of the Kubernetes API, every part encoded; must send nothing. */
import { Effect } from "effect"
import { KubernetesFailed, type Place, type Selection } from "./Kubernetes.ts"
import type { Resource } from "./objects.ts"

const refused = (detail: string) =>
  new KubernetesFailed({
    reason: "invalid",
    status: null,
    detail,
    causes: [],
    retryAfterSeconds: null,
    sent: false
  })

/** A part that a URL would read as a step upwards, or that would vanish, names nothing. */
export const part = (text: string): Effect.Effect<string, KubernetesFailed> =>
  text === "" || text === "." || text === ".."
    ? Effect.fail(refused("a name in the path is empty or a dot segment"))
    : Effect.succeed(encodeURIComponent(text))

export const groupPath = ({ group, version }: Pick<Resource, "group" | "version">): string =>
  group === "" ? `/api/${version}` : `/apis/${group}/${version}`

export const collectionPath = Effect.fnUntraced(function* (selection: Pick<Selection, "resource" | "namespace">) {
  const base = groupPath(selection.resource)
  if (selection.namespace === undefined) return `${base}/${selection.resource.plural}`
  if (!selection.resource.namespaced) return yield* refused(`${selection.resource.kind} has no namespace`)
  return `${base}/namespaces/${yield* part(selection.namespace)}/${selection.resource.plural}`
})

export const objectPath = Effect.fnUntraced(function* (place: Place & { readonly subresource?: string }) {
  if (place.resource.namespaced && place.namespace === undefined) {
    return yield* refused(`a namespace is needed for a ${place.resource.kind}`)
  }
  const collection = yield* collectionPath(place)
  const path = `${collection}/${yield* part(place.name)}`
  return place.subresource === undefined ? path : `${path}/${yield* part(place.subresource)}`
})
