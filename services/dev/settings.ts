/** The gateway's settings file of a development start: the routes of this process, the development provider, a role for each demo user. */
import { renameSync, writeFileSync } from "node:fs"
import { Effect } from "effect"
import { stringify } from "yaml"
import { demoUsers } from "./demoUsers.ts"

interface Addresses {
  readonly issuer: string
  readonly admin: string
  readonly scheduler: string
  readonly monitor: string
  readonly data: string
  readonly dashboard: string
  /** File of the scheduler's public key. */
  readonly schedulerKey: string
  /** The team's own services: where each is, and the file of its public key. */
  readonly microservices: ReadonlyArray<{ readonly name: string; readonly url: string; readonly key: string }>
}

/** The sample's words: who reads, and who writes. */
const greet = [
  { methods: ["GET", "HEAD"], action: "read" },
  { methods: ["POST"], action: "greet" }
]
const read = [{ methods: ["GET", "HEAD"], action: "read" }]
/** Who may read gets in; what else they may is judged, and a refusal recorded, by the service, which knows the target. */
const enter = [{ action: "read" }]
/** Bytes of a manifest, with room for its form as JSON. */
const manifestBytes = 3 * 1024 * 1024
/** Bytes of a file for a dataset; its answer comes when all of it is in. */
const ingestBytes = 1024 * 1024 * 1024
const ingestPatience = 240_000

/** The content of the file; the same routes as a cluster's, with other addresses. */
export const developmentSettings = ({
  admin,
  dashboard,
  data,
  issuer,
  microservices,
  monitor,
  scheduler,
  schedulerKey
}: Addresses) => ({
  providers: [
    {
      id: "dev",
      kind: "oidc",
      label: "development login",
      issuer,
      clientId: "gatehouse",
      clientSecret: { env: "DEVELOPMENT_CLIENT_SECRET" }
    }
  ],
  routes: [
    { id: "dashboard", path: "/", upstream: dashboard, service: "dashboard", rules: read },
    { id: "monitor", path: "/monitor", upstream: monitor, service: "monitor", rules: read },
    { id: "admin", path: "/admin", upstream: admin, service: "admin", rules: enter, maxBodyBytes: manifestBytes },
    { id: "scheduler", path: "/jobs", upstream: scheduler, service: "scheduler", rules: enter },
    {
      id: "data",
      path: "/data",
      upstream: data,
      service: "data",
      rules: enter,
      maxBodyBytes: ingestBytes,
      firstByteTimeoutMs: ingestPatience
    },
    ...microservices.map(({ name, url }) => ({
      id: name,
      path: `/${name}`,
      upstream: url,
      service: name,
      rules: greet
    }))
  ],
  workloads: [
    { id: "scheduler", role: "watchman", identity: { key: { file: schedulerKey } } },
    ...microservices.map(({ key, name }) => ({ id: name, role: "microservice", identity: { key: { file: key } } }))
  ],
  firstOwner: { provider: "dev", subject: "owner" },
  grants: demoUsers.flatMap(({ id, role }) =>
    role === null || role === "owner" ? [] : [{ person: { provider: "dev", subject: id }, role, environment: "*" }]
  )
})

/** Writes the file whole or not at all and gives its path. */
export const writeSettings = (file: string, addresses: Addresses) =>
  Effect.sync(() => {
    writeFileSync(`${file}.new`, stringify(developmentSettings(addresses)), { mode: 0o600 })
    renameSync(`${file}.new`, file)
    return file
  })
