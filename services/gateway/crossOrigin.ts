/** Requests that a browser sends for another site's page (spec R9): CSRF, CORS and preflights; must not know who is logged in. */
import type { Route } from "./routeTable.ts"

/** An event stream is held open for whoever asked for it: a page that may not read it must not be able to hold any. */
const asksForStream = (headers: Headers) => /^text\/event-stream\b/iu.test(headers.get("accept") ?? "")

/**
 * Whether a request that changes something, or holds a stream, cannot be shown to come from our own pages (or those a route allows): `Origin`
 * must be ours; without it `Sec-Fetch-Site` must say same-origin. `null` (sandboxed frames, redirects) is another site.
 */
export const crossSite = (
  method: string,
  headers: Headers,
  publicOrigin: string,
  allowed?: ReadonlySet<string>
): boolean => {
  const origin = headers.get("origin")
  const reads = method === "GET" || method === "HEAD" || method === "OPTIONS"
  // Browsers send no Origin with a read of their own pages' origin.
  if (reads && (origin === null || !asksForStream(headers))) return false
  if (origin !== null) return origin !== publicOrigin && allowed?.has(origin) !== true
  return headers.get("sec-fetch-site") !== "same-origin"
}

const none: ReadonlyArray<readonly [string, string]> = []
/** A cache must not give the answer for one origin to another. */
const varies = [["vary", "origin"]] as const

/** CORS fields of an answer, errors included: only for an origin that the route lists. */
export const corsHeaders = (
  headers: Headers,
  publicOrigin: string,
  allowed: ReadonlySet<string> | undefined
): ReadonlyArray<readonly [string, string]> => {
  if (allowed === undefined || allowed.size === 0) return none
  const origin = headers.get("origin")
  if (origin === null || origin === publicOrigin || !allowed.has(origin)) return varies
  return [
    ["access-control-allow-origin", origin],
    ["access-control-allow-credentials", "true"],
    ["vary", "origin"]
  ]
}

/** The answer to a CORS preflight, or undefined if the request is none. Upstreams never see one. */
export const preflightAnswer = (
  method: string,
  headers: Headers,
  publicOrigin: string,
  route: Route | undefined
): Response | undefined => {
  if (method !== "OPTIONS" || !headers.has("access-control-request-method")) return undefined
  const origin = headers.get("origin")
  if (origin === null) return undefined
  if (origin !== publicOrigin && route?.origins.has(origin) !== true) return new Response(null, { status: 403 })
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
      "access-control-allow-headers": "authorization, content-type, idempotency-key, last-event-id",
      "access-control-max-age": "600"
    }
  })
}
