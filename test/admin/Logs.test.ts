/** Logs as events: what is asked of the API server, what is refused before anything is asked, and that nothing is left open. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type LogEvent, type LogQuery, Logs } from "#admin/Logs.ts"
import { Kubernetes } from "#shared/kubernetes/Kubernetes.ts"
import { resources } from "#shared/kubernetes/objects.ts"
import { make, startWorld, type World } from "#test/admin/simulated.ts"
import { until } from "#test/shared/until.ts"

let world: World
let asked: Array<string>
beforeEach(async () => {
  world = await startWorld({ logs: { maxStreams: 2 } })
  asked = []
  world.cluster.intercept((request) => {
    const url = new URL(request.url)
    if (url.pathname.endsWith("/log")) asked.push(`${url.pathname.split("/").at(-2)}${url.search}`)
    return undefined
  })
})
afterEach(() => world.stop())

const podOf = async (app: string) => {
  const { items } = await world.run(
    Kubernetes.use((kubernetes) =>
      kubernetes.list({ resource: resources.Pod, namespace: "dev", labelSelector: `app=${app}` })
    )
  )
  return items[0]!.metadata.name
}

const deploy = async (image = "web:1", initImage?: string) => {
  const init = initImage === undefined ? {} : { initImage }
  await make(world.cluster, { kind: "Deployment", name: "web", image, replicas: 1, ...init })
  await world.pass(10)
  return podOf("web")
}

const opened = (pod: string, query: LogQuery = {}, more: { readonly userId?: string; readonly until?: number } = {}) =>
  Logs.use((logs) => logs.open({ namespace: "dev", pod, query, userId: "ada", ...more }))

const all = (pod: string, query: LogQuery = {}) => world.run(Effect.flatMap(opened(pod, query), Stream.runCollect))

const textOf = (events: ReadonlyArray<LogEvent>) =>
  events.flatMap((one) => (one.event === "line" ? [one.data.text] : []))

/** Follows a log in the background; `events` fills up as it comes. */
const follow = async (pod: string, userId = "ada", deadline?: number) => {
  const events: Array<LogEvent> = []
  const until = deadline === undefined ? {} : { until: deadline }
  const fiber = await world.run(
    Effect.flatMap(opened(pod, { follow: "true" }, { userId, ...until }), (stream) =>
      Effect.forkDetach(Stream.runForEach(stream, (event) => Effect.sync(() => events.push(event))))
    )
  )
  return { events, leave: () => world.run(Fiber.interrupt(fiber)) }
}

describe("a log", () => {
  test("comes line by line with its time, the last 500 unless told, and says its end", async () => {
    const pod = await deploy()
    const events = await all(pod)
    expect(textOf(events)).toEqual(expect.arrayContaining(["starting web:1", "listening on :8080"]))
    expect(events[0]).toMatchObject({ event: "line", id: "1" })
    expect(events[0]?.event === "line" && events[0].data.at?.startsWith("2026-01-01T00:00:0")).toBe(true)
    expect(events.at(-1)).toMatchObject({ event: "end", data: { reason: "complete" } })
    expect(asked).toHaveLength(1)
    expect(asked[0]).toContain("tailLines=500")
    expect(asked[0]).toContain("container=app")
  })

  test("of no line at all is asked for as such: tailLines=0 is not left out", async () => {
    const pod = await deploy()
    expect(textOf(await all(pod, { tailLines: "0" }))).toEqual([])
    expect(asked[0]).toContain("tailLines=0")
  })

  test("of the previous instance shows what it died of, even if it is to be followed", async () => {
    const pod = await deploy("web:crash")
    const events = await all(pod, { previous: "true", follow: "true" })
    expect(textOf(events)).toContain("fatal: cannot open configuration")
    expect(asked[0]).toContain("previous=true")
    expect(asked[0]).not.toContain("follow")
  })

  test("of an init container can be had by its name", async () => {
    const pod = await deploy("web:1", "prepare:1")
    expect(textOf(await all(pod, { container: "prepare" }))).toContain("starting prepare:1")
  })

  test("masks the password of a URL", async () => {
    const pod = await deploy()
    world.cluster.intercept((request) =>
      new URL(request.url).pathname.endsWith("/log")
        ? new Response("2026-01-01T00:00:01Z connecting to pg://app:canary@db/app\n")
        : undefined
    )
    expect(textOf(await all(pod))).toEqual(["connecting to pg://app:***@db/app"])
  })
})

