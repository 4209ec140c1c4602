/** What the API server refuses with 422 (Kubernetes 1.36): names, what must be there, selectors, and what may not change; must change nothing. */
import type { Kind } from "./kinds.ts"
import type { Cause } from "./refusal.ts"
import { selects } from "./selectors.ts"
import {
  at,
  clone,
  type Fields,
  fieldsAt,
  intAt,
  isEmpty,
  isFields,
  nameOf,
  objectsAt,
  same,
  textAt,
  textsAt,
  type Value
} from "./values.ts"

const label = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/u
const subdomain = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/u

const required = (field: string): Cause => ({ reason: "FieldValueRequired", message: "Required value", field })
const wrong = (field: string, value: Value | undefined, why: string): Cause => ({
  reason: "FieldValueInvalid",
  message: `Invalid value: ${JSON.stringify(value ?? null)}: ${why}`,
  field
})
const forbidden = (field: string, why: string): Cause => ({
  reason: "FieldValueForbidden",
  message: `Forbidden: ${why}`,
  field
})

const dataKey = /^[-._a-zA-Z0-9]+$/u
const keyCauses = (object: Fields): ReadonlyArray<Cause> =>
  ["data", "binaryData"].flatMap((field) =>
    Object.keys(fieldsAt(object, field))
      .filter((key) => !dataKey.test(key))
      .map((key) =>
        wrong(
          `${field}[${key}]`,
          key,
          "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        )
      )
  )

const example =
  "(e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
const labelExample = "(e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

const nameCauses = (kind: Kind, object: Fields): ReadonlyArray<Cause> => {
  const name = nameOf(object)
  if (name === "") return [required("metadata.name")]
  const short = kind.kind === "Namespace" || kind.kind === "Service"
  if (short ? label.test(name) : subdomain.test(name) && name.length <= 253) return []
  return [
    wrong(
      "metadata.name",
      name,
      `a lowercase RFC 1123 ${short ? "label" : "subdomain"} must consist of lower case alphanumeric characters, '-'${short ? "" : " or '.'"}, and must start and end with an alphanumeric character ${short ? labelExample : example}`
    )
  ]
}

const containerCauses = (spec: Value | undefined, path: string): ReadonlyArray<Cause> => {
  const volumes = new Set(objectsAt(spec, "volumes").map((volume) => textAt(volume, "name")))
  if (objectsAt(spec, "containers").length === 0) return [required(`${path}.containers`)]
  return ["initContainers", "containers"].flatMap((list) => {
    const seen = new Set<string>()
    return objectsAt(spec, list).flatMap((container, index) => {
      const place = `${path}.${list}[${index}]`
      const name = textAt(container, "name")
      const causes: Array<Cause> = []
      if (name === "") causes.push(required(`${place}.name`))
      else if (!label.test(name))
        causes.push(
          wrong(
            `${place}.name`,
            name,
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character"
          )
        )
      if (seen.has(name)) {
        causes.push({
          reason: "FieldValueDuplicate",
          message: `Duplicate value: ${JSON.stringify(name)}`,
          field: `${place}.name`
        })
      }
      seen.add(name)
      if (textAt(container, "image") === "") causes.push(required(`${place}.image`))
      for (const [mount, one] of objectsAt(container, "volumeMounts").entries()) {
        const claimed = textAt(one, "name")
        if (volumes.has(claimed)) continue
        causes.push({
          reason: "FieldValueNotFound",
          message: `Not found: ${JSON.stringify(claimed)}`,
          field: `${place}.volumeMounts[${mount}].name`
        })
      }
      return causes
    })
  })
}

/** Volumes of a StatefulSet's pods include its claims. */
const podSpecOf = (kind: Kind, object: Fields): Value | undefined => {
  const spec = at(object, "spec", "template", "spec")
  if (kind.kind !== "StatefulSet") return spec
  const claims = objectsAt(object, "spec", "volumeClaimTemplates").map((claim) => ({
    name: textAt(claim, "metadata", "name")
  }))
  return { ...fieldsAt(spec), volumes: [...objectsAt(spec, "volumes"), ...claims] }
}

const templateCauses = (kind: Kind, object: Fields): ReadonlyArray<Cause> => {
  const causes: Array<Cause> = []
  const selector = at(object, "spec", "selector")
  const labels = textsAt(object, "spec", "template", "metadata", "labels")
  if (isEmpty(selector)) causes.push(required("spec.selector"))
  else if (!selects(selector, labels)) {
    causes.push(wrong("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"))
  }
  if (intAt(object, "spec", "replicas") < 0) {
    causes.push(wrong("spec.replicas", intAt(object, "spec", "replicas"), "must be greater than or equal to 0"))
  }
  const policy = textAt(object, "spec", "template", "spec", "restartPolicy")
  if (policy !== "Always") {
    causes.push({
      reason: "FieldValueNotSupported",
      message: `Unsupported value: ${JSON.stringify(policy)}: supported values: "Always"`,
      field: "spec.template.spec.restartPolicy"
    })
  }
  return [...causes, ...containerCauses(podSpecOf(kind, object), "spec.template.spec")]
}

const restartCauses = (spec: Value | undefined, path: string): ReadonlyArray<Cause> => {
  const policy = textAt(spec, "restartPolicy")
  if (policy === "Never" || policy === "OnFailure") return []
  return [
    {
      reason: "FieldValueNotSupported",
      message: `Unsupported value: ${JSON.stringify(policy)}: supported values: "OnFailure", "Never"`,
      field: `${path}.restartPolicy`
    }
  ]
}

export const causesOfCreate = (kind: Kind, object: Fields): ReadonlyArray<Cause> => {
  const named = nameCauses(kind, object)
  switch (kind.kind) {
    case "Deployment":
    case "ReplicaSet":
    case "StatefulSet":
    case "DaemonSet":
      return [...named, ...templateCauses(kind, object)]
    case "Pod":
      return [...named, ...containerCauses(object["spec"], "spec")]
    case "Job": {
      const spec = at(object, "spec", "template", "spec")
      const path = "spec.template.spec"
      return [...named, ...containerCauses(spec, path), ...restartCauses(spec, path)]
    }
    case "CronJob": {
      const spec = at(object, "spec", "jobTemplate", "spec", "template", "spec")
      const path = "spec.jobTemplate.spec.template.spec"
      const schedule = textAt(object, "spec", "schedule") === "" ? [required("spec.schedule")] : []
      return [...named, ...schedule, ...containerCauses(spec, path), ...restartCauses(spec, path)]
    }
    case "Service":
      return textAt(object, "spec", "type") !== "ExternalName" &&
        textAt(object, "spec", "clusterIP") !== "None" &&
        objectsAt(object, "spec", "ports").length === 0
        ? [...named, required("spec.ports")]
        : named
    case "ConfigMap":
    case "Secret":
      return [...named, ...keyCauses(object)]
    default:
      return named
  }
}

const immutable = (field: string, before: Fields, after: Fields): ReadonlyArray<Cause> => {
  const path = field.split(".")
  return same(at(before, ...path), at(after, ...path)) ? [] : [wrong(field, at(after, ...path), "field is immutable")]
}

const statefulSetMutable = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds"
]

