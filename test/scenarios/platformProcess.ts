/** The platform as its user starts it, `gatehouse dev` in a process of its own; must use nothing of its inside. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { freePort } from "#test/shared/freePort.ts"

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
export const tryPlatformProcess = async (
  dataDir: string,
  port?: number,
  { args = [], env = {}, root = join(import.meta.dir, "../..") }: More = {}
): Promise<PlatformProcess & { readonly ready: boolean }> => {
  const at = port ?? (await freePort(2))
  const child = Bun.spawn([process.execPath, "services/cli.ts", "dev", ...args], {
    cwd: root,
    env: { ...process.env, PORT: String(at), DATA_DIR: dataDir, LOG_LEVEL: "Info", ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let output = ""
  const { promise: settled, resolve } = Promise.withResolvers<boolean>()
  const read = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) {
      output += decoder.decode(chunk, { stream: true })
      if (output.includes("\nready: ")) resolve(true)
    }
  }
  const ended = Promise.all([read(child.stdout), read(child.stderr)])
  const exited = ended.then(() => child.exited)
  const ready = await Promise.race([settled, exited.then(() => false)])
  return {
    ready,
    origin: `http://localhost:${at}`,
    pid: child.pid,
    output: () => output,
    exited,
    signal: (name) => child.kill(name)
  }
}

const lastLines = 80

/** The last that it said, for whoever must find out why something did not happen. */
export const saidBy = (platform: PlatformProcess): string =>
  `the platform said at last:\n${platform.output().trimEnd().split("\n").slice(-lastLines).join("\n")}`

/** The same for one that must get ready: fails with what it said. */
export const startPlatformProcess: (
  ...args: Parameters<typeof tryPlatformProcess>
) => Promise<PlatformProcess> = async (...args) => {
  const platform = await tryPlatformProcess(...args)
  if (!platform.ready) throw new Error(`the platform ended before it was ready; ${saidBy(platform)}`)
  return platform
}

/** Goes on with `story`; where that fails, the error also tells what the platform said, as it stands there then, and `more`. */
export const explained = async <A>(
  platform: () => PlatformProcess,
  story: Promise<A>,
  more: () => Promise<string> = async () => ""
): Promise<A> => {
  try {
    return await story
  } catch (error) {
    const complaint = error instanceof Error ? error.message : String(error)
    throw new Error([complaint, saidBy(platform()), await more()].join("\n"), { cause: error })
  }
}
