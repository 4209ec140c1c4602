/** `gatehouse <command>`: one entry, one binary, one image; the argument picks the service. Must hold no service's logic. */
import { resolve } from "node:path"
import {
  Clock,
  Config,
  ConfigProvider,
  Effect,
  FileSystem,
  Layer,
  Option,
  Path,
  Queue,
  Result,
  Sink,
  Stdio,
  Stream,
  Terminal
} from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { ChildProcessSpawner } from "effect/process"
import { microserviceNames, microservices } from "#dev/microservices.ts"
import { listen, runUntilSignal } from "#shared/bun.ts"
import { type Env, processEnv } from "#shared/config.ts"
import type { Service } from "#shared/service.ts"
import packageFile from "../package.json" with { type: "json" }

const say = (text: string) => Effect.sync(() => console.log(text))

/** Where a service listens; every service understands these besides its own settings. */
const listenerConfig = Config.all({
  hostname: Config.String("HOST").pipe(Config.withDefault("0.0.0.0")),
  port: Config.Port("PORT").pipe(Config.withDefault(8080)),
  internalPort: Config.Port("INTERNAL_PORT").pipe(Config.withDefault(9090))
})

/** Services are imported only when asked for: one process loads one service. */
const service = (
  name: string,
  description: string,
  load: () => Promise<{ readonly make: (env: Env) => Promise<Service> }>
) =>
  Command.make(name, {}, () =>
    Effect.gen(function* () {
      const { hostname, internalPort, port } = yield* listenerConfig
      const { make } = yield* Effect.promise(load)
      const made = yield* Effect.tryPromise({ try: () => make(processEnv()), catch: (error) => error as Error })
      const listener = yield* Effect.try({
        try: () => listen(made, { hostname, port, internalPort }),
        catch: (error) => error as Error
      })
      yield* say(`${name} listens on ${hostname}:${listener.port}, internal port ${listener.internalPort}`)
      yield* Effect.promise(() => runUntilSignal([listener]))
    })
  ).pipe(Command.withDescription(description))

const dev = Command.make(
  "dev",
  {
    port: Flag.Int("port").pipe(
      Flag.withFallbackConfig(Config.Int("PORT")),
      Flag.withDefault(8080),
      Flag.withDescription("Port on localhost (PORT); the identity provider takes the next one")
    ),
    dataDir: Flag.String("data-dir").pipe(
      Flag.withFallbackConfig(Config.String("DATA_DIR")),
      Flag.withDefault(".data"),
      Flag.withDescription("Folder of everything that is kept (DATA_DIR)")
    ),
    kubeconfig: Flag.String("kubeconfig").pipe(
      Flag.optional,
      Flag.withDescription("A real cluster instead of the simulated one; what is done there is real")
    )
  },
  ({ dataDir, kubeconfig, port }) =>
    Effect.gen(function* () {
      const { greeting, startPlatform } = yield* Effect.promise(() => import("#dev/platform.ts"))
      const platform = yield* startPlatform({
        port,
        dataDir: resolve(dataDir),
        env: processEnv(),
        kubeconfig: Option.getOrUndefined(Option.map(kubeconfig, (path) => resolve(path)))
      })
      yield* say(
        `Gatehouse ${packageFile.version}, development: everything in this process, on loopback only\n\n${greeting(platform)}`
      )
      yield* Effect.promise(() => runUntilSignal(platform.listeners, platform.stop))
    })
).pipe(
  Command.withDescription(
    "Start the whole platform in one process on embedded defaults: Postgres, identity provider, every service"
  )
)

const check = Command.make(
  "check",
  {
    file: Argument.String("file").pipe(Argument.withDescription("The gateway's settings file (YAML)")),
    publicUrl: Flag.String("public-url").pipe(
      Flag.withDefault("https://gatehouse.example"),
      Flag.withDescription("The public URL it is meant for: development providers are fine on loopback only")
    )
  },
  ({ file, publicUrl }) =>
    Effect.gen(function* () {
      const { readSettings } = yield* Effect.promise(() => import("#gateway/config.ts"))
      const { settings } = yield* readSettings(file, publicUrl)
      yield* say(`${file}: ${settings.routes.length} routes, ${settings.providers.length} providers, no fault found`)
    })
).pipe(Command.withDescription("Validate a gateway settings file offline; exit code 1 on any fault"))

const rotate = Command.make(
  "rotate",
  {
    emergency: Flag.Boolean("emergency").pipe(
      Flag.withDescription("Take the current key as stolen: drop it and all older ones at once and end all sessions")
    )
  },
  ({ emergency }) =>
    Effect.gen(function* () {
      const { rotateKeys } = yield* Effect.promise(() => import("#gateway/rotateKeys.ts"))
      yield* rotateKeys(processEnv(), emergency)
      yield* say(
        emergency
          ? "rotated; every older token and session has ended"
          : "rotated; the previous key stays published for 24 h"
      )
    })
).pipe(Command.withDescription("Promote the next signing key (needs the gateway's environment)"))

