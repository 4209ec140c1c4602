/** The gateway's own answers on the data path (common answers, R16, R27): the right form for the right client; must not decide anything. */
import type { Problem } from "#shared/api/problem.ts"
import { problemOf, problemResponse } from "#shared/problem.ts"
import { cookieValues, redirectCookie, sessionCookie, setCookie } from "./cookies.ts"
import { errorPage } from "./pages.ts"
import { tokenHash } from "#shared/jws.ts"

/** Whether a person looks at the answer: a navigation, or a GET that prefers HTML and is no script's. A HEAD is nobody's. */
export const isNavigation = (method: string, headers: Headers): boolean => {
  if (method !== "GET") return false
  if (headers.has("authorization") || headers.has("x-requested-with") || headers.has("upgrade")) return false
  const mode = headers.get("sec-fetch-mode")
  if (mode !== null) return mode === "navigate"
  return prefersHtml(headers)
}

/** Whether `Accept` names text/html, and not JSON with more weight (RFC 9110 §12.4.2) or, with the same, before it. */
export const prefersHtml = (headers: Headers): boolean => {
  const accept = headers.get("accept")?.toLowerCase() ?? ""
  if (!accept.includes("text/html")) return false
  let best = { html: false, weight: 0 }
  for (const range of accept.split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim())
    const html = type === "text/html"
    if (!html && !/^application\/(?:problem\+)?json$/u.test(type)) continue
    const weight = Number(parameters.find((one) => one.startsWith("q="))?.slice(2) ?? 1)
    if (weight > best.weight) best = { html, weight }
  }
  return best.html
}

export interface Asked {
  readonly method: string
  readonly headers: Headers
  readonly requestId: string
}

/** An error in the form its reader can use: a page for people, problem+json for programs; HEAD gets no body. */
export const errorAnswer = (
  asked: Asked,
  problem: Problem,
  headers: Readonly<Record<string, string>> = {}
): Response => {
  if (asked.method === "GET" && prefersHtml(asked.headers)) {
    return new Response(errorPage(problem, asked.requestId), {
      status: problem.status,
      headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store", ...headers }
    })
  }
  const answer = problemResponse(problem, asked.requestId, headers)
  return asked.method === "HEAD" ? new Response(null, { status: answer.status, headers: answer.headers }) : answer
}

/** Names a target in the redirect marker without revealing it to whoever reads the cookie store. */
const markOf = (path: string) => tokenHash(path).slice(0, 16)

/**
 * The answer to who is not logged in: the login page for a navigation, 401 for everything else. `reason` is why shown
 * credentials are no good; undefined without any. A browser that was sent to the login for this very page within the last
 * ten seconds and comes back without a session does not keep our cookie: it gets a page that says so, not a loop.
 */
export const loginAnswer = (
  asked: Asked,
  target: { readonly path: string; readonly query: string },
  stale: { readonly via: "cookie" | "bearer"; readonly reason: string; readonly keepCookie?: true } | undefined
): Response => {
  const headers = new Headers({ "cache-control": "no-store" })
  if (stale?.via === "cookie" && stale.keepCookie !== true)
    headers.append("set-cookie", setCookie(sessionCookie, "", 0))
  if (isNavigation(asked.method, asked.headers)) {
    const mark = markOf(target.path)
    if (!cookieValues(asked.headers.get("cookie"), redirectCookie).includes(mark)) {
      headers.append("set-cookie", setCookie(redirectCookie, mark, 10))
      headers.set("location", `/auth/login?return_to=${encodeURIComponent(target.path + target.query)}`)
      return new Response(null, { status: 302, headers })
    }
    const problem = problemOf(
      401,
      "login_did_not_stick",
      "You were sent to the login a moment ago and came back without a session."
    )
    const answer = errorAnswer({ ...asked, headers: new Headers({ accept: "text/html" }) }, problem, {
      "www-authenticate": "Bearer"
    })
    for (const cookie of headers.getSetCookie()) answer.headers.append("set-cookie", cookie)
    return answer
  }
  const challenge =
    stale?.via === "bearer" ? `Bearer error="invalid_token", error_description="${stale.reason}"` : "Bearer"
  const answer = problemResponse(
    problemOf(401, "unauthorized", stale?.reason ?? "this needs a login"),
    asked.requestId,
    {
      "www-authenticate": challenge
    }
  )
  for (const cookie of headers.getSetCookie()) answer.headers.append("set-cookie", cookie)
  return asked.method === "HEAD" ? new Response(null, { status: 401, headers: answer.headers }) : answer
}
