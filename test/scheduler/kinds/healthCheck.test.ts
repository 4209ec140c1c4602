/** `health.check` against servers of the test's own, its resolver in the test's hands. */
import { afterAll, expect, test } from "bun:test"
import { createServer } from "node:net"
import { Effect } from "effect"
import { healthCheck } from "#scheduler/kinds/healthCheck.ts"
import { isClusterAddress } from "#scheduler/kinds/addresses.ts"
import { kindOf } from "./runKind.ts"

let asked: Array<string> = []
let status = 200
const web = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: (request) => {
    asked.push(`${request.headers.get("host")} ${new URL(request.url).pathname}`)
    return new Response("", { status, ...(status === 302 ? { headers: { location: "http://evil.example/" } } : {}) })
  }
})
afterAll(() => web.stop(true))

let addresses: ReadonlyArray<string> = ["127.0.0.1"]
const resolved: Array<string> = []
const resolve = async (host: string) => {
  resolved.push(host)
  return addresses
}
const common = { namespace: "dev", identity: undefined, resolve }
const { handler, run } = await kindOf("health.check", healthCheck({ ...common, permitted: () => true }))
const strict = await kindOf("health.check", healthCheck({ ...common, permitted: isClusterAddress }))

test("a Service of the namespace that answers is healthy, with status and latency", async () => {
  const { outcome } = await run({ check: "http", service: "orders", port: web.port, path: "/healthz" })
  expect(outcome).toMatchObject({ _tag: "Done", result: { status: 200, latencyMs: expect.any(Number) } })
  expect(resolved.at(-1)).toBe("orders.dev.svc")
  expect(asked.at(-1)).toBe(`orders.dev.svc:${web.port} /healthz`)
})

test("a status that is not expected is unhealthy, and is not tried again", async () => {
  status = 503
  const payload = { check: "http", service: "orders", port: web.port }
  expect((await run(payload)).failure).toMatchObject({
    retryable: false,
    detail: expect.stringContaining("answered 503")
  })
  expect((await run({ ...payload, expectStatus: [503] })).outcome?._tag).toBe("Done")
  status = 200
})

test("an open port is healthy by TCP, a closed one is not", async () => {
  const probe = createServer()
  const port = await new Promise<number>((done) => {
    probe.listen(0, "127.0.0.1", () => done((probe.address() as { port: number }).port))
  })
  expect((await run({ check: "tcp", service: "orders", port })).outcome?._tag).toBe("Done")
  await new Promise((done) => probe.close(done))
  expect((await run({ check: "tcp", service: "orders", port })).failure?.detail).toContain("ECONNREFUSED")
})

test("security: a Service that leads to a metadata service, to loopback or to the Internet is not asked", async () => {
  for (const outside of [
    ["169.254.169.254"],
    ["127.0.0.1"],
    ["8.8.8.8"],
    ["10.0.0.1", "8.8.8.8"],
    ["::ffff:10.0.0.1"]
  ]) {
    addresses = outside
    asked = []
    const { failure } = await strict.run({ check: "http", service: "orders", port: web.port })
    expect(failure?.detail).toBe("orders.dev.svc leads outside of the cluster")
    expect(asked).toEqual([])
  }
  addresses = ["127.0.0.1"]
})

test("security: a payload can name neither another namespace nor another host", async () => {
  for (const service of ["orders.prod", "169.254.169.254", "evil.example", "orders/", "", "a b", "ORDERS"]) {
    const payload = { check: "http", service, port: 80 }
    expect((await Effect.runPromise(Effect.flip(handler.check(payload, ""))))._tag).toBe("InvalidInput")
  }
  for (const path of ["/admin/plans", "//evil.example"]) {
    expect((await Effect.runPromise(Effect.flip(handler.check({ check: "gateway", path }, ""))))._tag).toBe(
      "InvalidInput"
    )
  }
})
