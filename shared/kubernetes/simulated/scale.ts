/** The scale subresource (autoscaling/v1 Scale) of what has replicas; must store nothing. */
import type { Kind } from "./kinds.ts"
import { badRequest } from "./refusal.ts"
import { selectorText } from "./selectors.ts"
import { at, clone, type Fields, intAt, nameOf, namespaceOf, put, textAt, uidOf } from "./values.ts"

export const scaleOf = (_: Kind, object: Fields): Fields => ({
  kind: "Scale",
  apiVersion: "autoscaling/v1",
  metadata: {
    name: nameOf(object),
    namespace: namespaceOf(object),
    uid: uidOf(object),
    resourceVersion: textAt(object, "metadata", "resourceVersion"),
    creationTimestamp: textAt(object, "metadata", "creationTimestamp")
  },
  spec: { replicas: intAt(object, "spec", "replicas") },
  status: { replicas: intAt(object, "status", "replicas"), selector: selectorText(at(object, "spec", "selector")) }
})

/** The object with the replicas of a Scale. */
export const scaled = (object: Fields, scale: Fields): Fields => {
  const replicas = at(scale, "spec", "replicas")
  if (replicas !== undefined && (typeof replicas !== "number" || !Number.isInteger(replicas))) {
    throw badRequest(
      'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal into field spec.replicas of type int32'
    )
  }
  const result = clone(object)
  put(result, replicas ?? 0, "spec", "replicas")
  const version = textAt(scale, "metadata", "resourceVersion")
  if (version !== "") put(result, version, "metadata", "resourceVersion")
  return result
}
