/** `bun run k8s:netpol-matrix`: compares what the policies allow with kustomize/reachability.txt; `--write` takes it as the new matrix, to be read before it is committed. */
import { readFileSync, writeFileSync } from "node:fs"
import { resolve } from "node:path"
import { endpointsOf, type Matrix, matrixOf, policiesOf } from "./reachability.ts"
import { cannotRender, everything } from "./render.ts"

export const matrixFile = resolve(import.meta.dir, "../../kustomize/reachability.txt")

/** The matrix as the file has it. */
export const matrixText = ({ allowed, tried }: Matrix): string =>
  [
    "# Every connection that the network policies let pass; every other pair of these pods, the edge, DNS, the API server",
    "# and the world is refused. Computed from the rendered policies, and held to by a test.",
    `# ${tried} pairs and ports tried, ${allowed.length} allowed, ${tried - allowed.length} refused.`,
    ...allowed,
    ""
  ].join("\n")

export const checkedIn = (): string => readFileSync(matrixFile, "utf8")

if (import.meta.main) {
  const missing = cannotRender()
  if (missing !== undefined) {
    console.error(missing)
    process.exit(1)
  }
  const objects = everything()
  const text = matrixText(matrixOf(endpointsOf(objects), policiesOf(objects)))
  if (process.argv.includes("--write")) writeFileSync(matrixFile, text)
  const kept = new Set(checkedIn().split("\n"))
  const now = new Set(text.split("\n"))
  for (const line of kept) if (!now.has(line)) console.log(`- ${line}`)
  for (const line of now) if (!kept.has(line)) console.log(`+ ${line}`)
  const same = text === checkedIn()
  console.log(same ? "the policies allow what kustomize/reachability.txt says" : "the policies allow something else")
  process.exit(same ? 0 : 1)
}
