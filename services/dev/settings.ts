/** The gateway's settings file of a development start: the routes of this process, the development provider, a role for each demo user. */
import { renameSync, writeFileSync } from "node:fs"
import { Effect } from "effect"
import { stringify } from "yaml"
import { demoUsers } from "./demoUsers.ts"

interface Addresses {
  readonly issuer: string
  readonly monitor: string
  readonly dashboard: string
}

const read = [{ methods: ["GET", "HEAD"], action: "read" }]

/** The content of the file; the same routes as a cluster's, with other addresses. */
export const developmentSettings = ({ dashboard, issuer, monitor }: Addresses) => ({
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
    { id: "monitor", path: "/monitor", upstream: monitor, service: "monitor", rules: read }
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
