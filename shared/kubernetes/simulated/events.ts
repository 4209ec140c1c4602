/** Events (core/v1) that the simulated components write, repeated ones counted as the real recorder does; must decide nothing. */
import { createHash } from "node:crypto"
import { kinds } from "./kinds.ts"
import type { Store } from "./store.ts"
import type { Timeline } from "./timeline.ts"
import { clone, type Fields, intAt, nameOf, namespaceOf, put, textAt, uidOf } from "./values.ts"

export type Record = (
  about: Fields,
  type: "Normal" | "Warning",
  reason: string,
  message: string,
  component: string,
  fieldPath?: string
) => void

/** As kube-apiserver's --event-ttl. */
const keepMillis = 3_600_000
const most = 1000
/** Old events are looked for once in so many new ones. */
const sweepEvery = 100

/** The same event has the same name, so that it is found again without a search. */
const nameFor = (about: Fields, ...what: ReadonlyArray<string>) => {
  const digest = createHash("sha256")
    .update([uidOf(about), ...what].join("\u0000"))
    .digest("hex")
  return `${nameOf(about)}.${digest.slice(0, 16)}`
}

export const makeEvents = (store: Store, timeline: Timeline): Record => {
  let made = 0
  const forget = () => {
    made += 1
    if (made % sweepEvery !== 0) return
    const old = timeline.now() - keepMillis
    const all = store.all(kinds.Event)
    const byAge = all.toSorted((one, other) => (textAt(one, "lastTimestamp") < textAt(other, "lastTimestamp") ? -1 : 1))
    for (const [index, event] of byAge.entries()) {
      if (index >= all.length - most && Date.parse(textAt(event, "lastTimestamp")) >= old) break
      store.remove(kinds.Event, event)
    }
  }
  return (about, type, reason, message, component, fieldPath) => {
    const namespace = namespaceOf(about) || "default"
    const stamp = timeline.stamp()
    const name = nameFor(about, fieldPath ?? "", reason, message)
    const known = store.get(kinds.Event, namespace, name)
    if (known !== undefined) {
      const again = clone(known)
      put(again, intAt(known, "count") + 1, "count")
      put(again, stamp, "lastTimestamp")
      store.put(kinds.Event, again)
      return
    }
    store.put(kinds.Event, {
      apiVersion: "v1",
      kind: "Event",
      metadata: {
        name,
        namespace,
        uid: crypto.randomUUID(),
        creationTimestamp: stamp
      },
      involvedObject: {
        kind: textAt(about, "kind"),
        namespace: namespaceOf(about),
        name: nameOf(about),
        uid: uidOf(about),
        apiVersion: textAt(about, "apiVersion"),
        resourceVersion: textAt(about, "metadata", "resourceVersion"),
        ...(fieldPath === undefined ? {} : { fieldPath })
      },
      reason,
      message,
      source: { component, ...(component === "kubelet" ? { host: "simulated" } : {}) },
      firstTimestamp: stamp,
      lastTimestamp: stamp,
      count: 1,
      type,
      eventTime: null,
      reportingComponent: component,
      reportingInstance: ""
    })
    forget()
  }
}
