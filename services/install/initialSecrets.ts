/** The secrets that an environment starts from, one Kubernetes Secret per consumer; makes each once and must print or keep none anywhere else. */
import { randomBytes } from "node:crypto"
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from "node:fs"
import { Effect, Schema } from "effect"
import { stringify } from "yaml"
import { type DatabaseCertificates, databaseCertificates, databaseNames, validCertificates } from "./certificates.ts"

/** Nothing was written: the file is there already, or cannot be made. */
export class SecretsNotWritten extends Schema.TaggedError<SecretsNotWritten>()("SecretsNotWritten", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.file}: ${this.reason}`
  }
}

/** A Secret of the environment: its keys are the names of the files that its consumer reads. */
interface InitialSecret {
  readonly name: string
  readonly namespace: string
  readonly type?: "kubernetes.io/tls"
  readonly values: Readonly<Record<string, string>>
}

/** 256 bits, in characters that need no escape in a URL, in SQL or in YAML. */
const random = () => randomBytes(32).toString("base64url")

/** Where every client of a database finds whom to believe (kustomize/components/database-client). */
const authorityFile = "/run/secrets/database/ca.crt"

const url = (role: string, password: string, host: string, database: string) =>
  `postgres://${role}:${password}@${host}:5432/${database}?sslmode=verify-full&sslrootcert=${authorityFile}`

/** Whom the services believe: no secret, but nobody who may write a ConfigMap may name another authority. */
const authorities = (environment: string, text: string): ReadonlyArray<InitialSecret> =>
  [environment, `${environment}-monitoring`].map((namespace) => ({
    name: "database-authority",
    namespace,
    values: { "ca.crt": text }
  }))

/** By which each database proves who it is; its own pod alone mounts it. */
const serverCertificates = (environment: string, { servers }: DatabaseCertificates): ReadonlyArray<InitialSecret> =>
  databaseNames.map((database) => ({
    name: `${database}-tls`,
    namespace: environment,
    type: "kubernetes.io/tls",
    values: { "tls.crt": servers[database].certificate, "tls.key": servers[database].key }
  }))

/**
 * Every secret of `environment`, new, with certificates that are valid from `now` (milliseconds since 1970). `oidcClientSecret` is what the identity provider gave; without it there is a random one,
 * which no provider will take.
 */
export const initialSecrets = (
  environment: string,
  now: number,
  oidcClientSecret?: string
): ReadonlyArray<InitialSecret> => {
  const certificates = databaseCertificates(environment, now)
  const passwords = {
    gateway: random(),
    admin: random(),
    scheduler: random(),
    monitor: random(),
    data: random(),
    dataQuery: random(),
    dataWrite: random(),
    hello: random(),
    backupGateway: random(),
    backupLogging: random(),
    backupData: random(),
    dataSuperuser: random()
  }
  const here = (name: string, values: Readonly<Record<string, string>>) => ({ name, namespace: environment, values })
  // The monitor's namespace is another one: from there the database has a longer name.
  const loggingFromMonitoring = `logging-db.${environment}`
  return [
    here("gateway-secrets", {
      "database-url": url("gateway", passwords.gateway, "gateway-db", "gateway"),
      "gateway-secret": random(),
      "oidc-client-secret": oidcClientSecret ?? random()
    }),
    here("admin-secrets", { "database-url": url("admin", passwords.admin, "logging-db", "logging") }),
    here("scheduler-secrets", { "database-url": url("scheduler", passwords.scheduler, "logging-db", "logging") }),
    {
      name: "monitor-secrets",
      namespace: `${environment}-monitoring`,
      values: { "database-url": url("monitor", passwords.monitor, loggingFromMonitoring, "logging") }
    },
    here("data-secrets", {
      "database-url": url("data", passwords.data, "data-db", "data"),
      "query-database-url": url("data_query", passwords.dataQuery, "data-db", "data"),
      "write-database-url": url("data_write", passwords.dataWrite, "data-db", "data")
    }),
    here("data-setup-secrets", {
      "setup-database-url": url("postgres", passwords.dataSuperuser, "data-db", "data")
    }),
    here("hello-secrets", { "database-url": url("hello", passwords.hello, "data-db", "data") }),
    here("gateway-db-secrets", {
      "postgres-password": random(),
      "gateway-password": passwords.gateway,
      "backup-password": passwords.backupGateway
    }),
    here("logging-db-secrets", {
      "postgres-password": random(),
      "admin-password": passwords.admin,
      "scheduler-password": passwords.scheduler,
      "monitor-password": passwords.monitor,
      "backup-password": passwords.backupLogging
    }),
    here("data-db-secrets", {
      "postgres-password": passwords.dataSuperuser,
      "hello-password": passwords.hello,
      "backup-password": passwords.backupData
    }),
    here("backup-secrets", {
      "gateway-database-url": url("backup", passwords.backupGateway, "gateway-db", "gateway"),
      "logging-database-url": url("backup", passwords.backupLogging, "logging-db", "logging"),
      "data-database-url": url("backup", passwords.backupData, "data-db", "data")
    }),
    ...authorities(environment, certificates.authority),
    ...serverCertificates(environment, certificates)
  ]
}

