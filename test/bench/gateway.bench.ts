/** CPU per proxied, authenticated 1 KiB GET of the gateway beside a bare `Bun.serve` + `fetch` proxy, each alone on one core, in turn (spec R26). */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted, Schedule } from "effect"
import { stringify } from "yaml"
import { sessionGrantType } from "#shared/api/auth.ts"
import { tokenHash } from "#shared/jws.ts"
import { startPostgres } from "#dev/postgres.ts"
import { freePort } from "#test/shared/freePort.ts"
import { load } from "./load.ts"
import { type Measured, startMeasured } from "./measured.ts"

const rounds = 5
const requestsPerRound = 20_000
const warmUpRequests = 60_000
const connectionCounts = [32, 256] as const
const proxyCore = 0
const otherCore = 1

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

/** A user with the right to the route, logged in; gives the session cookie's secret. */
const logIn = (url: string) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const secret = "s".repeat(42) + "A"
    const [user] = yield* sql<{ id: string }>`INSERT INTO users (provider, issuer, subject, name)
      VALUES ('bench', 'https://issuer.test', '1', 'Bench') RETURNING id`
    yield* sql`INSERT INTO grants (user_id, role, environment) VALUES (${user!.id}, 'viewer', '*')`
    yield* sql`INSERT INTO sessions (kind, label, secret_hash, user_id, provider, auth_time, expires_at)
      VALUES ('browser', 'bench', ${tokenHash(secret)}, ${user!.id}, 'bench', now(), now() + interval '1 day')`
    return secret
  }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url) })))

const main = Effect.gen(function* () {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
  const started: Array<Measured> = []
  yield* Effect.addFinalizer(() => Effect.sync(() => started.forEach((one) => one.stop())))
  const start = Effect.fnUntraced(function* (script: string, core: number, env: Record<string, string>) {
    const one = yield* Effect.promise(() => startMeasured(script, core, env))
    started.push(one)
    return one
  })

  const postgres = yield* startPostgres({ dataDir: folder })
  const upstream = yield* start("upstream.process.ts", otherCore, {})
  const upstreamUrl = `http://127.0.0.1:${upstream.port}`
  const port = yield* Effect.promise(() => freePort())
  const origin = `http://localhost:${port}`
  writeFileSync(
    join(folder, "gateway.yaml"),
    stringify({
      providers: [],
      routes: [
        {
          id: "bench",
          path: "/bench",
          upstream: upstreamUrl,
          service: "monitor",
          rules: [{ methods: ["GET"], action: "read" }]
        }
      ]
    })
  )
  const gateway = yield* start("gateway.process.ts", proxyCore, {
    PORT: String(port),
    ENVIRONMENT: "bench",
    LOG_LEVEL: "Warn",
    GATEWAY_PUBLIC_URL: origin,
    GATEWAY_FILE: join(folder, "gateway.yaml"),
    GATEWAY_DATABASE_URL: postgres.url("gateway", "gateway"),
    GATEWAY_SECRET: "benchmark secret of more than thirty-two bytes"
  })
  const bare = yield* start("bareProxy.process.ts", proxyCore, { UPSTREAM: upstreamUrl })

  // The first answer means that the DB is migrated.
  yield* Effect.promise(() => fetch(`${origin}/.well-known/jwks.json`)).pipe(
    Effect.filterOrFail((response) => response.ok),
    Effect.retry({ times: 50, schedule: Schedule.spaced("100 millis") })
  )
  const secret = yield* logIn(postgres.url("gateway", "gateway"))
  const answer = yield* Effect.promise(async () => {
    const response = await fetch(`${origin}/auth/token`, {
      method: "POST",
      headers: { cookie: `__Host-gatehouse=${secret}`, origin },
      body: new URLSearchParams({ grant_type: sessionGrantType })
    })
    if (!response.ok) throw new Error(`no token: ${response.status} ${await response.text()}`)
    return (await response.json()) as { readonly access_token: string }
  })
  const headers = { authorization: `Bearer ${answer.access_token}`, accept: "*/*", "user-agent": "bench" }

  /** CPU microseconds per request of one round. */
  const round = (proxy: Measured, connections: number, requests: number) =>
    Effect.promise(async () => {
      const before = await proxy.cpuMicroseconds()
      const result = await load({
        port: proxy.port,
        host: `localhost:${port}`,
        path: "/bench/x",
        connections,
        requests,
        headers
      })
      if (result.failed > 0) throw new Error(`${result.failed} of ${result.requests} requests were not answered 200`)
      return ((await proxy.cpuMicroseconds()) - before) / result.requests
    })

  const figures: Record<string, number> = {}
  for (const connections of connectionCounts) {
    // Both must have been compiled to their final form: what a server does for the rest of its life is measured.
    yield* round(bare, connections, warmUpRequests)
    yield* round(gateway, connections, warmUpRequests)
    const pairs: Array<{ readonly bare: number; readonly gateway: number }> = []
    for (let index = 0; index < rounds; index++) {
      pairs.push({
        bare: yield* round(bare, connections, requestsPerRound),
        gateway: yield* round(gateway, connections, requestsPerRound)
      })
    }
    const ratio = median(pairs.map((pair) => pair.gateway / pair.bare))
    const micros = (key: "bare" | "gateway") => median(pairs.map((pair) => pair[key])).toFixed(1)
    console.log(
      `${String(connections).padStart(4)} connections: bare ${micros("bare")} µs, gateway ${micros("gateway")} µs CPU per request, ` +
        `ratio ${ratio.toFixed(2)} (median of ${rounds} pairs, ${pairs.map((pair) => (pair.gateway / pair.bare).toFixed(2)).join(" ")})`
    )
    figures[`gatewayCpuRatioC${connections}`] = Number(ratio.toFixed(3))
  }
  console.log(JSON.stringify(figures))
})

await Effect.runPromise(Effect.scoped(main))
process.exit(0)
