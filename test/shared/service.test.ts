/** What every service is to its runtime: health on the internal port, an orderly end, nothing left. */
import { expect, test } from "bun:test"
import { Context, Effect, Layer } from "effect"
import { makeService, peerAddress } from "#shared/service.ts"

class Thing extends Context.Service<Thing, { readonly works: () => boolean }>()("gatehouse/test/Thing") {}

const start = async () => {
  const state = { works: true, released: false, draining: false }
  const service = await makeService({
    name: "test",
    layer: Layer.effect(
      Thing,
      Effect.acquireRelease(Effect.succeed(Thing.of({ works: () => state.works })), () =>
        Effect.sync(() => (state.released = true))
      )
    ),
    fetch: (built) => {
      built.stopping.addEventListener("abort", () => (state.draining = true))
      return () => new Response("served")
    },
    ready: {
      thing: Thing.use((thing) => (thing.works() ? Effect.void : Effect.fail(new Error("the thing is away")))),
      other: Effect.void
    },
    internal: () => (path) => (path === "/extra" ? Promise.resolve(new Response("extra")) : undefined)
  })
  const ask = (path: string, method = "GET") => service.internal(new Request(`http://service.test${path}`, { method }))
  return { service, state, ask }
}

test("is live as soon as it stands, and ready while everything it needs works", async () => {
  const { ask, service, state } = await start()
  expect((await ask("/livez")).status).toBe(200)
  const ready = await ask("/readyz")
  expect([ready.status, await ready.json()]).toEqual([
    200,
    { ready: true, stopping: false, checks: { thing: "ok", other: "ok" } }
  ])
  state.works = false
  const unready = await ask("/readyz")
  expect([unready.status, await unready.json()]).toEqual([
    503,
    { ready: false, stopping: false, checks: { thing: "the thing is away", other: "ok" } }
  ])
  // A dependency that is away is no reason to be restarted.
  expect((await ask("/livez")).status).toBe(200)
  state.works = true
  expect((await ask("/readyz")).status).toBe(200)
  await service.dispose()
})

test("shows its metrics, its own internal routes, and nothing else", async () => {
  const { ask, service } = await start()
  const metrics = await ask("/metrics")
  expect([metrics.status, metrics.headers.get("content-type")]).toEqual([
    200,
    "text/plain; version=0.0.4; charset=utf-8"
  ])
  expect(await (await ask("/extra")).text()).toBe("extra")
  for (const path of ["/", "/none", "/readyz/", "/LIVEZ"]) expect((await ask(path)).status).toBe(404)
  for (const method of ["POST", "DELETE"]) expect((await ask("/livez", method)).status).toBe(405)
  expect((await ask("/readyz", "HEAD")).status).toBe(200)
  await service.dispose()
})

test("fails readiness when it drains, ends its streams, and still serves what comes", async () => {
  const { ask, service, state } = await start()
  service.drain()
  expect(state.draining).toBe(true)
  const answer = await ask("/readyz")
  expect([answer.status, await answer.json()]).toMatchObject([503, { ready: false, stopping: true }])
  expect(await (await service.fetch(new Request("http://service.test/"))).text()).toBe("served")
  expect((await ask("/livez")).status).toBe(200)
  await service.dispose()
})

test("releases everything when it is disposed, drained before or not", async () => {
  const { service, state } = await start()
  await service.dispose()
  expect(state).toMatchObject({ released: true, draining: true })
})

test("does not start, and leaves nothing, if a layer fails", async () => {
  const state = { released: false }
  const failing = Layer.merge(
    Layer.effectDiscard(Effect.acquireRelease(Effect.void, () => Effect.sync(() => (state.released = true)))),
    Layer.effectDiscard(Effect.die(new Error("no such thing")))
  )
  const started = makeService({ name: "test", layer: failing, fetch: () => () => new Response(), ready: {} })
  expect(await started.catch((error: unknown) => String(error))).toContain("no such thing")
})

test("knows its peer from Bun's server and from Deno's connection, and otherwise says so", () => {
  const request = new Request("http://service.test/")
  expect(peerAddress(request, { requestIP: () => ({ address: "10.0.0.1", port: 1 }) })).toBe("10.0.0.1")
  expect(peerAddress(request, { remoteAddr: { hostname: "10.0.0.2" } })).toBe("10.0.0.2")
  for (const unknown of [undefined, null, {}, "10.0.0.3", { requestIP: () => null }]) {
    expect(peerAddress(request, unknown)).toBeUndefined()
  }
})
