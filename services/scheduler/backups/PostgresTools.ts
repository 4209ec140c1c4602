/** Finds and runs PostgreSQL's own programs; no secret is ever among a program's arguments, nor in what is told of its failure. */
import { type ChildProcess, spawn } from "node:child_process"
import { constants } from "node:fs"
import { access, readFile } from "node:fs/promises"
import { delimiter, join } from "node:path"
import type { Readable, Writable } from "node:stream"
import { Context, Effect, Layer, Redacted, type Scope } from "effect"
import { redact } from "#shared/telemetry.ts"
import { BackupFailed, ToolsMissing } from "./failures.ts"

export type Tool = "pg_dump" | "pg_restore" | "initdb" | "postgres"

/** The user that programs run as which refuse to be root's; absent: this process's own. */
export type ToolUser = { readonly uid: number; readonly gid: number } | undefined

export interface Run {
  readonly tool: Tool
  readonly args: ReadonlyArray<string>
  /** The whole environment beside PATH and LC_ALL; where a password may be. */
  readonly env?: Readonly<Record<string, string>>
  readonly user?: ToolUser
}

export interface Running {
  readonly pid: number
  readonly stdout: ReadableStream<Uint8Array>
  readonly stdin: WritableStream<Uint8Array>
  /** Resolves when it has ended: its exit code, null after a signal. */
  readonly ended: Promise<number | null>
  /** The last lines that it has complained with, without secrets. */
  readonly complaints: () => string
  /** How many of its lines spoke of an error. */
  readonly errors: () => number
}

export class PostgresTools extends Context.Service<
  PostgresTools,
  {
    /** `18.6`, of all these tools; fails with the reason where one cannot be run. */
    readonly need: (...tools: ReadonlyArray<Tool>) => Effect.Effect<string, ToolsMissing>
    /** Started, and killed with the scope. */
    readonly start: (run: Run) => Effect.Effect<Running, ToolsMissing, Scope.Scope>
  }
>()("gatehouse/scheduler/PostgresTools") {
  static readonly layer = (options: ToolsOptions) => Layer.sync(PostgresTools, () => makeTools(options))
}

export interface ToolsOptions {
  /** The only folder they are taken from, if given. */
  readonly folder: string | undefined
  /** Where they are looked for otherwise, as the shell does. */
  readonly path: string
}

/** Characters of complaint that are kept: the last ones, which say why it ended. */
const tail = 4000

const majorOf = (version: string) => version.split(".")[0]!

/** The user nobody when this process is root: Postgres refuses to be root's. */
export const unprivileged: Effect.Effect<ToolUser, BackupFailed> = Effect.gen(function* () {
  if (process.getuid?.() !== 0) return undefined
  const users = yield* Effect.promise(() => readFile("/etc/passwd", "utf8").catch(() => ""))
  const [, , uid, gid] = /^nobody:.*$/mu.exec(users)?.[0].split(":") ?? []
  if (uid === undefined || gid === undefined) {
    return yield* new BackupFailed({ reason: "started as root, and there is no user nobody to run a server as" })
  }
  return { uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }
})

const ending = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => {
    child.once("close", (code) => resolve(code))
    child.once("error", () => resolve(127))
  })

/** At the reader's pace. */
const readFrom = (source: Readable): ReadableStream<Uint8Array> => {
  const chunks: AsyncIterator<Uint8Array> = source[Symbol.asyncIterator]()
  return new ReadableStream({
    pull: async (controller) => {
      const { done, value } = await chunks.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    },
    cancel: () => void source.destroy()
  })
}

/** At the program's pace; an aborted stream is an end that the program sees as one that came too early. */
const writeTo = (target: Writable): WritableStream<Uint8Array> => {
  const settled = (act: (done: (error?: Error | null) => void) => void) =>
    new Promise<void>((resolve, reject) => act((error) => (error == null ? resolve() : reject(error))))
  return new WritableStream({
    write: (chunk) => settled((done) => target.write(chunk, done)),
    close: () => settled((done) => target.end(done)),
    abort: () => void target.destroy()
  })
}

