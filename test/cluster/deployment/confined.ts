/** Runs a program in an image's root file system as Kubernetes confines it: an unprivileged user, a read-only root, no capability, no new privileges; on this machine's network. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { complete, type Entry } from "#dev/image/tar.ts"

/** Writes the entries below `folder`. */
export const writeRoot = (folder: string, entries: ReadonlyArray<Entry>): void => {
  for (const { data, mode, path } of complete(entries)) {
    const place = join(folder, path)
    mkdirSync(data === undefined ? place : dirname(place), { recursive: true })
    if (data !== undefined) writeFileSync(place, data, { mode: mode ?? 0o644 })
  }
}

export interface Confined {
  /** Of the program, as this machine sees it. */
  readonly pid: number
  /** Its line of /proc/PID/status. */
  readonly status: (field: string) => string
  /** Whether it may write to its root. */
  readonly readOnly: () => boolean
  readonly signal: (signal: NodeJS.Signals) => void
  readonly exited: Promise<number>
  readonly output: () => Promise<string>
}

interface Options {
  /** For this container's own files. */
  readonly folder: string
  readonly root: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  /** Files of this machine by their place inside. */
  readonly mounts: Readonly<Record<string, string>>
}

const none = { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] }
const user = 65_532

const specification = ({ args, env, mounts, root }: Options) => ({
  ociVersion: "1.0.2",
  process: {
    user: { uid: user, gid: user },
    args,
    env: Object.entries(env).map(([key, value]) => `${key}=${value}`),
    cwd: "/",
    capabilities: none,
    noNewPrivileges: true
  },
  root: { path: root, readonly: true },
  mounts: [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755"] },
    { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=1777"] },
    ...Object.entries(mounts).map(([destination, source]) => ({
      destination,
      source,
      type: "bind",
      options: ["bind", "ro"]
    }))
  ],
  linux: { namespaces: ["pid", "mount", "ipc"].map((type) => ({ type })) }
})

let started = 0

/** Starts it; it ends with `exited`. Throws with runc's complaint where it cannot be started. */
export const startConfined = async (options: Options): Promise<Confined> => {
  const bundle = join(options.folder, `container-${started++}`)
  const pidFile = join(bundle, "pid")
  mkdirSync(bundle, { recursive: true })
  writeFileSync(join(bundle, "config.json"), JSON.stringify(specification(options)))
  const name = `gatehouse-${process.pid}-${started}`
  const runc = ["runc", "--root", join(options.folder, "runc")]
  const child = Bun.spawn([...runc, "run", "--bundle", bundle, "--pid-file", pidFile, name], {
    stdio: ["ignore", "pipe", "pipe"]
  })
  const output = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  let pid = 0
  while (pid === 0) {
    if (child.exitCode !== null) throw new Error(`runc: ${(await output).join("")}`)
    try {
      pid = Number(readFileSync(pidFile, "utf8"))
    } catch {
      await Bun.sleep(20)
    }
  }
  return {
    pid,
    status: (field) =>
      new RegExp(`^${field}:\\s*(.*)$`, "mu").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "",
    readOnly: () =>
      / \/ \/ (?:\S*,)?ro[, ]| \/\S* \/ (?:\S*,)?ro[, ]/u.test(readFileSync(`/proc/${pid}/mountinfo`, "utf8")),
    signal: (signal) => process.kill(pid, signal),
    exited: child.exited,
    output: async () => (await output).join("")
  }
}
