/** The live feed: snapshot, changes, replay, and clients that are slow, gone or not allowed to know. */
import { afterEach, describe, expect, test } from "bun:test"
import { Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Feed, type FeedRequest, type Numbered, Recent } from "#admin/Feed.ts"
import { Cluster } from "#admin/Cluster.ts"
import type { Action, Proposal } from "#shared/api/admin.ts"
import { make, release, startWorld, type World } from "#test/admin/simulated.ts"
import { until } from "#test/shared/until.ts"

let world: World
afterEach(() => world.stop())

const action = (id: string, namespace = "dev"): Action => ({
  id,
  action: "restart",
  namespace,
  kind: "Deployment",
  name: "web",
  uid: null,
  actor: { id: "u", name: "Ada" },
  approver: null,
  reason: "because",
  proposalId: null,
  requestId: "r",
  state: "succeeded",
  message: "deployment.apps/web restarted",
  undo: null,
  objects: [],
  backup: null,
  upstreamStatus: 200,
  rollout: null,
  createdAt: "2026-01-01T00:00:00Z",
  finishedAt: null
})

const publish = (id: string, namespace?: string) =>
  world.run(Feed.use((feed) => feed.publish({ event: "action", data: action(id, namespace) })))

/** A client that reads as fast as it can. */
const connect = async (request: Partial<FeedRequest> = {}) => {
  const events: Array<Numbered> = []
  let ended = false
  const fiber = await world.run(
    Feed.use((feed) =>
      feed.open({ namespaces: ["dev"], lastEventId: null, ...request }).pipe(
        Stream.runForEach((event) => Effect.sync(() => events.push(event))),
        Effect.ensuring(Effect.sync(() => (ended = true))),
        Effect.forkDetach({ startImmediately: true })
      )
    )
  )
  return {
    events,
    /** Without heartbeats. */
    news: () => events.filter(({ event }) => event !== "heartbeat"),
    ended: () => ended,
    leave: () => world.run(Fiber.interrupt(fiber))
  }
}

const started = async () => {
  world = await startWorld({ feed: { queueSize: 8 } })
  await make(world.cluster, { kind: "Deployment", name: "web", image: "web:1" })
  await world.pass(10)
  await until("the view", async () => {
    const [web] = await world.run(Cluster.use((cluster) => cluster.workloads("dev")))
    return web?.phase === "complete"
  })
}

const idsOf = (events: ReadonlyArray<Numbered>) =>
  events.flatMap((one) => (one.event === "action" ? [one.data.id] : []))

test("a client gets the whole picture first, then each change with an ascending id", async () => {
  await started()
  const client = await connect()
  await until("the snapshot", () => client.news().length === 1)
  expect(client.news()[0]).toMatchObject({
    event: "snapshot",
    data: { workloads: [{ name: "web", phase: "complete" }], proposals: [], actions: [], staleSince: null }
  })
  await release(world.cluster, "Deployment", "web", "web:2")
  await world.pass(10)
  await publish("a1")
  await until("the action", () => idsOf(client.news()).length === 1)
  expect(client.news().some((one) => one.event === "workload" && one.data.images[0] === "web:2")).toBe(true)
  const ids = client.events.map(({ id }) => Number(id))
  expect(ids).toEqual(ids.toSorted((a, b) => a - b))
  await client.leave()
})

test("the snapshot has the proposals and actions of the caller's namespaces", async () => {
  const askedFor: Array<ReadonlyArray<string>> = []
  const proposals: ReadonlyArray<Proposal> = []
  world = await startWorld({
    recent: Layer.succeed(
      Recent,
      Recent.of({
        of: (namespaces) =>
          Effect.sync(() => {
            askedFor.push(namespaces)
            return { proposals, actions: [action("old")] }
          })
      })
    )
  })
  const client = await connect({ namespaces: ["dev"] })
  await until("the snapshot", () => client.news().length === 1)
  expect(client.news()[0]).toMatchObject({ data: { actions: [{ id: "old" }] } })
  expect(askedFor).toEqual([["dev"]])
  await client.leave()
})

test("the snapshot does not wait long for a database that does not answer", async () => {
  world = await startWorld({ recent: Layer.succeed(Recent, Recent.of({ of: () => Effect.never })) })
  await until("the view", async () =>
    world.run(
      Effect.as(
        Cluster.use((cluster) => cluster.workloads("dev")),
        true
      )
    )
  )
  const client = await connect()
  await until("the snapshot", async () => {
    await world.run(TestClock.adjust("1 second"))
    return client.news().length === 1
  })
  expect(client.news()[0]).toMatchObject({ event: "snapshot", data: { workloads: [], proposals: [], actions: [] } })
  await client.leave()
})

