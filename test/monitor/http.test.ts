/** The monitor's routes from outside: who may ask, what they answer, and what a bad question gets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { HostSnapshot, SelfCheck } from "#shared/api/monitor.ts"
import { Problem } from "#shared/api/problem.ts"
import { make } from "#monitor/service.ts"
import { ConfigInvalid } from "#shared/config.ts"
import { type Running, startMonitor } from "#test/monitor/callers.ts"
import { parseExposition } from "#test/monitor/exposed.ts"
import { makeTree, type Tree, removeFolders } from "#test/monitor/tree.ts"

afterAll(removeFolders)

const routes = ["/monitor/metrics", "/monitor/host", "/monitor/stream", "/monitor/history", "/monitor/selfcheck"]

let monitor: Running
let tree: Tree
beforeAll(async () => {
  tree = makeTree()
  monitor = await startMonitor({ MONITOR_ROOTFS: tree.root })
})
afterAll(() => monitor.stop())

const problemOf = async (response: Response) => Schema.decodeUnknownSync(Problem)(await response.json())

describe("every route", () => {
  test.each(routes)("%s answers 401 without an identity token and 403 without the right", async (path) => {
    const [stranger, other] = [
      await monitor.ask(path, { scope: null }),
      await monitor.ask(path, { scope: "admin:read" })
    ]
    expect([stranger.status, other.status]).toEqual([401, 403])
    expect(stranger.headers.get("www-authenticate")).toStartWith("Bearer")
    expect((await problemOf(other)).code).toBe("forbidden")
  })

  test.each(routes.slice(0, 3))("%s answers HEAD as GET, without the body", async (path) => {
    const response = await monitor.ask(path, { method: "HEAD" })
    expect([response.status, await response.text()]).toEqual([200, ""])
    expect(response.headers.get("content-type")).not.toBeNull()
  })

  test("anything else is 404, or 405 where another method is right", async () => {
    expect((await monitor.ask("/monitor/nothing")).status).toBe(404)
    const posted = await monitor.ask("/monitor/metrics", { method: "POST" })
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"])
  })
})

describe("/monitor/metrics", () => {
  const names = (text: string) =>
    [...parseExposition(text).values.keys()]
      .map((series) => /^node_scrape_collector_success\{collector="(.+)"\}$/u.exec(series)?.[1])
      .filter((name) => name !== undefined)

  test("is Prometheus text 0.0.4 of the host", async () => {
    const response = await monitor.ask("/monitor/metrics")
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8")
    const { values } = parseExposition(await response.text())
    expect(values.get("node_load1")).toBe(0.37)
    expect(values.get('node_disk_read_bytes_total{device="sda"}')).toBe(1003346126 * 512)
  })

  test("stays 200 when a file goes bad, and is new for who forbids the cache", async () => {
    const text = tree.text("proc/loadavg")
    tree.write("proc/loadavg", "0.3")
    const response = await monitor.ask("/monitor/metrics", { headers: { "cache-control": "no-cache" } })
    const { values } = parseExposition(await response.text())
    tree.write("proc/loadavg", text)
    await monitor.ask("/monitor/metrics", { headers: { "cache-control": "no-cache" } })
    expect([response.status, values.get('node_scrape_collector_success{collector="loadavg"}')]).toEqual([200, 0])
    expect(values.get('node_scrape_collector_success{collector="cpu"}')).toBe(1)
    expect(values.has("node_load1")).toBe(false)
  })

  test("shows only what collect[] names, or all but what exclude[] names", async () => {
    const only = await (await monitor.ask("/monitor/metrics?collect[]=cpu&collect[]=loadavg")).text()
    expect(names(only)).toEqual(["cpu", "loadavg"])
    const without = names(await (await monitor.ask("/monitor/metrics?exclude[]=cpu&exclude[]=unheard-of")).text())
    expect([without.includes("cpu"), without.includes("loadavg")]).toEqual([false, true])
  })

  test("refuses both together and a collector that there is not", async () => {
    for (const query of ["collect[]=cpu&exclude[]=stat", "collect[]=nothing"]) {
      const response = await monitor.ask(`/monitor/metrics?${query}`)
      expect([response.status, (await problemOf(response)).code]).toEqual([400, "malformed_request"])
    }
  })
})

describe("/monitor/host and /monitor/selfcheck", () => {
  test("fit their schemas", async () => {
    const host = Schema.decodeUnknownSync(HostSnapshot)(await (await monitor.ask("/monitor/host")).json())
    expect(host.host.name).toBe("k3s-server")
    const check = Schema.decodeUnknownSync(SelfCheck)(await (await monitor.ask("/monitor/selfcheck")).json())
    expect(check.status).toBe("ok")
    expect(check.collectors.find(({ collector }) => collector === "conntrack")).toMatchObject({
      success: false,
      reason: expect.stringContaining("hostNetwork"),
      remedy: expect.any(String)
    })
  })

  test("say what is hidden and how to mend it", async () => {
    const hidden = makeTree()
    hidden.remove("proc/1")
    const other = await startMonitor({ MONITOR_ROOTFS: hidden.root })
    const check = Schema.decodeUnknownSync(SelfCheck)(await (await other.ask("/monitor/selfcheck")).json())
    await other.stop()
    expect(check.status).toBe("degraded")
    const degraded = check.checks.filter(({ status }) => status === "degraded")
    expect(degraded.map(({ name }) => name)).toEqual(["network", "mounts"])
    for (const { detail, remedy } of degraded)
      expect([detail, remedy]).toEqual([expect.stringContaining("hidepid"), expect.stringContaining("hidepid")])
  })
})

describe("/monitor/stream", () => {
  const events = async function* (response: Response) {
    let text = ""
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk
      for (let end = text.indexOf("\n\n"); end !== -1; end = text.indexOf("\n\n")) {
        const event = text.slice(0, end)
        text = text.slice(end + 2)
        if (!event.startsWith(":")) yield Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/su)))
      }
    }
  }

  test("sends snapshots with their time as id, and ends when the service drains", async () => {
    const own = await startMonitor({ MONITOR_ROOTFS: tree.root })
    const response = await own.ask("/monitor/stream?interval=1")
    expect(response.headers.get("content-type")).toBe("text/event-stream")
    const seen: Array<string> = []
    for await (const { data, event, id } of events(response)) {
      const snapshot = Schema.decodeUnknownSync(HostSnapshot)(JSON.parse(data!))
      expect([event, id]).toEqual(["host", snapshot.at])
      seen.push(snapshot.at)
      if (seen.length === 2) own.service.drain()
    }
    expect(seen.length).toBe(2)
    expect(seen[1]! > seen[0]!).toBe(true)
    await own.stop()
  })

  test("ends when the client goes", async () => {
    const client = new AbortController()
    const response = await monitor.ask("/monitor/stream?interval=60", { signal: client.signal })
    const read = events(response)
    await read.next()
    client.abort()
    expect(
      await read.next().then(
        ({ done }) => done,
        () => true
      )
    ).toBe(true)
  })

  test("refuses intervals that are no whole seconds from 1 to 60, and unknown fields", async () => {
    for (const query of ["interval=0", "interval=61", "interval=1.5", "interval=x", "every=1"]) {
      const response = await monitor.ask(`/monitor/stream?${query}`)
      expect([query, response.status]).toEqual([query, 422])
      expect((await problemOf(response)).errors![0]!.pointer).toBe(`/query/${query.split("=")[0]}`)
    }
  })
})

describe("/monitor/history without its database", () => {
  test("is 503 while everything else is served and the service is ready", async () => {
    const response = await monitor.ask("/monitor/history?metric=cpu.used_percent")
    expect([response.status, (await problemOf(response)).detail]).toEqual([503, "logging DB is unavailable"])
    expect((await monitor.ask("/monitor/host")).status).toBe(200)
    expect((await monitor.service.internal(new Request("http://localhost/readyz"))).status).toBe(200)
  })

  test("still refuses bad queries first, with pointers", async () => {
    const ask = async (query: string) => {
      const response = await monitor.ask(`/monitor/history?${query}`)
      return [response.status, (await problemOf(response)).errors?.[0]?.pointer]
    }
    expect(await ask("")).toEqual([422, "/query/metric"])
    expect(await ask("metric=nothing")).toEqual([422, "/query/metric"])
    expect(await ask("metric=load.load1&from=yesterday")).toEqual([422, "/query/from"])
    expect(await ask("metric=load.load1&from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z")).toEqual([400, undefined])
    expect(await ask("metric=load.load1&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&step=10")).toEqual([
      422,
      "/query/step"
    ])
  })
})

describe("the service", () => {
  test("rejects a bad configuration", async () => {
    const error = await make({ MONITOR_ROOTFS: "relative" }).then(
      () => undefined,
      (reason: unknown) => reason
    )
    expect(error).toBeInstanceOf(ConfigInvalid)
  })

  test("is not ready where it can see nothing", async () => {
    const blind = await startMonitor({ MONITOR_ROOTFS: "/nowhere" })
    const response = await blind.service.internal(new Request("http://localhost/readyz"))
    await blind.stop()
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject({ checks: { collectors: "missing: stat" } })
  })

  test("counts its collectors' failures on the internal port", async () => {
    await monitor.ask("/monitor/metrics")
    const text = await (await monitor.service.internal(new Request("http://localhost/metrics"))).text()
    expect(text).toMatch(/^gatehouse_monitor_collector_failures_total\{.*collector="conntrack".*\} [1-9]/mu)
  })
})
