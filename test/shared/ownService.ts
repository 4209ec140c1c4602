/** README.md's "Your own service in ten minutes": its blocks, and a copy of the tree to run them in; must run nothing. */
import { cpSync, mkdtempSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { blocksOf, documentAt, project, sectionOf } from "./documents.ts"

export const ownServiceBlocks = (): ReadonlyArray<string> =>
  blocksOf(sectionOf(documentAt("README.md"), "Your own service in ten minutes"))

/** Everything that a start and a build read, for the caller to remove; packages are those of this checkout. */
export const copyTree = (): string => {
  const copy = mkdtempSync(join(tmpdir(), "gatehouse-own-"))
  for (const part of ["bootstrap", "package.json", "bun.lock", "bunfig.toml", "tsconfig.json", "services", "shared"]) {
    cpSync(join(project, part), join(copy, part), { recursive: true })
  }
  symlinkSync(join(project, "node_modules"), join(copy, "node_modules"))
  return copy
}
