/** Serves the web app to callers who may see it: files by exact name, the page for every other path; must know nothing of its content. */
import { Effect } from "effect"
import { Identity } from "#shared/auth.ts"
import { guarded, makeRun, requestIdOf } from "#shared/http.ts"
import { problemOf, problemResponse } from "#shared/problem.ts"
import type { Built, Service } from "#shared/service.ts"
import { type Asset, type Assets, namesFile } from "./assets.ts"

/** Path segments a page of the app may have; what is encoded, dotted or doubled is no page. */
const page = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~:@-]+)*\/?$/u

/** The web app's files all lie at the root; deeper down an ending is part of a name, such as a workload's. */
const missesFile = (path: string): boolean => path.lastIndexOf("/") === 0 && namesFile(path)

const find = (assets: Assets, path: string): Asset | undefined =>
  assets.files.get(path) ?? (page.test(path) && !missesFile(path) ? assets.index : undefined)

/** Whether the client takes gzip (RFC 9110 §12.5.3): named, or covered by `*`, and not with a weight of 0. */
const takesGzip = (request: Request): boolean => {
  const weights = new Map<string, number>()
  for (const part of (request.headers.get("accept-encoding") ?? "").toLowerCase().split(",")) {
    const [coding = "", ...parameters] = part.split(";").map((text) => text.trim())
    const weight = parameters.find((text) => text.startsWith("q="))?.slice(2) ?? "1"
    weights.set(coding, Number(weight))
  }
  return (weights.get("gzip") ?? weights.get("*") ?? 0) > 0
}

const matches = (request: Request, etag: string): boolean => {
  const given = request.headers.get("if-none-match")
  if (given === null) return false
  return given.split(",").some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//u, "") === etag)
}

const respond = (assets: Assets, request: Request): Response => {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return problemResponse(problemOf(405, "method_not_allowed"), requestIdOf(request), { allow: "GET, HEAD" })
  }
  const asset = find(assets, new URL(request.url).pathname)
  if (asset === undefined) return problemResponse(problemOf(404, "not_found"), requestIdOf(request))
  const gzip = asset.gzip !== undefined && takesGzip(request)
  const { body, etag } = gzip ? asset.gzip! : asset.plain
  const headers: Record<string, string> = { "cache-control": asset.cacheControl, etag, vary: "accept-encoding" }
  if (matches(request, etag)) return new Response(null, { status: 304, headers })
  headers["content-type"] = asset.contentType
  headers["content-length"] = String(body.length)
  if (gzip) headers["content-encoding"] = "gzip"
  return new Response(request.method === "HEAD" ? null : body, { headers })
}

export const makeFetch =
  (assets: Assets) =>
  ({ runtime }: Built<Identity>): Service["fetch"] => {
    const run = makeRun(runtime)
    return guarded((request) =>
      run(
        request,
        Identity.use((identity) => identity.authorize(request, "read")).pipe(Effect.map(() => respond(assets, request)))
      )
    )
  }
