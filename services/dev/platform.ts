/** The whole platform in one process on embedded defaults: Postgres, identity provider, every service behind the gateway; must serve no address but loopback. */
import { randomBytes } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { join } from "node:path"
import { Effect, Exit, Schedule, Scope } from "effect"
import { type Listener, listen, PortUnavailable } from "#shared/bun.ts"
import type { Env } from "#shared/config.ts"
import type { Service } from "#shared/service.ts"
import { buildDashboard } from "#dashboard/build.ts"
import * as dashboard from "#dashboard/service.ts"
import * as admin from "#admin/service.ts"
import * as data from "#data/service.ts"
import * as gateway from "#gateway/service.ts"
import * as monitor from "#monitor/service.ts"
import * as scheduler from "#scheduler/service.ts"
import { realCluster, releaseBadly, startSimulatedCluster } from "./cluster.ts"
import { demoUsers } from "./demoUsers.ts"
import { backupKeys } from "./backupKeys.ts"
import { startIdentityProvider } from "./identityProvider.ts"
import { microserviceNames, microservices } from "./microservices.ts"
import { startPostgres } from "./postgres.ts"
import { socketUrl } from "./postgresDatabases.ts"
import { sampleDataset } from "./sampleDataset.ts"
import { writeSettings } from "./settings.ts"
import { workloadKey } from "./workloadKey.ts"

export interface PlatformOptions {
  readonly port: number
  readonly dataDir: string
  /** Settings of the person who starts it; they go before the embedded defaults. */
  readonly env: Env
  /** A real cluster in the place of the simulated one. */
  readonly kubeconfig?: string | undefined
}

/** A running platform and what runs where, for the log. */
export interface Platform {
  readonly url: string
  readonly issuer: string
  readonly places: ReadonlyArray<readonly [what: string, where: string]>
  readonly listeners: ReadonlyArray<Listener>
  readonly stop: () => Promise<void>
}

const loopback = "127.0.0.1"

/** Pods of the simulation start and back off so many times faster than real ones: a story is seen in a minute. */
const simulationSpeed = 4
/** After the first start, so that somebody has logged in when the demo's bad release is rolled out. */
const storyBegins = "20 seconds"
/** So is the watchman's patience; a setting of the person who starts it goes before. */
const quickly = {
  SCHEDULER_HEALTH_INTERVAL: "2 seconds",
  SCHEDULER_HEALTH_CRASH_HOLD: "15 seconds",
  SCHEDULER_HEALTH_KNOWN_GOOD: "30 seconds",
  SCHEDULER_HEALTH_VERIFY: "15 seconds",
  SCHEDULER_HEALTH_RESOLVE: "1 minute",
  SCHEDULER_HEALTH_COOLDOWN: "1 minute"
}

/** Secrets are made once per data folder: a restart must keep sessions and open the sealed keys. */
const localSecret = (dataDir: string, name: string): string => {
  const file = join(dataDir, "secrets", name)
  if (!existsSync(file)) {
    mkdirSync(join(dataDir, "secrets"), { recursive: true, mode: 0o700 })
    writeFileSync(file, randomBytes(32).toString("base64url"), { mode: 0o600 })
  }
  return readFileSync(file, "utf8")
}

/** Fails at once, before anything is started, if something listens there. */
const claimPort = (port: number) =>
  Effect.callback<void, PortUnavailable>((resume) => {
    const probe = createServer()
    probe.once("error", (error: NodeJS.ErrnoException) => {
      const reason = error.code === "EADDRINUSE" ? "the port is taken; set another with PORT" : String(error.code)
      resume(Effect.fail(new PortUnavailable({ hostname: loopback, port, reason })))
    })
    probe.listen(port, loopback, () => probe.close(() => resume(Effect.void)))
  })

/** A port that is kept for one service: whoever takes any free port does not get this one, until it is let go. */
interface HeldPort {
  readonly port: number
  readonly letGo: Effect.Effect<void>
}

/** The gateway must know its upstreams' ports before they listen, because they ask it for keys at once. */
const heldPort = Effect.acquireRelease(
  Effect.callback<HeldPort>((resume) => {
    const holder = createServer((socket) => socket.destroy()).listen(0, loopback, () => {
      const { port } = holder.address() as AddressInfo
      const letGo = Effect.callback<void>((done) => void holder.close(() => done(Effect.void)))
      resume(Effect.succeed({ port, letGo }))
    })
  }),
  ({ letGo }) => letGo
)

/**
 * Starts everything; what was started is stopped again if a later part fails. Fails with PortUnavailable, PostgresFailed
 * (also when another process has this data folder), IdentityProviderFailed or ConfigInvalid.
 */
export const startPlatform = Effect.fn("startPlatform")(function* (options: PlatformOptions) {
  const scope = yield* Scope.make()
  return yield* start(options, scope).pipe(
    Scope.provide(scope),
    Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void))
  )
})

