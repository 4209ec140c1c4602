/** Label and field selectors, from a query and from a spec (meta/v1 LabelSelector); must know no kind but its few selectable fields. */
import type { Kind } from "./kinds.ts"
import { badRequest } from "./refusal.ts"
import { at, type Fields, fieldsAt, labelsOf, listAt, objectsAt, textAt, textsAt, type Value } from "./values.ts"

export type Matches = (object: Fields) => boolean

type Requirement = (labels: Readonly<Record<string, string>>) => boolean

const requirement = (text: string): Requirement => {
  const inSet = /^([^\s!=,()]+)\s+(in|notin)\s+\(([^)]*)\)$/u.exec(text)
  if (inSet !== null) {
    const [, key = "", operator, values = ""] = inSet
    const wanted = values.split(",").map((value) => value.trim())
    return (labels) => (labels[key] !== undefined && wanted.includes(labels[key])) === (operator === "in")
  }
  const equals = /^([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)$/u.exec(text)
  if (equals !== null) {
    const [, key = "", operator, value = ""] = equals
    return (labels) => (labels[key] === value) === (operator !== "!=")
  }
  const exists = /^(!?)\s*([^\s!=,()]+)$/u.exec(text)
  if (exists === null) throw badRequest(`unable to parse requirement: found '${text}'`)
  const [, not = "", key = ""] = exists
  return (labels) => (labels[key] !== undefined) === (not === "")
}

/** `a=b,c in (d,e),!f`. */
export const labelSelector = (text: string): Matches => {
  if (text.trim() === "") return () => true
  const parts = text.split(/,(?![^(]*\))/u).map((part) => requirement(part.trim()))
  return (object) => {
    const labels = labelsOf(object)
    return parts.every((part) => part(labels))
  }
}

const fieldOf = (object: Fields, path: string): string => {
  const value = at(object, ...path.split("."))
  if (typeof value === "string") return value
  return typeof value === "number" || typeof value === "boolean" ? String(value) : ""
}

const always = ["metadata.name", "metadata.namespace"]
/** Fields that a kind lets be selected by, besides name and namespace. */
const selectable: Readonly<Record<string, ReadonlyArray<string>>> = {
  Pod: [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName"
  ],
  Event: [
    ...["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"].map(
      (field) => `involvedObject.${field}`
    ),
    "reason",
    "reportingComponent",
    "source",
    "type"
  ],
  Secret: ["type"],
  Job: ["status.successful"],
  Namespace: ["status.phase"],
  Node: ["spec.unschedulable"],
  ReplicaSet: ["status.replicas"]
}

/** `metadata.name=web,status.phase!=Running`, of the fields that the kind lets be selected by. */
export const fieldSelector = (kind: Kind, text: string): Matches => {
  const known = [...always, ...(selectable[kind.kind] ?? [])]
  if (text.trim() === "") return () => true
  const parts = text.split(",").map((part) => {
    const found = /^([^=!]+)(==|=|!=)(.*)$/u.exec(part.trim())
    if (found === null) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`)
    const [, path = "", operator, value = ""] = found
    if (!known.includes(path)) {
      const names = known.map((name) => JSON.stringify(name)).join(", ")
      throw badRequest(`${JSON.stringify(path)} is not a known field selector: only ${names}`)
    }
    return (object: Fields) => (fieldOf(object, path) === value) === (operator !== "!=")
  })
  return (object) => parts.every((part) => part(object))
}

/** Whether labels satisfy a LabelSelector; an empty one selects everything, as the API says. */
export const selects = (selector: Value | undefined, labels: Readonly<Record<string, string>>): boolean =>
  Object.entries(textsAt(selector, "matchLabels")).every(([key, value]) => labels[key] === value) &&
  objectsAt(selector, "matchExpressions").every((expression) => {
    const value = labels[textAt(expression, "key")]
    const listed = value !== undefined && listAt(expression, "values").includes(value)
    switch (textAt(expression, "operator")) {
      case "In":
        return listed
      case "NotIn":
        return !listed
      case "Exists":
        return value !== undefined
      default:
        return value === undefined
    }
  })

/** As text, for the scale subresource. */
export const selectorText = (selector: Value | undefined): string =>
  Object.entries(fieldsAt(selector, "matchLabels"))
    .map(([key, value]) => `${key}=${String(value)}`)
    .toSorted()
    .join(",")
