/** `bun run test:cluster`: starts one real Kubernetes, runs the suites that need it and sums them up in one last line; `--hold` only starts it, for use by hand. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative, resolve } from "node:path"
import { build, modules } from "#test/cluster/build.ts"
import { clusterFolder } from "#test/cluster/cluster.ts"
import { runLanes } from "#test/cluster/laneRun.ts"
import { inOrder, lanesOf } from "#test/cluster/lanes.ts"
import { describeTier, type OwnCluster, startCluster } from "#test/cluster/launch.ts"
import { highestTier, type Tier } from "#test/cluster/tier.ts"
import { endAll, familyOf } from "#test/shared/leftovers.ts"
import { sumUp, type Summary } from "#test/shared/report.ts"

const usage = `usage: bun test/cluster/run.ts [--tier controlplane|node] [--hold | FILE-OR-FOLDER ...]
  --hold   start a cluster, print how to reach it, and wait for Ctrl-C
  --tier   all suites on one cluster: not the highest that this machine allows, but this one`

const root = resolve(import.meta.dir, "../..")
/** Real pods take their time; what waits has a limit of its own, and a better message. */
const testTimeout = 180_000

const args = process.argv.slice(2)
const refuse = (complaint: string): never => {
  console.error(`${complaint}\n${usage}`)
  process.exit(2)
}
const take = (flag: string): boolean => {
  const at = args.indexOf(flag)
  if (at >= 0) args.splice(at, 1)
  return at >= 0
}
const tierAt = args.indexOf("--tier")
const wanted = tierAt < 0 ? "highest" : args.splice(tierAt, 2)[1]
if (wanted !== "highest" && wanted !== "node" && wanted !== "controlplane") refuse("--tier needs controlplane or node")
const hold = take("--hold")
/** Where this is a lane of another run: the file for its sum. */
const laneAt = args.indexOf("--lane")
const laneReport = laneAt < 0 ? undefined : args.splice(laneAt, 2)[1]
const unknown = args.find((arg) => arg.startsWith("-"))
if (unknown !== undefined) refuse(`unknown: ${unknown}`)

const finish = (summary: Summary): never => {
  if (laneReport !== undefined) {
    writeFileSync(laneReport, JSON.stringify(summary))
    process.exit(summary.failed === 0 ? 0 : 1)
  }
  for (const fault of summary.faults) console.log(`failed: ${fault}`)
  for (const { reason, title } of summary.skips) console.log(`skipped: ${title}: ${reason}`)
  console.log(`${summary.passed} passed, ${summary.failed} failed, ${summary.skips.length} skipped`)
  process.exit(summary.failed === 0 ? 0 : 1)
}

let stopped: NodeJS.Signals | undefined
let tests: Bun.Subprocess | undefined
let family: ReadonlyArray<number> = []
const told = new Promise<void>((resolve) => {
  const onSignal = (signal: NodeJS.Signals) => {
    stopped = signal
    resolve()
    if (tests === undefined || family.length > 0) return
    // Taken now: when the runner has ended, what its tests started has another parent.
    family = familyOf(tests.pid)
    tests.kill("SIGTERM")
  }
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal)
  // The run that this is a lane of holds the other end: it has ended.
  if (laneReport !== undefined) process.stdin.on("end", () => onSignal("SIGTERM")).resume()
})

const holdCluster = async (cluster: OwnCluster) => {
  console.log(`export KUBECONFIG=${cluster.kubeconfig}`)
  console.log(`alias kubectl="${cluster.program} kubectl"`)
  console.log(
    `export ${clusterFolder}=${cluster.folder}   # for a suite: ./bootstrap bun test --timeout ${testTimeout} ./PATH`
  )
  console.log(`logs: ${join(cluster.folder, "logs")}`)
  console.log("Ctrl-C ends it.")
  // Nothing else would keep the process's loop waiting: Bun would look for the signal again and again.
  const awake = setInterval(() => {}, 60_000)
  await told
  clearInterval(awake)
}

/** Runs the suites one after the other. */
const runSuites = async (cluster: OwnCluster, files: ReadonlyArray<string>): Promise<Summary> => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-run-"))
  const report = join(folder, "report.xml")
  const reporter = ["--reporter=junit", `--reporter-outfile=${report}`]
  tests = Bun.spawn(
    [process.execPath, "test", `--timeout=${testTimeout}`, ...reporter, ...files.map((file) => `./${file}`)],
    {
      cwd: root,
      detached: true,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, [clusterFolder]: cluster.folder }
    }
  )
  await tests.exited
  await endAll(family, 3)
  const text = existsSync(report) ? readFileSync(report, "utf8") : ""
  rmSync(folder, { recursive: true, force: true })
  return sumUp(text, files, tests.exitCode, stopped ?? tests.signalCode?.toString())
}

const filters = args.map((path) => relative(root, resolve(path)))
const files =
  laneReport === undefined
    ? [...new Bun.Glob("test/cluster/**/*.cluster.test.ts").scanSync({ cwd: root })].filter(
        (file) => filters.length === 0 || filters.some((path) => file === path || file.startsWith(`${path}/`))
      )
    : // In the lane's order.
      filters
if (!hold && files.length === 0) refuse(`no suite at ${filters.join(", ")}`)

const verdict = highestTier()
if (verdict.tier === undefined && !hold) {
  const skips = files.map((file) => ({ title: file, reason: verdict.reason }))
  finish({ passed: 0, failed: 0, skips, faults: [] })
}

// Where no node can run, or one tier was asked for, all share one cluster.
const lanes = wanted === "highest" && verdict.tier === "node" && !hold ? lanesOf(files) : []
if (lanes.length > 1) {
  // Before any suite runs, so that none waits for a pod beside a compiler. One that cannot be built is told by who needs it.
  for (const module of modules) await build(module).catch(() => {})
  finish(await runLanes(import.meta.path, lanes, told))
}

const tier = (lanes[0]?.tier ?? wanted) as Tier | "highest"
const began = performance.now()
const cluster = await startCluster({ tier }).catch((error: unknown) => {
  console.error(error)
  return finish({ passed: 0, failed: 1, skips: [], faults: ["the cluster did not start"] })
})
const seconds = Math.round((performance.now() - began) / 1000)
console.log(`Kubernetes at ${cluster.server}: ${describeTier(cluster.tier, cluster.reason)}; started in ${seconds} s`)

let summary: Summary = { passed: 0, failed: 0, skips: [], faults: [] }
if (hold) await holdCluster(cluster)
else if (stopped === undefined) summary = await runSuites(cluster, laneReport === undefined ? inOrder(files) : files)
else summary = sumUp("", files, null, stopped)
await cluster.stop().catch((error: unknown) => {
  summary = { ...summary, failed: summary.failed + 1, faults: [...summary.faults, String(error)] }
})
if (!hold) finish(summary)
process.exit(summary.failed === 0 ? 0 : 1)
