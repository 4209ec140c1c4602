/** The health rules over time: what opens, what does not, and what is one and the same. */
import { describe, expect, test } from "bun:test"
import type { Pod } from "#scheduler/health/facts.ts"
import { makeJudge } from "#scheduler/health/judge.ts"
import type { View } from "#scheduler/health/view.ts"
import {
  between,
  crashed,
  dead,
  defaults,
  failingPod,
  makePod,
  makeRevision,
  makeWorkload,
  minutes,
  outOfMemory,
  running,
  seconds,
  seen,
  start,
  waiting
} from "./cluster.ts"

/** Shows the judge a picture every five seconds from `from` to `to` (seconds after the start) and gives the last verdict. */
const watching = (judge = makeJudge(defaults)) => {
  const look = (from: number, to: number, picture: (at: number) => View) => {
    let verdict = judge(picture(start + seconds(from)), start + seconds(from))
    for (let at = from + 5; at <= to; at += 5) verdict = judge(picture(start + seconds(at)), start + seconds(at))
    return verdict
  }
  return { look }
}

const crashing = (restarts: number, more: Partial<Pod> = {}) =>
  seen({ pods: [failingPod(1, crashed(restarts, start), { name: "web-x", uid: "web-x", ...more })] })

describe("crash_loop", () => {
  test("opens once a container has been looping for a minute, with its exit code", () => {
    const { findings } = watching().look(0, 60, () => crashing(3))
    expect(findings).toMatchObject([
      {
        class: "crash_loop",
        key: "dev/Deployment/web/web-1/crash_loop",
        name: "web",
        revision: 1,
        container: "app",
        exitCode: 3,
        reason: "CrashLoopBackOff",
        podCount: 1
      }
    ])
  })

  test("does not open after twenty seconds", () => {
    expect(watching().look(0, 20, () => crashing(3)).findings).toEqual([])
  })

  test("does not open for a single restart, however long it waits", () => {
    expect(watching().look(0, 300, () => crashing(1)).findings).toEqual([])
  })

  test("counts restarts that came while it was watched", () => {
    expect(watching().look(0, 75, (at) => crashing(at >= start + seconds(70) ? 3 : 1)).findings).toHaveLength(1)
  })

  test("is not forgotten while the container runs between two crashes", () => {
    const { look } = watching()
    look(0, 50, () => crashing(3))
    const verdict = look(55, 70, (at) => {
      const up = seen({ pods: [failingPod(1, between(4, start + seconds(50)), { uid: "web-x" })] })
      return at < start + seconds(70) ? up : crashing(4)
    })
    expect(verdict.findings).toHaveLength(1)
    expect(verdict.calm.size).toBe(0)
  })

  test("is seen where the kubelet says CrashLoopBackOff for no moment of its back-off that was looked at", () => {
    const deaths = [0, 12, 30, 55, 80]
    const { look } = watching()
    const picture = (at: number) => {
      const died = deaths.filter((each) => each <= (at - start) / 1000)
      return seen({ pods: [failingPod(1, dead(died.length, start + seconds(died.at(-1)!)), { uid: "web-x" })] })
    }
    expect(look(0, 55, picture).findings).toEqual([])
    expect(look(60, 85, picture).findings).toMatchObject([{ class: "crash_loop", exitCode: 3, restarts: 5 }])
  })

  test("is seen to the end of the longest back-off", () => {
    const { look } = watching()
    const before = { terminated: { exitCode: 3, reason: "Error", finishedAt: new Date(start).toISOString() } }
    const down = () =>
      seen({ pods: [failingPod(1, dead(9, start + seconds(330), { lastState: before }), { uid: "web-x" })] })
    expect(look(330, 625, down).findings).toHaveLength(1)
  })

  test("is seen where every look finds the container running again", () => {
    const { look } = watching()
    const again = (restarts: number, died: number) => () =>
      seen({ pods: [failingPod(1, between(restarts, start + seconds(died)), { uid: "web-x" })] })
    look(0, 5, () => crashing(1))
    look(10, 50, again(2, 7))
    expect(look(55, 60, again(3, 52)).findings).toEqual([])
    expect(look(65, 70, again(4, 64)).findings).toMatchObject([{ class: "crash_loop", restarts: 4 }])
  })

  test("is none of an init container that has succeeded after a few tries", () => {
    const done = dead(3, start, { name: "migrate", init: true, exitCode: 0 })
    const pods = [makePod({ containers: [done, running()] })]
    expect(watching().look(0, 120, () => seen({ pods })).findings).toEqual([])
  })

  test("does not begin with a death after a long good run, however often it was restarted before", () => {
    const old = {
      terminated: { exitCode: 1, reason: "Error", finishedAt: new Date(start - minutes(300)).toISOString() }
    }
    const { look } = watching()
    look(0, 5, () => seen({ pods: [failingPod(1, dead(5, start, { lastState: old }), { uid: "web-x" })] }))
    look(10, 535, () => seen({ pods: [failingPod(1, between(6, start), { uid: "web-x" })] }))
    const again = () => seen({ pods: [failingPod(1, dead(6, start + seconds(540)), { uid: "web-x" })] })
    expect(look(540, 550, again).findings).toEqual([])
  })

  test("does not begin with a crash of before the watch", () => {
    const up = () => seen({ pods: [failingPod(1, between(5, start - seconds(200)), { uid: "web-x" })] })
    expect(watching().look(0, 300, up).findings).toEqual([])
  })

  test("is one finding for ten pods of a revision", () => {
    const pods = Array.from({ length: 10 }, () => failingPod(1, crashed(4, start)))
    const { findings } = watching().look(0, 60, () => seen({ pods }))
    expect(findings).toHaveLength(1)
    expect(findings[0]?.podCount).toBe(10)
  })

  test("sees an init container's crashes", () => {
    const pods = [failingPod(1, crashed(3, start, { name: "migrate", init: true }))]
    expect(watching().look(0, 60, () => seen({ pods })).findings).toMatchObject([{ container: "migrate" }])
  })

  test("begins anew when the loop has ended in between", () => {
    const { look } = watching()
    look(0, 50, () => crashing(3))
    look(55, 60, () => seen({ pods: [makePod()] }))
    expect(look(65, 110, () => crashing(4)).findings).toEqual([])
  })

  test("of a new revision has no impact while the old one serves", () => {
    const view = seen({
      workloads: [makeWorkload({ updated: 1, ready: 3, available: 3 })],
      revisions: [makeRevision(1), makeRevision(2)],
      pods: [makePod(), makePod(), makePod(), failingPod(2, crashed(3, start))]
    })
    expect(watching().look(0, 60, () => view).findings).toMatchObject([{ revision: 2, impact: "none" }])
  })
})

