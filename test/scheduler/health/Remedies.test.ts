/** An incident's way from finding to verification, step by step, with admin and the cluster played by the test. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Clock, Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { AdminApi, AdminAway, AdminRefused } from "#scheduler/health/AdminApi.ts"
import { EvidenceCollector } from "#scheduler/health/EvidenceCollector.ts"
import { IncidentStore } from "#scheduler/health/IncidentStore.ts"
import type { Finding } from "#scheduler/health/judge.ts"
import { Remedies } from "#scheduler/health/Remedies.ts"
import type { WorkloadView } from "#scheduler/health/view.ts"
import { Watch } from "#scheduler/health/Watch.ts"
import { migrations } from "#scheduler/migrations/index.ts"
import type { Action, Evidence, Proposal, ProposalInput } from "#shared/api/admin.ts"
import { Database } from "#shared/sql.ts"
import { freshDatabase } from "#test/shared/postgres.ts"
import { defaults, makePod, makeRevision, makeWorkload, start } from "./cluster.ts"

const now = () => new Date().toISOString()
const person = { id: "u-1", name: "April Approver" }
const scheduler = { id: "u-2", name: "scheduler" }

/** What admin has been asked and how it answers; each test begins with an empty one. */
const admin = {
  asked: [] as Array<{ readonly input: ProposalInput; readonly key: string }>,
  proposals: new Map<string, Proposal>(),
  byKey: new Map<string, string>(),
  actions: new Map<string, Action>(),
  fault: undefined as AdminAway | AdminRefused | undefined,
  /** The next answer is lost after admin has done what it was asked. */
  loseAnswer: false
}

const propose = (input: ProposalInput, key: string) =>
  Effect.suspend(() => {
    admin.asked.push({ input, key })
    if (admin.fault !== undefined) return Effect.fail(admin.fault)
    const id = admin.byKey.get(key) ?? `p-${admin.proposals.size + 1}`
    const proposal: Proposal = admin.proposals.get(id) ?? {
      id,
      state: "pending",
      action: input.action,
      target: input.target,
      toRevision: input.toRevision ?? null,
      summary: input.summary,
      incidentId: input.incidentId,
      evidence: input.evidence,
      digest: "d",
      proposer: scheduler,
      createdAt: now(),
      expiresAt: now(),
      decision: null,
      actionId: null,
      message: ""
    }
    admin.byKey.set(key, id)
    admin.proposals.set(id, proposal)
    if (!admin.loseAnswer) return Effect.succeed(proposal)
    admin.loseAnswer = false
    return Effect.fail(new AdminAway({ detail: "timeout" }))
  })

const answer = <A>(found: A | undefined): Effect.Effect<A, AdminRefused | AdminAway> => {
  if (admin.fault !== undefined) return Effect.fail(admin.fault)
  return found === undefined
    ? Effect.fail(new AdminRefused({ status: 404, code: "not_found", detail: "" }))
    : Effect.succeed(found)
}

const evidence: Evidence = {
  class: "crash_loop",
  container: "app",
  exitCode: 3,
  reason: "CrashLoopBackOff",
  restarts: 3,
  podCount: 1,
  firstSeenAt: now(),
  previousLog: ["fatal: cannot open configuration"],
  events: [],
  revision: 2,
  lastGoodRevision: 1,
  changes: []
}

/** The one workload that a test is about, and whether the cluster is seen at all. */
let cluster: WorkloadView | undefined
let blind = false
/** Among so many others that its fault is no fault of all. */
const others: ReadonlyArray<WorkloadView> = Array.from({ length: 100 }, (_, n) => ({
  workload: makeWorkload({ uid: `other-${n}` }),
  revisions: []
}))

const thresholds = { ...defaults, verify: 60_000, verifyLimit: 600_000 }

const runtimeOf = (url: string) =>
  ManagedRuntime.make(
    Remedies.layer(thresholds).pipe(
      Layer.provideMerge(IncidentStore.layer),
      Layer.provide(
        Layer.succeed(Watch, {
          view: () => (blind ? undefined : { workloads: others, others: [], nodes: [] }),
          staleSince: () => undefined,
          workload: () => cluster,
          counts: () => ({ workloads: 1, pods: 1 })
        })
      ),
      Layer.provide(
        Layer.succeed(AdminApi, {
          propose,
          proposal: (id) => Effect.suspend(() => answer(admin.proposals.get(id))),
          action: (id) => Effect.suspend(() => answer(admin.actions.get(id)))
        })
      ),
      Layer.provide(Layer.succeed(EvidenceCollector, { collect: () => Effect.succeed(evidence) })),
      Layer.provide(
        Database.layer({
          name: "logging DB",
          url: Redacted.make(url),
          applicationName: "gatehouse-test",
          migrations
        })
      )
    )
  )

let runtime: ReturnType<typeof runtimeOf>
beforeAll(async () => {
  runtime = runtimeOf((await freshDatabase("logging", "scheduler")).url)
})
afterAll(() => runtime.dispose())

