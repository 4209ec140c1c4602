/** Runs lanes beside each other, each by a run of its own on a cluster of its own, and prints what each suite said in one piece; must let none outlive this process. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runFolder } from "#test/cluster/cluster.ts"
import type { Lane } from "#test/cluster/lanes.ts"
import type { Summary } from "#test/shared/report.ts"

/** Bun's headline of a suite. */
const headline = (line: string): string | undefined => /^(test\/\S+\.test\.tsx?):$/u.exec(line)?.[1]

/**
 * Cuts a lane's lines into one block for each suite; what comes before the first is passed on at once. `print` gets a block when
 * it has ended, with the seconds it took, and a word when a suite begins.
 */
export const inBlocks = (
  print: (lines: ReadonlyArray<string>) => void,
  now: () => number = () => performance.now()
) => {
  let block: Array<string> | undefined
  let since = 0
  const flush = () => {
    if (block === undefined) return
    const seconds = Math.round((now() - since) / 1000)
    const [first, ...lines] = block
    print(["", `${first} ${seconds} s`, ...lines.filter((line) => line !== "")])
    block = undefined
  }
  return {
    take: (line: string) => {
      const suite = headline(line)
      if (suite !== undefined) {
        flush()
        print([`... ${suite}`])
        since = now()
        block = [line]
      } else if (block === undefined) print([line])
      else block.push(line)
    },
    end: flush
  }
}

/** The sums as one; a lane that gave no sum has run none of its suites. */
export const together = (lanes: ReadonlyArray<Lane>, sums: ReadonlyArray<Summary | undefined>): Summary => {
  const known = sums.map(
    (sum, at): Summary =>
      sum ?? {
        passed: 0,
        failed: lanes[at]!.files.length,
        skips: [],
        faults: lanes[at]!.files.map((file) => `${file}: no test of it ran`)
      }
  )
  return {
    passed: known.reduce((all, { passed }) => all + passed, 0),
    failed: known.reduce((all, { failed }) => all + failed, 0),
    skips: known.flatMap(({ skips }) => skips),
    faults: known.flatMap(({ faults }) => faults)
  }
}

interface LaneRun {
  readonly summary: Promise<Summary | undefined>
  /** Tells it to end; it takes its cluster with it. */
  readonly stop: () => void
}

/** Undefined where the lane was killed before it could write it. */
const readSummary = (path: string): Summary | undefined => {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Summary
  } catch {
    return undefined
  }
}

/** Starts `program` (test/cluster/run.ts) for one lane, whose lines `print` gets in blocks. It ends when this process does. */
const startLane = (
  program: string,
  { files, tier }: Lane,
  folder: string,
  print: (lines: ReadonlyArray<string>) => void
): LaneRun => {
  const report = join(folder, `${tier}.json`)
  const command = [process.execPath, program, "--tier", tier, "--lane", report, ...files]
  // Both outputs in the order in which they were written.
  const child = Bun.spawn(["sh", "-c", 'exec "$@" 2>&1', "sh", ...command], {
    // A group of its own: a Ctrl-C in the terminal is this process's to pass on.
    detached: true,
    env: { ...process.env, [runFolder]: folder },
    stdio: ["pipe", "pipe", "inherit"]
  })
  const read = async () => {
    const blocks = inBlocks(print)
    const decoder = new TextDecoder()
    let rest = ""
    for await (const chunk of child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n")
      rest = lines.pop() ?? ""
      lines.forEach(blocks.take)
    }
    if (rest !== "") blocks.take(rest)
    blocks.end()
    await child.exited
    return readSummary(report)
  }
  return { summary: read(), stop: () => child.kill("SIGTERM") }
}

/** Runs all of them to their end, or until `told` to end. */
export const runLanes = async (program: string, lanes: ReadonlyArray<Lane>, told: Promise<void>): Promise<Summary> => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-lanes-"))
  const runs = lanes.map((lane) => startLane(program, lane, folder, (lines) => console.log(lines.join("\n"))))
  void told.then(() => runs.forEach(({ stop }) => stop()))
  const sums = await Promise.all(runs.map(({ summary }) => summary))
  rmSync(folder, { recursive: true, force: true })
  return together(lanes, sums)
}