describe("other classes", () => {
  test("memory kills are an oom_loop, not a crash_loop", () => {
    const view = seen({ pods: [failingPod(1, outOfMemory(3, start))] })
    expect(watching().look(0, 60, () => view).findings).toMatchObject([{ class: "oom_loop", exitCode: 137 }])
  })

  test("an image that cannot be pulled counts after two minutes", () => {
    const view = seen({ pods: [failingPod(1, waiting("ImagePullBackOff"), { phase: "Pending" })] })
    expect(watching().look(0, 115, () => view).findings).toEqual([])
    expect(watching().look(0, 120, () => view).findings).toMatchObject([{ class: "image_pull" }])
  })

  test("a missing ConfigMap counts after one minute", () => {
    const view = seen({ pods: [failingPod(1, waiting("CreateContainerConfigError"), { phase: "Pending" })] })
    expect(watching().look(0, 60, () => view).findings).toMatchObject([{ class: "config_error" }])
  })

  test("a pod that no node takes counts by the cluster's own time", () => {
    const view = seen({
      pods: [failingPod(1, running(), { phase: "Pending", notReadySince: undefined, unschedulableSince: start })]
    })
    expect(watching().look(295, 295, () => view).findings).toEqual([])
    expect(watching().look(300, 300, () => view).findings).toMatchObject([{ class: "pending" }])
  })

  test("a pod that runs and is not Ready counts after a quarter of an hour", () => {
    const view = seen({ pods: [failingPod(1, running({ ready: false }))] })
    expect(watching().look(895, 895, () => view).findings).toEqual([])
    expect(watching().look(900, 900, () => view).findings).toMatchObject([{ class: "not_ready" }])
  })

  test("a rollout past its deadline is rollout_stuck, unless a pod shows why", () => {
    const stuck = makeWorkload({ deadlineExceeded: true })
    expect(watching().look(0, 0, () => seen({ workloads: [stuck] })).findings).toMatchObject([
      { class: "rollout_stuck", reason: "ProgressDeadlineExceeded" }
    ])
    const view = seen({ workloads: [stuck], pods: [failingPod(1, crashed(3, start))] })
    expect(watching().look(0, 60, () => view).findings).toMatchObject([{ class: "crash_loop" }])
  })

  test("waits for the crash loop behind it, so that a restarted watchman opens no second incident", () => {
    const stuck = makeWorkload({ deadlineExceeded: true })
    const { look } = watching()
    const view = () => seen({ workloads: [stuck], pods: [failingPod(1, crashed(3, start))] })
    expect(look(0, 55, view).findings).toEqual([])
    expect(look(60, 60, view).findings).toMatchObject([{ class: "crash_loop" }])
  })
})

