/** The watchman's rounds on a real database: what closes an incident, and when. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Clock, Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { IncidentStore } from "#scheduler/health/IncidentStore.ts"
import type { View } from "#scheduler/health/view.ts"
import { Watch } from "#scheduler/health/Watch.ts"
import { type Follower, Watchman } from "#scheduler/health/Watchman.ts"
import { migrations } from "#scheduler/migrations/index.ts"
import { Database } from "#shared/sql.ts"
import { freshDatabase } from "#test/shared/postgres.ts"
import { crashed, defaults, failingPod, makePod, makeRevision, makeWorkload, minutes, seen, start } from "./cluster.ts"

let picture: View | undefined
/** Rounds happen when the test says so. */
const thresholds = { ...defaults, interval: minutes(60) }

const idle: Follower = { pursue: () => Effect.void, changed: () => Effect.void }

const runtimeOf = (url: string, follower = Effect.succeed(idle)) =>
  ManagedRuntime.make(
    Watchman.layer(thresholds, follower).pipe(
      Layer.provideMerge(IncidentStore.layer),
      Layer.provide(
        Layer.succeed(Watch, {
          view: () => picture,
          staleSince: () => undefined,
          workload: (uid) => picture?.workloads.find(({ workload }) => workload.uid === uid),
          counts: () => ({ workloads: 1, pods: 1 })
        })
      ),
      Layer.provide(
        Database.layer({ name: "logging DB", url: Redacted.make(url), applicationName: "gatehouse-test", migrations })
      )
    )
  )

let runtime: ReturnType<typeof runtimeOf>
beforeAll(async () => {
  runtime = runtimeOf((await freshDatabase("logging", "scheduler")).url)
})
afterAll(() => runtime.dispose())

/** A round as it would be `ahead` milliseconds from now. */
const round = (ahead = 0, by = runtime) =>
  by.runPromise(
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const now = Effect.map(clock.currentTimeMillis, (millis) => millis + ahead)
      const later: Clock.Clock = Object.assign(Object.create(clock), { currentTimeMillis: now })
      yield* Effect.provideService(
        Watchman.use((watchman) => watchman.round),
        Clock.Clock,
        later
      )
    })
  )

const open = (uid: string) =>
  runtime.runPromise(
    IncidentStore.use((store) =>
      store.observe(
        {
          key: `dev/Deployment/web/${uid}/crash_loop`,
          class: "crash_loop",
          namespace: "dev",
          kind: "Deployment",
          name: "web",
          uid,
          generation: 2,
          revision: 2,
          revisionUid: `${uid}-r2`,
          podCount: 1,
          restarts: 3,
          pod: null,
          container: null,
          reason: "CrashLoopBackOff",
          exitCode: 3,
          impact: "none",
          firstSeenAt: start
        },
        0
      )
    )
  )
const openUids = async () => (await runtime.runPromise(IncidentStore.use((store) => store.open))).map(({ uid }) => uid)

test("an incident stays open for ten minutes after it was last seen, though its failing pods are gone and the others were always well", async () => {
  const well = () => makePod({ readySince: Date.now() - minutes(60) })
  picture = seen({ pods: [well(), well(), well()] })
  await open("w-1")
  await round()
  await round(minutes(9))
  expect(await openUids()).toContain("w-1")
  await round(minutes(10))
  expect(await openUids()).not.toContain("w-1")
})

test("an incident of a workload that is gone is over", async () => {
  picture = seen({ workloads: [] })
  await open("w-gone")
  await round()
  expect(await openUids()).not.toContain("w-gone")
})

test("an incident of a workload that is scaled to zero is over, one of a paused workload is not", async () => {
  picture = seen({
    workloads: [makeWorkload({ uid: "w-zero", desired: 0 }), makeWorkload({ uid: "w-paused", paused: true })]
  })
  await open("w-zero")
  await open("w-paused")
  await round()
  expect(await openUids()).not.toContain("w-zero")
  expect(await openUids()).toContain("w-paused")
})

test("nothing is concluded while the cluster is not seen", async () => {
  picture = undefined
  await open("w-unseen")
  await round(minutes(60))
  expect(await openUids()).toContain("w-unseen")
})

const own = async (follower?: Effect.Effect<Follower>) => {
  const { url } = await freshDatabase("logging", "scheduler")
  return { url, first: runtimeOf(url, follower) }
}
const openOf = (by: typeof runtime) => by.runPromise(IncidentStore.use((store) => store.open))

test("a reboot that ended the scheduler too is a reboot: its thirty crashing pods open nothing for ten minutes", async () => {
  const node = (bootId: string) => ({ name: "node-1", bootId, ready: true, pressure: [] })
  const { first, url } = await own()
  picture = seen({ pods: [makePod()], nodes: [node("a")] })
  await round(0, first)
  await first.dispose()

  const second = runtimeOf(url)
  const now = Date.now()
  const many = Array.from({ length: 30 }, () => failingPod(1, crashed(5, now)))
  picture = seen({ pods: many, nodes: [node("b")] })
  for (const at of [0, 1, 2, 9]) await round(minutes(at), second)
  expect(await openOf(second)).toEqual([])
  for (const at of [11, 12, 13]) await round(minutes(at), second)
  expect((await openOf(second)).map(({ podCount }) => podCount)).toEqual([30])
  await second.dispose()
})

/** `failing` of ten workloads crash, each with a revision and a pod of its own. */
const ten = (failing: number) => {
  const names = Array.from({ length: 10 }, (_, n) => `app-${n}`)
  return seen({
    workloads: names.map((name) => makeWorkload({ name, uid: name })),
    revisions: names.map((name) =>
      makeRevision(1, { name, uid: `r-${name}`, owner: { kind: "Deployment", name, uid: name } })
    ),
    pods: names.map((name, n) => {
      const owner = { kind: "ReplicaSet", name, uid: `r-${name}` }
      return n < failing ? failingPod(1, crashed(5, Date.now()), { owner }) : makePod({ owner })
    })
  })
}

test("three of ten workloads that fail at once open one cluster_wide incident before anything follows from them", async () => {
  const seenAtPursuit: Array<boolean> = []
  const { first } = await own(
    Effect.succeed({
      changed: () => Effect.void,
      pursue: () =>
        Effect.promise(async () => {
          seenAtPursuit.push((await openOf(first)).some((one) => one.class === "cluster_wide"))
        })
    })
  )
  picture = ten(3)
  await round(0, first)
  await round(minutes(2), first)
  await round(minutes(3), first)
  const open = await openOf(first)
  expect(open.map((one) => one.class).toSorted()).toEqual(["cluster_wide", "crash_loop", "crash_loop", "crash_loop"])
  expect(new Set(seenAtPursuit)).toEqual(new Set([true]))
  const held = open.find((one) => one.class === "crash_loop")!
  expect(await first.runPromise(IncidentStore.use((store) => store.recent(held)))).toMatchObject({ clusterWide: true })
  await first.dispose()
})

test("two of ten are two incidents and nothing more", async () => {
  const { first } = await own()
  picture = ten(2)
  await round(0, first)
  await round(minutes(2), first)
  expect((await openOf(first)).map((one) => one.class)).toEqual(["crash_loop", "crash_loop"])
  await first.dispose()
})
