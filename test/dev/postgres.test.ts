/** The embedded Postgres, with its real binaries: what it serves, to whom, and what it survives. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawn } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PgConnection } from "@effect/sql-pg"
import { Effect, Exit, Redacted, Scope } from "effect"
import { type EmbeddedPostgres, startPostgres } from "#dev/postgres.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { until } from "#test/shared/until.ts"

// A cold start takes about a second; a loaded machine may need several.
setDefaultTimeout(60_000)

const isRoot = process.getuid?.() === 0
const folders: Array<string> = []
const freshDir = () => {
  const dir = mkdtempSync(join(tmpdir(), "gatehouse-pg-"))
  folders.push(dir)
  return dir
}
const holders: Array<Bun.Subprocess> = []
afterAll(() => {
  for (const holder of holders) holder.kill("SIGKILL")
  for (const dir of folders) rmSync(dir, { recursive: true, force: true })
})

const query = (url: string, text: string) =>
  Effect.scoped(
    Effect.flatMap(PgConnection.make({ url: Redacted.make(url) }), (connection) => connection.query(text)).pipe(
      Effect.map((result) => result.rows)
    )
  )
/** The server's own words for why a query, or the connection for it, is refused. */
const refusal = (url: string, text: string) =>
  query(url, text).pipe(
    Effect.flip,
    Effect.map((error) => String((error.reason.cause as Error | undefined)?.message ?? error.reason.cause))
  )
const withPostgres = <A, E>(dataDir: string, body: (pg: EmbeddedPostgres) => Effect.Effect<A, E>) =>
  Effect.runPromise(Effect.scoped(Effect.flatMap(startPostgres({ dataDir }), body)))
const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  // A process that ended and was not reaped yet, its parent having been killed, still has a pid.
  return process.platform !== "linux" || !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")
}

/** Another process that starts Postgres and holds it; killed without warning, it leaves the server behind. */
const abandon = async (dataDir: string) => {
  const script = `import { Effect } from "effect"; import { startPostgres } from "#dev/postgres.ts"
    await Effect.runPromise(Effect.scoped(Effect.flatMap(startPostgres({ dataDir: process.argv.at(-1) }), (pg) =>
      Effect.andThen(Effect.sync(() => console.log(JSON.stringify(pg))), Effect.promise(() => new Promise(() => setInterval(() => {}, 1000)))))))`
  const holder = Bun.spawn([process.execPath, "-e", script, dataDir], {
    cwd: join(import.meta.dir, "../.."),
    stdout: "pipe",
    stderr: "inherit"
  })
  holders.push(holder)
  const { value } = await holder.stdout.getReader().read()
  const { pid } = JSON.parse(new TextDecoder().decode(value)) as { pid: number }
  const kill = async () => {
    holder.kill("SIGKILL")
    await holder.exited
  }
  return { pid, holder, kill }
}

