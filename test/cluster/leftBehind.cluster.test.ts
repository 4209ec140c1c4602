/** A cluster leaves nothing on the machine, however it ends: told to, its starter killed, its supervisor killed too, or the run that a lane belongs to. */
import { readFileSync, readdirSync, readlinkSync } from "node:fs"
import { networkInterfaces } from "node:os"
import { basename, join, resolve } from "node:path"
import { afterEach, expect } from "bun:test"
import { isAlive, nameOf } from "#test/cluster/alive.ts"
import { clusterFolder } from "#test/cluster/cluster.ts"
import { eventually } from "#test/shared/until.ts"
import { testCluster } from "#test/cluster/launch.ts"
import { namePrefix, remains, removeLeftBehind, standing, supervisorFile } from "#test/cluster/leftBehind.ts"
import { highestTier } from "#test/cluster/tier.ts"
import type { Summary } from "#test/shared/report.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { familyOf } from "#test/shared/leftovers.ts"

/** This lane's own cluster: another one's end must not touch it, nor that of the other lane. */
const neighbour = await testCluster()
/** Of the clusters that are started and ended here. */
const tier = highestTier().tier ?? "controlplane"

const tryRead = (read: () => string): string => {
  try {
    return read()
  } catch {
    return ""
  }
}
const networkOf = (pid: number | string) => tryRead(() => readlinkSync(`/proc/${pid}/ns/net`))

interface Started {
  readonly starter: Bun.Subprocess
  readonly supervisor: number
  /** What of this cluster is on the machine, one line each. */
  readonly traces: () => ReadonlyArray<string>
  /** That the clusters that were there before are as they were. */
  readonly neighboursStand: () => Promise<void>
}
const starters: Array<Bun.Subprocess> = []

/** Starts another cluster, of the highest tier, from a process of its own. */
const startAnother = async (): Promise<Started> => {
  const neighbours = standing()
  const { [clusterFolder]: _, ...env } = process.env
  const starter = Bun.spawn([process.execPath, resolve(import.meta.dir, "run.ts"), "--hold", "--tier", tier], {
    detached: true,
    env,
    stdio: ["ignore", "pipe", "inherit"]
  })
  starters.push(starter)
  let said = ""
  const decoder = new TextDecoder()
  for await (const chunk of starter.stdout) {
    said += decoder.decode(chunk, { stream: true })
    if (said.includes("Ctrl-C ends it.")) break
  }
  const folder = /^logs: (.+)\/logs$/mu.exec(said)?.[1]
  if (folder === undefined) throw new Error(`no cluster was started: ${said}`)
  const supervisor = Number(readFileSync(join(folder, supervisorFile), "utf8").split("-")[0])
  const family = familyOf(supervisor).map(nameOf)
  const network = networkOf(family.at(-1)!.split("-")[0]!)
  const walledOff = network !== networkOf("self")

  const traces = () => [
    ...family.filter(isAlive).map((name) => `process ${name}`),
    ...readdirSync("/proc")
      .filter((pid) => /^\d+$/u.test(pid))
      .filter((pid) => {
        const inside = walledOff && networkOf(pid) === network
        return inside || tryRead(() => readFileSync(`/proc/${pid}/cmdline`, "utf8")).includes(folder)
      })
      .map((pid) => `process ${pid}`),
    ...readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(folder)),
    ...remains().filter((path) => path.includes(basename(folder))),
    ...Object.keys(networkInterfaces()).filter((name) => name === `gh${supervisor}`),
    ...tryRead(() => readFileSync("/proc/net/route", "utf8"))
      .split("\n")
      .filter((line) => line.startsWith(`gh${supervisor}\t`))
  ]
  const neighboursStand = async () => {
    expect((await neighbour.request("/readyz")).status).toBe(200)
    expect([...neighbours.keys()].some((path) => path.endsWith(basename(neighbour.folder)))).toBe(true)
    // One that ends by itself meanwhile takes itself away.
    await eventually(
      "what is gone has ended by itself",
      noneOf(() => [...neighbours].flatMap(([what, runs]) => (!standing().has(what) && runs() ? [what] : []))),
      20
    )
  }
  return { starter, supervisor, traces, neighboursStand }
}

/** Fails with what is left. */
const noneOf = (traces: Started["traces"]) => async () => {
  const left = traces()
  if (left.length > 0) throw new Error(left.join("\n"))
  return true
}

const onLinux = skipUnless(process.platform === "linux", "what a process leaves is read from /proc")

afterEach(() => {
  for (const starter of starters.splice(0)) starter.kill("SIGKILL")
})

onLinux.test(
  "a running cluster is seen by what this suite looks at, and nothing is left when it is told to end",
  async () => {
    const { neighboursStand, starter, traces } = await startAnother()
    const kinds = traces().map((trace) => trace.split(/[ /]/u)[0])
    expect(kinds).toContain("process")
    expect(traces().some((trace) => trace.startsWith("/sys/fs/cgroup"))).toBe(tier === "node")
    starter.kill("SIGINT")
    expect(await starter.exited).toBe(0)
    expect(traces()).toEqual([])
    await neighboursStand()
  }
)

onLinux.test("nothing is left when the starter is killed", async () => {
  const { neighboursStand, starter, traces } = await startAnother()
  starter.kill("SIGKILL")
  await starter.exited
  await eventually("nothing is left", noneOf(traces), 20)
  await neighboursStand()
})

onLinux.test("the next start removes what is left when the supervisor is killed too, and only that", async () => {
  const { neighboursStand, starter, supervisor, traces } = await startAnother()
  starter.kill("SIGKILL")
  process.kill(supervisor, "SIGKILL")
  await starter.exited
  await eventually("its processes are gone", async () => !traces().some((trace) => trace.startsWith("process")), 20)
  await eventually(
    "the rest is gone",
    async () => {
      await removeLeftBehind()
      return await noneOf(traces)()
    },
    20
  )
  await neighboursStand()
})

onLinux.test("a lane ends, and its cluster with it, when the run that it is a part of is killed", async () => {
  const { [clusterFolder]: _, ...env } = process.env
  const report = join(neighbour.folder, "lane.json")
  const suite = "test/cluster/controlPlane.cluster.test.ts"
  const run = [process.execPath, resolve(import.meta.dir, "run.ts"), "--tier", "controlplane", "--lane", report, suite]
  const lane = Bun.spawn(run, { detached: true, env, stdio: ["pipe", "pipe", "ignore"] })
  starters.push(lane)
  const folders = `${namePrefix}${nameOf(lane.pid)}-`
  const decoder = new TextDecoder()
  let said = ""
  for await (const chunk of lane.stdout) {
    said += decoder.decode(chunk, { stream: true })
    if (said.includes("Kubernetes at")) break
  }
  expect(remains().some((path) => path.includes(folders))).toBe(true)
  // What the end of the other process does, however it comes.
  await lane.stdin.end()
  expect(await lane.exited).toBe(1)
  const { faults } = JSON.parse(readFileSync(report, "utf8")) as Summary
  expect(faults).toContain("the runner was ended by SIGTERM")
  expect(remains().filter((path) => path.includes(folders))).toEqual([])
})