const age = Command.make(
  "age",
  {
    identityFile: Flag.String("identity-file").pipe(
      Flag.optional,
      Flag.withDescription("Write the secret key there instead of showing it: for the server's own key")
    ),
    recipientFile: Flag.String("recipient-file").pipe(
      Flag.optional,
      Flag.withDescription("Write the public key there; where that file is already, no key is made")
    )
  },
  ({ identityFile, recipientFile }) =>
    Effect.gen(function* () {
      const { makeKeys } = yield* Effect.promise(() => import("#scheduler/backups/offline.ts"))
      yield* say(
        yield* makeKeys({
          identityFile: Option.getOrUndefined(identityFile),
          recipientFile: Option.getOrUndefined(recipientFile)
        })
      )
    })
).pipe(
  Command.withDescription("Make a pair of keys for backups: the recovery key, or with --identity-file the server's")
)

const keys = Command.make("keys").pipe(
  Command.withDescription("Manage the gateway's signing keys and the keys of backups"),
  Command.withSubcommands([rotate, age])
)

const setPath = Argument.String("set").pipe(
  Argument.withDescription("Path of a backup, <folder>/<database>/<set>; `newest` may stand for the set")
)
const identity = Flag.String("identity").pipe(Flag.withDescription("File of the secret key that opens it"))

const backupDrill = Command.make("drill", { set: setPath, identity }, ({ identity, set }) =>
  Effect.gen(function* () {
    const { drillByHand } = yield* Effect.promise(() => import("#scheduler/backups/offline.ts"))
    const record = yield* drillByHand(set, identity, processEnv())
    yield* say(JSON.stringify(record))
    if (!record.ok) return yield* Effect.fail(new Error("the backup cannot be restored"))
  })
).pipe(Command.withDescription("Restore a backup into a throwaway Postgres and compare every row; needs no platform"))

const backupOpen = Command.make(
  "open",
  { set: setPath, identity, out: Flag.String("out").pipe(Flag.withDescription("A folder that is not there yet")) },
  ({ identity, out, set }) =>
    Effect.gen(function* () {
      const { openByHand } = yield* Effect.promise(() => import("#scheduler/backups/offline.ts"))
      const manifest = yield* openByHand(set, identity, resolve(out))
      yield* say(
        `${manifest.database} of ${manifest.takenAt}: ${manifest.tables} tables, ${manifest.rows} rows, in the clear in ${out}\n\n` +
          `psql -v ON_ERROR_STOP=1 -f ${out}/roles.sql postgres\n` +
          `pg_restore --create --exit-on-error -d postgres ${out}/dump.pgc`
      )
    })
).pipe(Command.withDescription("Open a backup for a real restore: roles.sql and dump.pgc"))

const backup = Command.make("backup").pipe(
  Command.withDescription("Backups of the databases by hand; the scheduler makes and proves them by itself"),
  Command.withSubcommands([backupDrill, backupOpen])
)

const environmentFlag = Flag.String("env").pipe(Flag.withDescription("The environment, such as prod"))

const checkEnvironment = (name: string) =>
  /^[a-z]([-a-z0-9]{0,40}[a-z0-9])?$/u.test(name)
    ? Effect.void
    : Effect.fail(new Error("--env: an environment is a DNS label, such as prod"))

const secretsInit = Command.make(
  "init",
  {
    environment: environmentFlag,
    out: Flag.String("out").pipe(
      Flag.optional,
      Flag.withDescription("A new file, for the eyes of its owner alone; without it standard output, for a pipe")
    ),
    oidcClientSecretFile: Flag.String("oidc-client-secret-file").pipe(
      Flag.optional,
      Flag.withDescription("What the identity provider gave as the client's secret; without it a random one")
    )
  },
  ({ environment, oidcClientSecretFile, out }) =>
    Effect.gen(function* () {
      const { readClientSecret, secretManifests, writeOnce } = yield* Effect.promise(
        () => import("#install/initialSecrets.ts")
      )
      yield* checkEnvironment(environment)
      const given = Option.getOrUndefined(oidcClientSecretFile)
      const clientSecret = given === undefined ? undefined : yield* readClientSecret(given)
      const text = secretManifests(environment, yield* Clock.currentTimeMillis, clientSecret)
      if (Option.isNone(out)) return yield* say(text.trimEnd())
      yield* writeOnce(out.value, text)
      yield* say(`${out.value}: kubectl create -f it, then keep it where backups cannot be read, or delete it`)
    })
).pipe(Command.withDescription("Make an environment's secrets, once, as manifests for kubectl create"))

