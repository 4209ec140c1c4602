/** The platform as its user starts it, `gatehouse dev` in a process of its own; must use nothing of its inside. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePorts } from "./freePort.ts"

export interface PlatformProcess {
  readonly origin: string
  readonly pid: number
  /** All that it has printed so far. */
  readonly output: () => string
  readonly exited: Promise<number>
  readonly signal: (name: "SIGTERM" | "SIGINT" | "SIGKILL") => void
}

/** A data folder that vanishes with `remove`. */
export const dataFolder = () => {
  const path = mkdtempSync(join(tmpdir(), "gatehouse-scenario-"))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

interface More {
  readonly env?: Readonly<Record<string, string>>
  readonly args?: ReadonlyArray<string>
  /** Another tree than this one. */
  readonly root?: string
}

/** Starts the platform and waits for its "ready", or for its end, whichever comes first. */
export const startPlatformProcess = async (
  dataDir: string,
  port?: number,
  { args = [], env = {}, root = join(import.meta.dir, "../..") }: More = {}
): Promise<PlatformProcess> => {
  const at = port ?? (await freePorts())
  const child = Bun.spawn([process.execPath, "services/cli.ts", "dev", ...args], {
    cwd: root,
    env: { ...process.env, PORT: String(at), DATA_DIR: dataDir, LOG_LEVEL: "Info", ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let output = ""
  const { promise: settled, resolve } = Promise.withResolvers<void>()
  const read = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) {
      output += decoder.decode(chunk, { stream: true })
      if (output.includes("\nready: ")) resolve()
    }
  }
  const ended = Promise.all([read(child.stdout), read(child.stderr)])
  const exited = ended.then(() => child.exited)
  await Promise.race([settled, exited])
  return {
    origin: `http://localhost:${at}`,
    pid: child.pid,
    output: () => output,
    exited,
    signal: (name) => child.kill(name)
  }
}
