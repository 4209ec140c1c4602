/** The embedded Postgres of a development start: one server per data folder, owned by one process; must serve no production. */
import { createHash, randomUUID } from "node:crypto"
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Database as Sqlite } from "bun:sqlite"
import { Effect, Exit, Option, Schedule, Scope } from "effect"
import { locateBinaries, reachable, rootStateDir, serverUser, type ServerUser } from "./postgresBinaries.ts"
import { type Database, ensureDatabases, type Role, socketUrl } from "./postgresDatabases.ts"
import { attempt, PostgresFailed } from "./postgresFailed.ts"
import {
  awaitReady,
  findOrphan,
  initialise,
  type Layout,
  logSize,
  type Server,
  spawnServer,
  stopServer
} from "./postgresServer.ts"

export { PostgresFailed } from "./postgresFailed.ts"

/** A running embedded server. */
export type EmbeddedPostgres = {
  /** The folder of its unix socket, its only listener; closed to every other user. */
  readonly socketDir: string
  /** A connection URL for @effect/sql-pg or libpq; no password, because who can open the socket is the owner. */
  readonly url: (database: Database, role: Role) => string
  /** Whether it was found running, left by a process that was killed. */
  readonly reused: boolean
  readonly pid: number
}

/**
 * Starts the server of `dataDir`, or takes over the one a killed process left running, with the databases and roles of the
 * services in it; the scope's end stops it. One process at a time owns a data folder; a second fails with `already in use`.
 */
export const startPostgres = Effect.fn("startPostgres")(function* (options: StartOptions) {
  return yield* undoOnFailure(start(options))
})

interface StartOptions {
  readonly dataDir: string
  /** Of the server's own, by name; they win over the development server's. */
  readonly settings?: Readonly<Record<string, string>>
}

/** What a failed attempt opened is closed at once, and not first with the scope it was made in, which may live on for long. */
const undoOnFailure = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    return yield* effect.pipe(
      Scope.provide(scope),
      Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void))
    )
  })

const start = Effect.fnUntraced(function* ({ dataDir: path, settings }: StartOptions) {
  const dataDir = yield* attempt("open the data folder", () => {
    mkdirSync(path, { recursive: true, mode: 0o711 })
    return realpathSync(path)
  })
  yield* own(dataDir)
  const layout = { ...(yield* layOut(dataDir)), further: settings ?? {} }
  yield* initialise(layout)
  return yield* adoptOrSpawn(layout).pipe(
    // Postgres refuses while another is about to run on the folder: backends of a server that was killed alone, which need a
    // moment to notice, or a server whose launcher was killed before it had written its pid. The next look finds it.
    Effect.retry({
      while: ({ detail }) => detail.includes("shared memory block") || detail.includes("Is another postmaster"),
      schedule: Schedule.spaced("200 millis"),
      times: 25
    })
  )
})

const adoptOrSpawn = Effect.fnUntraced(function* (layout: Layout) {
  const orphan = yield* findOrphan(layout)
  // An orphan that is alive but of no use, its socket swept away for one, has been stopped then: a new server is as good.
  const adopted =
    orphan === undefined
      ? Option.none()
      : yield* Effect.option(undoOnFailure(run(layout, Effect.succeed(orphan), true)))
  return Option.isSome(adopted) ? adopted.value : yield* undoOnFailure(run(layout, spawnServer(layout), false))
})

/** Holds one server, started or found, for the scope. */
const run = Effect.fnUntraced(function* (
  layout: Layout,
  found: Effect.Effect<Server, PostgresFailed>,
  reused: boolean
): Effect.fn.Return<EmbeddedPostgres, PostgresFailed, Scope.Scope> {
  const logStart = logSize(layout)
  const server = yield* Effect.acquireRelease(found, stopServer)
  const socketDir = yield* awaitReady(layout, server, logStart)
  yield* ensureDatabases(socketDir, server.pid)
  return { socketDir, url: (database, role) => socketUrl(socketDir, database, role), reused, pid: server.pid }
})

