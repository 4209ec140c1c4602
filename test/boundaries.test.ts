/** Who may import whom, and the other rules of the tree (CONTRIBUTING.md): each is checked on the sources, and shown to catch a breach. */
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { describe, expect, test } from "bun:test"
import { packageOf, parse, projectSources, type Source, target } from "#test/shared/sources.ts"

interface Rule {
  readonly name: string
  /** What is wrong with the file, one line each; `all` is the whole project. */
  readonly check: (source: Source, all: ReadonlyArray<Source>) => ReadonlyArray<string>
  /** Files that break the rule, each in its own way: [path, text]. */
  readonly breaches: ReadonlyArray<readonly [path: string, text: string]>
  /** Files that look as if they did, and do not. */
  readonly fine: ReadonlyArray<readonly [path: string, text: string]>
}

const isCode = (source: Source) => /\.tsx?$/u.test(source.path)
const within = (path: string | undefined, ...folders: ReadonlyArray<string>) =>
  path !== undefined && folders.some((folder) => path === folder || path.startsWith(`${folder}/`))
const fileName = (path: string) => path.slice(path.lastIndexOf("/") + 1)

/** Imports of `source` that `allowed` does not hold for. */
const imports = (
  source: Source,
  allowed: (specifier: string, path: string | undefined) => boolean,
  why: string
): ReadonlyArray<string> =>
  isCode(source)
    ? source.imports
        .filter((specifier) => !allowed(specifier, target(source.path, specifier)))
        .map((specifier) => `imports "${specifier}": ${why}`)
    : []

const isEffect = (specifier: string) => packageOf(specifier) === "effect"
const serviceOf = (path: string) => /^services\/[^/]+(?=\/)/u.exec(path)?.[0]
/** These start several services; everything else is one's own. */
const compositions = ["services/dev", "services/cli.ts"]

/** A package that only some files may import. */
const onlyIn = (
  what: string,
  matches: (specifier: string) => boolean,
  allowed: (path: string) => boolean,
  where: string,
  example: string,
  home: string
): Rule => ({
  name: `${what} appears only in ${where}`,
  check: (source) =>
    allowed(source.path) ? [] : imports(source, (specifier) => !matches(specifier), `only ${where} may`),
  breaches: [
    ["services/gateway/Sessions.ts", `import { x } from "${example}"`],
    ["shared/domain/rights.ts", `import type { X } from "${example}"`],
    ["services/monitor/main.ts", `export * from "${example}"`],
    ["services/monitor/main.ts", `const x = await import("${example}")`]
  ],
  fine: [
    [home, `import { x } from "${example}"`],
    ["services/gateway/Sessions.ts", `// import { x } from "${example}"\nconst text = 'import "${example}"'`]
  ]
})

const badNames = new Set(["utils", "util", "helpers", "helper", "common", "core", "lib", "misc"])

/** What the page loads: everything reachable at run time from its entry. */
const reachable = (entry: string, all: ReadonlyArray<Source>): ReadonlySet<string> => {
  const found = new Set([entry])
  for (const path of found) {
    const source = all.find((one) => one.path === path)
    for (const specifier of source?.runtimeImports ?? []) {
      const next = target(path, specifier)
      if (next !== undefined) found.add(next)
    }
  }
  return found
}
const page = "services/dashboard/app.tsx"

