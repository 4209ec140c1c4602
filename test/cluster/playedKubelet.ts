/** Stands in for a kubelet: reports the pods of a node object as a test wants them; must run nothing. */
import type { Cluster } from "#test/cluster/cluster.ts"
import { podStatus, type PodState } from "#test/cluster/podStatus.ts"
import { follow, type KubernetesObject } from "#test/cluster/watch.ts"

export interface PlayedPod extends KubernetesObject {
  readonly spec: { readonly containers: ReadonlyArray<{ readonly name: string; readonly image: string }> }
}

export interface PlayedKubelet {
  readonly node: string
  /** From now on reports that pod in `state`, whatever the behaviour says. */
  readonly set: (namespace: string, pod: string, state: PodState) => Promise<void>
  /** Reports the node as ready or not. */
  readonly setReady: (ready: boolean) => Promise<void>
  /** Reports nothing any more and removes the node. */
  readonly stop: () => Promise<void>
}

const send = async (
  cluster: Cluster,
  method: string,
  path: string,
  body: object,
  allowed: ReadonlyArray<number> = []
) => {
  const type = method === "PATCH" ? "application/merge-patch+json" : "application/json"
  const answer = await cluster.request(path, { method, headers: { "content-type": type }, body: JSON.stringify(body) })
  const text = await answer.text()
  if (!answer.ok && !allowed.includes(answer.status)) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
}

const nodeStatus = (ready: boolean) => ({
  status: {
    capacity: { cpu: "8", memory: "32Gi", pods: "110", "ephemeral-storage": "100Gi" },
    allocatable: { cpu: "8", memory: "32Gi", pods: "110", "ephemeral-storage": "100Gi" },
    conditions: [
      {
        type: "Ready",
        status: ready ? "True" : "False",
        reason: ready ? "KubeletReady" : "KubeletNotReady",
        lastHeartbeatTime: new Date().toISOString(),
        lastTransitionTime: new Date().toISOString()
      }
    ]
  }
})

const finished = (state: PodState) => state === "succeeded" || state === "failed"

const heartbeat = 3000

/** Keeps what real pods need, beside a real node, away from a played one. */
export const playedTaint = { key: "gatehouse.test/played", effect: "NoSchedule" } as const

/**
 * Adds a node, and reports every pod that the scheduler puts there as `behaviour` says; by default as running and ready. On the
 * node tier, where real pods would not run there, a pod must tolerate `playedTaint`.
 */
export const playKubelet = async (
  cluster: Cluster,
  options: { readonly node?: string; readonly behaviour?: (pod: PlayedPod) => PodState } = {}
): Promise<PlayedKubelet> => {
  const node = options.node ?? "played-1"
  const behaviour = options.behaviour ?? (() => "running")
  const wanted = new Map<string, PodState>()
  const reported = new Map<string, PodState>()
  const ended = new AbortController()
  let addresses = 1

  await send(cluster, "POST", "/api/v1/nodes", {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: node, labels: { "kubernetes.io/hostname": node, "kubernetes.io/os": "linux" } },
    spec: { taints: cluster.tier === "node" ? [playedTaint] : [] }
  })
  await send(cluster, "PATCH", `/api/v1/nodes/${node}/status`, nodeStatus(true))

  const lease = `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${node}`
  const renew = async () => {
    const renewTime = new Date().toISOString().replace("Z", "000Z")
    const spec = { holderIdentity: node, leaseDurationSeconds: 40, renewTime }
    const named = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name: node }, spec }
    const query = "?fieldManager=played-kubelet&force=true"
    const headers = { "content-type": "application/apply-patch+yaml" }
    const answer = await cluster.request(`${lease}${query}`, { method: "PATCH", headers, body: JSON.stringify(named) })
    await answer.body?.cancel()
  }
  await renew()
  // The API server may be away for a while, as a test wants it.
  const renewing = setInterval(() => void renew().catch(() => {}), heartbeat)

  const report = async (pod: PlayedPod) => {
    const { deletionTimestamp, name, namespace, uid } = pod.metadata
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`
    if (deletionTimestamp !== undefined) {
      const preconditions = { uid }
      await send(cluster, "DELETE", path, { gracePeriodSeconds: 0, preconditions }, [404, 409])
      return
    }
    const state = wanted.get(`${namespace}/${name}`) ?? behaviour(pod)
    const before = reported.get(uid)
    // A pod that has finished never runs again.
    if (JSON.stringify(before) === JSON.stringify(state) || (before !== undefined && finished(before))) return
    reported.set(uid, state)
    const status = podStatus(state, { name, containers: pod.spec.containers, address: `10.42.1.${addresses++}` })
    await send(cluster, "PATCH", `${path}/status`, { status }, [404, 409])
  }

  let pods: ReadonlyMap<string, PlayedPod> = new Map()
  // In the order in which the API server told of them.
  let last: Promise<void> = Promise.resolve()
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const turn = last.then(work)
    last = turn.catch((error: unknown) => {
      if (!ended.signal.aborted) console.error(`the played kubelet of ${node}:`, error)
    })
    return turn
  }
  const following = follow<PlayedPod>(
    cluster.request,
    `/api/v1/pods?fieldSelector=spec.nodeName%3D${node}`,
    ended.signal,
    (all, object) => {
      pods = all
      for (const pod of object === undefined ? all.values() : all.has(object.metadata.uid) ? [object] : []) {
        inTurn(() => report(pod)).catch(() => {})
      }
    }
  )
  return {
    node,
    set: async (namespace, name, state) => {
      wanted.set(`${namespace}/${name}`, state)
      const pod = [...pods.values()].find((one) => one.metadata.namespace === namespace && one.metadata.name === name)
      if (pod !== undefined) await inTurn(() => report(pod))
    },
    setReady: (ready) => send(cluster, "PATCH", `/api/v1/nodes/${node}/status`, nodeStatus(ready)),
    stop: async () => {
      clearInterval(renewing)
      ended.abort()
      await following
      await last
      await send(cluster, "DELETE", `/api/v1/nodes/${node}`, {}, [404])
    }
  }
}
