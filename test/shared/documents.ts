/** The project's documents as their readers use them: a section, its fenced blocks; must run nothing. */
import { readFileSync } from "node:fs"
import { join, resolve } from "node:path"

export const project = resolve(import.meta.dir, "../..")

/** The text of a file of the project. */
export const documentAt = (path: string): string => readFileSync(join(project, path), "utf8")

/** What stands between a heading of the second level and the next one, or the end; fails where there is none. */
export const sectionOf = (text: string, title: string): string => {
  const [, after] = text.split(`\n## ${title}\n`)
  if (after === undefined) throw new Error(`no section "${title}"`)
  return after.split(/^## /mu)[0]!
}

/** The fenced blocks of a text in one language. */
export const blocksOf = (text: string, language = "sh"): ReadonlyArray<string> =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gmu"))].map(([, block]) => block!)
