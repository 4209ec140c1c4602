/** Tables as kubectl prints them (meta/v1 Table): columns and cells by kind; must change nothing. */
import type { Kind } from "./kinds.ts"
import {
  at,
  clone,
  type Fields,
  fieldsAt,
  intAt,
  isDeleting,
  listAt,
  nameOf,
  objectsAt,
  textAt,
  type Value
} from "./values.ts"

type Cell = (object: Fields, now: number) => Value

/** `5m12s` as kubectl shortens ages. */
export const ageOf = (stamp: string, now: number): string => {
  const from = Date.parse(stamp)
  if (Number.isNaN(from)) return "<unknown>"
  const seconds = Math.max(0, Math.floor((now - from) / 1000))
  const minutes = Math.floor(seconds / 60)
  const hours = Math.floor(minutes / 60)
  if (seconds < 120) return `${seconds}s`
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`
  if (hours < 3) return `${minutes}m`
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`
}

const age: Cell = (object, now) => ageOf(textAt(object, "metadata", "creationTimestamp"), now)
const int =
  (...path: ReadonlyArray<string>): Cell =>
  (object) =>
    intAt(object, ...path)
const text =
  (...path: ReadonlyArray<string>): Cell =>
  (object) =>
    textAt(object, ...path) || "<none>"
const ratio =
  (some: ReadonlyArray<string>, all: ReadonlyArray<string>): Cell =>
  (object) =>
    `${intAt(object, ...some)}/${intAt(object, ...all)}`

/** What `kubectl get pods` says of a pod: the worst of its containers, or its phase. */
export const podState = (pod: Fields): string => {
  if (isDeleting(pod)) return "Terminating"
  const initial = objectsAt(pod, "status", "initContainerStatuses")
  for (const [index, container] of initial.entries()) {
    const state = fieldsAt(container, "state")
    if (intAt(state, "terminated", "exitCode") === 0 && state["terminated"] !== undefined) continue
    const why = textAt(state, "terminated", "reason") || textAt(state, "waiting", "reason")
    return why !== "" && why !== "PodInitializing" ? `Init:${why}` : `Init:${index}/${initial.length}`
  }
  for (const container of objectsAt(pod, "status", "containerStatuses")) {
    const why = textAt(container, "state", "waiting", "reason") || textAt(container, "state", "terminated", "reason")
    if (why !== "") return why
  }
  return textAt(pod, "status", "reason") || textAt(pod, "status", "phase")
}

const statuses = (pod: Fields) => objectsAt(pod, "status", "containerStatuses")
const restarts: Cell = (pod) => statuses(pod).reduce((sum, container) => sum + intAt(container, "restartCount"), 0)
const ready: Cell = (pod) =>
  `${statuses(pod).filter((container) => container["ready"] === true).length}/${objectsAt(pod, "spec", "containers").length}`
const jobState: Cell = (job) => {
  const conditions = objectsAt(job, "status", "conditions").filter((one) => textAt(one, "status") === "True")
  const type = textAt(conditions.at(-1), "type")
  return type === "" ? (at(job, "spec", "suspend") === true ? "Suspended" : "Running") : type
}

type Columns = ReadonlyArray<readonly [name: string, cell: Cell]>
const name: Columns[number] = ["Name", nameOf]
const aged: Columns[number] = ["Age", age]

const byKind: Readonly<Record<string, Columns>> = {
  Pod: [name, ["Ready", ready], ["Status", podState], ["Restarts", restarts], aged],
  Deployment: [
    name,
    ["Ready", ratio(["status", "readyReplicas"], ["spec", "replicas"])],
    ["Up-to-date", int("status", "updatedReplicas")],
    ["Available", int("status", "availableReplicas")],
    aged
  ],
  ReplicaSet: [
    name,
    ["Desired", int("spec", "replicas")],
    ["Current", int("status", "replicas")],
    ["Ready", int("status", "readyReplicas")],
    aged
  ],
  StatefulSet: [name, ["Ready", ratio(["status", "readyReplicas"], ["spec", "replicas"])], aged],
  DaemonSet: [
    name,
    ["Desired", int("status", "desiredNumberScheduled")],
    ["Current", int("status", "currentNumberScheduled")],
    ["Ready", int("status", "numberReady")],
    ["Up-to-date", int("status", "updatedNumberScheduled")],
    ["Available", int("status", "numberAvailable")],
    aged
  ],
  Job: [name, ["Status", jobState], ["Completions", ratio(["status", "succeeded"], ["spec", "completions"])], aged],
  CronJob: [
    name,
    ["Schedule", text("spec", "schedule")],
    ["Suspend", (job) => at(job, "spec", "suspend") === true],
    aged
  ],
  Event: [
    ["Last Seen", (event, now) => ageOf(textAt(event, "lastTimestamp"), now)],
    ["Type", text("type")],
    ["Reason", text("reason")],
    [
      "Object",
      (event) => `${textAt(event, "involvedObject", "kind").toLowerCase()}/${textAt(event, "involvedObject", "name")}`
    ],
    ["Message", text("message")]
  ],
  Service: [
    name,
    ["Type", text("spec", "type")],
    ["Cluster-IP", text("spec", "clusterIP")],
    ["External-IP", () => "<none>"],
    [
      "Port(s)",
      (service) =>
        objectsAt(service, "spec", "ports")
          .map((port) => `${intAt(port, "port")}/${textAt(port, "protocol")}`)
          .join(",")
    ],
    aged
  ],
  Secret: [name, ["Type", text("type")], ["Data", (secret) => Object.keys(fieldsAt(secret, "data")).length], aged],
  ConfigMap: [name, ["Data", (map) => Object.keys(fieldsAt(map, "data")).length], aged],
  Namespace: [name, ["Status", text("status", "phase")], aged],
  Node: [name, ["Status", () => "Ready"], ["Version", text("status", "nodeInfo", "kubeletVersion")], aged],
  ControllerRevision: [
    name,
    ["Controller", (one) => textAt(listAt(one, "metadata", "ownerReferences")[0], "name") || "<none>"],
    ["Revision", int("revision")],
    aged
  ],
  PersistentVolumeClaim: [name, ["Status", text("status", "phase")], aged]
}

const columns = (kind: Kind): Columns => (Object.hasOwn(byKind, kind.kind) ? byKind[kind.kind]! : [name, aged])

export const columnsOf = (kind: Kind): Array<Fields> =>
  columns(kind).map(([title]) => ({
    name: title,
    type: "string",
    format: title === "Name" ? "name" : "",
    description: "",
    priority: 0
  }))

export const rowOf = (kind: Kind, object: Fields, now: number): Fields => ({
  cells: columns(kind).map(([, cell]) => cell(object, now)),
  object: {
    kind: "PartialObjectMetadata",
    apiVersion: "meta.k8s.io/v1",
    metadata: clone(fieldsAt(object, "metadata"))
  }
})

export const tableOf = (kind: Kind, objects: ReadonlyArray<Fields>, now: number, single?: Fields): Fields => ({
  kind: "Table",
  apiVersion: "meta.k8s.io/v1",
  metadata: single === undefined ? {} : { resourceVersion: textAt(single, "metadata", "resourceVersion") },
  columnDefinitions: columnsOf(kind),
  rows: objects.map((object) => rowOf(kind, object, now))
})
