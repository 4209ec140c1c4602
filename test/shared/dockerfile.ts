/** The instructions of services/Dockerfile, for tests that hold it to what is built without it; must know no more of the format than that file uses. */
import { readFileSync } from "node:fs"
import { resolve } from "node:path"

const file = resolve(import.meta.dir, "../../services/Dockerfile")

export interface Instruction {
  /** Such as COPY. */
  readonly name: string
  readonly rest: string
}

/** Each with its continued lines joined, in order. */
const instructions = (): ReadonlyArray<Instruction> =>
  readFileSync(file, "utf8")
    .replaceAll(/^#.*\n/gmu, "")
    .replaceAll(/ *\\\n */gu, " ")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [name = "", ...rest] = line.split(" ")
      return { name, rest: rest.join(" ") }
    })

/** Those of one stage: `build`, or the image's own without a name. */
export const stage = (wanted?: string): ReadonlyArray<Instruction> => {
  const stages: Array<Array<Instruction>> = []
  for (const instruction of instructions()) {
    if (instruction.name === "FROM") stages.push([])
    stages.at(-1)?.push(instruction)
  }
  const found = stages.find(([from]) => (/ AS (\S+)$/u.exec(from?.rest ?? "")?.[1] ?? undefined) === wanted)
  if (found === undefined) throw new Error(`services/Dockerfile has no stage ${wanted ?? "without a name"}`)
  return found
}
