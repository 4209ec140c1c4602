/** The scale subresource (autoscaling/v1 Scale) of what has replicas; must store nothing. */
import type { Kind } from "./kinds.ts"
import { badPatch, Refusal } from "./refusal.ts"
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
  // Go's omitempty: a Scale to nothing has no replicas at all.
  spec: intAt(object, "spec", "replicas") === 0 ? {} : { replicas: intAt(object, "spec", "replicas") },
  status: { replicas: intAt(object, "status", "replicas"), selector: selectorText(at(object, "spec", "selector")) }
})

/** The object with the replicas of a Scale. */
export const scaled = (object: Fields, scale: Fields): Fields => {
  const replicas = at(scale, "spec", "replicas")
  if (replicas !== undefined && (typeof replicas !== "number" || !Number.isInteger(replicas))) {
    throw badPatch(
      JSON.stringify(scale),
      `json: cannot unmarshal ${typeof replicas} into Go struct field ScaleSpec.spec.replicas of type int32`
    )
  }
  if (typeof replicas === "number" && replicas < 0) {
    const message = `Invalid value: ${replicas}: must be greater than or equal to 0`
    throw new Refusal(
      422,
      "Invalid",
      `Scale.autoscaling ${JSON.stringify(nameOf(object))} is invalid: spec.replicas: ${message}`,
      {
        name: nameOf(object),
        group: "autoscaling",
        kind: "Scale",
        causes: [{ reason: "FieldValueInvalid", message, field: "spec.replicas" }]
      }
    )
  }
  const result = clone(object)
  put(result, replicas ?? 0, "spec", "replicas")
  const version = textAt(scale, "metadata", "resourceVersion")
  if (version !== "") put(result, version, "metadata", "resourceVersion")
  return result
}
