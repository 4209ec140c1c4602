/** Finds what a cluster whose starter and supervisor were both killed could not remove, and removes it; must not touch a running cluster's. */
import { readdirSync, readFileSync, rmSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isAlive, isTaken } from "#test/cluster/alive.ts"
import { nodeNetworks, removeNodeNetwork } from "#test/cluster/nodeNetwork.ts"

/** A cluster's folder and cgroups are named by the process that started it. */
export const namePrefix = "gh-cluster-"
const named = /^gh-cluster-(\d+-\d+)-/u

/** Holds the name of the supervisor's process; see alive.ts. */
export const supervisorFile = "supervisor.name"

const entries = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder).filter((name) => named.test(name))
  } catch {
    return []
  }
}

const cgroupFolders = (): ReadonlyArray<string> => {
  const root = "/sys/fs/cgroup"
  try {
    return [
      root,
      ...readdirSync(root, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(root, entry.name))
    ]
  } catch {
    return []
  }
}

const removeCgroup = (folder: string): void => {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(folder, entry.name))
  }
  rmdirSync(folder)
}

/** Folders and cgroups of clusters, running or not: absolute paths. */
export const remains = (): ReadonlyArray<string> => [
  ...entries(tmpdir()).map((name) => join(tmpdir(), name)),
  ...cgroupFolders().flatMap((folder) => entries(folder).map((name) => join(folder, name)))
]

const starterOf = (path: string) => named.exec(path.slice(path.lastIndexOf("/") + 1))?.[1] ?? ""

const supervisorOf = (folder: string) => {
  try {
    return readFileSync(join(folder, supervisorFile), "utf8")
  } catch {
    return ""
  }
}

/** What of running clusters is on the machine, their folders, cgroups and interfaces, each with whether its cluster still runs. */
export const standing = (): ReadonlyMap<string, () => boolean> =>
  new Map([
    ...remains().map((path) => [path, () => isAlive(starterOf(path))] as const),
    ...nodeNetworks().map((supervisor) => [`interface of ${supervisor}`, () => isTaken(supervisor)] as const)
  ])

/** Removes what dead clusters left. A supervisor that is just ending does it by itself: it gets some seconds. */
export const removeLeftBehind = async (): Promise<void> => {
  const dead = remains().filter((path) => !isAlive(starterOf(path)))
  const ending = dead.map(supervisorOf).filter((name) => name !== "")
  for (let tries = 0; tries < 100 && ending.some(isAlive); tries++) await Bun.sleep(100)
  for (const path of dead) {
    // Nothing is mounted there for this process: a node's mounts were in a namespace that went with it.
    if (path.startsWith("/sys/fs/cgroup/")) {
      try {
        removeCgroup(path)
      } catch {
        // Gone already, or its last process is just ending: the next start tries again.
      }
    } else if (!isAlive(supervisorOf(path))) rmSync(path, { recursive: true, force: true })
  }
  for (const supervisor of nodeNetworks().filter((pid) => !isTaken(pid))) removeNodeNetwork(supervisor)
}