describe("refusals come before the first event", () => {
  const invalid: ReadonlyArray<readonly [pod: string, query: LogQuery, pointer: string]> = [
    ["web", { tailLines: "-1" }, "/query/tailLines"],
    ["web", { tailLines: "NaN" }, "/query/tailLines"],
    ["web", { tailLines: "1e3" }, "/query/tailLines"],
    ["web", { tailLines: "10001" }, "/query/tailLines"],
    ["web", { tailLines: "" }, "/query/tailLines"],
    ["web", { sinceSeconds: "0" }, "/query/sinceSeconds"],
    ["web", { sinceSeconds: "99999999" }, "/query/sinceSeconds"],
    ["web", { container: "App" }, "/query/container"],
    ["web", { container: "app&previous=true" }, "/query/container"],
    ["../../secrets/db", {}, "/pod"],
    ["web%2f..", {}, "/pod"],
    ["Web", {}, "/pod"],
    ["", {}, "/pod"]
  ]
  for (const [pod, query, pointer] of invalid) {
    test(`security: ${pod} ${JSON.stringify(query)} reaches no API server`, async () => {
      let requests = 0
      world.cluster.intercept((request) => {
        // The view has its own lists under way.
        if (/\/pods\/|\.\./u.test(request.url)) requests += 1
        return undefined
      })
      const refusal = await world.refused(opened(pod, query))
      expect(refusal).toMatchObject({ _tag: "InvalidInput", errors: [{ pointer }] })
      expect(requests).toBe(0)
    })
  }

  test("no such pod, no such container, no previous instance", async () => {
    const pod = await deploy()
    const refusals = [
      await world.refused(opened("nobody")),
      await world.refused(opened(pod, { container: "nobody" })),
      await world.refused(opened(pod, { previous: "true" }))
    ]
    expect(refusals.map(({ _tag, message }) => [_tag, message])).toEqual([
      ["PodNotFound", 'pods "nobody" not found'],
      ["PodNotFound", `container nobody is not valid for pod ${pod}`],
      ["NoPrevious", `previous terminated container "app" in pod "${pod}" not found`]
    ])
  })

  test("more streams than a user may have; another user's do not count, and a place is free again afterwards", async () => {
    const pod = await deploy()
    const first = await follow(pod)
    const second = await follow(pod)
    await until("both", () => first.events.length > 0 && second.events.length > 0)
    expect((await world.refused(opened(pod)))._tag).toBe("TooManyStreams")
    const other = await follow(pod, "grace")
    await until("the other's", () => other.events.length > 0)
    await first.leave()
    expect(textOf(await all(pod)).length).toBeGreaterThan(0)
    await second.leave()
    await other.leave()
  })

  test("streams that were opened at once do not get past the limit", async () => {
    const pod = await deploy()
    const streams = await world.run(Effect.all([opened(pod), opened(pod), opened(pod)]))
    const query = { follow: "true" } as const
    const followed = await world.run(Effect.all([opened(pod, query), opened(pod, query), opened(pod, query)]))
    expect(streams).toHaveLength(3)
    const ends: Array<LogEvent> = []
    const fibers = await world.run(
      Effect.forEach(followed, (stream) =>
        Effect.forkDetach(
          Stream.runForEach(stream, (event) =>
            Effect.sync(() => (event.event === "end" ? ends.push(event) : undefined))
          )
        )
      )
    )
    await until("the third's end", () => ends.length === 1)
    expect(ends[0]).toMatchObject({ data: { reason: "failed", detail: "no more than 2 log streams at a time" } })
    await world.run(Effect.forEach(fibers, Fiber.interrupt))
  })
})

describe("a followed log", () => {
  test("goes on with what is written, and stays open while nothing is", async () => {
    const pod = await deploy()
    const log = await follow(pod)
    await until("its beginning", () => log.events.length >= 2)
    const before = log.events.length
    await world.pass(30)
    await until("more of it", () => log.events.length >= before + 3)
    const after = log.events.length
    // Only the services' time goes on: the container writes nothing.
    await world.run(TestClock.adjust("11 minutes"))
    await world.pass(30)
    await until("what comes after the silence", () => log.events.length >= after + 3)
    expect(log.events.every(({ event }) => event === "line")).toBe(true)
    await log.leave()
  })

  test("security: ends with the caller's token", async () => {
    const pod = await deploy()
    const log = await follow(pod, "ada", world.cluster.now() + 60_000)
    await until("its beginning", () => log.events.length >= 2)
    await world.run(TestClock.adjust("61 seconds"))
    await until("its end", () => log.events.at(-1)?.event === "end")
    expect(log.events.at(-1)).toMatchObject({ data: { reason: "expired" } })
  })

  test("aborts the request upstream when the client leaves", async () => {
    const pod = await deploy()
    let aborted = false
    world.cluster.intercept((request) => {
      if (!new URL(request.url).pathname.endsWith("/log")) return undefined
      request.signal.addEventListener("abort", () => (aborted = true))
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode("one line\n")),
        cancel: () => {
          aborted = true
        }
      })
      return new Response(body)
    })
    const log = await follow(pod)
    await until("its first line", () => log.events.length === 1)
    await log.leave()
    await until("the end upstream", () => aborted)
  })

  test("ends with a word when the connection is cut", async () => {
    const pod = await deploy()
    world.cluster.intercept((request) =>
      new URL(request.url).pathname.endsWith("/log")
        ? new Response(
            new ReadableStream<Uint8Array>({
              pull: (controller) => {
                controller.error(new Error("cut at 10.43.0.1"))
              }
            })
          )
        : undefined
    )
    const log = await follow(pod)
    await until("its end", () => log.events.length === 1)
    expect(log.events[0]).toMatchObject({ event: "end", data: { reason: "failed" } })
  })
})