const rules: ReadonlyArray<Rule> = [
  {
    name: "the vocabulary (shared/domain) imports only effect and itself",
    check: (source) =>
      within(source.path, "shared/domain")
        ? imports(
            source,
            (name, path) => name === "effect" || within(path, "shared/domain"),
            "only effect and the domain"
          )
        : [],
    breaches: [
      ["shared/domain/rights.ts", 'import { problemOf } from "../problem.ts"'],
      ["shared/domain/rights.ts", 'import type { Problem } from "#shared/api/problem.ts"'],
      ["shared/domain/rights.ts", 'import { SqlClient } from "effect/sql"'],
      ["shared/domain/rights.ts", 'import { readFileSync } from "node:fs"']
    ],
    fine: [["shared/domain/rights.ts", 'import { Schema } from "effect"\nimport { UserId } from "./ids.ts"']]
  },
  {
    name: "the contracts (shared/api) import only effect, the domain and themselves",
    check: (source) =>
      within(source.path, "shared/api")
        ? imports(
            source,
            (name, path) => isEffect(name) || within(path, "shared/domain", "shared/api"),
            "only effect, the domain and other contracts"
          )
        : [],
    breaches: [
      ["shared/api/auth.ts", 'import { makeApp } from "../http.ts"'],
      ["shared/api/auth.ts", 'import { type Session } from "#gateway/Sessions.ts"']
    ],
    fine: [["shared/api/auth.ts", 'import { Schema } from "effect"\nimport { Role } from "../domain/rights.ts"']]
  },
  {
    name: "shared imports no service and no test",
    check: (source) =>
      within(source.path, "shared")
        ? imports(
            source,
            (_, path) => path === undefined || within(path, "shared", "package.json"),
            "shared knows no service"
          )
        : [],
    breaches: [["shared/http.ts", 'import type { Gate } from "#gateway/Gate.ts"']],
    fine: [["shared/http.ts", 'import { Elysia } from "elysia"\nimport { problemOf } from "./problem.ts"']]
  },
  {
    name: "a service imports shared and its own folder, and only dev and the command line several services",
    check: (source) => {
      const own = serviceOf(source.path)
      if (own === undefined || within(source.path, ...compositions)) return []
      return imports(
        source,
        (_, path) => path === undefined || within(path, "shared", own),
        `${own} knows only shared and itself`
      )
    },
    breaches: [
      ["services/monitor/Host.ts", 'import { Sessions } from "#gateway/Sessions.ts"'],
      ["services/monitor/Host.ts", 'import type { Sessions } from "#gateway/Sessions.ts"'],
      ["services/monitor/Host.ts", 'import { Sessions } from "../gateway/Sessions.ts"'],
      ["services/gateway/main.ts", 'import { startPostgres } from "#dev/postgres.ts"'],
      ["services/gateway/main.ts", 'import { freshDatabase } from "#test/shared/postgres.ts"'],
      ["services/gateway/main.ts", 'export { type Host } from "#monitor/Host.ts"']
    ],
    fine: [
      ["services/dev/platform.ts", 'import * as gateway from "#gateway/service.ts"'],
      ["services/cli.ts", 'import { make } from "#monitor/service.ts"'],
      ["services/gateway/main.ts", 'import { make } from "./service.ts"\nimport { Gate } from "#gateway/Gate.ts"']
    ]
  },
  onlyIn(
    "Elysia",
    (name) => packageOf(name) === "elysia" || name.startsWith("@elysiajs/"),
    (path) => fileName(path) === "http.ts",
    "files named http.ts",
    "@elysiajs/openapi",
    "services/gateway/http.ts"
  ),
  onlyIn(
    "arctic",
    (name) => packageOf(name) === "arctic",
    (path) => path === "services/gateway/authorizationCode.ts",
    "services/gateway/authorizationCode.ts",
    "arctic",
    "services/gateway/authorizationCode.ts"
  ),
  onlyIn(
    "the Postgres driver",
    (name) => packageOf(name) === "@effect/sql-pg",
    (path) => path === "shared/sql.ts" || within(path, "services/dev", "test"),
    "shared/sql.ts, services/dev and tests",
    "@effect/sql-pg",
    "shared/sql.ts"
  ),
  onlyIn(
    "effect/sql",
    (name) => name === "effect/sql" || name.startsWith("effect/sql/"),
    (path) => path === "shared/sql.ts" || within(path, "services/dev", "test"),
    "shared/sql.ts, services/dev and tests",
    "effect/sql",
    "services/dev/postgresDatabases.ts"
  ),
  onlyIn(
    "the SQL parser",
    (name) => packageOf(name) === "libpg-query",
    (path) => path === "services/data/SqlParser.ts",
    "services/data/SqlParser.ts",
    "libpg-query/wasm/libpg-query.js",
    "services/data/SqlParser.ts"
  ),
  {
    name: "Bun's own modules and globals appear only in shared/bun.ts, the command line, dev and tests",
    check: (source) => {
      if (within(source.path, "shared/bun.ts", "services/cli.ts", "services/dev", "test")) return []
      const why = "only shared/bun.ts, services/cli.ts, services/dev and tests know Bun"
      return [
        ...imports(source, (name) => name !== "bun" && !name.startsWith("bun:"), why),
        ...(source.usesBun ? [`uses the global Bun: ${why}`] : [])
      ]
    },
    breaches: [
      ["services/monitor/Host.ts", 'import { Database } from "bun:sqlite"'],
      ["services/monitor/Host.ts", 'import { serve } from "bun"'],
      ["services/monitor/Host.ts", 'const text = await Bun.file("/proc/stat").text()'],
      ["shared/http.ts", "const hash = (globalThis.Bun as any).hash(1)"]
    ],
    fine: [
      ["shared/bun.ts", "Bun.serve({})"],
      ["test/run.ts", 'import { $ } from "bun"'],
      ["services/monitor/Host.ts", '// Bun.file is fast\nconst text = "Bun.file"']
    ]
  },
  {
    name: "the process environment is read only in shared/config.ts",
    check: (source) =>
      source.usesEnv && !within(source.path, "shared/config.ts", "services/dev", "test")
        ? ["reads the environment: only shared/config.ts may"]
        : [],
    breaches: [
      ["services/gateway/main.ts", "const port = process.env.PORT"],
      ["services/gateway/main.ts", 'const port = process.env["PORT"]'],
      ["services/gateway/main.ts", 'const port = process["env"].PORT'],
      ["services/gateway/main.ts", "const { env } = process\nconsole.log(env)"],
      ["shared/http.ts", "const all = { ...import.meta.env }"]
    ],
    fine: [
      ["shared/config.ts", "export const processEnv = () => process.env"],
      ["services/gateway/main.ts", '// process.env\nconst text = "process.env"\nprocess.on("exit", () => {})']
    ]
  },
  {
    name: "a relative import stays in its folder of services, shared or test",
    check: (source) => {
      const home = /^(?:services\/[^/]+|shared|test\/[^/]+)(?=\/)/u.exec(source.path)?.[0] ?? source.path
      return imports(
        source,
        (name, path) => !name.startsWith(".") || within(path, home) || /^(?:\.\.\/)+package\.json$/u.test(name),
        "another folder is imported by its # alias"
      )
    },
    breaches: [
      ["services/gateway/main.ts", 'import { listen } from "../../shared/bun.ts"'],
      ["services/dev/platform.ts", 'import { make } from "../gateway/service.ts"'],
      ["services/cli.ts", 'import { make } from "./gateway/service.ts"'],
      ["test/gateway/http.test.ts", 'import { until } from "../shared/until.ts"']
    ],
    fine: [
      ["shared/api/auth.ts", 'import { UserId } from "../domain/ids.ts"'],
      ["services/monitor/collectors/cpu.ts", 'import { parse } from "../parse.ts"']
    ]
  },
  {
    name: "every import of a project file resolves to one",
    check: (source, all) =>
      imports(
        source,
        (_, path) =>
          path === undefined ||
          all.some((one) => one.path === path) ||
          existsSync(resolve(import.meta.dir, "..", path)),
        "there is no such file"
      ),
    breaches: [
      ["services/gateway/main.ts", 'import { x } from "#shared/nothing.ts"'],
      ["services/gateway/main.ts", 'import { x } from "#nowhere/http.ts"'],
      ["services/gateway/main.ts", 'import type { X } from "./nothing.ts"']
    ],
    fine: [["services/gateway/main.ts", 'import { uuidv7 } from "#shared/domain/ids.ts"']]
  },
  {
    name: "nothing is named utils, helpers, common, core, lib or misc",
    check: (source) =>
      source.path
        .split("/")
        .filter((part) => badNames.has(part.split(".")[0]!.toLowerCase()))
        .map((part) => `"${part}" says nothing about what it holds`),
    breaches: [
      ["services/gateway/utils.ts", ""],
      ["test/helpers/http.ts", ""],
      ["shared/Common.test.ts", ""],
      ["services/lib/main.ts", ""]
    ],
    fine: [["services/monitor/libraries.ts", ""]]
  },
  {
    name: "no file is longer than 500 lines",
    check: (source) => {
      const lines = source.text.trimEnd().split("\n").length
      return lines > 500 ? [`has ${lines} lines: split it by responsibility`] : []
    },
    breaches: [["services/gateway/http.ts", "x\n".repeat(501)]],
    fine: [["services/gateway/http.ts", "x\n".repeat(500)]]
  },
  {
    name: "every source file opens with a sentence on what it is for",
    check: (source) => {
      const text = source.text.replace(/^#!.*\n/u, "")
      const opening = isCode(source)
        ? /^\/\*\*[\s*]+\S[^\n]*[\s\S]*?[.?!;:)`"\w]\s*\*\//u
        : source.path.endsWith(".css")
          ? /^\/\*[\s*]+\S/u
          : source.path.endsWith(".html")
            ? /^/u
            : /^# ?\S.{10}/u
      return opening.test(text) ? [] : ["does not open with a comment that says what it is for"]
    },
    breaches: [
      ["services/gateway/http.ts", 'import { x } from "elysia"\n/** Late. */'],
      ["services/gateway/http.ts", "// The routes."],
      ["services/gateway/http.ts", "/** */"],
      ["services/gateway/http.ts", ""],
      ["bootstrap", "#!/bin/sh\nset -eu"],
      ["services/dashboard/style.css", "body {}"]
    ],
    fine: [
      ["services/gateway/http.ts", "/** The gateway's routes; must hold no rule. */\n"],
      ["services/gateway/http.ts", "/**\n * The gateway's routes.\n * More.\n */\n"],
      ["bootstrap", "#!/bin/sh\n# Brings what a fresh clone lacks.\n"]
    ]
  },
  {
    name: "the page loads no effect at run time",
    check: (source, all) => {
      if (!reachable(page, all).has(source.path)) return []
      return source.runtimeImports
        .filter((name) => isEffect(name) || name.startsWith("@effect/"))
        .map((name) => `imports "${name}", and the page loads this file: it weighs too much there`)
    },
    breaches: [
      [page, 'import { Effect } from "effect"\nEffect.void'],
      [page, 'import * as Http from "effect/http"']
    ],
    fine: [
      [page, 'import type { Effect } from "effect"'],
      ["services/dashboard/service.ts", 'import { Effect } from "effect"\nEffect.void']
    ]
  }
]

const sources = projectSources()

test("the rules see the whole project", () => {
  expect(sources.length).toBeGreaterThan(100)
  for (const path of ["bootstrap", "shared/sql.ts", "services/cli.ts", page, "test/run.ts"]) {
    expect(sources.map((source) => source.path)).toContain(path)
  }
  const loaded = reachable(page, sources)
  expect(loaded.size).toBeGreaterThan(20)
})

for (const rule of rules) {
  describe(rule.name, () => {
    test("in every file", () => {
      expect(
        sources.flatMap((source) => rule.check(source, sources).map((fault) => `${source.path} ${fault}`))
      ).toEqual([])
    })
    test("and a breach is seen", () => {
      const judged = (cases: Rule["breaches"]) =>
        cases.map(([path, text]) => {
          const planted = parse(path, text)
          const all = [...sources.filter((source) => source.path !== path), planted]
          return [path, text.slice(0, 80), rule.check(planted, all).length > 0]
        })
      expect(judged(rule.breaches).filter(([, , caught]) => caught !== true)).toEqual([])
      expect(judged(rule.fine).filter(([, , caught]) => caught === true)).toEqual([])
    })
  })
}

test("a file that only the page's own files import is one that the page loads", () => {
  const deep = parse("services/dashboard/deep.ts", 'import { Effect } from "effect"\nEffect.void')
  const entry = parse(page, 'import { x } from "./deep.ts"\nx()')
  const rule = rules.find(({ name }) => name.includes("the page loads"))!
  expect(rule.check(deep, [entry, deep])).not.toEqual([])
  expect(rule.check(deep, [parse(page, 'import type { X } from "./deep.ts"'), deep])).toEqual([])
})
