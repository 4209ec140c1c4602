/** The live state of the cluster: snapshot, deltas and what is unknown, told one after another. */
import { describe, expect, test } from "bun:test"
import type { AdminEvent } from "#shared/api/admin.ts"
import { applyEvent, noCluster, workloadKey } from "#dashboard/clusterState.ts"
import { action, makeActions, makeProposals } from "#test/browser/demoActions.ts"
import { makeWorkloads } from "#test/browser/demoCluster.ts"

const workloads = makeWorkloads("nightly")
const snapshot: AdminEvent = {
  event: "snapshot",
  data: { workloads, proposals: makeProposals("nightly"), actions: makeActions("nightly"), staleSince: null }
}
const after = (...events: ReadonlyArray<AdminEvent>) => events.reduce(applyEvent, noCluster)

describe("the cluster's state", () => {
  test("is not known before the first snapshot, and then whole", () => {
    expect(noCluster.workloads).toBeUndefined()
    expect(after(snapshot).workloads?.size).toBe(workloads.length)
  })

  test("takes a changed workload in the place of the one before, and loses a deleted one", () => {
    const [first] = workloads
    const state = after(snapshot, { event: "workload", data: { ...first!, ready: 3 } })
    expect(state.workloads?.get(workloadKey(first!))?.ready).toBe(3)
    expect(state.workloads?.size).toBe(workloads.length)
    const { kind, name, namespace } = first!
    const gone = applyEvent(state, { event: "workload_deleted", data: { kind, name, namespace } })
    expect(gone.workloads?.has(workloadKey(first!))).toBe(false)
  })

  test("a second snapshot is all there is: what it does not name is gone", () => {
    const state = after(snapshot, { event: "snapshot", data: { ...snapshot.data, workloads: [], proposals: [] } })
    expect(state.workloads?.size).toBe(0)
    expect(state.proposals.size).toBe(0)
  })

  test("keeps actions newest first, each once, and no more than a hundred", () => {
    const told = Array.from({ length: 150 }, (_, index): AdminEvent => ({
      event: "action",
      data: action(2000 + index, "nightly", { createdAt: new Date(1e12 + index).toISOString() })
    }))
    const { actions } = after(...told, told[149]!)
    expect(actions).toHaveLength(100)
    expect(actions[0]!.id).toBe((told[149] as { data: { id: string } }).data.id)
    expect(new Set(actions.map(({ id }) => id)).size).toBe(100)
  })

  test("an event that this page does not know changes nothing", () => {
    const state = after(snapshot)
    expect(applyEvent(state, { event: "reset", data: { reason: "too old" } })).toBe(state)
  })
})
