/** A Postgres of its own for one drill: no network, a random owner, a private folder, gone with the scope; must never be a server that was there before. */
import { randomBytes } from "node:crypto"
import { chown, chmod, mkdtemp, mkdir, readdir, readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { Context, Effect, Layer, Redacted, Schedule, type Scope } from "effect"
import { codeOf } from "#shared/systemErrors.ts"
import { openSession } from "#shared/sql.ts"
import { BackupFailed, type ToolsMissing } from "./failures.ts"
import { PostgresTools, type Running, type ToolUser, unprivileged } from "./PostgresTools.ts"

/** An empty server. */
export interface EmptyServer {
  /** For libpq and the driver alike. */
  readonly url: (database: string) => Redacted.Redacted
  /** Its superuser, who is nobody's elsewhere. */
  readonly owner: string
}

export class Throwaway extends Context.Service<
  Throwaway,
  {
    readonly server: Effect.Effect<EmptyServer, BackupFailed | ToolsMissing, Scope.Scope>
  }
>()("gatehouse/scheduler/Throwaway") {
  static readonly layer = (options: { readonly folder: string }) => Layer.effect(Throwaway, makeThrowaway(options))
}

const prefix = "gatehouse-drill-"

/** Small memory, nothing synced: what it holds is thrown away. */
const settings = {
  listen_addresses: "",
  unix_socket_permissions: "0700",
  max_connections: "20",
  shared_buffers: "64MB",
  maintenance_work_mem: "64MB",
  max_wal_size: "1GB",
  jit: "off",
  io_method: "sync",
  fsync: "off",
  full_page_writes: "off",
  synchronous_commit: "off",
  wal_level: "minimal",
  max_wal_senders: "0",
  autovacuum: "off",
  timezone: "UTC"
}

/** Whatever the machine's locale. */
const initOptions = [
  "--auth=trust",
  "--encoding=UTF8",
  "--locale=C",
  "--locale-provider=builtin",
  "--builtin-locale=C.UTF-8",
  "--no-sync",
  "--no-instructions"
]

/** Readiness is looked for so often, and so long; an empty cluster needs a second. */
const look = Schedule.spaced("50 millis")
const looks = 600

/** Folders of this process's drills that are under way. */
const underWay = new Set<string>()

const attempt = <A>(work: () => Promise<A>) =>
  Effect.tryPromise({ try: work, catch: (error) => new BackupFailed({ reason: codeOf(error) }) })

const alive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === "EPERM"
  }
}

/** Ends the server of a drill whose process was killed, if it is still this folder's, and removes what it had. */
const clear = async (folder: string) => {
  const pid = Number((await readFile(join(folder, "cluster/postmaster.pid"), "utf8").catch(() => "")).split("\n")[0])
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")
  if (pid > 1 && command.includes(folder)) process.kill(pid, "SIGQUIT")
  await rm(folder, { recursive: true, force: true })
}

/** What killed drills left: their folders name the process, which has gone, or was another of the same number. */
const clearLeftovers = (folder: string) =>
  attempt(async () => {
    for (const name of await readdir(folder)) {
      const pid = Number(new RegExp(`^${prefix}(\\d+)-`, "u").exec(name)?.[1] ?? Number.NaN)
      const path = join(folder, name)
      if (Number.isNaN(pid) || underWay.has(path) || (pid !== process.pid && alive(pid))) continue
      await clear(path)
    }
  }).pipe(Effect.ignore)

const makeThrowaway = Effect.fnUntraced(function* ({ folder }: { readonly folder: string }) {
  const tools = yield* PostgresTools

  const privateFolder = (user: ToolUser) =>
    Effect.acquireRelease(
      attempt(async () => {
        const path = await mkdtemp(join(folder, `${prefix}${process.pid}-`))
        underWay.add(path)
        await chmod(path, 0o700)
        await mkdir(join(path, "socket"), { mode: 0o700 })
        if (user !== undefined) for (const one of [path, join(path, "socket")]) await chown(one, user.uid, user.gid)
        return path
      }),
      (path) =>
        Effect.ignore(
          attempt(async () => {
            await rm(path, { recursive: true, force: true })
            underWay.delete(path)
          })
        )
    )

  const ended = Effect.fnUntraced(function* (what: string, running: Running) {
    // Its output is not read for what it says: a full pipe would stop it.
    yield* Effect.forkScoped(Effect.promise(() => running.stdout.pipeTo(new WritableStream()).catch(() => {})))
    const code = yield* Effect.promise(() => running.ended)
    if (code !== 0) return yield* new BackupFailed({ reason: `${what} failed: ${running.complaints()}` })
  })

  const server = Effect.gen(function* () {
    yield* tools.need("initdb", "postgres")
    yield* clearLeftovers(folder)
    const user = yield* unprivileged
    const path = yield* privateFolder(user)
    const owner = `drill_${randomBytes(6).toString("hex")}`
    const cluster = join(path, "cluster")
    const initdb = yield* tools.start({
      tool: "initdb",
      args: ["-D", cluster, "-U", owner, ...initOptions],
      user
    })
    yield* ended("initdb", initdb)
    const flags = Object.entries({ ...settings, unix_socket_directories: join(path, "socket") })
    const running = yield* tools.start({
      tool: "postgres",
      args: ["-D", cluster, ...flags.flatMap(([key, value]) => ["-c", `${key}=${value}`])],
      user
    })
    let code: number | null | undefined
    void running.ended.then((one) => (code = one ?? -1))
    const url = (database: string) =>
      Redacted.make(
        `postgresql:///${encodeURIComponent(database)}?host=${encodeURIComponent(join(path, "socket"))}&user=${owner}`
      )
    yield* Effect.scoped(openSession({ url: url("postgres"), applicationName: "gatehouse-drill" })).pipe(
      Effect.mapError(() =>
        code === undefined
          ? new BackupFailed({ reason: "the drill's server does not answer" })
          : new BackupFailed({ reason: `the drill's server ended: ${running.complaints()}` })
      ),
      Effect.retry({ schedule: look, times: looks, while: () => code === undefined })
    )
    return { url, owner } satisfies EmptyServer
  })

  return Throwaway.of({ server })
})