let workloads = 0
/** A new workload whose second revision crashes and whose first was good, with its incident. */
const openIncident = async () => {
  const uid = `w-${++workloads}`
  const name = `web-${workloads}`
  const revision = (n: number) =>
    makeRevision(n, { uid: `${uid}-r${n}`, createdAt: Date.now(), owner: { kind: "Deployment", name, uid } })
  cluster = {
    workload: makeWorkload({ uid, name, desired: 1, updated: 1, ready: 0, available: 1 }),
    revisions: [
      { revision: revision(1), current: false, pods: [] },
      { revision: revision(2), current: true, pods: [] }
    ]
  }
  const finding: Finding = {
    key: `dev/Deployment/${name}/2/crash_loop`,
    class: "crash_loop",
    namespace: "dev",
    kind: "Deployment",
    name,
    uid,
    generation: 2,
    revision: 2,
    revisionUid: `${uid}-r2`,
    podCount: 1,
    restarts: 3,
    pod: "x",
    container: "app",
    reason: "CrashLoopBackOff",
    exitCode: 3,
    impact: "none",
    firstSeenAt: start
  }
  return runtime.runPromise(
    Effect.gen(function* () {
      const store = yield* IncidentStore
      yield* store.markGood(new Map([[`${uid}-r1`, { workloadUid: uid, revision: 1 }]]))
      return (yield* store.observe(finding, 0)).incident.id
    })
  )
}

/** A step as it would be taken `ahead` milliseconds from now. */
const step = (id: string, ahead = 0) =>
  runtime.runPromise(
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const now = Effect.map(clock.currentTimeMillis, (millis) => millis + ahead)
      const later: Clock.Clock = Object.assign(Object.create(clock), { currentTimeMillis: now })
      return yield* Effect.provideService(
        Remedies.use((remedies) => remedies.step(id)),
        Clock.Clock,
        later
      )
    })
  )
const remedyOf = async (id: string) => (await runtime.runPromise(IncidentStore.use((store) => store.get(id))))?.remedy
const decided = (id: string, decision: "approved" | "rejected"): Partial<Proposal> => ({
  decision: { decision, actor: person, reason: `because of ${id}`, at: now() }
})
const update = (id: string, more: Partial<Proposal>) =>
  admin.proposals.set(id, { ...admin.proposals.get(id)!, ...more })

const recorded = (id: string, state: Action["state"]): Action => ({
  id,
  action: "undo",
  namespace: "dev",
  kind: "Deployment",
  name: "web",
  uid: null,
  actor: scheduler,
  approver: person,
  reason: "",
  proposalId: "p-1",
  requestId: "q",
  state,
  message: state === "failed" ? "no_history" : "rolled back",
  undo: null,
  objects: [],
  backup: null,
  upstreamStatus: 200,
  rollout: null,
  createdAt: now(),
  finishedAt: now()
})

beforeEach(() => {
  admin.asked = []
  admin.proposals.clear()
  admin.byKey.clear()
  admin.actions.clear()
  admin.fault = undefined
  admin.loseAnswer = false
  blind = false
})

/** Steps until the remedy is at `state`; a dozen steps are more than any way needs. */
const walkTo = async (id: string, state: string) => {
  for (let n = 0; n < 12 && (await remedyOf(id)) !== state; n++) await step(id)
  expect(await remedyOf(id)).toBe(state as never)
}

describe("the way to a verified undo", () => {
  test("is incident, proposal, decision, action and verification, each once", async () => {
    const id = await openIncident()
    await walkTo(id, "proposed")
    expect(admin.asked).toHaveLength(1)
    expect(admin.asked[0]?.input).toMatchObject({ action: "undo", toRevision: 1, incidentId: id, evidence })
    expect(await step(id)).toMatchObject({ _tag: "Again", note: "waits for a decision" })
    update("p-1", { state: "executing", ...decided("p-1", "approved") })
    await walkTo(id, "acting")
    admin.actions.set("a-1", recorded("a-1", "succeeded"))
    update("p-1", { state: "succeeded", actionId: "a-1" })
    await walkTo(id, "verifying")
    expect(await step(id)).toMatchObject({ _tag: "Again" })

    const { workload, revisions } = cluster!
    const [good, bad] = revisions
    // The controller numbers the old revision anew when it is gone back to.
    cluster = {
      workload: { ...workload, ready: 1, generation: 3 },
      revisions: [
        { ...bad!, current: false },
        {
          revision: { ...good!.revision, revision: 3 },
          current: true,
          pods: [makePod({ readySince: Date.now() - 60_000 })]
        }
      ]
    }
    expect(await step(id)).toMatchObject({ _tag: "Again" })
    await step(id, thresholds.verify)
    expect(await remedyOf(id)).toBe("verified")
    expect(await step(id)).toEqual({ _tag: "Over" })
    const timeline = await runtime.runPromise(IncidentStore.use((store) => store.timeline(id)))
    expect(timeline.map(({ event }) => event)).toEqual([
      "opened",
      "evidence",
      "proposed",
      "acting",
      "verifying",
      "verified"
    ])
    expect(timeline.find(({ event }) => event === "acting")?.actor).toEqual(person)
  })
})

