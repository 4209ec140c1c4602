/** A copy of the fixture's /proc, /sys and root that a test may spoil, and the monitor's settings for it. */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Effect, Layer } from "effect"
import { Collectors, type CollectorName } from "#monitor/Collectors.ts"
import { type MonitorConfig, monitorConfig } from "#monitor/config.ts"
import { type Answer, StatFs } from "#monitor/StatFs.ts"
import { type Env, readConfig } from "#shared/config.ts"

export const fixture = join(import.meta.dir, "fixture")

const made: Array<string> = []
/** For `afterAll` of every file that makes folders or trees. */
export const removeFolders = () => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true })
}

/** A new folder that any user may enter. */
export const makeFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-monitor-"))
  chmodSync(folder, 0o755)
  made.push(folder)
  return folder
}

/** Links of the real trees. They are made here because some lead back up, and a search for test files would walk them for ever. */
const links: ReadonlyArray<readonly [path: string, target: string]> = [
  ["proc/net", "self/net"],
  ["sys/class/hwmon/hwmon0", "../../devices/platform/coretemp.0/hwmon/hwmon0"],
  ["sys/class/hwmon/hwmon1", "../../devices/platform/board/hwmon/hwmon1"],
  ["sys/class/hwmon/hwmon2", "../../devices/platform/board/hwmon/hwmon2"],
  ["sys/devices/platform/coretemp.0/hwmon/hwmon0/device", "../../../coretemp.0"],
  ["sys/devices/platform/board/hwmon/hwmon1/device", "../../../board"],
  ["sys/devices/platform/board/hwmon/hwmon2/device", "../../../board"]
]

export interface Tree {
  readonly root: string
  readonly write: (path: string, text: string) => void
  readonly remove: (path: string) => void
  readonly text: (path: string) => string
}

export const makeTree = (): Tree => {
  const root = makeFolder()
  cpSync(fixture, root, { recursive: true })
  for (const [path, target] of links) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    symlinkSync(target, join(root, path))
  }
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  mkdirSync(join(root, "srv/data disk"), { recursive: true })
  // A colon in a name cannot be checked out everywhere.
  write(
    "run/udev/data/b8:0",
    'S:disk/by-id/wwn-0x5000\nE:ID_PATH=pci-0000:00:1f.2-ata-1\nE:ID_WWN=0x5000cca0\nE:ID_MODEL=HGST_"7K"\n' +
      "E:ID_SERIAL_SHORT=SN1234\nE:ID_REVISION=A1\n"
  )
  return {
    root,
    write,
    remove: (path) => rmSync(join(root, path), { recursive: true, force: true }),
    text: (path) => readFileSync(join(root, path), "utf8")
  }
}

/** What every configuration needs; the database is one that nobody serves. */
export const baseEnv: Env = {
  ENVIRONMENT: "dev",
  IDENTITY_ISSUER: "http://localhost:8080",
  IDENTITY_JWKS_URL: "http://localhost:1/",
  MONITOR_DATABASE_URL: "postgresql://monitor@127.0.0.1:1/logging"
}

export const configOf = (env: Env = {}): Promise<MonitorConfig> =>
  Effect.runPromise(readConfig(monitorConfig, { ...baseEnv, ...env }, ["MONITOR_"]))

/** Sizes the same for every path, without a Worker. */
export const fakeStatFs = (answer: Answer) =>
  Layer.succeed(
    StatFs,
    StatFs.of({ ask: (paths) => Effect.succeed(new Map(paths.map((path) => [path, answer]))), stuck: () => [] })
  )

export const someSpace: Answer = { blockSize: 4096, blocks: 1000, free: 400, available: 350, files: 100, filesFree: 60 }

/** The collectors of a tree with faked filesystem sizes. */
export const collectorsOf = async (env: Env, answer: Answer = someSpace) =>
  Collectors.layer(await configOf(env)).pipe(Layer.provide(fakeStatFs(answer)))

/** The families of one reading as text, for those collectors. */
export const namesOf = (...names: ReadonlyArray<CollectorName>): ReadonlySet<string> => new Set(names)
