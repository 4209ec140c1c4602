/** A process that holds one embedded Postgres for tests and ends with its parent, however that dies; must leave nothing behind. */
import { chmodSync, existsSync, lstatSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PgConnection } from "@effect/sql-pg"
import { Effect, Exit, Redacted, Scope } from "effect"
import { startPostgres } from "#dev/postgres.ts"
import { socketUrl } from "#dev/postgresDatabases.ts"
import { preparedServer } from "./postgres.ts"

/** `fast` gives up durability, which only a test that kills the server needs. */
const fast = process.argv.includes("fast")
const settings: Readonly<Record<string, string>> = JSON.parse(process.argv[3] ?? "{}")
const dataDir = mkdtempSync(join(tmpdir(), "gatehouse-pg-"))
chmodSync(dataDir, 0o711)
let scope: Scope.Closeable | undefined

const relax = (socketDir: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const url = socketUrl(socketDir, "postgres", "postgres")
      const connection = yield* PgConnection.make({ url: Redacted.make(url), applicationName: "gatehouse-test" })
      for (const setting of ["fsync", "full_page_writes", "synchronous_commit"]) {
        yield* connection.query(`ALTER SYSTEM SET ${setting} = off`)
      }
      yield* connection.query("SELECT pg_reload_conf()")
    })
  )

const server = join(dataDir, "server")
const prepared = join(dataDir, "prepared")

/** With its files' owner: the server's user may be another. */
const copy = (from: string, to: string) => void Bun.spawnSync(["cp", "-a", from, to])

/** A server that has its databases and is stopped takes a tenth of the time to copy that it takes to make. */
const prepare = async () => {
  await Effect.runPromise(Effect.scoped(startPostgres({ dataDir })))
  // It lies elsewhere where its user cannot get here: then each makes its own.
  if (lstatSync(server).isDirectory()) copy(server, prepared)
}

const start = async () => {
  const given = process.env[preparedServer]
  if (fast && !existsSync(server)) await prepare()
  else if (given !== undefined && existsSync(given) && !existsSync(server)) copy(given, server)
  scope ??= Effect.runSync(Scope.make())
  const postgres = await Effect.runPromise(startPostgres({ dataDir, settings }).pipe(Scope.provide(scope)))
  if (fast) await Effect.runPromise(relax(postgres.socketDir))
  return { socketDir: postgres.socketDir, pid: postgres.pid, prepared }
}

const stop = async () => {
  if (scope !== undefined) await Effect.runPromise(Scope.close(scope, Exit.void))
  scope = undefined
  return {}
}

// The terminal's Ctrl-C reaches this process too; the parent decides when it ends.
process.on("SIGINT", () => {})
process.on("SIGTERM", () => {})

let last: Promise<unknown> = Promise.resolve()
const inTurn = <A>(step: () => Promise<A>): Promise<A> => {
  const turn = last.then(step)
  last = turn.catch(() => {})
  return turn
}
process.on("message", async (command) => {
  const answer = inTurn(async () => (command === "start" ? await start() : await stop()))
  process.send?.(await answer.catch((error: unknown) => ({ failed: String(error) })))
})
// Also when the parent was killed: the kernel closes its end.
process.on("disconnect", async () => {
  await inTurn(stop).catch(() => {})
  rmSync(dataDir, { recursive: true, force: true })
  process.exit(0)
})