describe("an action that does not help", () => {
  test("is ineffective after its time, and what it went back to is marked bad", async () => {
    const id = await openIncident()
    await walkTo(id, "proposed")
    admin.actions.set("a-1", recorded("a-1", "succeeded"))
    update("p-1", { state: "succeeded", actionId: "a-1", ...decided("p-1", "approved") })
    await walkTo(id, "verifying")
    await step(id, thresholds.verifyLimit)
    expect(await remedyOf(id)).toBe("ineffective")
    const { revisions, workload } = cluster!
    const health = await runtime.runPromise(IncidentStore.use((store) => store.healthOf(workload.uid)))
    expect(health).toContainEqual(
      expect.objectContaining({ revisionUid: revisions.find(({ current }) => current)?.revision.uid, bad: true })
    )
  })
})

describe("a lost answer", () => {
  test("makes no second proposal: the same key is used until admin has it", async () => {
    const id = await openIncident()
    admin.loseAnswer = true
    await walkTo(id, "proposed")
    expect(admin.asked.length).toBeGreaterThan(1)
    expect(new Set(admin.asked.map(({ key }) => key)).size).toBe(1)
    expect(admin.proposals.size).toBe(1)
  })

  test("of two processes that take the same step at once leaves one proposal", async () => {
    const id = await openIncident()
    await step(id)
    await Promise.all([step(id), step(id), step(id)])
    expect(admin.proposals.size).toBe(1)
    expect(await remedyOf(id)).toBe("proposed")
  })
})

describe("admin away", () => {
  test("is shown as a proposal that is pending, and asked again", async () => {
    const id = await openIncident()
    admin.fault = new AdminAway({ detail: "gateway: unreachable" })
    await step(id)
    expect(await step(id)).toMatchObject({ _tag: "Again", note: "gateway: unreachable" })
    expect(await remedyOf(id)).toBe("proposal_pending")
    admin.fault = undefined
    await walkTo(id, "proposed")
    admin.fault = new AdminAway({ detail: "gateway: unreachable" })
    expect(await step(id)).toMatchObject({ _tag: "Again" })
    expect(await remedyOf(id)).toBe("proposed")
  })

  test("a refusal holds back and is asked in another round", async () => {
    const id = await openIncident()
    admin.fault = new AdminRefused({ status: 409, code: "stale", detail: "changed" })
    await walkTo(id, "suppressed")
    admin.fault = undefined
    await walkTo(id, "proposed")
    expect(new Set(admin.asked.map(({ key }) => key)).size).toBe(2)
  })
})

describe("decisions of people", () => {
  for (const [state, remedy] of [
    ["rejected", "rejected"],
    ["expired", "expired"]
  ] as const) {
    test(`${state} ends it`, async () => {
      const id = await openIncident()
      await walkTo(id, "proposed")
      update("p-1", { state, ...(state === "rejected" ? decided("p-1", "rejected") : {}) })
      await walkTo(id, remedy)
      expect(await step(id)).toEqual({ _tag: "Over" })
    })
  }

  test("a proposal that became stale is judged anew, with another key", async () => {
    const id = await openIncident()
    await walkTo(id, "proposed")
    update("p-1", { state: "stale", message: "generation changed" })
    await walkTo(id, "none")
    await walkTo(id, "proposed")
    expect(admin.proposals.size).toBe(2)
  })

  test("an action whose end admin does not know is over and holds back no other", async () => {
    const id = await openIncident()
    await walkTo(id, "proposed")
    admin.actions.set("a-1", recorded("a-1", "unknown"))
    update("p-1", { state: "unknown", actionId: "a-1", ...decided("p-1", "approved") })
    await walkTo(id, "failed")
    expect(await step(id)).toEqual({ _tag: "Over" })
  })

  test("an action that failed is told with its reason", async () => {
    const id = await openIncident()
    await walkTo(id, "proposed")
    admin.actions.set("a-1", recorded("a-1", "failed"))
    update("p-1", { state: "failed", actionId: "a-1", ...decided("p-1", "approved") })
    await walkTo(id, "failed")
    const row = await runtime.runPromise(IncidentStore.use((store) => store.get(id)))
    expect(row).toMatchObject({ advice: "no_history", action: { id: "a-1" } })
  })
})

describe("an old picture", () => {
  test("proposes nothing and verifies nothing", async () => {
    const id = await openIncident()
    blind = true
    expect(await step(id)).toMatchObject({ _tag: "Again" })
    expect(await remedyOf(id)).toBe("none")
    expect(admin.asked).toEqual([])
  })
})
