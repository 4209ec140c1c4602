/** The listener: what becomes of a port that another has. */
import { afterAll, expect, test } from "bun:test"
import { listen, PortUnavailable } from "#shared/bun.ts"
import type { Service } from "#shared/service.ts"
import { freePort } from "#test/shared/freePort.ts"

const service = (name: string): Service => ({
  name,
  fetch: () => new Response(name),
  internal: async () => new Response(`${name} inside`),
  drain: () => {},
  dispose: async () => {}
})
const hostname = "127.0.0.1"
const port = await freePort()
const first = listen(service("first"), { hostname, port, internalPort: 0 })
afterAll(() => first.stop(0))

const outcomeOf = (options: { readonly port: number; readonly internalPort?: number }) => {
  try {
    return listen(service("second"), { hostname, ...options })
  } catch (error) {
    return error
  }
}

test("security: a port that another listener has is refused, not shared with it", async () => {
  const outcome = outcomeOf({ port })
  expect(outcome).toBeInstanceOf(PortUnavailable)
  expect(String(outcome)).toContain("the port is taken")
  for (let n = 0; n < 20; n++) expect(await (await fetch(`http://${hostname}:${port}/`)).text()).toBe("first")
})

test("a service whose internal port is taken listens on neither", async () => {
  const other = await freePort()
  expect(outcomeOf({ port: other, internalPort: first.internalPort! })).toBeInstanceOf(PortUnavailable)
  expect(
    await fetch(`http://${hostname}:${other}/`).then(
      () => "answered",
      () => "refused"
    )
  ).toBe("refused")
})
