/** The same `main.ts` files under `deno serve`: the gateway, the monitor and the sample service start there and a person logs in. */
import { afterAll, beforeAll, expect } from "bun:test"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Exit, Scope } from "effect"
import { startIdentityProvider } from "#dev/identityProvider.ts"
import { writeSettings } from "#dev/settings.ts"
import { workloadKey } from "#dev/workloadKey.ts"
import { freshDatabase } from "#test/shared/postgres.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { get, logInAs } from "./browserJar.ts"
import { freePort } from "#test/shared/freePort.ts"

// The program itself: killing the package's launcher would leave it behind.
const packaged = join(import.meta.dir, "../../node_modules/deno/deno")
const deno = existsSync(packaged) ? packaged : Bun.which("deno")
const { describe, test } = skipUnless(deno !== null, "no deno on this machine")

/** Serves one service with `deno serve` and waits until it listens. */
const serve = async (name: string, port: number, env: Record<string, string>) => {
  const command = [
    deno!,
    "serve",
    "--allow-all",
    "--host",
    "127.0.0.1",
    "--port",
    String(port),
    `services/${name}/main.ts`
  ]
  const child = Bun.spawn(command, {
    cwd: join(import.meta.dir, "../.."),
    env: { ...process.env, NO_COLOR: "1", LOG_LEVEL: "Warn", ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let output = ""
  const { promise: listening, resolve } = Promise.withResolvers<void>()
  const read = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) {
      output += decoder.decode(chunk, { stream: true })
      if (output.includes("Listening on")) resolve()
    }
  }
  const ended = Promise.all([read(child.stdout), read(child.stderr)]).then(() => {
    throw new Error(`deno serve ${name} ended: ${output}`)
  })
  ended.catch(() => {})
  await Promise.race([listening, ended])
  const stop = async () => {
    child.kill("SIGKILL")
    await child.exited
    // Its streams end with the last process that holds them.
    await ended.catch(() => {})
  }
  return { stop, output: () => output }
}

describe("under deno serve", () => {
  const scope = Scope.makeUnsafe()
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-deno-"))
  const running: Array<Awaited<ReturnType<typeof serve>>> = []
  let origin = ""

  beforeAll(async () => {
    const port = await freePort()
    const monitorPort = await freePort()
    const helloPort = await freePort()
    origin = `http://localhost:${port}`
    const secret = "the secret of the client in this test"
    const provider = await Effect.runPromise(
      startIdentityProvider({
        port: 0,
        clients: [{ clientId: "gatehouse", clientSecret: secret, redirectUris: [`${origin}/auth/callback/dev`] }]
      }).pipe(Scope.provide(scope))
    )
    const file = await Effect.runPromise(
      writeSettings(join(folder, "gateway.yaml"), {
        issuer: provider.issuer,
        monitor: `http://127.0.0.1:${monitorPort}`,
        data: "http://127.0.0.1:1",
        dashboard: "http://127.0.0.1:1",
        admin: "http://127.0.0.1:1",
        scheduler: "http://127.0.0.1:1",
        schedulerKey: workloadKey(folder, "scheduler").publicFile,
        microservices: [
          { name: "hello", url: `http://127.0.0.1:${helloPort}`, key: workloadKey(folder, "hello").publicFile }
        ]
      })
    )
    const gatewayDatabase = await freshDatabase("gateway")
    const loggingDatabase = await freshDatabase("logging", "monitor")
    const dataDatabase = await freshDatabase("data", "hello")
    running.push(
      await serve("gateway", port, {
        ENVIRONMENT: "dev",
        GATEWAY_PUBLIC_URL: origin,
        GATEWAY_FILE: file,
        GATEWAY_DATABASE_URL: gatewayDatabase.url,
        GATEWAY_SECRET: "a secret of this test, long enough for anybody",
        DEVELOPMENT_CLIENT_SECRET: secret
      })
    )
    running.push(
      await serve("monitor", monitorPort, {
        ENVIRONMENT: "dev",
        IDENTITY_ISSUER: origin,
        IDENTITY_JWKS_URL: `${origin}/.well-known/jwks.json`,
        MONITOR_DATABASE_URL: loggingDatabase.url
      })
    )
    running.push(
      await serve("hello", helloPort, {
        ENVIRONMENT: "dev",
        IDENTITY_ISSUER: origin,
        IDENTITY_JWKS_URL: `${origin}/.well-known/jwks.json`,
        HELLO_DATABASE_URL: dataDatabase.url
      })
    )
  })
  afterAll(async () => {
    for (const one of running) await one.stop()
    await Effect.runPromise(Scope.close(scope, Exit.void))
    rmSync(folder, { recursive: true, force: true })
  })

  test("a person logs in and reads the host's metrics with a JWT", async () => {
    const { jar, token } = await logInAs(origin, "viewer")
    const me = (await (await jar.visit(`${origin}/auth/me`)).json()) as { readonly roles: ReadonlyArray<string> }
    expect(me.roles).toEqual(["viewer"])
    const host = await get(`${origin}/monitor/host`, token)
    expect(host.status).toBe(200)
    expect(
      ((await host.json()) as { readonly cpu: { readonly cores: ReadonlyArray<unknown> } }).cpu.cores.length
    ).toBeGreaterThan(0)
    expect(host.headers.get("x-content-type-options")).toBe("nosniff")
  })

  test("who has no right gets 403, who shows nothing 401", async () => {
    const { token } = await logInAs(origin, "newcomer")
    expect((await get(`${origin}/monitor/host`, token)).status).toBe(403)
    expect((await fetch(`${origin}/monitor/host`)).status).toBe(401)
  })

  test("the sample service knows who asks", async () => {
    const { token } = await logInAs(origin, "viewer")
    const answer = (await (await get(`${origin}/hello`, token)).json()) as { readonly you: { readonly roles: unknown } }
    expect(answer.you.roles).toEqual(["viewer"])
  })

  test("events stream through the gateway", async () => {
    const { token } = await logInAs(origin, "viewer")
    const abort = new AbortController()
    const response = await fetch(`${origin}/monitor/stream?interval=1`, {
      headers: { authorization: `Bearer ${token}` },
      signal: abort.signal
    })
    let text = ""
    for await (const chunk of response.body!) {
      text += new TextDecoder().decode(chunk)
      if (text.includes("event: host")) break
    }
    abort.abort()
    expect(text).toContain("event: host")
  })
})
