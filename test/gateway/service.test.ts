/** The settings file while the gateway runs: a good one takes effect, a bad one leaves the old in force and says why. */
import { afterAll, beforeAll, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { type EchoUpstream, startEcho } from "#test/gateway/echoUpstream.ts"
import { type GatewayFixture, provider, startGateway } from "#test/gateway/fixture.ts"
import { until } from "#test/shared/until.ts"

setDefaultTimeout(60_000)

let echo: EchoUpstream
let gateway: GatewayFixture

const content = (...paths: ReadonlyArray<string>) => ({
  providers: [provider],
  routes: paths.map((path, index) => ({ id: `r${index}`, path, upstream: echo.url, service: "x", public: true }))
})
const status = async (path: string) => (await gateway.ask(path)).status

beforeAll(async () => {
  echo = startEcho()
  gateway = await startGateway({ settings: content("/one"), env: { LOG_LEVEL: "Warn" } })
})
afterAll(async () => {
  await gateway?.stop()
  await echo?.stop()
})

test("a changed settings file takes effect without a restart, requests under way stay on the old", async () => {
  const coming = echo.nextFeed()
  const asked = gateway.ask("/one/stream")
  const feed = await coming
  feed.send("begun, ")
  gateway.writeSettings(content("/two"))
  await until("the new route is there", async () => (await status("/two")) === 200)
  expect(await status("/one")).toBe(401)
  feed.send("ended")
  feed.end()
  expect(await (await asked).text()).toBe("begun, ended")
})

// What else is wrong with a file is settingsFile.test.ts's to show: here it is enough that each check is asked.
const bad: Readonly<Record<string, () => object | string>> = {
  "text that is no YAML": () => "routes: [",
  "an unknown key": () => ({ ...content("/three"), surprise: true }),
  "a route for a host that is not public": () => ({
    ...content(),
    routes: [{ ...content("/three").routes[0], hosts: ["localhots"] }]
  })
}
for (const [what, wrong] of Object.entries(bad)) {
  test(`a settings file with ${what} leaves the old one in force, and the log says why`, async () => {
    gateway.writeSettings(content("/two"))
    await until("the good file is in force", async () => (await status("/two")) === 200)
    const log = spyOn(console, "log").mockImplementation(() => {})
    gateway.writeSettings(wrong())
    await until("the fault is logged", async () => {
      await status("/two")
      return log.mock.calls.some(([line]) => String(line).includes("the old one stays in force"))
    })
    log.mockRestore()
    expect(await status("/two")).toBe(200)
    expect(await status("/three")).toBe(401)
  })
}

test("changed providers are told to need a restart", async () => {
  const log = spyOn(console, "log").mockImplementation(() => {})
  gateway.writeSettings({ ...content("/five"), providers: [] })
  await until("the new route is there", async () => (await status("/five")) === 200)
  expect(log.mock.calls.flat().join()).toContain("providers take effect with the next start")
  log.mockRestore()
})

test("a good file after a bad one takes effect", async () => {
  gateway.writeSettings("routes: [")
  gateway.writeSettings(content("/four"))
  await until("the new route is there", async () => (await status("/four")) === 200)
  expect(await status("/two")).toBe(401)
})
