/** Which remedy follows from which situation. */
import { describe, expect, test } from "bun:test"
import type { Recent, RevisionHealth } from "#scheduler/health/IncidentStore.ts"
import { decide, type Situation } from "#scheduler/health/remedy.ts"
import type { WorkloadView } from "#scheduler/health/view.ts"
import { makeIncident, makeRevision, makeWorkload, minutes, start } from "./cluster.ts"

const day = 24 * 3_600_000

const quiet: Recent = {
  undos: 0,
  restarts: 0,
  sinceActionMs: null,
  busyWith: null,
  actingHere: 0,
  acting: 0,
  sinceRejectedMs: null,
  clusterWide: false
}

const viewOf = (
  revisions: ReadonlyArray<ReturnType<typeof makeRevision>>,
  workload: Partial<Parameters<typeof makeWorkload>[0]> = {}
): WorkloadView => ({
  workload: makeWorkload(workload),
  revisions: revisions.map((revision, index) => ({ revision, current: index === revisions.length - 1, pods: [] }))
})

const good = (revision: number): RevisionHealth => ({ revisionUid: `r-${revision}`, revision, good: true, bad: false })

const situation = (more: Partial<Situation> = {}): Situation => ({
  incident: makeIncident(),
  view: viewOf([makeRevision(1), makeRevision(2)]),
  exemption: undefined,
  health: [good(1)],
  recent: quiet,
  now: start + minutes(5),
  cooldown: minutes(30),
  ...more
})

describe("a new release that crashes", () => {
  test("is to be undone to the last revision known to be good", () => {
    expect(decide(situation())).toMatchObject({
      _tag: "Propose",
      wish: { action: "undo", toRevision: 1 },
      lastGoodRevision: 1
    })
  })

  test("passes over a revision that differs in the restart stamp alone, and one that was never good", () => {
    const stamped = {
      metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": "2026-11-26T12:00:00Z" } },
      spec: { containers: [{ name: "app", image: "web:4" }] }
    }
    const view = viewOf([
      makeRevision(1),
      makeRevision(2),
      makeRevision(3, { template: stamped }),
      makeRevision(4, { template: { spec: stamped.spec } })
    ])
    const decision = decide(
      situation({ incident: makeIncident({ revision: 4, revisionUid: "r-4" }), view, health: [good(1), good(3)] })
    )
    expect(decision).toMatchObject({ _tag: "Propose", wish: { toRevision: 1 } })
  })

  test("never goes back to a revision marked bad", () => {
    expect(decide(situation({ health: [{ ...good(1), bad: true }] }))).toMatchObject({ _tag: "Advise", final: false })
  })

  test("is advice alone where no good revision is known", () => {
    expect(decide(situation({ health: [] }))).toMatchObject({ _tag: "Advise", final: false })
  })
})

describe("an old release that begins to crash", () => {
  const old = situation({ now: start + day + minutes(1), health: [good(1), good(2)] })

  test("is to be restarted once", () => {
    expect(decide(old)).toMatchObject({ _tag: "Propose", wish: { action: "restart", toRevision: null } })
    expect(decide({ ...old, recent: { ...quiet, restarts: 1 } })).toMatchObject({ _tag: "Suppress" })
  })
})

describe("advice alone", () => {
  for (const which of ["oom_loop", "image_pull", "config_error", "pending", "not_ready", "node"] as const) {
    test(`for ${which}`, () => {
      expect(decide(situation({ incident: makeIncident({ class: which }) }))._tag).toBe("Advise")
    })
  }

  test("for the namespaces of the cluster itself", () => {
    expect(decide(situation({ incident: makeIncident({ namespace: "kube-system" }) }))._tag).toBe("Advise")
  })

  test("for a part of the platform", () => {
    const view = viewOf([makeRevision(1), makeRevision(2)], { labels: { "app.kubernetes.io/part-of": "gatehouse" } })
    expect(decide(situation({ view }))._tag).toBe("Advise")
  })

  test("for a StatefulSet with volumes", () => {
    const view = viewOf([makeRevision(1), makeRevision(2)], { kind: "StatefulSet", hasVolumes: true })
    expect(decide(situation({ view }))._tag).toBe("Advise")
  })

  test("for a workload or revision that is gone", () => {
    expect(decide(situation({ view: undefined }))._tag).toBe("Advise")
    expect(decide(situation({ view: viewOf([makeRevision(1)]) }))._tag).toBe("Advise")
  })
})

describe("limits hold back", () => {
  const cases: ReadonlyArray<readonly [string, Partial<Situation>]> = [
    ["an exempt workload", { exemption: "its rollout is paused" }],
    ["a muted incident", { incident: makeIncident({ mutedUntil: start + day }) }],
    ["a workload with another open proposal", { recent: { ...quiet, busyWith: "i-0" } }],
    ["a workload in its cool-down", { recent: { ...quiet, sinceActionMs: minutes(29) } }],
    ["a third rollback within a day", { recent: { ...quiet, undos: 2 } }],
    ["a second action in the namespace", { recent: { ...quiet, actingHere: 1 } }],
    ["a third action in all", { recent: { ...quiet, acting: 2 } }],
    ["a workload whose proposal was just rejected", { recent: { ...quiet, sinceRejectedMs: minutes(29) } }],
    ["when many workloads fail at once", { recent: { ...quiet, clusterWide: true } }]
  ]
  for (const [title, more] of cases) {
    test(title, () => {
      expect(decide(situation(more))._tag).toBe("Suppress")
    })
  }

  test("and no longer once they have passed", () => {
    expect(decide(situation({ recent: { ...quiet, sinceActionMs: minutes(30) } }))._tag).toBe("Propose")
    expect(decide(situation({ incident: makeIncident({ mutedUntil: start }) }))._tag).toBe("Propose")
  })
})