describe("suppression", () => {
  const pods = [failingPod(1, crashed(5, start))]
  for (const [title, workload] of [
    ["a paused workload", makeWorkload({ paused: true })],
    ["a workload scaled to zero", makeWorkload({ desired: 0 })],
    ["a workload that is being deleted", makeWorkload({ deleting: true })],
    ["a change that the controller has not taken up", makeWorkload({ observed: false })]
  ] as const) {
    test(`opens nothing for ${title}`, () => {
      const verdict = watching().look(0, 120, () => seen({ workloads: [workload], pods }))
      expect(verdict.findings).toEqual([])
      expect(verdict.exempt.size).toBe(1)
    })
  }

  test("opens nothing for a pod that is being deleted", () => {
    const view = seen({ pods: [failingPod(1, crashed(5, start), { deleting: true })] })
    expect(watching().look(0, 120, () => view).findings).toEqual([])
  })

  test("opens nothing for a Job's pods", () => {
    const view = seen({
      pods: [
        failingPod(1, crashed(5, start), { owner: { kind: "Job", name: "j", uid: "j" }, restartPolicy: "OnFailure" })
      ]
    })
    expect(watching().look(0, 120, () => view).findings).toEqual([])
  })

  const node = (bootId: string, ready = true, pressure: ReadonlyArray<string> = []) => ({
    name: "node-1",
    bootId,
    ready,
    pressure
  })

  test("a reboot of the node opens nothing for thirty restarting pods for ten minutes", () => {
    const { look } = watching()
    const many = Array.from({ length: 30 }, () => failingPod(1, crashed(5, start)))
    look(0, 5, () => seen({ pods: [makePod()], nodes: [node("a")] }))
    const rebooted = () => seen({ pods: many, nodes: [node("b")] })
    expect(look(10, 600, rebooted).findings).toEqual([])
    expect(look(615, 680, rebooted).findings).toMatchObject([{ class: "crash_loop", podCount: 30 }])
  })

  test("a node in trouble is one finding instead of one for each workload on it", () => {
    for (const bad of [node("a", false), node("a", true, ["DiskPressure"])]) {
      const { findings } = watching().look(0, 120, () => seen({ pods, nodes: [bad] }))
      expect(findings).toMatchObject([{ class: "node", kind: "Node", name: "node-1" }])
    }
  })
})

describe("rest", () => {
  test("needs every pod Ready and no restart for ten minutes", () => {
    const at = start + minutes(10)
    const calm = (pods: ReadonlyArray<Pod>) => makeJudge(defaults)(seen({ pods }), at).calm
    expect(calm([makePod(), makePod(), makePod()])).toEqual(new Set(["w-1"]))
    expect(calm([makePod(), makePod(), makePod({ readySince: start + seconds(1) })]).size).toBe(0)
    expect(calm([makePod({ containers: [between(1, start + seconds(1))] })]).size).toBe(0)
  })
})

describe("known good", () => {
  const good = (pods: ReadonlyArray<Pod>, at: number, desired = 3) =>
    makeJudge(defaults)(seen({ workloads: [makeWorkload({ desired })], pods }), at).good

  test("is a revision whose pods were all Ready for ten minutes", () => {
    const pods = [makePod(), makePod(), makePod()]
    expect(good(pods, start + minutes(10) - 1).size).toBe(0)
    expect(good(pods, start + minutes(10))).toEqual(new Map([["r-1", { workloadUid: "w-1", revision: 1 }]]))
  })

  test("is not one of which a single pod of four was up", () => {
    expect(good([makePod()], start + minutes(60), 4).size).toBe(0)
  })
})
