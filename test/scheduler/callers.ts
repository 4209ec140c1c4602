/** A running scheduler on a database of its own with a gateway's key set beside it, and callers with that gateway's tokens. */
import { generateKeyPairSync } from "node:crypto"
import { type Overrides, make } from "#scheduler/service.ts"
import type { Job, JobDetail } from "#shared/api/scheduler.ts"
import type { Env } from "#shared/config.ts"
import { signJws } from "#shared/jws.ts"
import type { Service } from "#shared/service.ts"
import { freshDatabase, type FreshDatabase } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

const issuer = "https://gatehouse.example"

type Init = Omit<RequestInit, "body"> & {
  /** `scheduler:read scheduler:write` unless told; null sends no token. */
  readonly scope?: string | null
  readonly as?: string
  readonly json?: unknown
  readonly body?: string
}

export interface Running {
  readonly service: Service
  readonly database: FreshDatabase
  readonly ask: (path: string, init?: Init) => Promise<Response>
  /** POST /jobs, which must be accepted. */
  readonly enqueue: (job: {
    readonly kind: string
    readonly payload?: object
    readonly [field: string]: unknown
  }) => Promise<Job>
  readonly job: (id: string) => Promise<JobDetail>
  /** Waits for the job to be in one of these states. */
  readonly reaches: (id: string, ...states: ReadonlyArray<string>) => Promise<JobDetail>
  readonly stop: () => Promise<void>
}

/** Signs identity tokens as the gateway does, and serves the key they are checked with. */
export const startKeys = () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "one", alg: "ES256", use: "sig" }
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json({ keys: [jwk] }) })
  return {
    env: {
      ENVIRONMENT: "dev",
      IDENTITY_ISSUER: issuer,
      IDENTITY_JWKS_URL: `http://127.0.0.1:${server.port}/keys`,
      LOG_LEVEL: "Error"
    },
    token: (scope: string, method: string, path: string, user = "user") => {
      const now = Math.floor(Date.now() / 1000)
      return signJws("at+jwt", "one", privateKey, {
        iss: issuer,
        sub: user,
        aud: "scheduler.dev",
        client_id: "dashboard",
        iat: now,
        exp: now + 60,
        jti: crypto.randomUUID(),
        scope,
        roles: [],
        env: "dev",
        sid: "session",
        auth_time: now,
        ...(method === "GET" || method === "HEAD" ? {} : { htm: method, htu: path })
      })
    },
    stop: () => server.stop(true)
  }
}
export type Keys = ReturnType<typeof startKeys>

/** A request as it comes from the gateway. */
export const requestOf = (keys: Keys, origin: string, path: string, init: Init = {}): Request => {
  const { as, body, json, scope = "scheduler:read scheduler:write", ...rest } = init
  const headers = new Headers(rest.headers)
  const method = rest.method ?? "GET"
  if (scope !== null) headers.set("x-gatehouse-identity", keys.token(scope, method, path.split("?")[0]!, as))
  if (json !== undefined) headers.set("content-type", "application/json")
  const content = json === undefined ? body : JSON.stringify(json)
  return new Request(origin + path, { ...rest, headers, ...(content === undefined ? {} : { body: content }) })
}

export const startScheduler = async (overrides: Overrides = {}, env: Env = {}): Promise<Running> => {
  const keys = startKeys()
  const database = await freshDatabase("logging", "scheduler")
  const service = await make({ ...keys.env, SCHEDULER_DATABASE_URL: database.url, ...env }, overrides)
  await until("the scheduler is ready", async () => {
    const answer = await service.internal(new Request("http://localhost/readyz"))
    return answer.ok
  })
  const ask: Running["ask"] = async (path, init) => await service.fetch(requestOf(keys, "http://localhost", path, init))
  const job: Running["job"] = async (id) => {
    const answer = await ask(`/jobs/${id}`)
    if (!answer.ok) throw new Error(`GET /jobs/${id}: ${answer.status}`)
    return (await answer.json()) as JobDetail
  }
  return {
    service,
    database,
    ask,
    job,
    enqueue: async ({ payload = {}, ...rest }) => {
      const answer = await ask("/jobs", { method: "POST", json: { ...rest, payload } })
      if (!answer.ok) throw new Error(`POST /jobs: ${answer.status} ${await answer.text()}`)
      return (await answer.json()) as Job
    },
    reaches: (id, ...states) =>
      until(`job ${id} is ${states.join(" or ")}`, async () => {
        const detail = await job(id)
        return states.includes(detail.job.state) ? detail : undefined
      }),
    stop: async () => {
      await service.dispose()
      await keys.stop()
      await database.drop()
    }
  }
}
