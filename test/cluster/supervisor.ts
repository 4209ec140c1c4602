/** Starts the process that owns a cluster's processes, and gives it orders; must start nothing itself, so that nothing outlives it. */
import { existsSync } from "node:fs"
import { join } from "node:path"

export interface Output {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface ProcessState {
  readonly pid: number
  readonly running: boolean
  /** Of its last end; 128 and the signal's number if a signal ended it. */
  readonly code: number
}

export interface Certificate {
  readonly name: string
  readonly commonName: string
  readonly organization?: ReadonlyArray<string>
  readonly server?: boolean
  readonly client?: boolean
  readonly dnsNames?: ReadonlyArray<string>
  readonly addresses?: ReadonlyArray<string>
}

/** Orders to the supervisor of the cluster in one folder; usable from any process of the same user. */
export interface Supervisor {
  /** Starts a long-running program; without `argv`, with the command line it had before. */
  readonly start: (program: {
    readonly name: string
    readonly argv?: ReadonlyArray<string>
    readonly log?: string
  }) => Promise<ProcessState>
  /** Ends a program: gently for `graceSeconds`, then for good. */
  readonly stop: (name: string, graceSeconds: number) => Promise<ProcessState>
  readonly signal: (name: string, signal: number) => Promise<ProcessState>
  readonly state: (name: string) => Promise<ProcessState>
  /** Runs a command to its end where the cluster's processes run: on the node tier, in its namespaces. */
  readonly run: (argv: ReadonlyArray<string>, stdin?: string) => Promise<Output>
  /** Listens on `listen` and passes each connection on to `to`; gives the address it listens on. */
  readonly relay: (listen: string, to: string) => Promise<string>
  /** Issues certificates of the authority in `folder`, which it makes if missing. */
  readonly issue: (order: {
    readonly folder: string
    readonly certificates: ReadonlyArray<Certificate>
    readonly tokenKey?: string
  }) => Promise<void>
}

export const supervisorOf = (folder: string): Supervisor => {
  const socket = join(folder, "control.sock")
  const order = async <A>(path: string, body: object): Promise<A> => {
    const answer = await fetch(`http://supervisor/${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      unix: socket,
      timeout: false
    })
    if (!answer.ok) throw new Error(`${path}: ${(await answer.text()).trim()}`)
    return (await answer.json()) as A
  }
  return {
    start: (program) => order("start", program),
    stop: (name, graceSeconds) => order("stop", { name, graceMillis: graceSeconds * 1000 }),
    signal: (name, signal) => order("signal", { name, signal }),
    state: (name) => order("state", { name }),
    run: (argv, stdin = "") => order("run", { argv, stdin }),
    relay: async (listen, to) => (await order<{ readonly address: string }>("relay", { listen, to })).address,
    issue: async (request) => {
      await order("certificates", request)
    }
  }
}

/** A supervisor that ends, with all it owns, when this process does, however that happens. */
export interface OwnSupervisor extends Supervisor {
  /** Of the process to look for in the system's list: on the node tier the one that made the namespaces. */
  readonly pid: number
  /** Ends everything, removes the folder, and rejects if something had to be left. */
  readonly end: () => Promise<void>
}

/** What a supervisor's life hangs on must not be collected while this process runs. */
const held = new Set<object>()

/** Go's programs collect garbage when their heap has grown fivefold rather than twofold: time for memory, which a short run has. */
const lessCollecting = { GOGC: "400", GOMEMLIMIT: "768MiB" }

const namespaces = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--net", "--mount-proc", "--"]

/** Starts `program` for the cluster in `folder`; with a `cgroup`, in process, mount and network namespaces of its own. */
export const startSupervisor = async (program: string, folder: string, cgroup?: string): Promise<OwnSupervisor> => {
  const own = cgroup === undefined ? [] : ["--namespaced", "--cgroup", cgroup]
  const child = Bun.spawn([...(cgroup === undefined ? [] : namespaces), program, "--folder", folder, ...own], {
    // A group of its own: a Ctrl-C in the terminal is this process's to pass on.
    detached: true,
    env: { ...process.env, ...lessCollecting },
    stdio: ["pipe", "pipe", "pipe"]
  })
  held.add(child)
  // The process must not be kept alive by what it holds.
  child.unref()
  const complaint = new Response(child.stderr).text()
  const first = await child.stdout.getReader().read()
  if (first.done || !existsSync(join(folder, "control.sock"))) {
    child.kill()
    throw new Error(`the supervisor did not start: ${(await complaint).trim()}`)
  }
  return {
    ...supervisorOf(folder),
    pid: child.pid,
    end: async () => {
      held.delete(child)
      child.stdin.end()
      if ((await child.exited) !== 0) throw new Error(`the cluster left something: ${(await complaint).trim()}`)
    }
  }
}
