/** Names a process so that its number cannot be mistaken for a later one's; must not signal any. */
import { readFileSync } from "node:fs"

/** When process `pid` was started, in the kernel's ticks; undefined where there is no /proc, or no such process. */
const startOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    // The name, in parentheses, may hold anything; the state is the first field after it, the start the twentieth.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[0] === "Z" ? undefined : fields[19]
  } catch {
    return undefined
  }
}

/** `PID-START`, fit for a file's name; only `PID-0` where the system has no /proc. */
export const nameOf = (pid: number): string => `${pid}-${startOf(pid) ?? 0}`

export const thisProcess = (): string => nameOf(process.pid)

/** Whether some process has that number now. */
export const isTaken = (pid: number): boolean => {
  if (startOf(pid) !== undefined) return true
  if (process.platform === "linux") return false
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Whether the process with that name still runs. */
export const isAlive = (name: string): boolean => {
  const [, pid, start] = /^(\d+)-(\d+)$/u.exec(name) ?? []
  if (pid === undefined) return false
  return start === "0" ? isTaken(Number(pid)) : startOf(Number(pid)) === start
}