describe("a client that comes back", () => {
  test("gets what it has missed, once, and no snapshot", async () => {
    await started()
    const first = await connect()
    await publish("a1")
    await until("the first", () => idsOf(first.news()).length === 1)
    const lastEventId = first.news().at(-1)!.id
    await first.leave()
    await publish("a2")
    await publish("a3")
    const second = await connect({ lastEventId })
    await publish("a4")
    await until("all", () => idsOf(second.news()).length === 3)
    expect(idsOf(second.news())).toEqual(["a2", "a3", "a4"])
    expect(second.news().some(({ event }) => event === "snapshot")).toBe(false)
    await second.leave()
  })

  test("after a heartbeat misses nothing either", async () => {
    await started()
    await publish("a0")
    const first = await connect()
    await until("the snapshot", () => first.news().length === 1)
    await world.run(TestClock.adjust("5 seconds"))
    await until("a heartbeat", () => first.events.at(-1)?.event === "heartbeat")
    const lastEventId = first.events.at(-1)!.id
    await first.leave()
    await publish("a1")
    const second = await connect({ lastEventId })
    await until("the action", () => second.news().length === 1)
    expect(idsOf(second.news())).toEqual(["a1"])
    await second.leave()
  })

  const lost: ReadonlyArray<readonly [title: string, lastEventId: string]> = [
    ["of an earlier process", "1000"],
    ["from the future", "9007199254740990"],
    ["that is no number", "abc"],
    ["that is empty", ""]
  ]
  for (const [title, lastEventId] of lost) {
    test(`with an id ${title} is told to begin again`, async () => {
      await started()
      const client = await connect({ lastEventId })
      await until("both", () => client.news().length === 2)
      expect(client.news().map(({ event }) => event)).toEqual(["reset", "snapshot"])
      await client.leave()
    })
  }

  test("after more than five minutes is told to begin again", async () => {
    await started()
    const first = await connect()
    await until("the snapshot", () => first.news().length === 1)
    const lastEventId = first.news()[0]!.id
    await first.leave()
    await publish("a1")
    await world.run(TestClock.adjust("299 seconds"))
    const second = await connect({ lastEventId })
    await until("the replay", () => second.news().length === 1)
    expect(idsOf(second.news())).toEqual(["a1"])
    await second.leave()
    await world.run(TestClock.adjust("2 seconds"))
    const third = await connect({ lastEventId })
    await until("both", () => third.news().length === 2)
    expect(third.news().map(({ event }) => event)).toEqual(["reset", "snapshot"])
    await third.leave()
  })
})

describe("security", () => {
  test("nothing of a namespace that the caller may not read is sent, live or replayed", async () => {
    await started()
    const client = await connect({ namespaces: ["dev"] })
    await until("the snapshot", () => client.news().length === 1)
    const lastEventId = client.news()[0]!.id
    await make(world.cluster, { kind: "Deployment", name: "secret", image: "secret:1", namespace: "prod" })
    await world.pass(10)
    await publish("p1", "prod")
    await publish("d1", "dev")
    await until("the other's", () => idsOf(client.news()).includes("d1"))
    expect(idsOf(client.news())).toEqual(["d1"])
    expect(JSON.stringify(client.events)).not.toContain("secret")
    await client.leave()
    const again = await connect({ namespaces: ["dev"], lastEventId })
    await until("the replay", () => idsOf(again.news()).length === 1)
    expect(JSON.stringify(again.events)).not.toContain("prod")
    await again.leave()
  })

  test("the stream ends with the caller's token", async () => {
    await started()
    const client = await connect({ until: world.cluster.now() + 60_000 })
    await until("the snapshot", () => client.news().length === 1)
    await world.run(TestClock.adjust("61 seconds"))
    await until("the end", client.ended)
  })
})

test("a heartbeat comes at least every five seconds", async () => {
  await started()
  const client = await connect()
  await until("the snapshot", () => client.news().length === 1)
  const beats = () => client.events.filter(({ event }) => event === "heartbeat").length
  for (let turn = 1; turn <= 4; turn++) {
    const before = beats()
    await world.run(TestClock.adjust("5 seconds"))
    await until("a heartbeat", () => beats() > before)
  }
  await client.leave()
})

test("a client that reads too slowly is dropped with overflow, and the others go on", async () => {
  await started()
  const events: Array<Numbered> = []
  let open = () => {}
  const gate = new Promise<void>((resolve) => (open = resolve))
  const slow = world.run(
    Feed.use((feed) =>
      feed.open({ namespaces: ["dev"], lastEventId: null }).pipe(
        Stream.runForEach((event) =>
          Effect.andThen(
            Effect.sync(() => events.push(event)),
            Effect.promise(() => gate)
          )
        )
      )
    )
  )
  await until("its snapshot", () => events.length === 1)
  const fast = await connect()
  await until("the other's snapshot", () => fast.news().length === 1)
  for (let index = 0; index < 40; index++) {
    await publish(`a${index}`)
    await until("the other's", () => idsOf(fast.news()).length === index + 1)
  }
  open()
  await slow
  expect(events.at(-1)?.event).toBe("overflow")
  expect(idsOf(events).length).toBeLessThan(40)
  expect(fast.ended()).toBe(false)
  await fast.leave()
})
