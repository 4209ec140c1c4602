/** The simulated scheduler and kubelet: binds pods, starts, crashes and restarts their containers with the real back-off, stops them; must touch nothing but pods. */
import { randomBytes } from "node:crypto"
import { type Behaviour, behaviourOf, type Images } from "./images.ts"
import type { Record } from "./events.ts"
import { kinds } from "./kinds.ts"
import { conclude, freshStatus } from "./podStatus.ts"
import type { Store } from "./store.ts"
import type { Timeline } from "./timeline.ts"
import {
  clone,
  type Fields,
  fieldsAt,
  intAt,
  isDeleting,
  isFields,
  nameOf,
  namespaceOf,
  objectsAt,
  put,
  textAt,
  uidOf
} from "./values.ts"

const seconds = {
  bind: 0.1,
  start: 0.9,
  ready: 1,
  complete: 2,
  initialise: 0.5,
  stop: 0.5,
  firstRestart: 0.5,
  showError: 1
}
const firstBackoff = 10
const longestBackoff = 300
/** A container that ran this long starts its back-off anew (kubelet: twice the longest back-off). */
const forgivenMillis = 600_000
const node = "simulated"

type List = "initContainers" | "containers"
const statusList = (list: List) => (list === "containers" ? "containerStatuses" : "initContainerStatuses")

const policyOf = (pod: Fields, container: Fields, list: List): string =>
  textAt(container, "restartPolicy") ||
  (list === "initContainers" && textAt(pod, "spec", "restartPolicy") === "Always"
    ? "OnFailure"
    : textAt(pod, "spec", "restartPolicy"))

export interface Kubelet {
  /** Called for every pod that was written. */
  readonly sync: (pod: Fields) => void
}

