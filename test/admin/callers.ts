/** A running admin over a simulated cluster and a fresh logging DB, callers with identity tokens, and ways to break each part. */
import { generateKeyPairSync, type KeyObject } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { make } from "#admin/service.ts"
import type { Env } from "#shared/config.ts"
import { signJws } from "#shared/jws.ts"
import { makeSimulatedCluster, type SimulatedCluster } from "#shared/kubernetes/simulated/cluster.ts"
import { simulatedKubernetes } from "#shared/kubernetes/simulated/layer.ts"
import { watchTiming } from "#shared/kubernetes/watch.ts"
import type { Service } from "#shared/service.ts"
import { freshDatabase } from "#test/shared/postgres.ts"

const issuer = "https://gatehouse.test"

export interface Person {
  readonly id: string
  readonly scope: string
}

/** Everything in its own environment, dev. */
export const operator: Person = {
  id: "operator",
  scope: "admin:read admin:plan admin:apply admin:restart admin:undo admin:pause admin:resume admin:scale"
}
export const approver: Person = { id: "approver", scope: "admin:read admin:approve" }
export const scheduler: Person = { id: "scheduler", scope: "admin:read admin:propose" }
export const owner: Person = { id: "owner", scope: "admin:*" }
/** The same rights in another namespace. */
export const inNamespace = ({ id, scope }: Person, namespace: string): Person => ({
  id,
  scope: scope
    .split(" ")
    .map((one) => `${one}:${namespace}`)
    .join(" ")
})

export interface Ask {
  readonly method?: "GET" | "POST"
  /** null sends no token. */
  readonly as?: Person | null
  readonly body?: unknown
  readonly key?: string
  readonly signal?: AbortSignal
}

export interface Answered {
  readonly status: number
  readonly body: { readonly [key: string]: unknown }
}

export interface Admin {
  readonly service: Service
  readonly cluster: SimulatedCluster
  readonly backups: string
  /** A request as the gateway forwards it; GET unless there is a body. */
  readonly send: (path: string, ask?: Ask) => Promise<Response>
  readonly ask: (path: string, ask?: Ask) => Promise<Answered>
  /** Statements as superuser in the logging DB. */
  readonly query: (text: string) => Promise<ReadonlyArray<Readonly<Record<string, unknown>>>>
  /** Real (not dry-run) writes that reached the API server since the last call. */
  readonly written: () => ReadonlyArray<{ readonly method: string; readonly path: string }>
  readonly stop: () => Promise<void>
}

/** A gateway's key set, and the identity tokens it makes. */
export const makeGateway = () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "one", alg: "ES256", use: "sig" }
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json({ keys: [jwk] }) })
  return { privateKey, jwksUrl: `http://127.0.0.1:${server.port}/keys`, stop: () => server.stop(true) }
}

export const tokenOf = (privateKey: KeyObject, { id, scope }: Person, method: string, path: string): string => {
  const now = Math.floor(Date.now() / 1000)
  const binding = method === "GET" ? {} : { htm: method, htu: path.split("?")[0] }
  return signJws("at+jwt", "one", privateKey, {
    iss: issuer,
    sub: id,
    aud: "admin.dev",
    client_id: "dashboard",
    iat: now,
    exp: now + 60,
    jti: crypto.randomUUID(),
    scope,
    roles: [],
    env: "dev",
    sid: `session of ${id}`,
    auth_time: now,
    name: id,
    ...binding
  })
}

export const requestOf = (
  privateKey: KeyObject,
  path: string,
  { as = owner, body, key, method, signal }: Ask
): Request => {
  const verb = method ?? (body === undefined ? "GET" : "POST")
  const headers = new Headers()
  if (as !== null) headers.set("x-gatehouse-identity", tokenOf(privateKey, as, verb, path))
  if (body !== undefined) headers.set("content-type", "application/json")
  if (key !== undefined) headers.set("idempotency-key", key)
  return new Request(`http://localhost${path}`, {
    method: verb,
    headers,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal })
  })
}

/** dev and prod, where pods start twenty times as fast as they would. */
export const freshCluster = () => makeSimulatedCluster({ namespaces: ["dev", "prod"], now: Date.now(), speed: 20 })

