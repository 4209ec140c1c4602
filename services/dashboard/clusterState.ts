/** What admin's stream has told so far, as one value: workloads, proposals, the newest actions; pure, must open nothing. */
import type { Action, AdminEvent, Proposal, Workload } from "#shared/api/admin.ts"

export interface ClusterState {
  /** By `workloadKey`; undefined until the first snapshot. */
  readonly workloads: ReadonlyMap<string, Workload> | undefined
  readonly proposals: ReadonlyMap<string, Proposal>
  /** Newest first. */
  readonly actions: ReadonlyArray<Action>
  /** Since when admin itself does not see the cluster, null while it does. */
  readonly staleSince: string | null
}

export const noCluster: ClusterState = { workloads: undefined, proposals: new Map(), actions: [], staleSince: null }

/** More are in the audit list. */
const actionsKept = 100

export const workloadKey = ({ kind, name, namespace }: Pick<Workload, "kind" | "name" | "namespace">): string =>
  `${namespace}/${kind}/${name}`

const newestFirst = (one: Action, other: Action) => (one.createdAt < other.createdAt ? 1 : -1)

/** The state after one more event; an event this page does not know changes nothing. */
export const applyEvent = (state: ClusterState, message: AdminEvent): ClusterState => {
  switch (message.event) {
    case "snapshot": {
      const { actions, proposals, staleSince, workloads } = message.data
      return {
        workloads: new Map(workloads.map((workload) => [workloadKey(workload), workload])),
        proposals: new Map(proposals.map((proposal) => [proposal.id, proposal])),
        actions: [...actions].sort(newestFirst).slice(0, actionsKept),
        staleSince
      }
    }
    case "workload":
      return { ...state, workloads: new Map(state.workloads).set(workloadKey(message.data), message.data) }
    case "workload_deleted": {
      const workloads = new Map(state.workloads)
      workloads.delete(workloadKey(message.data))
      return { ...state, workloads }
    }
    case "proposal":
      return { ...state, proposals: new Map(state.proposals).set(message.data.id, message.data) }
    case "action": {
      const others = state.actions.filter(({ id }) => id !== message.data.id)
      return { ...state, actions: [message.data, ...others].sort(newestFirst).slice(0, actionsKept) }
    }
    case "stale":
      return { ...state, staleSince: message.data.since }
    default:
      return state
  }
}
