/** Headers across the gateway (spec R3): built anew towards the upstream, cleaned towards the client; must forward nothing it does not know to be harmless. */
import { identityHeader } from "#shared/auth.ts"

/** RFC 9110 §7.6.1, and what belongs to one connection by custom. */
const hopByHop = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings"
]

/** Never taken from a client: they are ours to set, or would override what was decided. */
const reserved = new Set([
  ...hopByHop,
  "host",
  "content-length",
  "forwarded",
  "x-real-ip",
  "x-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-request-id",
  "traceparent",
  "tracestate",
  "baggage"
])
const reservedPrefix = /^(?:x-gatehouse-|x-forwarded-|x-original-|x-rewrite-|impersonate-|proxy-|sec-websocket-)/u
const fieldName = /^[a-z0-9-]+$/u

const gatewayCookie = /^__(?:Host|Secure)-gatehouse/iu

/** The Cookie header without the gateway's own; undefined when none is left. */
const foreignCookies = (cookies: string): string | undefined => {
  if (!cookies.toLowerCase().includes("-gatehouse")) return cookies
  const left = cookies.split(";").filter((one) => !gatewayCookie.test(one.trim()))
  return left.length === 0 ? undefined : left.join(";").trim()
}

export interface Forwarding {
  readonly clientAddress: string
  readonly proto: "http" | "https"
  readonly host: string
  readonly requestId: string
  /** The identity token; undefined on public routes, which get none. */
  readonly identity: string | undefined
}

/**
 * The upstream's request headers, or undefined if a field name is outside `[A-Za-z0-9-]` (400): another spelling of a
 * name (`X_Gatehouse_Identity`) could be read as the same one by the upstream.
 */
export const upstreamHeaders = (request: Headers, forwarding: Forwarding): Record<string, string> | undefined => {
  // Null prototype: a field called __proto__ or constructor is a name like any other here (and refused by its form).
  const headers: Record<string, string> = Object.create(null)
  const connection = request.get("connection")
  const named =
    connection === null || connection === "keep-alive" || connection === "close"
      ? undefined
      : new Set(
          connection
            .toLowerCase()
            .split(",")
            .map((name) => name.trim())
        )
  let sound = true
  request.forEach((value, name) => {
    if (!fieldName.test(name)) {
      sound = false
      return
    }
    if (reserved.has(name) || reservedPrefix.test(name) || named?.has(name) === true) return
    // A bearer token is for the gateway; no other scheme is used here, so none is passed on.
    if (name === "authorization") return
    if (name === "cookie") {
      const cookies = foreignCookies(value)
      if (cookies !== undefined) headers[name] = cookies
      return
    }
    headers[name] = value
  })
  if (!sound) return undefined
  headers["x-forwarded-for"] = forwarding.clientAddress
  headers["x-forwarded-proto"] = forwarding.proto
  headers["x-forwarded-host"] = forwarding.host
  headers["x-request-id"] = forwarding.requestId
  // The request id is a UUID: its 32 digits serve as the trace id, so logs and traces share one key.
  const trace = forwarding.requestId.replaceAll("-", "")
  headers["traceparent"] = `00-${trace}-${trace.slice(16)}-00`
  if (forwarding.identity !== undefined) headers[identityHeader] = forwarding.identity
  return headers
}

/** Browser hygiene (spec R27): added where the upstream says nothing of its own. */
export const hygiene = (secure: boolean): ReadonlyArray<readonly [string, string]> => [
  ["x-content-type-options", "nosniff"],
  ["referrer-policy", "same-origin"],
  ["content-security-policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"],
  ["x-frame-options", "DENY"],
  ...(secure ? [["strict-transport-security", "max-age=31536000"] as const] : [])
]

const droppedFromUpstream = [
  ...hopByHop.filter((name) => name !== "trailer"),
  "service-worker-allowed",
  "alt-svc",
  // Which origins may read an answer is the route's to say, not the upstream's.
  "access-control-allow-origin",
  "access-control-allow-credentials"
]

/** Takes out of an upstream's response headers, in place, what belongs to one connection or is ours to say. */
export const cleanResponseHeaders = (headers: Headers): void => {
  const connection = headers.get("connection")
  if (connection !== null && connection !== "keep-alive" && connection !== "close") {
    for (const name of connection.split(",")) {
      const field = name.trim().toLowerCase()
      if (fieldName.test(field)) headers.delete(field)
    }
  }
  for (const name of droppedFromUpstream) headers.delete(name)
  const cookies = headers.getSetCookie()
  if (cookies.some((cookie) => gatewayCookie.test(cookie.trim()))) {
    headers.delete("set-cookie")
    for (const cookie of cookies) if (!gatewayCookie.test(cookie.trim())) headers.append("set-cookie", cookie)
  }
  const ours: Array<string> = []
  headers.forEach((_, name) => {
    if (name.startsWith("x-gatehouse-")) ours.push(name)
  })
  for (const name of ours) headers.delete(name)
}
