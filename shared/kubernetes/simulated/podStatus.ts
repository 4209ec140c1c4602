/** A pod's status out of its containers' states: phase and conditions as the kubelet concludes them; must start and stop nothing. */
import { type Fields, fieldsAt, intAt, isFields, objectsAt, put, textAt } from "./values.ts"

const containerStatus = (container: Fields, reason: string): Fields => ({
  name: textAt(container, "name"),
  image: textAt(container, "image"),
  imageID: "",
  ready: false,
  started: false,
  restartCount: 0,
  state: { waiting: { reason } },
  lastState: {}
})

/** Of a pod that was just bound to its node. */
export const freshStatus = (pod: Fields, stamp: string, address: string): Fields => {
  const initial = objectsAt(pod, "spec", "initContainers")
  return {
    phase: "Pending",
    conditions: [{ type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: stamp }],
    hostIP: "10.0.0.1",
    hostIPs: [{ ip: "10.0.0.1" }],
    podIP: address,
    podIPs: [{ ip: address }],
    startTime: stamp,
    qosClass: "BestEffort",
    ...(initial.length === 0
      ? {}
      : { initContainerStatuses: initial.map((one) => containerStatus(one, "PodInitializing")) }),
    containerStatuses: objectsAt(pod, "spec", "containers").map((one) =>
      containerStatus(one, initial.length === 0 ? "ContainerCreating" : "PodInitializing")
    )
  }
}

const setCondition = (
  status: Fields,
  type: string,
  holds: boolean,
  stamp: string,
  reason: string,
  message: string
): void => {
  const value = holds ? "True" : "False"
  const conditions = objectsAt(status, "conditions")
  const known = conditions.find((one) => textAt(one, "type") === type)
  const made: Fields = {
    type,
    status: value,
    lastProbeTime: null,
    lastTransitionTime: textAt(known, "status") === value ? textAt(known, "lastTransitionTime") : stamp,
    ...(holds ? {} : { reason, ...(message === "" ? {} : { message }) })
  }
  put(status, [...conditions.filter((one) => one !== known), made], "conditions")
}

const isSidecar = (container: Fields) => textAt(container, "restartPolicy") === "Always"

/** Phase and conditions of `pod`, in place. */
export const conclude = (pod: Fields, stamp: string): void => {
  const status = fieldsAt(pod, "status")
  const containers = objectsAt(status, "containerStatuses")
  if (containers.length === 0) return
  const sidecars = new Set(
    objectsAt(pod, "spec", "initContainers")
      .filter(isSidecar)
      .map((one) => textAt(one, "name"))
  )
  const initialised = objectsAt(status, "initContainerStatuses").every((one) => {
    const state = fieldsAt(one, "state")
    return sidecars.has(textAt(one, "name"))
      ? isFields(state["running"])
      : isFields(state["terminated"]) && intAt(state, "terminated", "exitCode") === 0
  })
  const policy = textAt(pod, "spec", "restartPolicy")
  const states = containers.map((one) => fieldsAt(one, "state"))
  const initialFailed =
    policy === "Never" &&
    objectsAt(status, "initContainerStatuses").some((one) => intAt(one, "state", "terminated", "exitCode") !== 0)
  const done = states.every(
    (state) =>
      isFields(state["terminated"]) &&
      (policy === "Never" || (policy === "OnFailure" && intAt(state, "terminated", "exitCode") === 0))
  )
  const failed = states.some((state) => intAt(state, "terminated", "exitCode") !== 0)
  const begun = containers.some(
    (one) => !isFields(fieldsAt(one, "state")["waiting"]) || isFields(fieldsAt(one, "lastState")["terminated"])
  )
  const phase = initialFailed
    ? "Failed"
    : done
      ? failed
        ? "Failed"
        : "Succeeded"
      : initialised && begun
        ? "Running"
        : "Pending"
  put(status, phase, "phase")
  const ready = phase === "Running" && containers.every((one) => one["ready"] === true)
  const completed = phase === "Succeeded"
  const reason = completed ? "PodCompleted" : "ContainersNotReady"
  const unready = containers.filter((one) => one["ready"] !== true).map((one) => textAt(one, "name"))
  const message = completed ? "" : `containers with unready status: [${unready.join(" ")}]`
  setCondition(
    status,
    "Initialized",
    initialised,
    stamp,
    "ContainersNotInitialized",
    "containers with incomplete status"
  )
  setCondition(status, "Ready", ready, stamp, reason, message)
  setCondition(status, "ContainersReady", ready, stamp, reason, message)
}
