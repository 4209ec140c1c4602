/** Builds the web app into a folder: hashed files, gzip beside them, nothing at all if no source changed; must not be needed to serve it. */
import { createHash } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { bundle } from "#shared/bun.ts"

const folder = decodeURIComponent(new URL(".", import.meta.url).pathname)
const project = join(folder, "../..")

export interface WebApp {
  /** Names in the folder, without the `.gz` siblings. */
  readonly files: ReadonlyArray<string>
  /** Bytes that a first visit transfers, gzipped: the page, all it refers to, and its heaviest screen. */
  readonly gzipBytes: number
}

interface Stamp extends WebApp {
  readonly sources: string
}

/** Remembers what an output folder was built from. */
const stampName = ".build.json"

/** One hash over everything the output depends on: the sources, the locked packages, the bundler's settings. */
const hashSources = (): string => {
  const hash = createHash("sha256")
  const add = (path: string) => hash.update(path).update("\0").update(readFileSync(path)).update("\0")
  const walk = (inside: string) => {
    for (const entry of readdirSync(inside, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(inside, entry.name)
      if (entry.isDirectory()) {
        if (entry.name !== "dist") walk(path)
      } else add(path)
    }
  }
  walk(folder)
  add(join(project, "bun.lock"))
  add(join(project, "shared/bun.ts"))
  return hash.digest("hex")
}

const readStamp = (outdir: string): Stamp | undefined => {
  try {
    const stamp = JSON.parse(readFileSync(join(outdir, stampName), "utf8")) as Stamp
    return stamp.files.every((name) => statSync(join(outdir, name)).isFile()) ? stamp : undefined
  } catch {
    return undefined
  }
}

const compress = (path: string): number => {
  const packed = gzipSync(readFileSync(path), { level: 9 })
  writeFileSync(`${path}.gz`, packed)
  return packed.length
}

/** Names that a built script imports: with its own load, or when a screen is first shown. */
const importsOf = (text: string, late: boolean): ReadonlyArray<string> =>
  Array.from(
    text.matchAll(late ? /\bimport\("\/([^"/]+)"\)/gu : /(?:\bfrom|\bimport)"\/([^"/]+)"/gu),
    ([, name]) => name!
  )

/** Adds up what a first visit of the heaviest screen fetches, each file once. */
const firstLoad = (outdir: string, sizes: ReadonlyMap<string, number>): number => {
  const read = (name: string) => readFileSync(join(outdir, name), "utf8")
  const page = Array.from(read("index.html").matchAll(/(?:src|href)="\/([^"/]+)"/gu), ([, name]) => name!)
  const together = (...entries: ReadonlyArray<string>) => {
    const found = new Set(entries)
    for (const name of found) if (name.endsWith(".js")) for (const next of importsOf(read(name), false)) found.add(next)
    return found
  }
  const weigh = (names: Iterable<string>) => [...names].reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0)
  const first = together("index.html", ...page)
  const screens = [...first].flatMap((name) => (name.endsWith(".js") ? importsOf(read(name), true) : []))
  return Math.max(weigh(first), ...screens.map((screen) => weigh(together(...first, screen))))
}

/** Builds into `outdir`, or finds there what the present sources give. Throws an AggregateError naming the faults. */
export const buildDashboard = async (outdir: string): Promise<WebApp> => {
  const sources = hashSources()
  const before = readStamp(outdir)
  if (before?.sources === sources) return { files: before.files, gzipBytes: before.gzipBytes }
  mkdirSync(outdir, { recursive: true })
  const files = await bundle(join(folder, "index.html"), outdir)
  for (const name of before?.files ?? []) {
    if (files.includes(name)) continue
    rmSync(join(outdir, name), { force: true })
    rmSync(join(outdir, `${name}.gz`), { force: true })
  }
  const sizes = new Map(files.map((name) => [name, compress(join(outdir, name))]))
  const gzipBytes = firstLoad(outdir, sizes)
  writeFileSync(join(outdir, stampName), JSON.stringify({ sources, files, gzipBytes } satisfies Stamp))
  return { files, gzipBytes }
}

if (import.meta.main) {
  const outdir = join(folder, "dist")
  const { files, gzipBytes } = await buildDashboard(outdir)
  console.log(`${outdir}: ${files.length} files, first load ${(gzipBytes / 1000).toFixed(1)} kB gzip`)
}