/** A watch that ends because the cluster's time runs ahead of ours is not to be waited for. */
const timing = { ...watchTiming, backoffSeconds: 0.05, maxBackoffSeconds: 0.2 }

interface Start {
  readonly env?: Env
  readonly cluster?: SimulatedCluster
  readonly databaseUrl?: string
}

/** dev and prod exist; prod needs four eyes and a plan, as by default. */
export const baseEnv = (databaseUrl: string, backups: string, jwksUrl: string): Env => ({
  ENVIRONMENT: "dev",
  IDENTITY_ISSUER: issuer,
  IDENTITY_JWKS_URL: jwksUrl,
  ADMIN_DATABASE_URL: databaseUrl,
  ADMIN_NAMESPACES: "dev,prod",
  ADMIN_BACKUP_DIR: backups,
  // Sets are made where a test asks for one: their reads would be counted among those of others.
  ADMIN_BACKUP_SET_EVERY: "0 seconds",
  ADMIN_BACKUP_MIN_FREE_BYTES: "0",
  LOG_LEVEL: "Error"
})

export const startAdmin = async ({ cluster: given, databaseUrl, env = {} }: Start = {}): Promise<Admin> => {
  const gateway = makeGateway()
  const cluster = given ?? freshCluster()
  const database = databaseUrl === undefined ? await freshDatabase("logging", "admin") : undefined
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-admin-"))
  const backups = join(folder, "backups")
  const service = await make(
    { ...baseEnv(databaseUrl ?? database!.url, backups, gateway.jwksUrl), ...env },
    // A real cluster is named by its kubeconfig.
    env["KUBERNETES"] === undefined ? { kubernetes: simulatedKubernetes(cluster, timing) } : {}
  )
  const send: Admin["send"] = async (path, ask = {}) => service.fetch(requestOf(gateway.privateKey, path, ask))
  return {
    service,
    cluster,
    backups,
    send,
    ask: async (path, ask) => {
      const response = await send(path, ask)
      return { status: response.status, body: (await response.json()) as Answered["body"] }
    },
    query: (text) => database!.query(text),
    written: () => cluster.writes(true).filter(({ dryRun }) => !dryRun),
    stop: async () => {
      await service.dispose()
      if (given === undefined) cluster.close()
      gateway.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/** A Deployment of one container, with whatever differs from it. */
export const deployment = (name: string, image: string, spec: object = {}) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: "main", image }] }
    },
    ...spec
  }
})

const plurals: Readonly<Record<string, string>> = {
  Deployment: "/apis/apps/v1/namespaces/NS/deployments",
  StatefulSet: "/apis/apps/v1/namespaces/NS/statefulsets",
  ConfigMap: "/api/v1/namespaces/NS/configmaps",
  Secret: "/api/v1/namespaces/NS/secrets"
}

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
}
const pathOf = (namespace: string, kind: string) => `http://localhost${plurals[kind]!.replace("NS", namespace)}`

/** Seconds in which pods of a fast cluster come up, or show that they do not. */
const settled = 5

/** As somebody else does it: `kubectl create`, or a change by `kubectl edit`. */
export const elsewhere = (cluster: SimulatedCluster) => ({
  create: async (namespace: string, manifest: Manifest) => {
    const response = await cluster.fetch(
      new Request(`${pathOf(namespace, manifest.kind)}?fieldManager=kubectl-create`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(manifest)
      })
    )
    if (!response.ok) throw new Error(await response.text())
    cluster.advance(settled)
  },
  patch: async (namespace: string, kind: string, name: string, patch: object) => {
    const response = await cluster.fetch(
      new Request(`${pathOf(namespace, kind)}/${name}?fieldManager=kubectl-edit`, {
        method: "PATCH",
        headers: { "content-type": "application/merge-patch+json" },
        body: JSON.stringify(patch)
      })
    )
    if (!response.ok) throw new Error(await response.text())
    cluster.advance(settled)
  },
  remove: async (namespace: string, kind: string, name: string) => {
    const response = await cluster.fetch(new Request(`${pathOf(namespace, kind)}/${name}`, { method: "DELETE" }))
    if (!response.ok) throw new Error(await response.text())
    cluster.advance(settled)
  },
  get: async (namespace: string, kind: string, name: string): Promise<unknown> =>
    (await cluster.fetch(new Request(`${pathOf(namespace, kind)}/${name}`))).json()
})
