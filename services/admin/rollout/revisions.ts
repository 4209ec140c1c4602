/** The revisions of a workload out of its ReplicaSets or ControllerRevisions, chosen and numbered as kubectl does; pure. */
import { controllerOf, type KubernetesObject } from "#shared/kubernetes/objects.ts"
import { at, type Fields, fieldsOf, listAt, numberAt, textAt, textsAt, without } from "#shared/kubernetes/fields.ts"
import { sameTemplate } from "#shared/kubernetes/templates.ts"

export const revisionAnnotation = "deployment.kubernetes.io/revision"
export const changeCauseAnnotation = "kubernetes.io/change-cause"

export interface RevisionRecord {
  readonly revision: number
  readonly uid: string
  readonly name: string
  /** The pod template as it was stored. */
  readonly template: Fields
  /** "" where there is none. */
  readonly changeCause: string
  readonly createdAt: string | null
  /** The ReplicaSet or ControllerRevision. */
  readonly source: KubernetesObject
}

/** A Deployment's or ReplicaSet's own number: 0 where it has none, undefined where it is no number. */
export const revisionNumber = (object: KubernetesObject): number | undefined => {
  const text = object.metadata.annotations?.[revisionAnnotation]
  if (text === undefined) return 0
  const number = Number(text)
  return /^[+-]?\d+$/u.test(text) && Number.isSafeInteger(number) ? number : undefined
}

/** `spec.selector` as a list's `labelSelector` parameter. */
export const selectorOf = (object: KubernetesObject): string => {
  const selector = at(object, "spec", "selector")
  const labels = Object.entries(textsAt(selector, "matchLabels")).map(([key, value]) => `${key}=${value}`)
  const expressions = listAt(selector, "matchExpressions").map((expression) => {
    const key = textAt(expression, "key") ?? ""
    const values = listAt(expression, "values").join(",")
    switch (textAt(expression, "operator")) {
      case "In":
        return `${key} in (${values})`
      case "NotIn":
        return `${key} notin (${values})`
      case "Exists":
        return key
      default:
        return `!${key}`
    }
  })
  return [...labels, ...expressions].join(",")
}

const owned = (owner: KubernetesObject, objects: ReadonlyArray<KubernetesObject>) =>
  objects.filter((object) => controllerOf(object)?.uid === owner.metadata.uid)

const record = (source: KubernetesObject, revision: number, template: Fields): RevisionRecord => ({
  revision,
  uid: source.metadata.uid ?? "",
  name: source.metadata.name,
  template,
  changeCause: source.metadata.annotations?.[changeCauseAnnotation] ?? "",
  createdAt: source.metadata.creationTimestamp ?? null,
  source
})

const byAge = (a: RevisionRecord, b: RevisionRecord) =>
  (a.createdAt ?? "").localeCompare(b.createdAt ?? "") || a.name.localeCompare(b.name)

/** The oldest ReplicaSet with the Deployment's own template: the one its controller works with. */
export const currentReplicaSet = (
  deployment: KubernetesObject,
  revisions: ReadonlyArray<RevisionRecord>
): RevisionRecord | undefined => {
  const template = fieldsOf(at(deployment, "spec", "template"))
  return revisions.filter((one) => sameTemplate(one.template, template)).sort(byAge)[0]
}

/** Of a Deployment: those of its own ReplicaSets that have a number, the current one last. */
export const deploymentRevisions = (
  deployment: KubernetesObject,
  replicaSets: ReadonlyArray<KubernetesObject>
): ReadonlyArray<RevisionRecord> => {
  const all = owned(deployment, replicaSets).map((one) => ({
    number: revisionNumber(one),
    found: record(one, revisionNumber(one) ?? 0, fieldsOf(at(one, "spec", "template")))
  }))
  const current = currentReplicaSet(
    deployment,
    all.map(({ found }) => found)
  )
  const numbered = all.flatMap(({ found, number }) => (number === undefined ? [] : [found]))
  return [...numbered.filter((one) => one !== current), ...numbered.filter((one) => one === current)]
}

/** Of a StatefulSet or DaemonSet: its own ControllerRevisions. */
export const controllerRevisions = (
  workload: KubernetesObject,
  revisions: ReadonlyArray<KubernetesObject>
): ReadonlyArray<RevisionRecord> =>
  owned(workload, revisions).map((one) =>
    record(
      one,
      Math.trunc(numberAt(one, "revision") ?? 0),
      without(fieldsOf(at(one, "data", "spec", "template")), "$patch")
    )
  )

export const revisionsOf = (
  workload: KubernetesObject,
  sources: ReadonlyArray<KubernetesObject>
): ReadonlyArray<RevisionRecord> =>
  workload.kind === "Deployment" ? deploymentRevisions(workload, sources) : controllerRevisions(workload, sources)
