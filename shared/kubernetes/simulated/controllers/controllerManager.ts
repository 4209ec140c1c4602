/** The simulated controller manager: a queue of what changed, and the controller of each kind; must hold no rule itself. */
import type { Kubelet } from "../kubelet.ts"
import { allKinds, type Kind, kinds } from "../kinds.ts"
import { isRefusal } from "../watches.ts"
import { controllerReference, type Fields, nameOf, namespaceOf, objectsAt, textAt, uidOf } from "../values.ts"
import { reconcileDaemonSet } from "./daemonSets.ts"
import { reconcileDeployment } from "./deployments.ts"
import { reconcileJob } from "./jobs.ts"
import { reconcileNamespace } from "./namespaces.ts"
import type { Control } from "./ownedPods.ts"
import { reconcileReplicaSet } from "./replicaSets.ts"
import { reconcileStatefulSet } from "./statefulSets.ts"

export type Reconcile = (control: Control, object: Fields) => void

const reconcilers = new Map<Kind, Reconcile>([
  [kinds.Namespace, reconcileNamespace],
  [kinds.Deployment, reconcileDeployment],
  [kinds.ReplicaSet, reconcileReplicaSet],
  [kinds.StatefulSet, reconcileStatefulSet],
  [kinds.DaemonSet, reconcileDaemonSet],
  [kinds.Job, reconcileJob]
])

/** Far more rounds than any honest change needs: two controllers that undo each other must not hang a request. */
const mostRounds = 10_000

export interface ControllerManager {
  /** Works until nothing is left to do at this moment. */
  readonly settle: () => void
  /** Looks at everything, as after a start. */
  readonly resync: () => void
}

export const makeControllerManager = (
  control: Omit<Control, "again" | "passed">,
  kubelet: Kubelet | undefined
): ControllerManager => {
  const { store, timeline } = control
  const queue = new Map<string, readonly [kind: Kind, namespace: string, name: string]>()
  let working = false

  const add = (kind: Kind, namespace: string, name: string) => {
    queue.set(`${kind.plural}/${namespace}/${name}`, [kind, namespace, name])
  }
  const settle = () => {
    if (working) return
    working = true
    try {
      for (let round = 0; queue.size > 0 && round < mostRounds; round += 1) {
        const [key, [kind, namespace, name]] = queue.entries().next().value!
        queue.delete(key)
        const object = store.get(kind, namespace, name)
        if (object === undefined) continue
        try {
          if (kind === kinds.Pod) kubelet?.sync(object)
          else reconcilers.get(kind)?.(whole, object)
        } catch (error) {
          // What the API server refuses a controller, it will try again with the next change.
          if (!isRefusal(error)) throw error
        }
      }
    } finally {
      working = false
    }
  }
  const whole: Control = {
    ...control,
    passed: new Set(),
    again: (kind, object, seconds) => {
      timeline.after(`again/${uidOf(object)}`, seconds, () => {
        add(kind, namespaceOf(object), nameOf(object))
        settle()
      })
    }
  }

  /** Dependents go with their owner, unless they were orphaned before. */
  const collect = (owner: Fields) => {
    for (const kind of allKinds) {
      for (const object of store.all(kind, namespaceOf(owner) === "" ? undefined : namespaceOf(owner))) {
        const owners = objectsAt(object, "metadata", "ownerReferences")
        if (!owners.some((one) => textAt(one, "uid") === uidOf(owner))) continue
        const alive = owners.some((one) => textAt(one, "uid") !== uidOf(owner))
        if (!alive) control.writes.remove(kind, namespaceOf(object), nameOf(object), {})
      }
    }
  }
  store.subscribe(({ kind, object, type }) => {
    if (kind === kinds.Event) return
    if (type === "DELETED") collect(object)
    else add(kind, namespaceOf(object), nameOf(object))
    const owner = controllerReference(object)
    const above = allKinds.find((one) => one.kind === textAt(owner, "kind"))
    if (above === undefined) return
    add(above, namespaceOf(object), textAt(owner, "name"))
    if (type !== "DELETED" || kind !== kinds.Pod) return
    // A Deployment that recreates waits for the last pod of its old ReplicaSets.
    const set = store.get(above, namespaceOf(object), textAt(owner, "name"))
    const top = set === undefined ? undefined : controllerReference(set)
    if (textAt(top, "kind") === "Deployment") add(kinds.Deployment, namespaceOf(object), textAt(top, "name"))
  })
  return {
    settle,
    resync: () => {
      for (const kind of [...reconcilers.keys(), kinds.Pod]) {
        for (const object of store.all(kind)) add(kind, namespaceOf(object), nameOf(object))
      }
      settle()
    }
  }
}
