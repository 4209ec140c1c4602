/** Incidents on a real Postgres: one for each fault, one remedy for each workload, and no move from a state that has passed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { type IncidentRow, IncidentStore } from "#scheduler/health/IncidentStore.ts"
import type { Finding } from "#scheduler/health/judge.ts"
import { migrations } from "#scheduler/migrations/index.ts"
import type { Action } from "#shared/api/admin.ts"
import { Database, SqlClient } from "#shared/sql.ts"
import { type FreshDatabase, freshDatabase } from "#test/shared/postgres.ts"
import { start } from "./cluster.ts"

const runtimeOf = (url: string) =>
  ManagedRuntime.make(
    IncidentStore.layer.pipe(
      Layer.provideMerge(
        Database.layer({
          name: "logging DB",
          url: Redacted.make(url),
          applicationName: "gatehouse-test",
          migrations
        })
      )
    )
  )

let database: FreshDatabase
let runtime: ReturnType<typeof runtimeOf>
beforeAll(async () => {
  database = await freshDatabase("logging", "scheduler")
  runtime = runtimeOf(database.url)
})
afterAll(() => runtime.dispose())

const using = <A, E>(use: (store: IncidentStore["Service"]) => Effect.Effect<A, E>): Promise<A> =>
  runtime.runPromise(IncidentStore.use(use))

let workloads = 0
const finding = (more: Partial<Finding> = {}): Finding => {
  const uid = more.uid ?? `w-${++workloads}`
  return {
    key: `dev/Deployment/${uid}/${uid}-2/crash_loop`,
    class: "crash_loop",
    namespace: "dev",
    kind: "Deployment",
    name: uid,
    uid,
    generation: 2,
    revision: 2,
    revisionUid: `${uid}-r2`,
    podCount: 1,
    restarts: 3,
    pod: `${uid}-x`,
    container: "app",
    reason: "CrashLoopBackOff",
    exitCode: 3,
    impact: "none",
    firstSeenAt: start,
    ...more
  }
}

const hour = 3_600_000
const observed = (one: Finding, reopen = hour) => using((store) => store.observe(one, reopen))
const move = (
  { id }: Pick<IncidentRow, "id">,
  from: IncidentRow["remedy"],
  to: IncidentRow["remedy"],
  fields: Parameters<IncidentStore["Service"]["move"]>[3] = {}
) => using((store) => store.move(id, from, to, fields, { event: to }))

describe("observe", () => {
  test("opens an incident once and refreshes it after that", async () => {
    const one = finding()
    const first = await observed(one)
    const second = await observed({ ...one, podCount: 10, restarts: 40 })
    expect([first.news, second.news]).toEqual(["opened", "seen"])
    expect(second.incident).toMatchObject({ id: first.incident.id, podCount: 10, restarts: 40, flaps: 0 })
  })

  test("opens one incident when many see the fault at the same moment", async () => {
    const one = finding()
    const all = await Promise.all(Array.from({ length: 8 }, () => observed(one)))
    expect(new Set(all.map(({ incident }) => incident.id)).size).toBe(1)
    expect(all.filter(({ news }) => news === "opened")).toHaveLength(1)
  })

  test("opens a fault that comes back soon as the same incident, with nothing left of its old remedy", async () => {
    const one = finding()
    const { incident } = await observed(one)
    await move(incident, "none", "suppressed", { advice: "later" })
    await using((store) => store.resolve(incident.id, "well"))
    const again = await observed(one)
    expect(again).toMatchObject({
      news: "reopened",
      incident: { id: incident.id, flaps: 1, remedy: "none", round: 1, advice: "", resolvedAt: null }
    })
  })

  test("opens a fault that comes back late as another incident", async () => {
    const one = finding()
    const { incident } = await observed(one)
    await using((store) => store.resolve(incident.id, "well"))
    const again = await observed(one, 0)
    expect(again.news).toBe("opened")
    expect(again.incident.id).not.toBe(incident.id)
  })
})

describe("resolve", () => {
  test("closes an open incident once", async () => {
    const { incident } = await observed(finding())
    expect(await using((store) => store.resolve(incident.id, "well"))).toBe(true)
    expect(await using((store) => store.resolve(incident.id, "well"))).toBe(false)
    expect((await using((store) => store.open)).map(({ id }) => id)).not.toContain(incident.id)
  })
})

describe("move", () => {
  test("is refused from a state that has passed", async () => {
    const { incident } = await observed(finding())
    expect(await move(incident, "none", "suppressed")).toBe(true)
    expect(await move(incident, "none", "advice")).toBe(false)
    expect((await using((store) => store.get(incident.id)))?.remedy).toBe("suppressed")
  })

  test("lets one of many through", async () => {
    const { incident } = await observed(finding())
    const all = await Promise.all(Array.from({ length: 8 }, () => move(incident, "none", "proposal_pending")))
    expect(all.filter(Boolean)).toHaveLength(1)
  })

  test("allows one remedy under way for a workload, whatever its incidents", async () => {
    const uid = "w-busy"
    const first = await observed(finding({ uid }))
    const second = await observed(finding({ uid, key: `dev/Deployment/${uid}/${uid}-2/rollout_stuck` }))
    expect(await move(first.incident, "none", "proposal_pending")).toBe(true)
    expect(await move(second.incident, "none", "proposal_pending")).toBe(false)
    expect(await using((store) => store.recent(second.incident))).toMatchObject({ busyWith: first.incident.id })
    expect(await move(first.incident, "proposal_pending", "verified")).toBe(true)
    expect(await move(second.incident, "none", "proposal_pending")).toBe(true)
  })

  test("leaves its line in the timeline, and none where the state stays", async () => {
    const { incident } = await observed(finding())
    await move(incident, "none", "suppressed", { advice: "a" })
    await move(incident, "suppressed", "suppressed", { advice: "b" })
    const timeline = await using((store) => store.timeline(incident.id))
    expect(timeline.map(({ event }) => event)).toEqual(["opened", "suppressed"])
    expect((await using((store) => store.get(incident.id)))?.advice).toBe("b")
  })

  test("keeps a wish until it is told another", async () => {
    const { incident } = await observed(finding())
    const wish = { action: "undo" as const, toRevision: 1, summary: "s" }
    await move(incident, "none", "proposal_pending", { wish })
    await move(incident, "proposal_pending", "proposal_pending", { advice: "admin is away" })
    expect((await using((store) => store.get(incident.id)))?.wish).toEqual(wish)
    await move(incident, "proposal_pending", "none", { wish: null })
    expect((await using((store) => store.get(incident.id)))?.wish).toBeNull()
  })
})

describe("a workload made anew under its old name", () => {
  test("has an incident of its own; the old one's is over, and nothing carries over to it", async () => {
    const key = "dev/Deployment/anew/anew-1/crash_loop"
    const old = await observed(finding({ key, uid: "anew-old" }))
    const fresh = await observed(finding({ key, uid: "anew-new" }))
    expect(fresh).toMatchObject({ news: "opened", incident: { uid: "anew-new", flaps: 0 } })
    expect((await using((store) => store.get(old.incident.id)))?.state).toBe("resolved")
    await using((store) => store.resolve(fresh.incident.id, "well"))
    expect((await observed(finding({ key, uid: "anew-third" }))).news).toBe("opened")
  })
})

describe("the limits", () => {
  const action = (id: string): Action => ({
    id,
    action: "undo",
    namespace: "dev",
    kind: "Deployment",
    name: "web",
    uid: null,
    actor: { id: "u", name: "u" },
    approver: null,
    reason: "",
    proposalId: null,
    requestId: "q",
    state: "succeeded",
    message: "",
    undo: null,
    objects: [],
    backup: null,
    upstreamStatus: 200,
    rollout: null,
    createdAt: new Date().toISOString(),
    finishedAt: null
  })
  const wish = { action: "undo" as const, toRevision: 1, summary: "s" }

  test("count every action of an incident that opens again and again, however old it is", async () => {
    const one = finding()
    for (const id of ["undo-1", "undo-2"]) {
      const { incident } = await observed(one)
      await move(incident, "none", "proposal_pending", { wish })
      await move(incident, "proposal_pending", "verifying", { action: action(id) })
      await move(incident, "verifying", "verified")
      await using((store) => store.resolve(incident.id, "well"))
    }
    const { incident } = await observed(one)
    await runtime.runPromise(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`UPDATE incidents SET opened_at = now() - interval '9 days' WHERE id = ${incident.id}`
      })
    )
    expect(await using((store) => store.recent(incident))).toMatchObject({ undos: 2, restarts: 0 })
  })

  test("know of a proposal that a person has just rejected", async () => {
    const { incident } = await observed(finding())
    expect((await using((store) => store.recent(incident))).sinceRejectedMs).toBeNull()
    await move(incident, "none", "proposed", { wish })
    await move(incident, "proposed", "rejected")
    expect((await using((store) => store.recent(incident))).sinceRejectedMs).toBeNumber()
  })
})

describe("people", () => {
  test("acknowledge and mute with their name in the timeline", async () => {
    const { incident } = await observed(finding())
    const actor = { id: "u-1", name: "Olga" }
    const seen = await using((store) => store.acknowledge(incident.id, actor))
    expect(seen?.acknowledged?.actor).toEqual(actor)
    const until = start + hour
    expect((await using((store) => store.mute(incident.id, until, "known", actor)))?.mutedUntil).toBe(until)
    const timeline = await using((store) => store.timeline(incident.id))
    expect(timeline.slice(1)).toMatchObject([
      { event: "acknowledged", actor },
      { event: "muted", actor }
    ])
  })
})

describe("revisions", () => {
  test("are good, bad or both, by their uid", async () => {
    await using((store) => store.markGood(new Map([["g-1", { workloadUid: "g", revision: 1 }]])))
    await using((store) => store.markGood(new Map([["g-1", { workloadUid: "g", revision: 3 }]])))
    await using((store) => store.markBad("g-2", "g", 2))
    expect(await using((store) => store.healthOf("g"))).toEqual(
      expect.arrayContaining([
        { revisionUid: "g-1", revision: 3, good: true, bad: false },
        { revisionUid: "g-2", revision: 2, good: false, bad: true }
      ])
    )
  })
})

describe("list", () => {
  test("filters and pages without a gap or a double", async () => {
    const namespace = "paging"
    for (let n = 0; n < 5; n++) {
      await observed(finding({ namespace, uid: `p-${n}`, key: `paging/${n}` }))
    }
    const page = (after?: string) =>
      using((store) => store.list({ namespace, limit: 2, ...(after === undefined ? {} : { after }) }))
    const first = await page()
    const second = await page(first.at(-1)?.id)
    const third = await page(second.at(-1)?.id)
    expect([...first, ...second, ...third].map(({ name }) => name)).toEqual(["p-4", "p-3", "p-2", "p-1", "p-0"])
    expect(await using((store) => store.list({ namespace, state: "resolved", limit: 10 }))).toEqual([])
  })
})
