/**
 * A Kubernetes API server in miniature, with controllers and a kubelet, for development and tests; must reach no network and read no clock.
 *
 * In a test, with time by hand:
 *
 *     const cluster = makeSimulatedCluster({ namespaces: ["dev"] })
 *     const layer = simulatedKubernetes(cluster)              // the real client over it, from ./layer.ts
 *     cluster.advance(30)                                     // 30 s pass, everything that becomes due happens
 *
 * With time by Effect's clock (TestClock too), use `simulatedKubernetesLive(options)` of ./layer.ts. An image's name decides
 * what its containers do: `crash`, `oom`, `missing` or `pull`, `never-ready`, else healthy (./images.ts). `cluster.fetch` put on
 * a port serves kubectl as well. `cluster.writes()` lists the write requests that arrived; `cluster.intercept` plays faults.
 */
import { makeControllerManager } from "./controllers/controllerManager.ts"
import { makeEvents } from "./events.ts"
import type { Images } from "./images.ts"
import { kinds } from "./kinds.ts"
import { makeKubelet } from "./kubelet.ts"
import { makeLogs } from "./logs.ts"
import { makeServer } from "./server.ts"
import { makeStore } from "./store.ts"
import { makeTimeline } from "./timeline.ts"
import { type Fields, isFields } from "./values.ts"
import { makeWatches } from "./watches.ts"
import { makeWrites } from "./writes.ts"

export interface SimulatedClusterOptions {
  /** Namespaces that exist from the start besides `default` and `kube-system`. */
  readonly namespaces?: ReadonlyArray<string>
  /** Milliseconds since 1970 at the start; 2026-01-01 unless told. */
  readonly now?: number
  /** How many times faster than real ones pods start and back off; timestamps stay true. */
  readonly speed?: number
  readonly images?: Images
  /** Without one, pods stay as they are until someone writes their status. */
  readonly kubelet?: boolean
}

/** A request that could have changed something, as it arrived. */
export interface WriteRecord {
  readonly method: string
  readonly path: string
  /** With its question mark; "" if there is none. */
  readonly query: string
  readonly contentType: string
  readonly body: string
  readonly dryRun: boolean
  readonly status: number
}

export type Intercept = (request: Request) => Response | Promise<Response> | undefined

export interface SimulatedCluster {
  /** Answers one request of the REST protocol; rejects only where `intercept` does, as a broken network would. */
  readonly fetch: (request: Request) => Promise<Response>
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Lets so many seconds pass. */
  readonly advance: (seconds: number) => void
  /** As `advance`, up to a point in time; one in the past is now. */
  readonly advanceTo: (milliseconds: number) => void
  /** When something happens next by itself, or undefined. */
  readonly nextDue: () => number | undefined
  /** Write requests since the start, dry runs included; `clear` empties the list. */
  readonly writes: (clear?: boolean) => ReadonlyArray<WriteRecord>
  /** Sees each request first; what it gives is the answer. undefined takes it away. */
  readonly intercept: (intercept: Intercept | undefined) => void
  /** Ends all open watches and followed logs; `abruptly` as a broken connection. */
  readonly cutWatches: (abruptly?: boolean) => void
  /** Forgets the history: what resumes from before is answered 410. */
  readonly compact: () => void
  /** Open watches, to see that none leaks. */
  readonly openWatches: () => number
  /** Everything it holds, as JSON; `restore` takes it back, also in another process. */
  readonly snapshot: () => string
  /** False if the text is no snapshot; then nothing has changed. */
  readonly restore: (snapshot: string) => boolean
  readonly close: () => void
}

const start = Date.UTC(2026, 0, 1)
const writing = new Set(["POST", "PUT", "PATCH", "DELETE"])
/** Asking who somebody is changes nothing. */
const reviewing = /^\/apis\/auth(?:entication|orization)\.k8s\.io\//u