const makeTools = ({ folder, path }: ToolsOptions) => {
  const folders = folder === undefined ? path.split(delimiter).filter((one) => one !== "") : [folder]
  const known = new Map<Tool, Promise<string | undefined>>()

  const find = (tool: Tool): Promise<string | undefined> => {
    const asked = known.get(tool)
    if (asked !== undefined) return asked
    const looking = (async () => {
      for (const one of folders) {
        const file = join(one, tool)
        if (
          await access(file, constants.X_OK).then(
            () => true,
            () => false
          )
        )
          return file
      }
      // Looked for again the next time: it may be installed meanwhile.
      known.delete(tool)
      return undefined
    })()
    known.set(tool, looking)
    return looking
  }

  const located = Effect.fnUntraced(function* (tool: Tool) {
    const file = yield* Effect.promise(() => find(tool))
    if (file !== undefined) return file
    const where = folder === undefined ? "in the PATH; PG_BIN names another folder" : "in the folder of PG_BIN"
    return yield* new ToolsMissing({ reason: `PostgreSQL's ${tool} is not ${where}` })
  })

  const start = Effect.fn("PostgresTools.start")(function* ({ args, env = {}, tool, user }: Run) {
    const file = yield* located(tool)
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(file, args, {
          cwd: "/",
          env: { PATH: "/usr/bin:/bin", LC_ALL: "C", ...env },
          stdio: ["pipe", "pipe", "pipe"],
          ...user
        })
      ),
      (one) =>
        Effect.promise(async () => {
          if (one.exitCode !== null || one.signalCode !== null || one.pid === undefined) return
          const gone = ending(one)
          one.kill("SIGKILL")
          // What nobody reads would keep the pipes, and with them the end, waiting.
          one.stdout.resume()
          await gone
        })
    )
    const ended = ending(child)
    let complaint = ""
    let errors = 0
    child.stderr.on("data", (chunk: Buffer) => {
      const text = chunk.toString("utf8")
      errors += text.match(/\b(?:error|ERROR|FATAL|PANIC):/gu)?.length ?? 0
      complaint = (complaint + text).slice(-tail)
    })
    // A program that ends early leaves a broken pipe, which its exit code explains better.
    child.stdin.on("error", () => {})
    const running: Running = {
      pid: child.pid ?? -1,
      stdout: readFrom(child.stdout),
      stdin: writeTo(child.stdin),
      ended,
      complaints: () =>
        Object.entries(env)
          .filter(([key]) => key === "PGPASSWORD")
          .reduce(
            (text, [, secret]) => (secret === "" ? text : text.replaceAll(secret, "<redacted>")),
            redact(complaint)
          )
          .trim()
          .split("\n")
          .slice(-8)
          .join("; "),
      errors: () => errors
    }
    return running
  })

  const versionOf = Effect.fnUntraced(function* (tool: Tool) {
    const running = yield* start({ tool, args: ["--version"] })
    const text = yield* Effect.promise(() => new Response(running.stdout).text())
    const code = yield* Effect.promise(() => running.ended)
    const version = /\(PostgreSQL\) (\d+(?:\.\d+)?)/u.exec(text)?.[1]
    if (code !== 0 || version === undefined) {
      return yield* new ToolsMissing({ reason: `PostgreSQL's ${tool} cannot be run` })
    }
    return version
  }, Effect.scoped)

  return PostgresTools.of({
    need: Effect.fn("PostgresTools.need")(function* (...tools) {
      const versions = yield* Effect.forEach(tools, versionOf)
      const [first = ""] = versions
      const other = tools.find((_, index) => majorOf(versions[index]!) !== majorOf(first))
      if (other !== undefined) {
        return yield* new ToolsMissing({ reason: `PostgreSQL's ${tools[0]} and ${other} are of different versions` })
      }
      return first
    }),
    start
  })
}

const parameters: Readonly<Record<string, string>> = {
  host: "PGHOST",
  port: "PGPORT",
  user: "PGUSER",
  password: "PGPASSWORD",
  dbname: "PGDATABASE",
  sslmode: "PGSSLMODE",
  sslrootcert: "PGSSLROOTCERT",
  sslcert: "PGSSLCERT",
  sslkey: "PGSSLKEY",
  connect_timeout: "PGCONNECT_TIMEOUT"
}

/** A connection URL as libpq's environment: a command line can be read by every user of a machine, the environment by its owner alone. */
export const libpqEnvironment = (url: Redacted.Redacted): Readonly<Record<string, string>> => {
  const { hostname, password, pathname, port, searchParams, username } = new URL(Redacted.value(url))
  const parts = {
    host: decodeURIComponent(hostname).replace(/^\[|\]$/gu, ""),
    port,
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    dbname: decodeURIComponent(pathname.slice(1)),
    ...Object.fromEntries(searchParams)
  }
  return Object.fromEntries(
    Object.entries(parts).flatMap(([key, value]) => {
      const variable = parameters[key]
      return variable === undefined || value === "" ? [] : [[variable, value]]
    })
  )
}
