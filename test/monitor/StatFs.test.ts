/** The file system statistics of real mounts, and of ones that cannot be asked. */
import { afterAll, describe, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { closeSync, existsSync, mkdirSync, openSync, statfsSync } from "node:fs"
import { join } from "node:path"
import { Clock, Effect, Schedule } from "effect"
import { StatFs } from "#monitor/StatFs.ts"
import { makeFolder, removeFolders } from "#test/monitor/tree.ts"

afterAll(removeFolders)

const run = <A>(effect: Effect.Effect<A, never, StatFs>) => Effect.runPromise(effect.pipe(Effect.provide(StatFs.layer)))

/**
 * A filesystem that never answers, and what frees it: FUSE whose server does not read its requests. Undefined where this
 * user may not mount one.
 */
const hang = (folder: string): (() => void) | undefined => {
  if (process.getuid?.() !== 0 || !existsSync("/dev/fuse")) return undefined
  const device = openSync("/dev/fuse", "r+")
  const options = "fd=3,rootmode=40000,user_id=0,group_id=0"
  const mounted = spawnSync("mount", ["-i", "-t", "fuse", "-o", options, "none", folder], {
    stdio: ["ignore", "ignore", "ignore", device]
  })
  if (mounted.status !== 0) {
    closeSync(device)
    return undefined
  }
  return () => {
    // Without its server the kernel answers every request with ENOTCONN.
    closeSync(device)
    spawnSync("umount", ["-l", folder])
  }
}

describe("StatFs", () => {
  test("gives what statfs(2) gives, and the error's words for a path that is not there", async () => {
    const folder = makeFolder()
    const answers = await run(StatFs.use((statFs) => statFs.ask(["/", join(folder, "absent"), folder])))
    const { blocks, bsize, files } = statfsSync("/")
    expect(answers.get("/")).toMatchObject({ blockSize: bsize, blocks, files })
    expect(answers.get(join(folder, "absent"))).toEqual({ error: "no such file or directory" })
    expect(answers.get(folder)).toMatchObject({ blockSize: statfsSync(folder).bsize })
  })

  test("answers an empty question", async () => {
    expect((await run(StatFs.use((statFs) => statFs.ask([])))).size).toBe(0)
  })

  const folders = ["one", "two"].map((name) => join(makeFolder(), name))
  for (const folder of folders) mkdirSync(folder)
  const frees = folders.map(hang)
  const possible = frees.every((free) => free !== undefined)
  if (!possible) {
    for (const free of frees) free?.()
    console.log("skipped: a hung filesystem cannot be mounted here (needs root and /dev/fuse)")
  }

  test.if(possible)(
    "goes on without hung filesystems, names them, keeps the others fresh and sees them recover",
    async () => {
      const [one, two] = folders as [string, string]
      await run(
        Effect.gen(function* () {
          const statFs = yield* StatFs
          const paths = [one, "/", two, "/proc"]
          const start = yield* Clock.currentTimeMillis
          const first = yield* statFs.ask(paths)
          // Far below the hour a hung NFS server may take; no measure of speed.
          expect((yield* Clock.currentTimeMillis) - start).toBeLessThan(5000)
          expect([first.get(one), first.get(two)]).toEqual([
            { error: "mountpoint timeout" },
            { error: "mountpoint timeout" }
          ])
          expect(first.get("/")).toHaveProperty("blocks")
          expect(first.get("/proc")).toHaveProperty("blocks")
          expect([...statFs.stuck()].sort()).toEqual([one, two].sort())
          const second = yield* statFs.ask(paths)
          expect(second.get("/")).toHaveProperty("blocks")
          for (const free of frees) free?.()
          const recovered = yield* statFs
            .ask(paths)
            .pipe(Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: () => statFs.stuck().length === 0 }))
          expect(recovered.size).toBe(4)
          expect((yield* statFs.ask(paths)).get(one)).not.toEqual({ error: "mountpoint timeout" })
        })
      )
    },
    20_000
  )
})