/**
 * Takes the data folder for this process. The lock is the kernel's, on `owner.lock`, through SQLite because Bun offers no
 * other: it falls with its holder however that dies, so there is no stale lock to judge and no reused pid to be fooled by.
 * `owner.pid` beside it only names the holder for people.
 */
const own = (dataDir: string) =>
  Effect.acquireRelease(
    attempt("lock the data folder", () => {
      const lock = new Sqlite(join(dataDir, "owner.lock"))
      try {
        lock.exec("BEGIN EXCLUSIVE")
        const since = new Date(performance.timeOrigin).toISOString()
        writeFileSync(join(dataDir, "owner.pid"), `${process.pid}\n${since}\n`, { mode: 0o600 })
        return lock
      } catch (cause) {
        lock.close()
        if ((cause as { code?: string }).code !== "SQLITE_BUSY") throw cause
        throw new Error(`${dataDir} is already in use by pid ${ownerOf(dataDir)}`)
      }
    }),
    (lock) =>
      Effect.ignore(
        attempt("unlock the data folder", () => {
          rmSync(join(dataDir, "owner.pid"), { force: true })
          lock.close()
        })
      )
  )

const ownerOf = (dataDir: string): string => {
  try {
    return readFileSync(join(dataDir, "owner.pid"), "utf8").split("\n")[0] ?? "unknown"
  } catch {
    return "unknown"
  }
}

/**
 * Decides where everything lies:
 *
 *     <dataDir>/owner.lock, owner.pid, postgres.log    this process's
 *     <dataDir>/server/{cluster,socket}                the server's, 0700, owned by the server's user
 *
 * As root the server runs as another user, who may not be able to walk down to `dataDir` (below /root, say). Opening the folders
 * above is not ours to do, so `server` is then a symbolic link to a folder under /var/lib/gatehouse-dev. Its name is random:
 * deleting `dataDir` is a fresh start, as everywhere else, and only leaves that folder to be deleted too.
 */
const layOut = Effect.fnUntraced(function* (
  dataDir: string
): Effect.fn.Return<Omit<Layout, "further">, PostgresFailed> {
  const server = join(dataDir, "server")
  const user = yield* serverUser(server)
  const binaries = yield* locateBinaries(user)
  return yield* attempt("lay out the data folder", () => {
    if (lstatSync(server, { throwIfNoEntry: false }) === undefined) {
      // dataDir is the launcher's own; letting others walk through it shows them nothing, all in it being closed to them.
      if (reachable(dirname(dataDir), user) && !reachable(dataDir, user))
        chmodSync(dataDir, statSync(dataDir).mode | 0o001)
      if (reachable(dataDir, user)) {
        ownDir(server, user)
      } else {
        mkdirSync(rootStateDir, { recursive: true, mode: 0o755 })
        const elsewhere = join(rootStateDir, randomUUID())
        ownDir(elsewhere, user)
        symlinkSync(elsewhere, server)
      }
    }
    const home = realpathSync(server)
    const socket = join(home, "socket")
    // A socket's path ends after 103 bytes on macOS and 107 on Linux.
    const socketDir =
      Buffer.byteLength(join(socket, ".s.PGSQL.5432")) <= 103
        ? socket
        : join(tmpdir(), `gatehouse-${createHash("sha256").update(home).digest("hex").slice(0, 16)}`)
    ownDir(socketDir, user)
    const log = join(dataDir, "postgres.log")
    if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) > 10_000_000) renameSync(log, `${log}.1`)
    return { binaries, user, cluster: join(home, "cluster"), socketDir, log }
  })
})

/** Makes a folder only `user` can enter; one that is already there must be such a folder, not something another user planted. */
const ownDir = (path: string, user: ServerUser) => {
  const uid = user?.uid ?? process.getuid?.() ?? 0
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
    mkdirSync(path, { mode: 0o700 })
    if (user !== undefined) chownSync(path, user.uid, user.gid)
  }
  const found = lstatSync(path)
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new Error(`${path} is not a folder that belongs to uid ${uid} alone`)
  }
}
