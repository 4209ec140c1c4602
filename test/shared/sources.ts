/** The project's sources as the boundary rules see them: what each file imports and which globals it uses, from Bun's parser; must know no rule. */
import { readFileSync } from "node:fs"
import { dirname, extname, join, resolve } from "node:path"

export interface Source {
  /** From the project's root, e.g. `services/gateway/http.ts`. */
  readonly path: string
  readonly text: string
  /** Every module it names: at run time, for types, or to pass on. */
  readonly imports: ReadonlyArray<string>
  /** Those of them that are there at run time. */
  readonly runtimeImports: ReadonlyArray<string>
  readonly usesBun: boolean
  readonly usesEnv: boolean
}

const loaders = { ".ts": "ts", ".tsx": "tsx" } as const
const bunMark = "@@bun"
const envMark = "@@env"
const parsers = Object.fromEntries(
  Object.entries(loaders).map(([extension, loader]) => [
    extension,
    new Bun.Transpiler({
      loader,
      // An import that nothing uses is an import all the same.
      trimUnusedImports: false,
      define: {
        Bun: JSON.stringify(bunMark),
        "globalThis.Bun": JSON.stringify(bunMark),
        "process.env": JSON.stringify(envMark),
        "globalThis.process.env": JSON.stringify(envMark),
        "import.meta.env": JSON.stringify(envMark)
      }
    })
  ])
)

/** Makes type-only imports ordinary ones, because the parser forgets them: they cross a boundary too. */
const withTypeImports = (text: string) =>
  text
    .replaceAll(/\bimport\s+type\b(?=\s+[\w${*])/gu, "import")
    .replaceAll(/\bexport\s+type\b(?=\s*[{*])/gu, "export")
    .replaceAll(/([{,]\s*)type\s+(?=[A-Za-z_$][\w$]*\s*(?:,|\}|as\b))/gu, "$1")

export const parse = (path: string, text: string): Source => {
  const parser = parsers[extname(path)]
  if (parser === undefined) {
    return { path, text, imports: [], runtimeImports: [], usesBun: false, usesEnv: false }
  }
  const modules = (code: string) => [...new Set(parser.scanImports(code).map((one) => one.path))]
  const plain = parser.transformSync(text)
  return {
    path,
    text,
    imports: modules(withTypeImports(text)),
    runtimeImports: modules(text),
    usesBun: plain.includes(JSON.stringify(bunMark)),
    usesEnv: plain.includes(JSON.stringify(envMark)) || /\bprocess\["env"\]|\}\s*=\s*process\b/u.test(plain)
  }
}

const root = resolve(import.meta.dir, "../..")

/** Sources that people write: no fixtures, no built files. */
const patterns = ["{services,shared,test}/**/*.{ts,tsx,css,html,sh}", "bootstrap", ".ci/*", "*.ts"]
const foreign = /(?:^|\/)(?:node_modules|dist|fixture)\//u

export const projectSources = (): ReadonlyArray<Source> =>
  patterns
    .flatMap((pattern) => [...new Bun.Glob(pattern).scanSync({ cwd: root, dot: true })])
    .filter((path) => !foreign.test(path))
    .sort()
    .map((path) => parse(path, readFileSync(join(root, path), "utf8")))

const aliases: Readonly<Record<string, string>> = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).imports

/** The path an import means: a file of the project for `#` aliases and relative ones, undefined for a package. */
export const target = (from: string, specifier: string): string | undefined => {
  if (specifier.startsWith(".")) return join(dirname(from), specifier)
  if (!specifier.startsWith("#")) return undefined
  for (const [alias, place] of Object.entries(aliases)) {
    const prefix = alias.replace("*", "")
    if (specifier.startsWith(prefix)) return join(place.replace("*", ""), specifier.slice(prefix.length))
  }
  return specifier
}

/** `@scope/name/x` → `@scope/name`. */
export const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/")
