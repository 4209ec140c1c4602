/** Makes, starts, finds and stops one Postgres server process; must know nothing about who owns it or what is in it. */
import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { closeSync, existsSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { Effect } from "effect"
import type { ServerUser } from "./postgresBinaries.ts"
import { attempt, PostgresFailed } from "./postgresFailed.ts"

/** Where one server's parts lie. */
export type Layout = {
  readonly binaries: string
  readonly user: ServerUser
  readonly cluster: string
  readonly socketDir: string
  readonly log: string
  /** The server's settings beside those of every development server. */
  readonly further: Readonly<Record<string, string>>
}

/** One server process; `alive` tells it from a later program that was given the same pid. */
export type Server = { readonly pid: number; readonly alive: () => boolean }

/** What the server says of itself in `postmaster.pid`. */
type PidFile = { readonly pid: number; readonly socketDir: string; readonly status: string }

/** Far beyond any start seen, crash recovery of a development database included. */
const startLimit = 60_000

/** Small memory, few processes, full durability: a development server that survives `kill -9` and a power cut. */
const settings = {
  listen_addresses: "",
  unix_socket_permissions: "0700",
  max_connections: "100",
  shared_buffers: "64MB",
  jit: "off",
  io_method: "sync",
  wal_level: "minimal",
  max_wal_senders: "0",
  max_logical_replication_workers: "0",
  min_wal_size: "32MB",
  max_wal_size: "256MB",
  timezone: "UTC",
  log_timezone: "UTC"
}

/** Not synced: what a power cut in the first seconds can break is a cluster without content. */
const initOptions = [
  "-U postgres --auth trust --encoding UTF8 --locale C --locale-provider builtin --builtin-locale C.UTF-8",
  "--data-checksums --no-sync --no-instructions"
].flatMap((line) => line.split(" "))

/**
 * Creates the cluster if there is none, in a folder of its own first: an interrupted initdb leaves nothing that looks finished.
 * Each try has a new folder, because the initdb of a launcher that was killed may still be at work in the old one.
 */
export const initialise = Effect.fnUntraced(function* (layout: Layout) {
  if (existsSync(layout.cluster)) return
  const partial = `${layout.cluster}.partial-`
  yield* attempt("clear half-made clusters", () => {
    for (const name of readdirSync(dirname(partial))) {
      if (name.startsWith(basename(partial))) rmSync(join(dirname(partial), name), { recursive: true, force: true })
    }
  }).pipe(Effect.ignore)
  const folder = partial + randomUUID()
  const logStart = logSize(layout)
  const code = yield* Effect.callback<number | null, PostgresFailed>((resume) => {
    const child = launch(layout, "initdb", ["-D", folder, ...initOptions])
    child.once("error", (cause) =>
      resume(Effect.fail(new PostgresFailed({ operation: "initdb", detail: cause.message })))
    )
    child.once("exit", (code) => resume(Effect.succeed(code)))
    // Its session with it: initdb leaves the work to a postgres of its own.
    return Effect.ignore(attempt("stop initdb", () => child.pid !== undefined && process.kill(-child.pid, "SIGKILL")))
  })
  if (code !== 0) return yield* new PostgresFailed({ operation: "initdb", detail: logSince(layout, logStart) })
  yield* attempt("finish initdb", () => renameSync(folder, layout.cluster))
})

/**
 * A server that already runs on this cluster, left by a launcher that was killed. A pid file whose process ended is
 * left to Postgres, which knows to wait for that server's last backends; one whose pid now belongs to another program is removed,
 * because Postgres would take that program for a server and refuse to start.
 */
export const findOrphan = Effect.fnUntraced(function* (layout: Layout) {
  const file = readPidFile(layout)
  if (file === undefined) return undefined
  const command = commandOf(file.pid)
  if (command !== "" && !command.includes("postgres")) {
    yield* attempt("remove a stale postmaster.pid", () =>
      rmSync(join(layout.cluster, "postmaster.pid"), { force: true })
    )
  }
  const server: Server = { pid: file.pid, alive: () => isServer(layout, file.pid) }
  if (!server.alive()) return undefined
  if (file.status !== "stopping") return server
  yield* waitUntil("wait for the last server to stop", startLimit, () => !server.alive())
  return undefined
})

/** Starts the server; it answers once `awaitReady` has succeeded. */
export const spawnServer = (layout: Layout): Effect.Effect<Server, PostgresFailed> =>
  Effect.suspend(() => {
    const flags = Object.entries({
      ...settings,
      unix_socket_directories: `"${layout.socketDir}"`,
      ...layout.further
    })
    const child = launch(layout, "postgres", [
      "-D",
      layout.cluster,
      ...flags.flatMap(([key, value]) => ["-c", `${key}=${value}`])
    ])
    child.on("error", () => {})
    child.unref()
    const { pid } = child
    // Not by its command line, which is not there yet for a moment after the start.
    const alive = () => child.exitCode === null && child.signalCode === null
    return pid === undefined
      ? Effect.fail(new PostgresFailed({ operation: "start the server", detail: "the binary cannot be executed" }))
      : Effect.succeed({ pid, alive })
  })

/** Waits until the server accepts connections and gives its socket folder; fails with the server's own words when it ends instead. */
export const awaitReady = Effect.fnUntraced(function* (layout: Layout, server: Server, logStart: number) {
  const socketDir = yield* waitUntil(`wait for pid ${server.pid} to accept connections`, startLimit, () => {
    const file = readPidFile(layout)
    if (file?.pid === server.pid && file.status === "ready") return file.socketDir
    return server.alive() ? undefined : "ended"
  })
  if (socketDir === "ended") {
    return yield* new PostgresFailed({ operation: "start the server", detail: logSince(layout, logStart) })
  }
  return socketDir
})

/** Stops the server: a fast shutdown, and harder means only when that does not end it. */
export const stopServer = Effect.fnUntraced(function* (server: Server) {
  for (const [signal, limit] of [
    ["SIGINT", 15_000],
    ["SIGQUIT", 5000],
    ["SIGKILL", 2000]
  ] as const) {
    if (!server.alive()) return
    yield* Effect.ignore(attempt("stop the server", () => process.kill(server.pid, signal)))
    yield* Effect.ignore(waitUntil("stop the server", limit, () => !server.alive()))
  }
})

/** The present length of the log, to quote later only what was added since. */
export const logSize = (layout: Layout): number => statSync(layout.log, { throwIfNoEntry: false })?.size ?? 0

const logSince = (layout: Layout, start: number) =>
  readFileSync(layout.log).subarray(start).toString("utf8").trim().split("\n").slice(-8).join("\n") ||
  `see ${layout.log}`

/** In a session of its own, so that a Ctrl-C in the terminal reaches the launcher alone; with no environment to leak. */
const launch = (layout: Layout, program: "initdb" | "postgres", args: ReadonlyArray<string>): ChildProcess => {
  const log = openSync(layout.log, "a", 0o600)
  try {
    return spawn(join(layout.binaries, "bin", program), args, {
      cwd: "/",
      detached: true,
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
      stdio: ["ignore", log, log],
      ...layout.user
    })
  } finally {
    closeSync(log)
  }
}

const readPidFile = (layout: Layout): PidFile | undefined => {
  try {
    const lines = readFileSync(join(layout.cluster, "postmaster.pid"), "utf8").split("\n")
    return { pid: Number(lines[0]), socketDir: lines[4] ?? "", status: (lines[7] ?? "").trim() }
  } catch {
    return undefined
  }
}

/** The command line of a process, its arguments ended by NUL where the system tells them apart; empty for a dead one or a zombie. */
const commandOf = (pid: number): string => {
  if (process.platform !== "linux") {
    return Bun.spawnSync(["ps", "-ww", "-o", "command=", "-p", String(pid)])
      .stdout.toString()
      .trim()
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
  } catch {
    return ""
  }
}

/** Whether `pid` is alive and a server on this cluster: a pid alone may have been given to another program since. */
const isServer = (layout: Layout, pid: number): boolean =>
  commandOf(pid).replaceAll("\0", " ").includes(`postgres -D ${layout.cluster} `)

/** Real time on purpose: a foreign process does not follow a test's clock. */
const waitUntil = <A>(operation: string, limit: number, probe: () => A | undefined | false) =>
  Effect.gen(function* () {
    const end = performance.now() + limit
    while (true) {
      const seen = yield* attempt(operation, probe)
      if (seen !== undefined && seen !== false) return seen
      if (performance.now() > end)
        return yield* new PostgresFailed({ operation, detail: `not within ${limit / 1000} s` })
      yield* Effect.promise((signal) => setTimeout(10, undefined, { signal }).catch(() => {}))
    }
  })