const dataCauses = (before: Fields, after: Fields): ReadonlyArray<Cause> => {
  if (before["immutable"] !== true) return []
  const why = "field is immutable when `immutable` is set"
  return ["immutable", "data", "binaryData"]
    .filter((field) => !same(before[field], after[field]))
    .map((field) => forbidden(field, why))
}

const podCauses = (before: Fields, after: Fields): ReadonlyArray<Cause> => {
  const comparable = (object: Fields): Fields => {
    const spec = clone(fieldsAt(object, "spec"))
    for (const list of ["containers", "initContainers"]) {
      for (const container of objectsAt(spec, list)) delete container["image"]
    }
    for (const field of ["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "nodeName"]) {
      delete spec[field]
    }
    return spec
  }
  return same(comparable(before), comparable(after))
    ? []
    : [
        forbidden(
          "spec",
          "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
      ]
}

export const causesOfUpdate = (kind: Kind, before: Fields, after: Fields): ReadonlyArray<Cause> => {
  const causes = causesOfCreate(kind, after)
  switch (kind.kind) {
    case "Deployment":
    case "ReplicaSet":
    case "DaemonSet":
      return [...causes, ...immutable("spec.selector", before, after)]
    case "StatefulSet": {
      const fixed = (object: Fields): Fields => {
        const spec = { ...fieldsAt(object, "spec") }
        for (const field of statefulSetMutable) delete spec[field]
        return spec
      }
      return same(fixed(before), fixed(after))
        ? causes
        : [
            ...causes,
            forbidden(
              "spec",
              "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
            )
          ]
    }
    case "Job":
      return [
        ...causes,
        ...immutable("spec.selector", before, after),
        ...immutable("spec.template", before, after),
        ...immutable("spec.completions", before, after)
      ]
    case "Pod":
      return [...causes, ...podCauses(before, after)]
    case "Secret":
      return [...causes, ...immutable("type", before, after), ...dataCauses(before, after)]
    case "ConfigMap":
      return [...causes, ...dataCauses(before, after)]
    case "Service":
      return isFields(before["spec"]) && textAt(after, "spec", "type") === textAt(before, "spec", "type")
        ? [...causes, ...immutable("spec.clusterIP", before, after)]
        : causes
    default:
      return causes
  }
}
