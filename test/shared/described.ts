/** Reads OpenAPI documents for tests: their operations, their references, and the routes that a source file declares. */
import { readFileSync } from "node:fs"
import { join } from "node:path"

export interface Operation {
  readonly summary?: string
  readonly operationId?: string
  readonly security?: ReadonlyArray<object>
  readonly parameters?: ReadonlyArray<{
    readonly name: string
    readonly in: string
    readonly required?: boolean
    readonly schema: object
  }>
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> }
  readonly responses?: Readonly<
    Record<
      string,
      { readonly content?: Readonly<Record<string, { readonly schema: Readonly<Record<string, unknown>> }>> }
    >
  >
}

export interface OpenApiDocument {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string }
  readonly servers?: ReadonlyArray<{ readonly url: string }>
  readonly security: ReadonlyArray<object>
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly "x-gatehouse-unavailable"?: ReadonlyArray<{ readonly route: string; readonly reason: string }>
}

/** Each operation as `get /path`. */
export const operationsOf = (document: OpenApiDocument): ReadonlyMap<string, Operation> =>
  new Map(
    Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => [`${method} ${path}`, operation] as const)
    )
  )

/** References that lead nowhere in the document. */
export const lostReferences = (document: OpenApiDocument): ReadonlyArray<string> => {
  const lost: Array<string> = []
  const resolves = (target: string) =>
    target.startsWith("#/") &&
    target
      .slice(2)
      .split("/")
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document) !== undefined
  const look = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return
    if ("$ref" in value && typeof value.$ref === "string" && !resolves(value.$ref)) lost.push(value.$ref)
    Object.values(value).forEach(look)
  }
  look(document)
  return lost
}

/** The routes that an http.ts declares, as `get /path/{parameter}`: read from its text, so that none can hide. */
export const declaredRoutes = (service: string): ReadonlyArray<string> => {
  const folder = join(import.meta.dirname, "../../services", service)
  const text = [...new Bun.Glob("**/http.ts").scanSync({ cwd: folder })]
    .map((file) => readFileSync(join(folder, file), "utf8"))
    .join("\n")
  return [...text.matchAll(/\.(get|post|put|patch|delete)\(\s*"(\/[^"]*)"/gu)].map(
    ([, method, path]) => `${method} ${path!.replaceAll(/:([^/]+)/gu, "{$1}")}`
  )
}