/** As `data`, which `kubectl apply --server-side` can own; `stringData` is written and never read. */
const manifestsOf = (secrets: ReadonlyArray<InitialSecret>): string =>
  secrets
    .map(({ name, namespace, type = "Opaque", values }) =>
      stringify({
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name, namespace, labels: { "app.kubernetes.io/part-of": "gatehouse" } },
        type,
        data: Object.fromEntries(
          Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString("base64")])
        )
      })
    )
    .join("---\n")

/**
 * As manifests for `kubectl create -f`, which refuses what is there already: a second set would lock every service out of its
 * database.
 */
export const secretManifests = (environment: string, now: number, oidcClientSecret?: string): string =>
  manifestsOf(initialSecrets(environment, now, oidcClientSecret))

/** The file of authorities that is in force holds none. */
export class AuthorityUnusable extends Schema.TaggedError<AuthorityUnusable>()("AuthorityUnusable", {
  file: Schema.String
}) {
  override get message() {
    return `${this.file}: no certificates in PEM`
  }
}

const readValid = Effect.fnUntraced(function* (file: string, now: number) {
  const text = yield* Effect.try({ try: () => readFileSync(file, "utf8"), catch: (error) => fault(file, error) })
  return validCertificates(text, now) ?? (yield* new AuthorityUnusable({ file }))
})

/**
 * New certificates for the databases of `environment`, to be applied in this order: first whom the services believe, the old
 * authority of `file` beside the new one, and when every pod has seen that, the databases' own.
 */
export const renewedCertificates = Effect.fnUntraced(function* (environment: string, now: number, file?: string) {
  const old = file === undefined ? [] : yield* readValid(file, now)
  const certificates = databaseCertificates(environment, now)
  return {
    authority: manifestsOf(authorities(environment, [certificates.authority, ...old].join(""))),
    databases: manifestsOf(serverCertificates(environment, certificates))
  }
})

const fault = (file: string, error: unknown) =>
  new SecretsNotWritten({
    file,
    reason: typeof error === "object" && error !== null && "code" in error ? String(error.code) : "cannot be written"
  })

/** The secret in a file, without its last line end. */
export const readClientSecret = (file: string) =>
  Effect.try({ try: () => readFileSync(file, "utf8").replace(/\r?\n$/u, ""), catch: (error) => fault(file, error) })

/** Writes `text` to a new file that only its owner may read, whole and on disk or not at all. A file that is there stays as it is. */
export const writeOnce = (file: string, text: string) =>
  Effect.suspend(() => {
    if (existsSync(file)) return Effect.fail(new SecretsNotWritten({ file, reason: "is there already and stays" }))
    return Effect.try({
      try: () => {
        const opened = openSync(file, "wx", 0o600)
        try {
          writeSync(opened, text)
          fsyncSync(opened)
        } catch (error) {
          rmSync(file, { force: true })
          throw error
        } finally {
          closeSync(opened)
        }
      },
      catch: (error) => fault(file, error)
    })
  })
