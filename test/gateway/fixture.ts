/** A whole gateway for tests: real data path, real DB, real listener, with an echo upstream and people who are logged in; must not replace any part of what it tests. */
import { createHash, randomBytes } from "node:crypto"
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stringify } from "yaml"
import { make } from "#gateway/service.ts"
import { sessionCookie } from "#gateway/cookies.ts"
import { sessionGrantType } from "#shared/api/auth.ts"
import { type Listener, listen } from "#shared/bun.ts"
import type { Env } from "#shared/config.ts"
import { tokenHash } from "#shared/jws.ts"
import type { Service } from "#shared/service.ts"
import { freePort } from "#test/shared/freePort.ts"
import { type FreshDatabase, freshDatabase } from "#test/shared/postgres.ts"
import { until } from "#test/shared/until.ts"

/** Somebody with a browser session. */
export interface Person {
  readonly userId: string
  readonly sessionId: string
  /** The Cookie header of their session. */
  readonly cookie: string
}

/** The gateway's DB: a fresh one of the shared server, or one that a test can stop. */
export type GatewayDatabase = Pick<FreshDatabase, "url" | "query" | "drop">

export interface GatewayFixture {
  /** The public origin; equal to where it listens unless GATEWAY_PUBLIC_URL says otherwise. */
  readonly origin: string
  readonly port: number
  readonly service: Service
  readonly listener: Listener
  readonly database: GatewayDatabase
  readonly settingsFile: string
  /** Replaces the settings file in one step. */
  readonly writeSettings: (settings: object | string) => void
  /** A new user with a session and the given grants, known to the gateway when the promise resolves. */
  readonly person: (grants?: ReadonlyArray<{ readonly role: string; readonly environment?: string }>) => Promise<Person>
  /** An access token of a person's session; `scope` empty means all they may do. */
  readonly token: (person: Person, scope?: string) => Promise<string>
  /** Asks the gateway at its public origin; `path` as fetch sends it. */
  readonly ask: (path: string, init?: RequestInit) => Promise<Response>
  readonly stop: () => Promise<void>
}

/** A provider that needs no discovery and is never asked. */
export const provider = {
  id: "hub",
  kind: "github",
  label: "Hub",
  clientId: "client",
  clientSecret: { env: "TEST_CLIENT_SECRET" }
}

interface Options {
  /** The settings file's content: an object becomes YAML. */
  readonly settings: object | string
  readonly env?: Env
  readonly listen?: Partial<Parameters<typeof listen>[1]>
  readonly database?: GatewayDatabase
  /** Whether to wait until it is ready, which is where its DB answers; yes unless told. */
  readonly awaitReady?: boolean
}

export const startGateway = async ({ env = {}, listen: listenOptions = {}, settings, ...options }: Options) => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-gateway-"))
  const settingsFile = join(folder, "gateway.yaml")
  const writeSettings = (content: object | string) => {
    writeFileSync(`${settingsFile}.new`, typeof content === "string" ? content : stringify(content))
    renameSync(`${settingsFile}.new`, settingsFile)
  }
  writeSettings(settings)
  const [database, port] = await Promise.all([options.database ?? freshDatabase("gateway"), freePort()])
  const origin = env["GATEWAY_PUBLIC_URL"] ?? `http://localhost:${port}`
  const service = await make({
    ENVIRONMENT: "test",
    LOG_LEVEL: "Error",
    GATEWAY_PUBLIC_URL: origin,
    GATEWAY_FILE: settingsFile,
    GATEWAY_DATABASE_URL: database.url,
    GATEWAY_SECRET: "a secret of this test alone, longer than 32 bytes",
    TEST_CLIENT_SECRET: "client secret",
    ...env
  })
  const listener = listen(service, { hostname: "127.0.0.1", port, ...listenOptions })
  const here = `http://127.0.0.1:${listener.port}`
  const { host } = new URL(origin)
  const ask = (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers)
    if (!headers.has("host")) headers.set("host", host)
    return fetch(here + path, { redirect: "manual", ...init, headers })
  }
  if (options.awaitReady !== false) {
    await until("the gateway is ready", async () => (await service.internal(new Request("http://i/readyz"))).ok)
  }

  const person: GatewayFixture["person"] = async (grants = [{ role: "owner", environment: "*" }]) => {
    const secret = randomBytes(32).toString("base64url")
    const subject = createHash("sha256").update(secret).digest("hex").slice(0, 12)
    const rows = await database.query(`
      WITH someone AS (
        INSERT INTO users (provider, issuer, subject, name)
        VALUES ('hub', 'https://github.com', '${subject}', 'Person ${subject}') RETURNING id
      ), session AS (
        INSERT INTO sessions (kind, label, secret_hash, user_id, provider, auth_time, expires_at)
        SELECT 'browser', 'test', '${tokenHash(secret)}', id, 'hub', now(), now() + interval '1 day' FROM someone RETURNING id
      )
      SELECT someone.id AS user, session.id AS session FROM someone, session`)
    const { session, user } = rows[0] as { readonly session: string; readonly user: string }
    for (const { environment = "*", role } of grants) {
      await database.query(
        `INSERT INTO grants (user_id, role, environment) VALUES ('${user}', '${role}', '${environment}')`
      )
    }
    const cookie = `${sessionCookie}=${secret}`
    await until("the gateway knows the person", async () => {
      const answer = await ask("/auth/me", { headers: { cookie } })
      const me = (await answer.json()) as { readonly roles?: ReadonlyArray<string> }
      return answer.ok && new Set(grants.map(({ role }) => role)).size === me.roles?.length
    })
    return { userId: user, sessionId: session, cookie }
  }
  const token: GatewayFixture["token"] = async ({ cookie }, scope = "") => {
    const answer = await ask("/auth/token", {
      method: "POST",
      headers: { cookie, origin: new URL(origin).origin },
      body: new URLSearchParams({ grant_type: sessionGrantType, ...(scope === "" ? {} : { scope }) })
    })
    const body = (await answer.json()) as { readonly access_token?: string }
    if (body.access_token === undefined) throw new Error(`no token: ${answer.status} ${JSON.stringify(body)}`)
    return body.access_token
  }
  const fixture: GatewayFixture = {
    origin: new URL(origin).origin,
    port: listener.port,
    service,
    listener,
    database,
    settingsFile,
    writeSettings,
    person,
    token,
    ask,
    stop: async () => {
      await listener.stop(0)
      await database.drop()
      rmSync(folder, { recursive: true, force: true })
    }
  }
  return fixture
}
