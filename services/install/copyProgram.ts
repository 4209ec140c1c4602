/** Puts this program where a container of another image can run it; must copy nothing but the compiled program itself. */
import { chmodSync, copyFileSync, renameSync } from "node:fs"
import { basename, join } from "node:path"
import { Effect, Schema } from "effect"

/** The program was not copied. */
export class ProgramNotCopied extends Schema.TaggedError<ProgramNotCopied>()("ProgramNotCopied", {
  folder: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.folder}: ${this.reason}`
  }
}

/** The program's name in the image, and in the folder. */
const name = "gatehouse"

/** Copies `program`, the running one, to `<folder>/gatehouse`, there at once and whole. */
export const copyProgram = (folder: string, program: string): Effect.Effect<string, ProgramNotCopied> =>
  Effect.suspend(() => {
    // From the sources it is a runtime that runs, and a copy of that would be of no use.
    if (basename(program) !== name) {
      return Effect.fail(new ProgramNotCopied({ folder, reason: "only the compiled program can be copied" }))
    }
    return Effect.try({
      try: () => {
        const target = join(folder, name)
        copyFileSync(program, `${target}.partial`)
        chmodSync(`${target}.partial`, 0o755)
        renameSync(`${target}.partial`, target)
        return target
      },
      catch: (error) =>
        new ProgramNotCopied({
          folder,
          reason:
            typeof error === "object" && error !== null && "code" in error ? String(error.code) : "cannot be written"
        })
    })
  })
