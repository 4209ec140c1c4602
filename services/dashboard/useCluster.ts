/** The live cluster for every screen: one stream for the whole page, open as long as somebody may look; must draw nothing. */
import { useEffect, useState } from "preact/hooks"
import type { AdminEvent, Proposal } from "#shared/api/admin.ts"
import { applyEvent, type ClusterState, noCluster } from "./clusterState.ts"
import { type Live, openLive, type StreamState } from "./live.ts"

export interface Cluster extends ClusterState {
  readonly stream: StreamState
}

let cluster: Cluster = { ...noCluster, stream: { kind: "connecting" } }
let live: Live | undefined
const listeners = new Set<(cluster: Cluster) => void>()

const change = (next: Cluster) => {
  cluster = next
  for (const listener of listeners) listener(next)
}

const open = () =>
  openLive({
    path: "/admin/stream",
    pulse: "heartbeat",
    // Admin beats every few seconds; a person has to know within ten that it no longer does.
    silence: 10_000,
    silenceReason: "Nothing was heard from the platform for 10 seconds.",
    onEvent: ({ data, event }) => {
      const next = applyEvent(cluster, { event, data: JSON.parse(data) } as AdminEvent)
      // A heartbeat changes nothing, and so draws nothing.
      if (next !== cluster) change({ ...next, stream: cluster.stream })
      return undefined
    },
    onState: (stream) => {
      if (stream.kind !== "live" || cluster.stream.kind !== "live") change({ ...cluster, stream })
    }
  })

/** The newest state, rendered again when it changes. `wanted` false: nothing is asked for. */
export const useCluster = (wanted = true): Cluster => {
  const [seen, setSeen] = useState(cluster)
  useEffect(() => {
    if (!wanted) return
    listeners.add(setSeen)
    live ??= open()
    setSeen(cluster)
    return () => {
      listeners.delete(setSeen)
      if (listeners.size > 0) return
      live?.stop()
      live = undefined
    }
  }, [wanted])
  return seen
}

export const retryCluster = (): void => live?.retry()

const soonestFirst = (one: Proposal, other: Proposal) => (one.expiresAt < other.expiresAt ? -1 : 1)

/** Proposals that wait for a person, the one that expires first in front. */
export const pendingOf = ({ proposals }: Cluster): ReadonlyArray<Proposal> =>
  [...proposals.values()].filter(({ state }) => state === "pending").sort(soonestFirst)
