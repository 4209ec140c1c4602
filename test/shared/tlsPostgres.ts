/** A private Postgres that speaks TLS alone on a loopback address, as the manifests set it up: their access rules, a key that is root's where this process is; must hold no test. */
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Database, Role } from "#dev/postgresDatabases.ts"
import { type Authority, makeAuthority } from "./certificates.ts"
import { type PrivatePostgres, privatePostgres } from "./postgres.ts"

const access = join(import.meta.dir, "../../kustomize/base/databases/pg_hba.conf")
const password = "a password of the tests"

export interface TlsPostgres {
  readonly server: PrivatePostgres
  /** What its certificate is for. */
  readonly address: string
  readonly authority: Authority
  /** Of the authority; another's is `otherAuthorityFile`. */
  readonly authorityFile: string
  readonly otherAuthorityFile: string
  /** Of `role`, with `parameters` at the URL's end. */
  readonly url: (database: Database, role: Role, parameters: string) => string
  /** Puts another certificate in force: the server reads it anew, and who is connected stays so. */
  readonly certify: (options: Parameters<Authority["issue"]>[0], by?: Authority) => Promise<void>
  readonly dispose: () => Promise<void>
}

/** Of this process alone: the port stays 5432, by which the socket is named too. */
const address = `127.77.${(process.pid >> 8) & 255}.${(process.pid & 127) + 1}`

/** Why there can be none here; undefined where there can. */
export const tlsObstacle = process.platform === "linux" ? undefined : "loopback has one address here"

/** Started, with a certificate for its address. */
export const tlsPostgres = async (): Promise<TlsPostgres> => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-pg-tls-"))
  const file = (name: string) => join(folder, name)
  chmodSync(folder, 0o755)
  const [authority, other] = [makeAuthority("the databases' authority"), makeAuthority("another authority")]
  writeFileSync(file("ca.crt"), authority.cert)
  writeFileSync(file("other.crt"), other.cert)
  copyFileSync(access, file("pg_hba.conf"))
  const write = (options: Parameters<Authority["issue"]>[0], by: Authority) => {
    const { cert, key } = by.issue(options)
    writeFileSync(file("tls.crt"), cert)
    writeFileSync(file("tls.key"), key, { mode: 0o600 })
    if (process.getuid?.() !== 0) return
    // The kubelet's way: root's, and the group's to read. It is nobody that the server runs as.
    chownSync(file("tls.key"), 0, 65_534)
    chmodSync(file("tls.key"), 0o440)
  }
  write({ name: "database", hosts: [address] }, authority)
  const server = privatePostgres({
    listen_addresses: address,
    ssl: "on",
    ssl_min_protocol_version: "TLSv1.3",
    ssl_cert_file: file("tls.crt"),
    ssl_key_file: file("tls.key"),
    hba_file: file("pg_hba.conf")
  })
  await server.start()
  for (const role of ["gateway", "data_query"]) {
    await server.query("gateway", `ALTER ROLE ${role} PASSWORD '${password}'`)
  }
  return {
    server,
    address,
    authority,
    authorityFile: file("ca.crt"),
    otherAuthorityFile: file("other.crt"),
    url: (database, role, parameters) =>
      `postgresql://${role}:${encodeURIComponent(password)}@${address}:5432/${database}${parameters}`,
    certify: async (options, by = authority) => {
      write(options, by)
      await server.query("gateway", "SELECT pg_reload_conf()")
    },
    dispose: async () => {
      await server.dispose()
      rmSync(folder, { recursive: true })
    }
  }
}
