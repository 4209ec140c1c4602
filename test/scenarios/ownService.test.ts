/** "Your own service in ten minutes" as the README tells it: its blocks are run, word for word, in a copy of the tree. */
import { afterAll, beforeAll, expect } from "bun:test"
import { rmSync } from "node:fs"
import { copyTree, ownServiceBlocks } from "#test/shared/ownService.ts"
import { skipUnless } from "#test/shared/skip.ts"
import { dataFolder, type PlatformProcess, startPlatformProcess } from "./platformProcess.ts"

const { describe, test } = skipUnless(Bun.which("curl") !== null, "no curl on this machine")

const blocks = ownServiceBlocks()

describe("a service of one's own", () => {
  const folder = dataFolder()
  const copy = copyTree()
  let platform: PlatformProcess | undefined

  const run = (script: string) => {
    const { exitCode, stderr, stdout } = Bun.spawnSync(["sh", "-eu", "-c", script], { cwd: copy })
    if (exitCode !== 0) throw new Error(`the README's block fails: ${stderr.toString()}`)
    return stdout.toString()
  }

  beforeAll(async () => {
    expect(blocks[1]).toBe("npm start\n")
    run(blocks[0]!)
    platform = await startPlatformProcess(folder.path, undefined, { root: copy })
  })
  afterAll(async () => {
    platform?.signal("SIGTERM")
    await platform?.exited
    folder.remove()
    rmSync(copy, { recursive: true, force: true })
  })

  test("is behind the gateway beside the sample", () => {
    const output = platform!.output()
    expect(output).toContain("behind the gateway at /orders")
    expect(output).toContain("behind the gateway at /hello")
  })

  test("answers 401 to a stranger, 403 to who has no right, and its owner", () => {
    const [unknown, forbidden, ...answers] = run(
      blocks[2]!.replaceAll("http://localhost:8080", platform!.origin)
    ).split("\n")
    expect([unknown, forbidden]).toEqual(["401", "403"])
    const told = answers.join("\n")
    expect(told).toMatch(/"greeting":"Hello, [^"]+!"/u)
    expect(told).toContain('"roles":["owner"]')
    expect(told.split('"text":"my first"')).toHaveLength(3)
  })
})
