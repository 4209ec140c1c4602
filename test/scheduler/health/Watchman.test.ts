/** The watchman's rounds on a real database: what closes an incident, and when. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Clock, Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { IncidentStore } from "#scheduler/health/IncidentStore.ts"
import type { View } from "#scheduler/health/view.ts"
import { Watch } from "#scheduler/health/Watch.ts"
import { Watchman } from "#scheduler/health/Watchman.ts"
import { migrations } from "#scheduler/migrations/index.ts"
import { Database } from "#shared/sql.ts"
import { freshDatabase } from "#test/shared/postgres.ts"
import { defaults, makePod, makeWorkload, minutes, seen, start } from "./cluster.ts"

let picture: View | undefined
/** Rounds happen when the test says so. */
const thresholds = { ...defaults, interval: minutes(60) }

const runtimeOf = (url: string) =>
  ManagedRuntime.make(
    Watchman.layer(thresholds, Effect.succeed({ pursue: () => Effect.void, changed: () => Effect.void })).pipe(
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
const round = (ahead = 0) =>
  runtime.runPromise(
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
