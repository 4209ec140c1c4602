/** Container logs of the simulated kubelet: current, previous, followed; lines are computed from the pod's status, none are stored. */
import { behaviourOf, type Images, logOf, type LogLine } from "./images.ts"
import { kinds } from "./kinds.ts"
import { badRequest } from "./refusal.ts"
import type { Store } from "./store.ts"
import type { Timeline } from "./timeline.ts"
import { type Fields, fieldsAt, isFields, nameOf, namespaceOf, objectsAt, textAt, uidOf } from "./values.ts"

export interface PodLogs {
  readonly answer: (pod: Fields, query: URLSearchParams) => Response
  readonly cut: () => void
}

const statusesOf = (pod: Fields) => [
  ...objectsAt(pod, "status", "initContainerStatuses"),
  ...objectsAt(pod, "status", "containerStatuses")
]

const chosen = (pod: Fields, asked: string | null): Fields => {
  const main = objectsAt(pod, "spec", "containers")
  const all = [...objectsAt(pod, "spec", "initContainers"), ...main]
  if (asked !== null && asked !== "") {
    const found = all.find((container) => textAt(container, "name") === asked)
    if (found === undefined) throw badRequest(`container ${asked} is not valid for pod ${nameOf(pod)}`)
    return found
  }
  const names = main.map((container) => textAt(container, "name"))
  if (main.length !== 1) {
    throw badRequest(`a container name must be specified for pod ${nameOf(pod)}, choose one of: [${names.join(" ")}]`)
  }
  return main[0]!
}

/** The instance whose log is meant: its state, running or terminated. */
const instanceOf = (pod: Fields, container: string, previous: boolean): Fields => {
  const status = statusesOf(pod).find((one) => textAt(one, "name") === container) ?? {}
  const last = fieldsAt(status, "lastState")["terminated"]
  if (previous) {
    if (isFields(last)) return { terminated: last }
    throw badRequest(
      `previous terminated container ${JSON.stringify(container)} in pod ${JSON.stringify(nameOf(pod))} not found`
    )
  }
  const state = fieldsAt(status, "state")
  if (isFields(state["running"]) || isFields(state["terminated"])) return state
  if (isFields(last)) return { terminated: last }
  const why = textAt(state, "waiting", "reason") || "ContainerCreating"
  const told = /ImagePull/u.test(why) ? "trying and failing to pull image" : why
  throw badRequest(
    `container ${JSON.stringify(container)} in pod ${JSON.stringify(nameOf(pod))} is waiting to start: ${told}`
  )
}

const number = (query: URLSearchParams, key: string): number | undefined => {
  const text = query.get(key)
  if (text === null || text === "") return undefined
  if (!/^-?\d{1,15}$/u.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
  if (Number(text) < 0 || (key === "limitBytes" && Number(text) < 1)) {
    throw badRequest(`PodLogOptions is invalid: ${key}: Invalid value: ${text}: must be greater than or equal to 0`)
  }
  return Number(text)
}

const followSeconds = 1

export const makeLogs = (store: Store, timeline: Timeline, images: Images | undefined): PodLogs => {
  const followers = new Set<() => void>()
  let order = 0

  const linesOf = (pod: Fields, container: Fields, previous: boolean): ReadonlyArray<LogLine> => {
    const state = instanceOf(pod, textAt(container, "name"), previous)
    const image = textAt(container, "image")
    const started = textAt(state, "terminated", "startedAt") || textAt(state, "running", "startedAt")
    const finished = textAt(state, "terminated", "finishedAt")
    const until = finished === "" ? timeline.now() : Date.parse(finished)
    return logOf(image, behaviourOf(image, images), Date.parse(started), until, finished !== "")
  }

  const answer: PodLogs["answer"] = (pod, query) => {
    const container = chosen(pod, query.get("container"))
    const previous = query.get("previous") === "true"
    const since = number(query, "sinceSeconds")
    const tail = number(query, "tailLines")
    const limit = number(query, "limitBytes")
    const timestamps = query.get("timestamps") === "true"
    const text = (line: LogLine) => `${timestamps ? `${new Date(line.at).toISOString()} ` : ""}${line.text}\n`
    const all = linesOf(pod, container, previous)
    const recent = since === undefined ? all : all.filter((line) => line.at >= timeline.now() - since * 1000)
    const wanted = tail === undefined ? recent : tail === 0 ? [] : recent.slice(-tail)
    const first = wanted.map(text).join("")
    const headers = { "content-type": "text/plain" }
    if (query.get("follow") !== "true" || previous) {
      return new Response(limit === undefined ? first : first.slice(0, limit), { headers })
    }
    return new Response(followed(pod, container, first, all.length, text), { headers })
  }

  /** Looks for new lines as time goes on, until the instance has ended or its pod is gone. */
  const followed = (pod: Fields, container: Fields, first: string, known: number, text: (line: LogLine) => string) => {
    const encoder = new TextEncoder()
    const id = `log/${++order}`
    const name = textAt(container, "name")
    const instance = (of: Fields | undefined) => {
      const status = of === undefined ? undefined : statusesOf(of).find((one) => textAt(one, "name") === name)
      const state = fieldsAt(status, "state")
      return { status, running: isFields(state["running"]) ? textAt(status, "containerID") : "" }
    }
    const following = instance(pod).running
    let sent = known
    let stop = () => {}
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const close = () => {
          stop()
          try {
            controller.close()
          } catch {
            // The reader has gone already.
          }
        }
        stop = () => {
          timeline.cancel(id)
          followers.delete(close)
          unsubscribe()
        }
        const send = (part: string) => {
          if (part !== "") controller.enqueue(encoder.encode(part))
        }
        const look = () => {
          const now = store.get(kinds.Pod, namespaceOf(pod), nameOf(pod))
          const same = now !== undefined && uidOf(now) === uidOf(pod)
          const { running, status } = instance(now)
          if (same && running === following && following !== "") {
            const lines = linesOf(now, container, false)
            send(lines.slice(sent).map(text).join(""))
            sent = lines.length
            timeline.afterReal(id, followSeconds, look)
            return
          }
          // Its last words are in the status that says that it has ended.
          const ended = fieldsAt(status, "state", "terminated")
          const last = textAt(ended, "containerID") === following ? "state" : "lastState"
          const terminated = fieldsAt(status, last, "terminated")
          if (same && following !== "" && textAt(terminated, "containerID") === following) {
            const image = textAt(container, "image")
            const started = Date.parse(textAt(terminated, "startedAt"))
            const until = Date.parse(textAt(terminated, "finishedAt"))
            send(logOf(image, behaviourOf(image, images), started, until, true).slice(sent).map(text).join(""))
          }
          close()
        }
        const unsubscribe = store.subscribe((change) => {
          if (change.kind === kinds.Pod && uidOf(change.object) === uidOf(pod)) look()
        })
        followers.add(close)
        send(first)
        look()
      },
      cancel: () => stop()
    })
    return body
  }
  return {
    answer,
    cut: () => {
      for (const close of followers) close()
    }
  }
}
