/** The platform through its public door, as the README tells it: one command, a login, a JWT, metrics of this host; faults of a user's day. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { createServer } from "node:net"
import { get, logInAs, makeJar } from "./browserJar.ts"
import { freePort } from "#test/shared/freePort.ts"
import { dataFolder, type PlatformProcess, startPlatformProcess, tryPlatformProcess } from "./platformProcess.ts"

describe("the platform", () => {
  const folder = dataFolder()
  let platform: PlatformProcess
  beforeAll(async () => {
    platform = await startPlatformProcess(folder.path)
  })
  afterAll(async () => {
    platform.signal("SIGTERM")
    await platform.exited
    folder.remove()
  })

  test("says what runs where, that the provider is for development, and how to stop", () => {
    const output = platform.output()
    expect(output).toContain(`ready: ${platform.origin}`)
    expect(output).toContain("Ctrl-C")
    for (const part of ["gateway", "dashboard", "monitor", "identity provider", "Postgres"])
      expect(output).toContain(part)
    expect(output).toContain("development only")
  })

  test("sends an anonymous navigation to the login page and answers a program 401", async () => {
    const jar = makeJar()
    const { response, url } = await jar.follow(`${platform.origin}/`)
    expect(new URL(url).pathname).toBe("/auth/login")
    expect(await response.text()).toContain("Continue with development login")
    const program = await fetch(`${platform.origin}/monitor/host`, { redirect: "manual" })
    expect(program.status).toBe(401)
    expect(program.headers.get("www-authenticate")).toBe("Bearer")
  })

  test("lets a viewer read the host's real metrics with a JWT", async () => {
    const { token } = await logInAs(platform.origin, "viewer")
    const response = await get(`${platform.origin}/monitor/host`, token)
    expect(response.status).toBe(200)
    const host = (await response.json()) as { memory: { totalBytes: number }; host: { uptimeSeconds: number } }
    const total = Number(
      /MemTotal:\s+(\d+)/u.exec(
        await Bun.file("/proc/meminfo")
          .text()
          .catch(() => "")
      )?.[1]
    )
    if (Number.isFinite(total)) expect(host.memory.totalBytes).toBe(total * 1024)
    const metrics = await get(`${platform.origin}/monitor/metrics`, token)
    expect(await metrics.text()).toContain("node_cpu_seconds_total{")
  })

  test("refuses who has no right with 403, and tells which right is needed", async () => {
    const { jar, token } = await logInAs(platform.origin, "newcomer")
    const response = await get(`${platform.origin}/monitor/host`, token)
    expect(response.status).toBe(403)
    expect(((await response.json()) as { detail: string }).detail).toContain("monitor:read")
    const page = await jar.visit(`${platform.origin}/`, { headers: { accept: "text/html" } })
    expect(page.status).toBe(403)
    expect(page.headers.get("content-type")).toContain("text/html")
  })

  test("gives each demo user the role of their name", async () => {
    for (const role of ["viewer", "developer", "operator", "approver", "owner"]) {
      const { token } = await logInAs(platform.origin, role)
      const me = (await (await get(`${platform.origin}/auth/me`, token)).json()) as { roles: Array<string> }
      expect(me.roles).toEqual([role])
    }
  })

  test("streams snapshots through the gateway until the client leaves", async () => {
    const { token } = await logInAs(platform.origin, "viewer")
    const abort = new AbortController()
    const response = await fetch(`${platform.origin}/monitor/stream?interval=1`, {
      headers: { authorization: `Bearer ${token}` },
      signal: abort.signal
    })
    expect(response.headers.get("content-type")).toStartWith("text/event-stream")
    let text = ""
    for await (const chunk of response.body!) {
      text += new TextDecoder().decode(chunk)
      if (text.split("event: host").length > 2) break
    }
    abort.abort()
    expect(text.split("event: host").length).toBeGreaterThan(2)
  })

  test("keeps what it records: history answers after a restart, and the session lives on", async () => {
    const { jar } = await logInAs(platform.origin, "viewer")
    platform.signal("SIGTERM")
    expect(await platform.exited).toBe(0)
    platform = await startPlatformProcess(folder.path, Number(new URL(platform.origin).port))
    const me = await jar.visit(`${platform.origin}/auth/me`)
    expect(me.status).toBe(200)
    const history = await jar.visit(`${platform.origin}/monitor/history?metric=load.load1`)
    expect(history.status).toBe(200)
  })

  test("refuses a second start on the same data folder and changes nothing", async () => {
    const second = await tryPlatformProcess(folder.path)
    expect(await second.exited).toBe(1)
    expect(second.output()).toContain(`already in use by pid ${platform.pid}`)
    expect(second.output()).not.toContain("    at ")
    const { token } = await logInAs(platform.origin, "viewer")
    expect((await get(`${platform.origin}/monitor/host`, token)).status).toBe(200)
  })

  test("recovers on the next start from being killed", async () => {
    const { jar } = await logInAs(platform.origin, "owner")
    platform.signal("SIGKILL")
    await platform.exited
    platform = await startPlatformProcess(folder.path, Number(new URL(platform.origin).port))
    expect(platform.output()).toContain("ready: ")
    expect((await jar.visit(`${platform.origin}/auth/users`)).status).toBe(200)
  })
})

test("a taken port gets a clear message and exit code 1, not a stack", async () => {
  const folder = dataFolder()
  const port = await freePort(2)
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(port, "127.0.0.1", resolve))
  try {
    const platform = await tryPlatformProcess(folder.path, port)
    expect(await platform.exited).toBe(1)
    expect(platform.output()).toContain(`cannot listen on 127.0.0.1:${port}: the port is taken; set another with PORT`)
    expect(platform.output()).not.toContain("    at ")
  } finally {
    other.close()
    folder.remove()
  }
})
