/** The environment `dev` as a team changes it, rendered from a folder outside of this tree; must change nothing by itself. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative, resolve } from "node:path"
import type { KubernetesObject } from "#shared/kubernetes/objects.ts"
import { objectsOf, renderText } from "./render.ts"

export const kustomizeFolder = resolve(import.meta.dir, "../../kustomize")

/** What is written beside it: the path of a file below the folder, and its text. */
type Files = Readonly<Record<string, (from: (path: string) => string) => string>>

/** `edit` gets its kustomization's text, and how a path of kustomize/ is written from there. */
export const renderDev = (
  edit: (text: string, from: (path: string) => string) => string,
  files: Files = {}
): ReadonlyArray<KubernetesObject> => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "gatehouse-beside-")))
  const fromOf = (place: string) => (path: string) => relative(place, join(kustomizeFolder, path))
  const from = fromOf(folder)
  try {
    const environment = join(kustomizeFolder, "overlays/dev/environment")
    const source = readFileSync(join(environment, "kustomization.yaml"), "utf8")
      .replaceAll("../../../", `${relative(folder, kustomizeFolder)}/`)
      .replace("../settings", from("overlays/dev/settings"))
    writeFileSync(join(folder, "kustomization.yaml"), edit(source, from))
    writeFileSync(join(folder, "gateway.yaml"), readFileSync(join(environment, "gateway.yaml"), "utf8"))
    for (const [path, text] of Object.entries(files)) {
      const place = dirname(join(folder, path))
      mkdirSync(place, { recursive: true })
      writeFileSync(join(folder, path), text(fromOf(place)))
    }
    return objectsOf(renderText(relative(kustomizeFolder, folder)))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
