/** Embedded Postgres for tests: a fresh database per suite on one shared server, or a private server to stop and freeze; must know no table. */
import { PgConnection } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { type Database, type Role, socketUrl } from "#dev/postgresDatabases.ts"
import { Database as OwnDatabase } from "#shared/sql.ts"

/** Names the socket folder of the run's server; set by test/run.ts, or here by the first suite of a process. */
const sharedServer = "GATEHOUSE_TEST_POSTGRES"
/** Names a folder with a stopped server that private ones begin as; set with the other. */
export const preparedServer = "GATEHOUSE_TEST_POSTGRES_PREPARED"

type Row = Readonly<Record<string, unknown>>

/** A database of one suite's own, set up as the platform sets up the service's. */
export interface FreshDatabase {
  /** For the service's `*_DATABASE_URL`. */
  readonly url: string
  /** The same for the superuser, as backups need it. */
  readonly superuserUrl: string
  readonly name: string
  /** Runs a statement in it as superuser and gives the rows. */
  readonly query: (text: string) => Promise<ReadonlyArray<Row>>
  /** Ends every connection to it and removes it. Optional: it goes with the server. */
  readonly drop: () => Promise<void>
}

interface Running {
  readonly socketDir: string
  readonly pid: number
  readonly prepared: string
}
type Answer = Running | { readonly failed: string }

/** A server in a process that ends with this one, even if this one is killed. */
const hold = (mode: "fast" | "durable", settings: Readonly<Record<string, string>> = {}) => {
  const waiting: Array<(answer: Answer) => void> = []
  const child = Bun.spawn(
    [process.execPath, `${import.meta.dir}/postgres.process.ts`, mode, JSON.stringify(settings)],
    {
      cwd: `${import.meta.dir}/../..`,
      stdio: ["ignore", "inherit", "inherit"],
      ipc: (answer: Answer) => waiting.shift()?.(answer),
      onExit: () => {
        for (const answer of waiting.splice(0)) answer({ failed: "the process that holds Postgres ended" })
      }
    }
  )
  const ask = (command: "start" | "stop"): Promise<Running> =>
    new Promise((resolve, reject) => {
      waiting.push((answer) => ("failed" in answer ? reject(new Error(answer.failed)) : resolve(answer)))
      child.send(command)
    })
  const end = async () => {
    child.disconnect()
    await child.exited
  }
  return { ask, end }
}

/** Starts the server that every suite of a run shares. */
export const startSharedPostgres = async (): Promise<{
  readonly env: Readonly<Record<string, string>>
  readonly stop: () => Promise<void>
}> => {
  const holder = hold("fast")
  const { prepared, socketDir } = await holder.ask("start")
  return { env: { [sharedServer]: socketDir, [preparedServer]: prepared }, stop: holder.end }
}

let starting: Promise<string> | undefined

const sharedSocketDir = async (): Promise<string> => {
  const running = process.env[sharedServer]
  if (running !== undefined) return running
  starting ??= startSharedPostgres().then(({ env }) => {
    Object.assign(process.env, env)
    return env[sharedServer]!
  })
  return starting
}

const query = (url: string, texts: ReadonlyArray<string>): Promise<ReadonlyArray<Row>> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const connection = yield* PgConnection.make({ url: Redacted.make(url), applicationName: "gatehouse-test" })
        let rows: ReadonlyArray<Row> = []
        for (const text of texts) rows = (yield* connection.query(text)).rows
        return rows
      })
    ).pipe(Effect.catchTag("SqlError", (error) => Effect.die(error.reason.cause ?? error)))
  )

/** Statements that give database `name` what a copy by template leaves out: who may connect, and each role's settings. */
const withoutCopy = (template: Database, name: string) => `
  SELECT 'REVOKE ALL ON DATABASE ${name} FROM PUBLIC' AS statement
  UNION ALL
  SELECT format('GRANT %s ON DATABASE ${name} TO %I', acl.privilege_type, role.rolname)
  FROM pg_database, aclexplode(datacl) AS acl JOIN pg_roles AS role ON role.oid = acl.grantee WHERE datname = '${template}'
  UNION ALL
  SELECT format('ALTER ROLE %I IN DATABASE ${name} SET %s', role.rolname, setting)
  FROM pg_db_role_setting AS saved JOIN pg_database ON pg_database.oid = setdatabase
    JOIN pg_roles AS role ON role.oid = setrole, unnest(setconfig) AS setting WHERE datname = '${template}'`

let made = 0

/** A new database like the platform's `database` (schemas, owners, rights), empty, for `role` to use. */
export const freshDatabase = async (
  database: Database,
  role: Role = database === "logging" ? "monitor" : database
): Promise<FreshDatabase> => {
  const socketDir = await sharedSocketDir()
  const superuser = (name: string) => socketUrl(socketDir, name, "postgres")
  const name = `${database}_${process.pid}_${Date.now().toString(36)}_${made++}`
  const owner = database === "logging" ? "postgres" : database
  await query(superuser("postgres"), [`CREATE DATABASE ${name} OWNER ${owner} TEMPLATE ${database} STRATEGY wal_log`])
  const statements = await query(superuser("postgres"), [withoutCopy(database, name)])
  await query(
    superuser("postgres"),
    statements.map((row) => String(row["statement"]))
  )
  return {
    url: socketUrl(socketDir, name, role),
    superuserUrl: superuser(name),
    name,
    query: (text) => query(superuser(name), [text]),
    drop: async () => {
      await query(superuser("postgres"), [`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`])
    }
  }
}

/** Waits until a service's database is migrated: each look ends after two seconds, which a busy machine may need more often. */
export const migrated = Effect.retry(
  OwnDatabase.use((database) => database.ready),
  { times: 20 }
)

/** A server of the test's own, for faults; it starts stopped. */
export interface PrivatePostgres {
  /** Known once it was started; the same after every start. */
  readonly url: (database: Database, role: Role) => string
  readonly query: (database: Database, text: string) => Promise<ReadonlyArray<Row>>
  readonly start: () => Promise<void>
  /** Stops it as an administrator does: every connection is ended. */
  readonly stop: () => Promise<void>
  /** Stops every process of it in mid-air: connections stand, nothing answers. */
  readonly pause: () => Promise<void>
  readonly resume: () => void
  /** Stops it for good and removes its files. */
  readonly dispose: () => Promise<void>
}

/** With `settings` beside those of every embedded server. */
export const privatePostgres = (settings?: Readonly<Record<string, string>>): PrivatePostgres => {
  const holder = hold("durable", settings)
  let socketDir: string | undefined
  let server = 0
  let frozen: ReadonlyArray<number> = []
  const url = (database: Database, role: string) => {
    if (socketDir === undefined) throw new Error("start the server once before asking for its address")
    return socketUrl(socketDir, database, role)
  }
  const resume = () => {
    for (const pid of frozen) process.kill(pid, "SIGCONT")
    frozen = []
  }
  return {
    url,
    query: (database, text) => query(url(database, "postgres"), [text]),
    start: async () => {
      const answer = await holder.ask("start")
      socketDir = answer.socketDir
      server = answer.pid
    },
    stop: async () => {
      resume()
      await holder.ask("stop")
    },
    pause: async () => {
      const rows = await query(url("data", "postgres"), [
        "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
      ])
      // The server first: it would see a stopped backend of its own and report it.
      frozen = [server, ...rows.map((row) => Number(row["pid"]))]
      for (const pid of frozen) process.kill(pid, "SIGSTOP")
    },
    resume,
    dispose: async () => {
      resume()
      await holder.end()
    }
  }
}
