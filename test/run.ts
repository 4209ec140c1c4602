/** `npm test`: runs the suites that need no cluster and sums them up in one last line; must not count anything a suite does not report. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative, resolve } from "node:path"
import { endAll, familyOf } from "#test/shared/leftovers.ts"
import { startSharedPostgres } from "#test/shared/postgres.ts"
import { sumUp, type Summary } from "#test/shared/report.ts"

const root = resolve(import.meta.dir, "..")
/** Figures, a real cluster and recovery drills have commands of their own. */
const elsewhere = ["test/bench/", "test/cluster/", "test/drills/"]
/** Processes at a time, more than the two cores that are promised: much of a suite waits, for a server or a browser. */
const workers = 4
const testTimeout = 60_000

/** How long each file took, by which the slowest begin first; `--update-timings` measures them anew. */
const timings = join(import.meta.dir, "timings.json")
const updating = process.argv.includes("--update-timings")

const filters = process.argv
  .slice(2)
  .filter((argument) => argument !== "--update-timings")
  .map((path) => relative(root, resolve(path)))
const files = [...new Bun.Glob("test/**/*.test.{ts,tsx}").scanSync({ cwd: root })]
  .filter((file) => !elsewhere.some((folder) => file.startsWith(folder)))
  .filter((file) => filters.length === 0 || filters.some((path) => file === path || file.startsWith(`${path}/`)))
  .sort()

const finish = (summary: Summary, code: number): never => {
  for (const fault of summary.faults) console.log(`failed: ${fault}`)
  for (const { reason, title } of summary.skips) console.log(`skipped: ${title}: ${reason}`)
  console.log(`${summary.passed} passed, ${summary.failed} failed, ${summary.skips.length} skipped`)
  process.exit(code)
}

if (files.length === 0) {
  const detail = `no test file${filters.length === 0 ? "" : ` at ${filters.join(", ")}`}`
  finish({ passed: 0, failed: 1, skips: [], faults: [detail] }, 1)
}

const folder = mkdtempSync(join(tmpdir(), "gatehouse-run-"))
const report = join(folder, "report.xml")
let tests: Bun.Subprocess | undefined
let stopped: string | undefined

let family: ReadonlyArray<number> = []
const onSignal = (signal: NodeJS.Signals) => {
  stopped = signal
  if (tests === undefined || family.length > 0) return
  // Taken now: when the runner has ended, what its tests started has another parent.
  family = familyOf(tests.pid)
  tests.kill("SIGTERM")
}
process.on("SIGINT", onSignal).on("SIGTERM", onSignal)

// Where it cannot start, the suites that need it say so; the others are worth running.
const postgres = await startSharedPostgres().catch((error: unknown) => {
  console.error(`no shared Postgres: ${String(error)}`)
  return { env: {}, stop: async () => {} }
})

if (stopped === undefined) {
  tests = Bun.spawn(
    [
      process.execPath,
      "test",
      `--parallel=${workers}`,
      // A worker evaluates each module once, not once for each file: a fifth of the whole run's processor time. So a file must
      // put back what it changes of the process (its environment, a spied function), as within a file.
      "--no-isolate",
      `--timeout=${testTimeout}`,
      `--timings=${timings}`,
      ...(updating ? ["--update-timings"] : []),
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...files.map((file) => `./${file}`)
    ],
    {
      cwd: root,
      // A group of its own: a Ctrl-C in the terminal is this process's to pass on.
      detached: true,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "4096", ...postgres.env }
    }
  )
  await tests.exited
  await endAll(family, 3)
}
await postgres.stop()
const text = await Promise.resolve(report)
  .then((file) => readFileSync(file, "utf8"))
  .catch(() => "")
rmSync(folder, { recursive: true, force: true })

const exitCode = tests?.exitCode ?? null
const summary = sumUp(text, files, exitCode, stopped ?? tests?.signalCode?.toString())
finish(summary, summary.failed === 0 ? 0 : 1)