describe("a running server", () => {
  const scope = Effect.runSync(Scope.make())
  let dataDir: string
  let pg: EmbeddedPostgres
  beforeAll(async () => {
    dataDir = freshDir()
    pg = await Effect.runPromise(startPostgres({ dataDir }).pipe(Scope.provide(scope)))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  test("serves three databases, each to the roles it belongs to", async () => {
    expect(pg.reused).toBe(false)
    for (const [database, role, schema] of [
      ["gateway", "gateway", "public"],
      ["logging", "admin", "actions"],
      ["logging", "scheduler", "jobs"],
      ["logging", "monitor", "metrics"],
      ["data", "data", "public"]
    ] as const) {
      const url = pg.url(database, role)
      await Effect.runPromise(query(url, "CREATE TABLE note (body text)"))
      const [row] = await Effect.runPromise(
        query(
          url,
          "SELECT current_user::text AS role, current_schema()::text AS schema, to_regclass('note')::text AS found"
        )
      )
      expect(row).toEqual({ role, schema, found: "note" })
    }
  })

  test("keeps a role out of the other services' databases and schemas", async () => {
    const refused = async (
      database: "gateway" | "logging" | "data",
      role: "gateway" | "admin" | "monitor" | "data",
      text: string
    ) => Effect.runPromise(refusal(pg.url(database, role), text))
    expect(await refused("logging", "monitor", "SELECT * FROM actions.note")).toContain(
      "permission denied for schema actions"
    )
    expect(await refused("logging", "admin", "CREATE TABLE jobs.mine ()")).toContain(
      "permission denied for schema jobs"
    )
    expect(await refused("logging", "admin", "CREATE TABLE public.mine ()")).toContain(
      "permission denied for schema public"
    )
    expect(await refused("gateway", "admin", "SELECT 1")).toContain('permission denied for database "gateway"')
    expect(await refused("logging", "gateway", "SELECT 1")).toContain('permission denied for database "logging"')
    expect(await refused("data", "gateway", "SELECT 1")).toContain('permission denied for database "data"')
    expect(await refused("gateway", "gateway", "CREATE ROLE intruder")).toContain("permission denied to create role")
  })

  test("is durable, checks its pages, speaks UTF-8 and listens on nothing but its closed socket folder", async () => {
    const [row] = await Effect.runPromise(
      query(
        pg.url("data", "data"),
        `SELECT current_setting('fsync') AS fsync, current_setting('data_checksums') AS checksums, current_setting('listen_addresses') AS listen,
           current_setting('server_encoding') AS encoding, (SELECT datlocale FROM pg_database WHERE datname = 'data') AS locale`
      )
    )
    expect(row).toEqual({ fsync: "on", checksums: "on", listen: "", encoding: "UTF8", locale: "C.UTF-8" })
    expect(statSync(pg.socketDir).mode & 0o777).toBe(0o700)
  })

  test("is refused to a second start, in this process and in another, and goes on undisturbed", async () => {
    const again = await Effect.runPromise(Effect.scoped(startPostgres({ dataDir })).pipe(Effect.flip))
    expect(again.message).toContain(`already in use by pid ${process.pid}`)
    const elsewhere = Bun.spawnSync(
      [
        process.execPath,
        "-e",
        `import { Effect } from "effect"; import { startPostgres } from "#dev/postgres.ts"
         console.log((await Effect.runPromise(Effect.scoped(startPostgres({ dataDir: process.argv.at(-1) })).pipe(Effect.flip))).message)`,
        dataDir
      ],
      { cwd: join(import.meta.dir, "../..") }
    )
    expect(elsewhere.stdout.toString()).toContain(`already in use by pid ${process.pid}`)
    expect(readFileSync(join(dataDir, "owner.pid"), "utf8")).toStartWith(`${process.pid}\n`)
    expect(await Effect.runPromise(query(pg.url("data", "data"), "SELECT 1 AS one"))).toEqual([{ one: 1 }])
  })

  skipUnless(isRoot && process.platform === "linux", "not root on Linux").test(
    "runs as an unprivileged user when started by root",
    () => {
      const status = readFileSync(`/proc/${pg.pid}/status`, "utf8")
      const [uid, groups] = [/^Uid:\s+(\d+)/m.exec(status)?.[1], /^Groups:\s*(.*?)\s*$/m.exec(status)?.[1]]
      expect(uid).not.toBe("0")
      expect(groups?.split(" ")).not.toContain("0")
      expect(statSync(pg.socketDir).uid).toBe(Number(uid))
    }
  )
})

test("stops with its scope, and starts again with its data", async () => {
  const dataDir = freshDir()
  const first = await withPostgres(dataDir, (pg) =>
    Effect.as(query(pg.url("data", "data"), "CREATE TABLE kept AS SELECT 42 AS answer"), pg)
  )
  expect(isAlive(first.pid)).toBe(false)
  expect(existsSync(join(dataDir, "owner.pid"))).toBe(false)
  await withPostgres(dataDir, (pg) =>
    Effect.gen(function* () {
      expect(pg.reused).toBe(false)
      expect(yield* query(pg.url("data", "data"), "SELECT answer FROM kept")).toEqual([{ answer: 42 }])
    })
  )
})

test("takes over the server a killed process left behind, and stops it in the end", async () => {
  const dataDir = freshDir()
  const left = await abandon(dataDir)
  const refused = await Effect.runPromise(Effect.scoped(startPostgres({ dataDir })).pipe(Effect.flip))
  expect(refused.message).toContain(`already in use by pid ${left.holder.pid}`)
  await left.kill()
  expect(isAlive(left.pid)).toBe(true)
  await withPostgres(dataDir, (pg) =>
    Effect.gen(function* () {
      expect([pg.reused, pg.pid]).toEqual([true, left.pid])
      yield* query(pg.url("data", "data"), "CREATE TABLE kept ()")
    })
  )
  // Its memory is gone a moment before the process is.
  await until("the server's end", () => !isAlive(left.pid))
})

test("recovers after the server was killed too, and when its pid belongs to another program by now", async () => {
  const dataDir = freshDir()
  const left = await abandon(dataDir)
  await left.kill()
  process.kill(left.pid, "SIGKILL")
  await withPostgres(dataDir, (pg) =>
    Effect.gen(function* () {
      expect([pg.reused, pg.pid === left.pid]).toEqual([false, false])
      yield* query(pg.url("data", "data"), "CREATE TABLE kept ()")
    })
  )
  const server = realpathSync(join(dataDir, "server"))
  const { uid, gid } = statSync(server)
  // The server's user owns it, and it is not our own pid: Postgres itself sees through any other mistake.
  const stranger = spawn("sleep", ["600"], { stdio: "ignore", ...(isRoot ? { uid, gid } : {}) })
  try {
    writeFileSync(
      join(server, "cluster/postmaster.pid"),
      `${stranger.pid}\n/elsewhere\n1\n5432\n/elsewhere\n\n1 1\nready\n`
    )
    await withPostgres(dataDir, (pg) =>
      Effect.gen(function* () {
        expect(pg.reused).toBe(false)
        yield* query(pg.url("data", "data"), "SELECT * FROM kept")
      })
    )
    expect(stranger.exitCode).toBe(null)
  } finally {
    stranger.kill()
  }
})

test("starts over from a half-made initdb", async () => {
  const dataDir = freshDir()
  await withPostgres(dataDir, () => Effect.void)
  const server = realpathSync(join(dataDir, "server"))
  rmSync(join(server, "cluster"), { recursive: true })
  mkdirSync(join(server, "cluster.partial-interrupted/base"), { recursive: true })
  writeFileSync(join(server, "cluster.partial-interrupted/PG_VERSION"), "18\n")
  await withPostgres(dataDir, (pg) => query(pg.url("gateway", "gateway"), "SELECT 1"))
  expect(existsSync(join(server, "cluster.partial-interrupted"))).toBe(false)
})

test("fails with the server's own words, and leaves no lock behind", async () => {
  const dataDir = freshDir()
  await withPostgres(dataDir, () => Effect.void)
  const version = join(realpathSync(join(dataDir, "server")), "cluster/PG_VERSION")
  writeFileSync(version, "9.6\n")
  const failed = await Effect.runPromise(Effect.scoped(startPostgres({ dataDir })).pipe(Effect.flip))
  expect([failed._tag, failed.message]).toEqual(["PostgresFailed", expect.stringContaining("incompatible")])
  writeFileSync(version, "18\n")
  await withPostgres(dataDir, () => Effect.void)
})

test("keeps its socket in a short folder of its own when the data folder's path is too long for one", async () => {
  const dataDir = join(freshDir(), "d".repeat(120))
  if (isRoot) chmodSync(join(dataDir, ".."), 0o711)
  await withPostgres(dataDir, (pg) =>
    Effect.gen(function* () {
      expect(pg.socketDir).toStartWith(tmpdir())
      expect(statSync(pg.socketDir).mode & 0o777).toBe(0o700)
      folders.push(pg.socketDir)
      yield* query(pg.url("gateway", "gateway"), "SELECT 1")
    })
  )
})

skipUnless(isRoot, "not root").test(
  "as root, keeps the server's files elsewhere when its user cannot reach them",
  async () => {
    const closed = freshDir()
    mkdirSync(join(closed, "data"))
    await withPostgres(join(closed, "data"), (pg) => query(pg.url("data", "data"), "CREATE TABLE kept ()"))
    const server = realpathSync(join(closed, "data/server"))
    folders.push(server)
    expect(server).toStartWith("/var/lib/gatehouse-dev/")
    expect([statSync(closed).mode & 0o777, statSync(server).mode & 0o777]).toEqual([0o700, 0o700])
    await withPostgres(join(closed, "data"), (pg) => query(pg.url("data", "data"), "SELECT * FROM kept"))
  }
)
