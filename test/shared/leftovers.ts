/** Finds and ends the processes that a run of tests leaves; must touch no process but those it was given and their descendants. */
import { readdirSync, readFileSync } from "node:fs"

/** Every process with its parent: [pid, ppid]. */
const processes = (): ReadonlyArray<readonly [number, number]> => {
  if (process.platform !== "linux") {
    const { stdout } = Bun.spawnSync(["ps", "-A", "-o", "pid=,ppid="])
    return [...stdout.toString().matchAll(/^\s*(\d+)\s+(\d+)/gmu)].map(([, pid, parent]) => [
      Number(pid),
      Number(parent)
    ])
  }
  return readdirSync("/proc")
    .filter((name) => /^\d+$/u.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "utf8")
        // The name, in parentheses, may hold anything; state and parent follow it.
        const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
        return state === "Z" ? [] : [[Number(name), Number(parent)] as const]
      } catch {
        return []
      }
    })
}

/** All descendants of `root`, itself included. */
export const familyOf = (root: number): ReadonlyArray<number> => {
  const all = processes()
  const family = [root]
  for (const member of family) family.push(...all.filter(([, parent]) => parent === member).map(([pid]) => pid))
  return family
}

/** Gives `pids` some seconds to end by themselves, then kills what is left. */
export const endAll = async (pids: ReadonlyArray<number>, seconds: number): Promise<void> => {
  const end = performance.now() + seconds * 1000
  const alive = () => {
    const all = new Set(processes().map(([pid]) => pid))
    return pids.filter((pid) => all.has(pid))
  }
  while (alive().length > 0 && performance.now() < end) await Bun.sleep(50)
  for (const pid of alive()) {
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // It ended just now.
    }
  }
}
