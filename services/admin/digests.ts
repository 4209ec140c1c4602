/** What an approval, a plan or a recovery binds to: SHA-256 over the canonical JSON of the part of an object that people decide about. */
import { createHash } from "node:crypto"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { at } from "#shared/kubernetes/fields.ts"

const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, one]) => [key, canonical(one)])
  )
}

/** JSON with sorted keys: equal for equal values, whoever wrote them. */
export const canonicalJson = (value: unknown): string => JSON.stringify(canonical(value)) ?? "null"

/** SHA-256 of text, in hex. */
export const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

/** SHA-256 (hex) of a value's canonical JSON. */
export const digestOf = (value: unknown): string => sha256(canonicalJson(value))

/** Fields of `metadata` that the API server fills in, or that change without anybody's wish. */
const serverFields = new Set(["managedFields", "resourceVersion", "generation", "creationTimestamp", "selfLink"])

/**
 * The object without its status and what only the server writes: equal before and after exactly if nobody changed it.
 * `uid` stays: a re-created object is another one. The revision that the controller stamps on a Deployment goes.
 */
export const wished = (object: KubernetesObject): Readonly<Record<string, unknown>> => {
  const { metadata, status: _, ...rest } = object
  const kept = Object.fromEntries(Object.entries(metadata).filter(([key]) => !serverFields.has(key)))
  const annotations = Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([key]) => key !== "deployment.kubernetes.io/revision")
  )
  return { ...rest, metadata: { ...kept, annotations } }
}

/** Digest of a live object: what a plan is compared with, and what recovery looks for. */
export const liveDigest = (object: KubernetesObject): string => digestOf(wished(object))

/** Digest of a workload's pod template as it runs now. */
export const templateDigest = (object: KubernetesObject): string => digestOf(at(object, "spec", "template"))
