/** Readers of what runs pods in a rendered environment: templates, containers, volumes, selectors; must judge nothing. */
import { at, type Fields, fieldsOf, isFields, listAt, textAt, textsAt } from "#shared/kubernetes/fields.ts"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"

/** An object that makes pods, and how they look. */
export interface Workload {
  readonly object: KubernetesObject
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly pod: Fields
  readonly containers: ReadonlyArray<Container>
}

export interface Container {
  readonly name: string
  /** Runs before the others, and has no probes. */
  readonly init: boolean
  readonly fields: Fields
}

const templates: Readonly<Record<string, ReadonlyArray<string>>> = {
  Deployment: ["spec", "template"],
  StatefulSet: ["spec", "template"],
  DaemonSet: ["spec", "template"],
  Job: ["spec", "template"],
  CronJob: ["spec", "jobTemplate", "spec", "template"],
  Pod: []
}

const containersOf = (pod: Fields): ReadonlyArray<Container> =>
  (["containers", "initContainers"] as const).flatMap((list) =>
    listAt(pod, list).map((one) => ({
      name: textAt(one, "name") ?? "",
      init: list === "initContainers",
      fields: fieldsOf(one)
    }))
  )

export const workloadsOf = (objects: ReadonlyArray<KubernetesObject>): ReadonlyArray<Workload> =>
  objects.flatMap((object) => {
    const path = templates[object.kind]
    if (path === undefined) return []
    const template = fieldsOf(at(object, ...path))
    const pod = fieldsOf(at(template, "spec"))
    return [
      {
        object,
        namespace: object.metadata.namespace ?? "",
        name: object.metadata.name,
        labels: textsAt(template, "metadata", "labels"),
        pod,
        containers: containersOf(pod)
      }
    ]
  })

/** The value of a container's security context, or the pod's where it has none. */
export const securityOf = (workload: Workload, container: Container, ...path: ReadonlyArray<string>): unknown => {
  const own = at(container.fields, "securityContext", ...path)
  return own === undefined ? at(workload.pod, "securityContext", ...path) : own
}

export const volumesOf = ({ pod }: Workload): ReadonlyArray<Fields> => listAt(pod, "volumes").filter(isFields)

/** The environment that a namespace belongs to: prod of prod and of prod-monitoring. */
export const environmentOf = (namespace: string): string => namespace.replace(/-monitoring$/u, "")

/** Whether all of `labels` are among `candidate`. */
export const matches = (
  labels: Readonly<Record<string, string>>,
  candidate: Readonly<Record<string, string>>
): boolean => Object.entries(labels).every(([key, value]) => candidate[key] === value)