const secretsRenew = Command.make(
  "renew",
  {
    environment: environmentFlag,
    authority: Flag.String("authority").pipe(
      Flag.optional,
      Flag.withDescription(
        "File of the ca.crt that is in force, to be believed meanwhile; without it the new one alone is"
      )
    ),
    out: Flag.String("out").pipe(
      Flag.withDescription("Start of two new files' names, for the eyes of their owner alone")
    )
  },
  ({ authority, environment, out }) =>
    Effect.gen(function* () {
      const { renewedCertificates, writeOnce } = yield* Effect.promise(() => import("#install/initialSecrets.ts"))
      yield* checkEnvironment(environment)
      const made = yield* renewedCertificates(
        environment,
        yield* Clock.currentTimeMillis,
        Option.getOrUndefined(authority)
      )
      const [first, second] = [`${out}-1-authority.yaml`, `${out}-2-databases.yaml`]
      yield* writeOnce(first, made.authority)
      yield* writeOnce(second, made.databases)
      yield* say(
        "apply both with kubectl apply --server-side --force-conflicts -f, and wait two minutes between them, until every pod has seen the first:\n" +
          `${first}\n${second}`
      )
    })
).pipe(Command.withDescription("Make new certificates for an environment's databases, as manifests for kubectl apply"))

const secrets = Command.make("secrets").pipe(
  Command.withDescription("Manage what an environment must keep secret"),
  Command.withSubcommands([secretsInit, secretsRenew])
)

const dataSetup = Command.make("data-setup", {}, () =>
  Effect.gen(function* () {
    const { setUp } = yield* Effect.promise(() => import("#data/setup.ts"))
    yield* setUp(processEnv())
    yield* say("the data instance is set up: roles, limits, and what callers may not call")
  })
).pipe(
  Command.withDescription("Make the data instance's roles and lock it down (needs its superuser; may be repeated)")
)

const copyProgram = Command.make(
  "copy-program",
  { folder: Argument.String("folder").pipe(Argument.withDescription("Where to, as `gatehouse`")) },
  ({ folder }) =>
    Effect.gen(function* () {
      const { copyProgram } = yield* Effect.promise(() => import("#install/copyProgram.ts"))
      yield* say(yield* copyProgram(folder, process.execPath))
    })
).pipe(Command.withDescription("Copy this program for a container of another image (kustomize/components/backup)"))

const gatehouse = Command.make("gatehouse").pipe(
  Command.withDescription("A safe home for a small team's services on one k3s server"),
  Command.withSubcommands([
    dev,
    service("gateway", "The public door: login, tokens, rights, routing", () => import("#gateway/service.ts")),
    service(
      "admin",
      "The hand: plans, applies, restarts and undoes, recorded and backed up",
      () => import("#admin/service.ts")
    ),
    service("monitor", "The eyes: metrics of the host, read-only", () => import("#monitor/service.ts")),
    service("scheduler", "The watchman: durable jobs, schedules, health", () => import("#scheduler/service.ts")),
    service("data", "Shared data: catalogue, rows, read-only SQL, ingest", () => import("#data/service.ts")),
    service("dashboard", "The web app, served behind the gateway", () => import("#dashboard/service.ts")),
    ...microserviceNames.map((name) => service(name, "A microservice of the team's own", microservices[name])),
    dataSetup,
    check,
    keys,
    secrets,
    backup,
    copyProgram
  ])
)

/** What the command line library may ask of its surroundings; it needs the terminal's width and its output, nothing else. */
const surroundings = Layer.mergeAll(
  FileSystem.layerNoop({}),
  Path.layer,
  Layer.succeed(
    Terminal.Terminal,
    Terminal.make({
      columns: Effect.succeed(process.stdout.columns ?? 100),
      rows: Effect.succeed(process.stdout.rows ?? 40),
      size: Queue.unbounded(),
      readInput: Queue.unbounded(),
      readLine: Effect.succeed(""),
      display: (text) => Effect.sync(() => void process.stdout.write(text))
    })
  ),
  Layer.succeed(
    Stdio.Stdio,
    Stdio.make({
      args: Effect.succeed(process.argv.slice(2)),
      stdin: Stream.empty,
      stdout: () => Sink.forEach((chunk: string | Uint8Array) => Effect.sync(() => void process.stdout.write(chunk))),
      stderr: () => Sink.forEach((chunk: string | Uint8Array) => Effect.sync(() => void process.stderr.write(chunk)))
    })
  ),
  Layer.succeed(
    ChildProcessSpawner.ChildProcessSpawner,
    ChildProcessSpawner.make(() => Effect.die(new Error("this command starts no other")))
  )
)

const outcome = await Effect.runPromise(
  Effect.result(
    Command.runWith(gatehouse, { version: packageFile.version })(process.argv.slice(2)).pipe(
      Effect.provide(surroundings),
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(processEnv())))
    )
  )
)
if (Result.isFailure(outcome)) {
  const error: { readonly _tag?: string; readonly message: string } = outcome.failure as Error & {
    readonly _tag?: string
  }
  // The library has shown its own errors already, with the help that belongs to them.
  if (error._tag !== "ShowHelp") console.error(`gatehouse: ${error.message}`)
  process.exit(1)
}