export const makeKubelet = (store: Store, timeline: Timeline, record: Record, images: Images | undefined): Kubelet => {
  let nextIp = 1

  /** Changes a live pod's status; nothing if the pod is gone or was replaced. */
  const change = (pod: Fields, act: (now: Fields) => void) => {
    const found = store.get(kinds.Pod, namespaceOf(pod), nameOf(pod))
    if (found === undefined || uidOf(found) !== uidOf(pod)) return
    const now = clone(found)
    act(now)
    conclude(now, timeline.stamp())
    store.put(kinds.Pod, now)
  }
  const statusIn = (pod: Fields, list: List, name: string): Fields =>
    objectsAt(pod, "status", statusList(list)).find((one) => textAt(one, "name") === name) ?? {}
  const later = (pod: Fields, name: string, after: number, run: () => void) => {
    const key = `pod/${uidOf(pod)}/${name}`
    if (!timeline.pending(key)) timeline.after(key, after, run)
  }

  const bind = (pod: Fields) =>
    change(pod, (now) => {
      put(now, node, "spec", "nodeName")
      const address = `10.42.${Math.floor(nextIp / 250)}.${(nextIp % 250) + 2}`
      nextIp += 1
      put(now, freshStatus(now, timeline.stamp(), address), "status")
      record(
        now,
        "Normal",
        "Scheduled",
        `Successfully assigned ${namespaceOf(now)}/${nameOf(now)} to ${node}`,
        "default-scheduler"
      )
    })

  const place = (list: List, name: string) => `spec.${list}{${name}}`

  const start = (pod: Fields, list: List, name: string, image: string, again: boolean) =>
    change(pod, (now) => {
      const status = statusIn(now, list, name)
      const ended = fieldsAt(status, "state")["terminated"]
      if (isFields(ended)) put(status, { terminated: ended }, "lastState")
      put(status, { running: { startedAt: timeline.stamp() } }, "state")
      put(status, `containerd://${randomBytes(32).toString("hex")}`, "containerID")
      put(status, true, "started")
      put(status, false, "ready")
      put(status, intAt(status, "restartCount") + (again ? 1 : 0), "restartCount")
      record(
        now,
        "Normal",
        "Pulled",
        `Container image "${image}" already present on machine and can be accessed by the pod`,
        "kubelet",
        place(list, name)
      )
      record(now, "Normal", "Created", `Container created`, "kubelet", place(list, name))
      record(now, "Normal", "Started", `Container started`, "kubelet", place(list, name))
    })

  const end = (pod: Fields, list: List, name: string, exitCode: number, reason: string) =>
    change(pod, (now) => {
      const status = statusIn(now, list, name)
      const startedAt = textAt(status, "state", "running", "startedAt")
      const terminated: Fields = {
        exitCode,
        reason,
        startedAt,
        finishedAt: timeline.stamp(),
        containerID: textAt(status, "containerID")
      }
      put(status, { terminated }, "state")
      put(status, false, "ready")
      put(status, false, "started")
    })

  const wait = (pod: Fields, list: List, name: string, reason: string, message: string) =>
    change(pod, (now) => {
      const status = statusIn(now, list, name)
      const ended = fieldsAt(status, "state")["terminated"]
      if (isFields(ended)) put(status, { terminated: ended }, "lastState")
      put(status, { waiting: { reason, message } }, "state")
    })

  const backoffOf = (restarts: number) => Math.min(longestBackoff, firstBackoff * 2 ** Math.max(0, restarts - 1))
  /** When in its back-off a container is said to wait; before, it is only dead. A kubelet says it at its next look, soon or late. */
  const saidAfter = (restarts: number) => (restarts % 2 === 1 ? 0.2 : backoffOf(restarts) - 0.2)

  const waiting = (pod: Fields, list: List, container: Fields, status: Fields, behaviour: Behaviour) => {
    const name = textAt(container, "name")
    const image = textAt(container, "image")
    const failed = `failed to pull and unpack image "${image}": not found`
    const backOffText = `Back-off pulling image "${image}"`
    const refuse = () => {
      record(pod, "Normal", "Pulling", `Pulling image "${image}"`, "kubelet", place(list, name))
      record(pod, "Warning", "Failed", `Failed to pull image "${image}": ${failed}`, "kubelet", place(list, name))
      record(pod, "Warning", "Failed", "Error: ErrImagePull", "kubelet", place(list, name))
      wait(pod, list, name, "ErrImagePull", failed)
    }
    switch (textAt(status, "state", "waiting", "reason")) {
      case "ErrImagePull":
        later(pod, name, seconds.showError, () => {
          record(pod, "Normal", "BackOff", backOffText, "kubelet", place(list, name))
          record(pod, "Warning", "Failed", "Error: ImagePullBackOff", "kubelet", place(list, name))
          wait(pod, list, name, "ImagePullBackOff", backOffText)
        })
        return
      case "ImagePullBackOff": {
        const key = `pulls/${uidOf(pod)}/${name}`
        const tries = (pulls.get(key) ?? 0) + 1
        later(pod, name, backoffOf(tries), () => {
          pulls.set(key, tries)
          if (behaviour.pulls) start(pod, list, name, image, false)
          else refuse()
        })
        return
      }
      case "CrashLoopBackOff": {
        const restarts = intAt(status, "restartCount")
        later(pod, name, backoffOf(restarts) - saidAfter(restarts), () => start(pod, list, name, image, true))
        return
      }
      default:
        later(pod, name, seconds.start, () => {
          if (behaviour.pulls) start(pod, list, name, image, false)
          else refuse()
        })
    }
  }
  const pulls = new Map<string, number>()

  const running = (pod: Fields, list: List, container: Fields, status: Fields, behaviour: Behaviour) => {
    const name = textAt(container, "name")
    const policy = policyOf(pod, container, list)
    const { ends } = behaviour
    if (ends !== undefined) {
      later(pod, name, ends.afterSeconds, () => end(pod, list, name, ends.exitCode, ends.reason))
    } else if (policy !== "Always") {
      const after = list === "initContainers" ? seconds.initialise : seconds.complete
      later(pod, name, after, () => end(pod, list, name, 0, "Completed"))
    }
    // A container that ends by itself may be ready in between, as a real one without a probe is.
    if (!behaviour.ready || status["ready"] === true || list === "initContainers") return
    const probe = container["readinessProbe"]
    const delay = isFields(probe) ? Math.max(seconds.ready, intAt(probe, "initialDelaySeconds")) : 0
    const becomeReady = () => change(pod, (now) => put(statusIn(now, list, name), true, "ready"))
    if (delay === 0) later(pod, `${name}/ready`, 0.05, becomeReady)
    else if (ends === undefined) later(pod, `${name}/ready`, delay, becomeReady)
  }

  const ended = (pod: Fields, list: List, container: Fields, status: Fields) => {
    const name = textAt(container, "name")
    const image = textAt(container, "image")
    const policy = policyOf(pod, container, list)
    const failed = intAt(status, "state", "terminated", "exitCode") !== 0
    if (policy === "Never" || (policy === "OnFailure" && !failed)) return
    const lived =
      Date.parse(textAt(status, "state", "terminated", "finishedAt")) -
      Date.parse(textAt(status, "state", "terminated", "startedAt"))
    const restarts = intAt(status, "restartCount")
    if (restarts === 0 || lived >= forgivenMillis) {
      later(pod, name, seconds.firstRestart, () => start(pod, list, name, image, true))
      return
    }
    later(pod, name, saidAfter(restarts), () => {
      const pause = backoffOf(restarts)
      const text = pause >= 60 ? `${Math.floor(pause / 60)}m${pause % 60}s` : `${pause}s`
      record(
        pod,
        "Warning",
        "BackOff",
        `Back-off restarting failed container ${name} in pod ${nameOf(pod)}_${namespaceOf(pod)}(${uidOf(pod)})`,
        "kubelet",
        place(list, name)
      )
      wait(
        pod,
        list,
        name,
        "CrashLoopBackOff",
        `back-off ${text} restarting failed container=${name} pod=${nameOf(pod)}_${namespaceOf(pod)}(${uidOf(pod)})`
      )
    })
  }

  const drive = (pod: Fields, list: List, container: Fields) => {
    const status = statusIn(pod, list, textAt(container, "name"))
    const state = fieldsAt(status, "state")
    const behaviour = behaviourOf(textAt(container, "image"), images)
    if (isFields(state["running"])) running(pod, list, container, status, behaviour)
    else if (isFields(state["terminated"])) ended(pod, list, container, status)
    else waiting(pod, list, container, status, behaviour)
  }

  /** The init container whose turn it is; a sidecar (restartPolicy Always) gives its turn on once it runs. */
  const turnOf = (pod: Fields): Fields | undefined =>
    objectsAt(pod, "spec", "initContainers").find((container) => {
      const state = fieldsAt(statusIn(pod, "initContainers", textAt(container, "name")), "state")
      if (policyOf(pod, container, "initContainers") === "Always") return !isFields(state["running"])
      return !isFields(state["terminated"]) || intAt(state, "terminated", "exitCode") !== 0
    })

  const sync: Kubelet["sync"] = (pod) => {
    const phase = textAt(pod, "status", "phase")
    if (isDeleting(pod)) {
      if (!timeline.pending(`pod/${uidOf(pod)}/stop`)) {
        for (const container of objectsAt(pod, "spec", "containers")) {
          const name = textAt(container, "name")
          record(pod, "Normal", "Killing", `Stopping container ${name}`, "kubelet", place("containers", name))
        }
      }
      later(pod, "stop", seconds.stop, () => {
        const found = store.get(kinds.Pod, namespaceOf(pod), nameOf(pod))
        if (found !== undefined && uidOf(found) === uidOf(pod)) store.remove(kinds.Pod, found)
      })
      return
    }
    if (phase === "Succeeded" || phase === "Failed") return
    if (textAt(pod, "spec", "nodeName") === "") {
      later(pod, "bind", seconds.bind, () => bind(pod))
      return
    }
    if (objectsAt(pod, "status", "containerStatuses").length === 0) {
      bind(pod)
      return
    }
    const turn = turnOf(pod)
    if (turn !== undefined) {
      drive(pod, "initContainers", turn)
      return
    }
    for (const container of objectsAt(pod, "spec", "containers")) drive(pod, "containers", container)
  }
  return { sync }
}
