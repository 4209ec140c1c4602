/** The program copies itself for containers of another image, whole and runnable, and nothing else. */
import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Result } from "effect"
import { copyProgram } from "#install/copyProgram.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-copy-"))
const program = join(folder, "gatehouse")
const target = mkdtempSync(join(folder, "to-"))
writeFileSync(program, "the program", { mode: 0o700 })
afterAll(() => rmSync(folder, { recursive: true }))

test("the copy is there whole, and everybody may run it", async () => {
  expect(await Effect.runPromise(copyProgram(target, program))).toBe(join(target, "gatehouse"))
  expect(readFileSync(join(target, "gatehouse"), "utf8")).toBe("the program")
  expect(statSync(join(target, "gatehouse")).mode & 0o777).toBe(0o755)
  expect(readdirSync(target)).toEqual(["gatehouse"])
})

test("a runtime that runs the sources is not copied", async () => {
  const copied = await Effect.runPromise(Effect.result(copyProgram(target, "/usr/bin/bun")))
  expect(Result.isFailure(copied) && copied.failure.message).toContain("only the compiled program")
})

test("a folder that is not there is told", async () => {
  const copied = await Effect.runPromise(Effect.result(copyProgram(join(folder, "no"), program)))
  expect(Result.isFailure(copied) && copied.failure.reason).toBe("ENOENT")
})