const start = Effect.fnUntraced(function* (
  { dataDir, env, kubeconfig, port }: PlatformOptions,
  scope: Scope.Closeable
) {
  const idpPort = port + 1
  // A taken port is told before anything is started, except where a second start of the same platform is the likelier
  // mistake: then the data folder tells who has it.
  if (!existsSync(join(dataDir, "owner.pid"))) yield* claimPort(port)
  const postgres = yield* startPostgres({ dataDir })
  yield* claimPort(port)
  const url = `http://localhost:${port}`
  const clientSecret = localSecret(dataDir, "development-client")
  const provider = yield* startIdentityProvider({
    port: idpPort,
    clients: [{ clientId: "gatehouse", clientSecret, redirectUris: [`${url}/auth/callback/dev`] }]
  })
  const web = join(dataDir, "dashboard")
  yield* Effect.promise(() => buildDashboard(web))

  const identity = {
    ENVIRONMENT: env["ENVIRONMENT"] ?? "dev",
    IDENTITY_ISSUER: url,
    IDENTITY_JWKS_URL: `${url}/.well-known/jwks.json`
  }
  const common = { LOG_FORMAT: env["LOG_FORMAT"] ?? "text", LOG_LEVEL: env["LOG_LEVEL"] ?? "Warn" }
  const listeners: Array<Listener> = []
  const places: Array<readonly [string, string]> = []

  /** Waits until a service says that it is ready; a service that never is tells why through its log. */
  const ready = (service: Service) =>
    Effect.promise(() => service.internal(new Request("http://localhost/readyz"))).pipe(
      Effect.filterOrFail(
        (answer) => answer.ok,
        () => new Error(`${service.name} did not become ready`)
      ),
      Effect.retry({ times: 300, schedule: Schedule.spaced("50 millis") })
    )

  const serve = Effect.fnUntraced(function* (make: (env: Env) => Promise<Service>, settings: Env, at: HeldPort) {
    const service = yield* Effect.tryPromise({ try: () => make(settings), catch: (error) => error as Error })
    yield* at.letGo
    const listener = yield* Effect.try({
      try: () => listen(service, { hostname: loopback, port: at.port, internalPort: 0 }),
      catch: (error) => error as PortUnavailable
    })
    listeners.unshift(listener)
    yield* Scope.addFinalizer(
      scope,
      Effect.promise(() => listener.stop(2))
    )
    yield* ready(service)
    return listener
  })
  /** Settings of one service; `DATA_DIR` is the platform's own, though it looks like one of the data service. */
  const overrides = (prefix: string): Env =>
    Object.fromEntries(Object.entries(env).filter(([key]) => key.startsWith(prefix) && key !== "DATA_DIR"))

  const [monitorPort, dashboardPort, adminPort, schedulerPort, dataPort] = yield* Effect.all([
    heldPort,
    heldPort,
    heldPort,
    heldPort,
    heldPort
  ])
  const key = workloadKey(dataDir, "scheduler")
  const own = yield* Effect.forEach(microserviceNames, (name) =>
    Effect.map(heldPort, (at) => ({
      name,
      port: at,
      url: `http://${loopback}:${at.port}`,
      files: workloadKey(dataDir, name),
      load: microservices[name]
    }))
  )
  const file = yield* writeSettings(join(dataDir, "gateway.yaml"), {
    issuer: provider.issuer,
    monitor: `http://${loopback}:${monitorPort.port}`,
    data: `http://${loopback}:${dataPort.port}`,
    dashboard: `http://${loopback}:${dashboardPort.port}`,
    admin: `http://${loopback}:${adminPort.port}`,
    scheduler: `http://${loopback}:${schedulerPort.port}`,
    schedulerKey: key.publicFile,
    microservices: own.map(({ files, name, url: at }) => ({ name, url: at, key: files.publicFile }))
  })
  const door = yield* serve(
    gateway.make,
    {
      ...common,
      ENVIRONMENT: identity.ENVIRONMENT,
      GATEWAY_PUBLIC_URL: url,
      GATEWAY_FILE: file,
      GATEWAY_DATABASE_URL: postgres.url("gateway", "gateway"),
      GATEWAY_SECRET: localSecret(dataDir, "gateway"),
      DEVELOPMENT_CLIENT_SECRET: clientSecret,
      ...overrides("GATEWAY_"),
      ...overrides("TRUSTED_")
    },
    { port, letGo: Effect.void }
  )
  const cluster = yield* kubeconfig === undefined
    ? startSimulatedCluster({ dataDir, namespace: identity.ENVIRONMENT, speed: simulationSpeed })
    : realCluster(kubeconfig)
  const [hand, watchman, eyes, shelf, pages] = yield* Effect.all(
    [
      serve(
        (settings) => admin.make(settings, { kubernetes: cluster.layer }),
        {
          ...common,
          ...identity,
          ADMIN_DATABASE_URL: postgres.url("logging", "admin"),
          ADMIN_BACKUP_DIR: join(dataDir, "backups"),
          ADMIN_KNOWN_GOOD: "5 seconds",
          ...overrides("ADMIN_")
        },
        adminPort
      ),
      serve(
        (settings) => scheduler.make(settings, { kubernetes: cluster.layer }),
        {
          ...common,
          ...identity,
          ...quickly,
          SCHEDULER_DATABASE_URL: postgres.url("logging", "scheduler"),
          SCHEDULER_BACKUP_DIR: join(dataDir, "database-backups"),
          SCHEDULER_BACKUP_GATEWAY_URL: socketUrl(postgres.socketDir, "gateway", "postgres"),
          SCHEDULER_BACKUP_LOGGING_URL: socketUrl(postgres.socketDir, "logging", "postgres"),
          SCHEDULER_BACKUP_DATA_URL: socketUrl(postgres.socketDir, "data", "postgres"),
          ...(yield* backupKeys(dataDir)),
          PATH: env["PATH"],
          PG_BIN: env["PG_BIN"],
          GATEWAY_URL: url,
          WORKLOAD_ID: "scheduler",
          WORKLOAD_KEY_FILE: key.privateFile,
          ...overrides("SCHEDULER_")
        },
        schedulerPort
      ),
      serve(
        monitor.make,
        { ...common, ...identity, MONITOR_DATABASE_URL: postgres.url("logging", "monitor"), ...overrides("MONITOR_") },
        monitorPort
      ),
      serve(
        (settings) => data.make(settings, { definitions: [sampleDataset] }),
        {
          ...common,
          ...identity,
          DATA_DATABASE_URL: postgres.url("data", "data"),
          DATA_QUERY_DATABASE_URL: postgres.url("data", "data_query"),
          DATA_WRITE_DATABASE_URL: postgres.url("data", "data_write"),
          ...overrides("DATA_")
        },
        dataPort
      ),
      serve(
        dashboard.make,
        { ...common, ...identity, DASHBOARD_ASSETS: web, ...overrides("DASHBOARD_") },
        dashboardPort
      )
    ],
    { concurrency: "unbounded" }
  )
  const team = yield* Effect.forEach(
    own,
    ({ files, load, name, port: at }) =>
      serve(
        async (settings) => (await load()).make(settings),
        {
          ...common,
          ...identity,
          [`${name.toUpperCase()}_DATABASE_URL`]: postgres.url("data", name),
          GATEWAY_URL: url,
          WORKLOAD_ID: name,
          WORKLOAD_KEY_FILE: files.privateFile,
          ...overrides(`${name.toUpperCase()}_`)
        },
        at
      ).pipe(Effect.map((listener) => ({ name, listener }))),
    { concurrency: "unbounded" }
  )
  places.push(
    ["gateway", `${url} (internal port ${door.internalPort})`],
    ["dashboard", `behind the gateway at / (port ${pages.port})`],
    ["admin", `behind the gateway at /admin (port ${hand.port}, internal port ${hand.internalPort})`],
    ["scheduler", `behind the gateway at /jobs (port ${watchman.port}, internal port ${watchman.internalPort})`],
    ["cluster", cluster.place],
    ["monitor", `behind the gateway at /monitor (port ${eyes.port}, internal port ${eyes.internalPort})`],
    ["data service", `behind the gateway at /data (port ${shelf.port}, internal port ${shelf.internalPort})`],
    ...team.map(({ listener, name }): Platform["places"][number] => [
      name,
      `behind the gateway at /${name} (port ${listener.port}, internal port ${listener.internalPort})`
    ]),
    ["identity provider", `${provider.issuer} (development only: anyone on this machine can be anyone)`],
    ["Postgres", `${postgres.socketDir} (pid ${postgres.pid}${postgres.reused ? ", found running" : ""})`],
    ["data", dataDir]
  )
  if (cluster.fresh) {
    yield* releaseBadly(cluster, identity.ENVIRONMENT).pipe(
      Effect.delay(storyBegins),
      Effect.catch((error) => Effect.logWarning(error.message)),
      Effect.forkIn(scope)
    )
  }
  const platform: Platform = {
    url,
    issuer: provider.issuer,
    places,
    listeners,
    stop: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
  return platform
})

/** What a person reads when everything is up. */
export const greeting = (platform: Platform): string => {
  const width = Math.max(...platform.places.map(([what]) => what.length))
  const places = platform.places.map(([what, where]) => `  ${what.padEnd(width)}  ${where}`).join("\n")
  const users = demoUsers.map((user) => `${user.id}${user.role === null ? " (no role)" : ""}`).join(", ")
  return `${places}\n  ${"demo users".padEnd(width)}  ${users}\n\nready: ${platform.url}  (stop with Ctrl-C)`
}