export const makeSimulatedCluster = (options: SimulatedClusterOptions = {}): SimulatedCluster => {
  const timeline = makeTimeline(options.now ?? start, options.speed ?? 1)
  const store = makeStore()
  const writes = makeWrites(store, timeline)
  const record = makeEvents(store, timeline)
  const watches = makeWatches(store, timeline)
  const logs = makeLogs(store, timeline, options.images)
  const kubelet = options.kubelet === false ? undefined : makeKubelet(store, timeline, record, options.images)
  const manager = makeControllerManager({ store, timeline, writes, record }, kubelet)
  const server = makeServer({ store, timeline, writes, watches, logs })
  let intercept: Intercept | undefined
  const recorded: Array<WriteRecord> = []
  const mostRecorded = 10_000

  const system = (kind: (typeof kinds)[keyof typeof kinds], namespace: string, body: Fields) =>
    writes.create(kind, namespace, body, { manager: "simulation" })
  for (const name of ["default", "kube-system", ...(options.namespaces ?? [])]) {
    if (store.get(kinds.Namespace, "", name) !== undefined) continue
    system(kinds.Namespace, "", { apiVersion: "v1", kind: "Namespace", metadata: { name } })
  }
  system(kinds.Node, "", {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "simulated", labels: { "kubernetes.io/hostname": "simulated", "kubernetes.io/os": "linux" } },
    status: {
      capacity: { cpu: "2", memory: "4Gi", pods: "110" },
      allocatable: { cpu: "2", memory: "4Gi", pods: "110" },
      conditions: [
        { type: "Ready", status: "True", reason: "KubeletReady", message: "kubelet is posting ready status" }
      ],
      nodeInfo: { kubeletVersion: "v1.36.3+simulated", osImage: "simulated", containerRuntimeVersion: "none" }
    }
  })
  manager.settle()

  const answer = async (request: Request): Promise<Response> => {
    const intercepted = intercept?.(request)
    if (intercepted !== undefined) return intercepted
    const response = await server(request)
    manager.settle()
    return response
  }
  const fetch: SimulatedCluster["fetch"] = async (request) => {
    const url = new URL(request.url)
    if (!writing.has(request.method) || reviewing.test(url.pathname)) return answer(request)
    const body = await request.clone().text()
    const note = (status: number) => {
      recorded.push({
        method: request.method,
        path: url.pathname,
        query: url.search,
        contentType: request.headers.get("content-type") ?? "",
        body,
        dryRun: url.searchParams.get("dryRun") === "All",
        status
      })
      if (recorded.length > mostRecorded) recorded.splice(0, mostRecorded / 10)
    }
    try {
      const response = await answer(request)
      note(response.status)
      return response
    } catch (error) {
      note(0)
      throw error
    }
  }
  const advanceTo = (milliseconds: number) => {
    for (let due = timeline.nextDue(); due !== undefined && due <= milliseconds; due = timeline.nextDue()) {
      timeline.advanceTo(due)
      manager.settle()
    }
    timeline.advanceTo(milliseconds)
  }
  return {
    fetch,
    now: timeline.now,
    advance: (seconds) => advanceTo(timeline.now() + seconds * 1000),
    advanceTo,
    nextDue: timeline.nextDue,
    writes: (clear = false) => (clear ? recorded.splice(0) : [...recorded]),
    intercept: (wanted) => {
      intercept = wanted
    },
    cutWatches: (abruptly = false) => {
      watches.cut(abruptly)
      logs.cut()
    },
    compact: store.compact,
    openWatches: watches.count,
    snapshot: () => JSON.stringify(store.snapshot()),
    restore: (text) => {
      try {
        const snapshot: unknown = JSON.parse(text)
        if (!isFields(snapshot) || !Array.isArray(snapshot["objects"])) return false
        store.restore(snapshot)
      } catch {
        return false
      }
      watches.cut(false)
      manager.resync()
      return true
    },
    close: () => {
      watches.cut(false)
      logs.cut()
    }
  }
}
