/** The table of kustomize/README.md that tells what each optional component wants of an environment's quota; must judge no number in it. */
import { documentAt } from "#test/shared/documents.ts"

export interface ComponentTable {
  /** Of a ResourceQuota, such as `requests.cpu`. */
  readonly keys: ReadonlyArray<string>
  /** A component each, with what it wants by key. */
  readonly rows: ReadonlyArray<{ readonly component: string; readonly wants: ReadonlyArray<string> }>
}

/** Fails where the document has no such table. */
export const componentTable = (): ComponentTable => {
  const table = /^\| component \|[\s\S]*?\n(?=\n)/mu.exec(documentAt("kustomize/README.md"))?.[0]
  if (table === undefined) throw new Error("kustomize/README.md has no table of what a component wants")
  const [head = [], , ...rows] = table
    .trim()
    .split("\n")
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim())
    )
  return {
    keys: head.slice(1),
    rows: rows.map(([name = "", ...wants]) => ({ component: name.split(",")[0]!, wants }))
  }
}
