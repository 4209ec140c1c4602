/** When two pod templates mean the same, as kubectl's semantic comparison has it on the API server's JSON; pure. */
import { at, type Fields, fieldsOf, isFields, without } from "./fields.ts"
import { sameQuantity } from "./quantity.ts"

export const hashLabel = "pod-template-hash"
export const restartedAt = "kubectl.kubernetes.io/restartedAt"

/** Fields that hold quantities, or maps of them. */
const quantityFields = new Set(["limits", "requests", "overhead", "sizeLimit", "divisor"])

/** Fields whose `{}` is a choice of its own (an empty selector takes all, an absent one none), not the same as nothing. */
const meaningfulWhenEmpty = new Set([
  "labelSelector",
  "namespaceSelector",
  "emptyDir",
  "securityContext",
  "affinity",
  "nodeAffinity",
  "podAffinity",
  "podAntiAffinity",
  "lifecycle",
  "dnsConfig",
  "downwardAPI",
  "projected"
])

const nothing = (value: unknown, key: string): boolean => {
  if (value === undefined || value === null || value === "") return true
  if (Array.isArray(value)) return value.length === 0
  return (
    isFields(value) && !meaningfulWhenEmpty.has(key) && Object.entries(value).every(([one, of]) => nothing(of, one))
  )
}

const same = (a: unknown, b: unknown, key: string, inQuantity: boolean): boolean => {
  if (a === b || (nothing(a, key) && nothing(b, key))) return true
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((one, index) => same(one, b[index], "", inQuantity))
  }
  if (isFields(a) && isFields(b)) {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((field) =>
      same(at(a, field), at(b, field), field, inQuantity || quantityFields.has(field))
    )
  }
  const amount = (value: unknown) => typeof value === "string" || typeof value === "number"
  return inQuantity && amount(a) && amount(b) && sameQuantity(String(a), String(b))
}

/** Nil equals empty, quantities compare by value: apimachinery's `equality.Semantic.DeepEqual` without its types. */
export const semanticallyEqual = (a: unknown, b: unknown): boolean => same(a, b, "", false)

/** A copy of the template without an entry of its labels or annotations. */
const stripped = (template: Fields, map: "labels" | "annotations", key: string): Fields => {
  const metadata = fieldsOf(template["metadata"])
  if (at(metadata, map, key) === undefined) return template
  return { ...template, metadata: { ...metadata, [map]: without(fieldsOf(metadata[map]), key) } }
}

/** The template as a person wrote it: without the label that the Deployment's controller adds. */
export const withoutHash = (template: Fields): Fields => stripped(template, "labels", hashLabel)

/** The template as a person released it: without what a controller or a restart adds. */
export const asReleased = (template: Fields): Fields => stripped(withoutHash(template), "annotations", restartedAt)

/** The templates mean the same, `pod-template-hash` and `creationTimestamp: null` aside. */
export const sameTemplate = (a: Fields, b: Fields): boolean => semanticallyEqual(withoutHash(a), withoutHash(b))

/** The templates are the same, or differ in nothing but the restart stamp: running one means running the other's images. */
export const sameButRestart = (a: Fields, b: Fields): boolean => semanticallyEqual(asReleased(a), asReleased(b))

/** The templates differ, and only in the restart stamp. */
export const onlyRestartedAt = (a: Fields, b: Fields): boolean => sameButRestart(a, b) && !sameTemplate(a, b)

/** A template as StatefulSets and DaemonSets store it is compared value by value; only `creationTimestamp: null` is nothing. */
export const identicalTemplate = (a: Fields, b: Fields): boolean => identical(canonical(a), canonical(b))

const canonical = (template: Fields): Fields => {
  const metadata = fieldsOf(template["metadata"])
  return {
    ...template,
    metadata: metadata["creationTimestamp"] === null ? without(metadata, "creationTimestamp") : metadata
  }
}

const identical = (a: unknown, b: unknown): boolean => {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((one, index) => identical(one, b[index]))
  }
  if (isFields(a) && isFields(b)) {
    const keys = Object.keys(a)
    return (
      keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && identical(a[key], b[key]))
    )
  }
  return a === b
}
