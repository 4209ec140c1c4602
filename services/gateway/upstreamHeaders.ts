/** Headers across the gateway (spec R3): built anew towards the upstream, cleaned towards the client; must forward nothing it does not know to be harmless. */
import { identityHeader } from "#shared/auth.ts"
import { BoundedMap } from "#shared/BoundedMap.ts"

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
  // The listener has asked for the body already.
  "expect",
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

type Fate = "forward" | "drop" | "refuse"

const fateOf = (name: string): Fate => {
  if (!fieldName.test(name)) return "refuse"
  // A bearer token is for the gateway; no other scheme is used here, so no Authorization is passed on.
  return reserved.has(name) || reservedPrefix.test(name) || name === "authorization" ? "drop" : "forward"
}

/** Clients send the same few field names again and again; strangers may send any, so the memory has a bound. */
const fates = new BoundedMap<Fate>(500)

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
 * name (`X_Gatehouse_Identity`) could be read as the same one by the upstream. Every field is looked at, and what is not
 * known to be harmless goes. The request's own header list is changed and handed on where the runtime lets it be: making
 * a second one costs as much as all checks together.
 */
export const upstreamHeaders = (request: Headers, forwarding: Forwarding): Headers | undefined => {
  const connection = request.get("connection")
  let dropped: Array<string> | undefined
  let sound = true
  let cookies: string | undefined
  let encoding = false
  request.forEach((value, name) => {
    let fate = fates.get(name)
    if (fate === undefined) {
      fate = fateOf(name)
      fates.set(name, fate)
    }
    if (fate === "refuse") sound = false
    else if (fate === "drop") (dropped ??= []).push(name)
    else if (name === "cookie") cookies = value
    else if (name === "accept-encoding") encoding = true
  })
  if (!sound) return undefined
  const headers = changeable(request)
  if (dropped !== undefined) for (const name of dropped) headers.delete(name)
  if (connection !== null && connection !== "keep-alive" && connection !== "close") {
    for (const named of connection.split(",")) {
      const name = named.trim().toLowerCase()
      if (fieldName.test(name)) headers.delete(name)
    }
  }
  if (cookies !== undefined) {
    const foreign = foreignCookies(cookies)
    if (foreign === undefined) headers.delete("cookie")
    else if (foreign !== cookies && headers.has("cookie")) headers.set("cookie", foreign)
  }
  // Who names no encoding takes none: the runtime would name its own, and the answer is handed on as it comes.
  if (!encoding || !headers.has("accept-encoding")) headers.set("accept-encoding", "identity")
  headers.set("x-forwarded-for", forwarding.clientAddress)
  headers.set("x-forwarded-proto", forwarding.proto)
  headers.set("x-forwarded-host", forwarding.host)
  headers.set("x-request-id", forwarding.requestId)
  // The request id is a UUID: its 32 digits serve as the trace id, so logs and traces share one key.
  const trace = forwarding.requestId.replaceAll("-", "")
  headers.set("traceparent", `00-${trace}-${trace.slice(16)}-00`)
  if (forwarding.identity !== undefined) headers.set(identityHeader, forwarding.identity)
  return headers
}

/** The same list if it can be changed (Bun), a copy of it if not (Deno). */
const changeable = (headers: Headers): Headers => {
  try {
    headers.delete("host")
    return headers
  } catch {
    const copy = new Headers(headers)
    copy.delete("host")
    return copy
  }
}

export type Hygiene = ReadonlyArray<readonly [name: string, value: string]>

/** Browser hygiene (spec R27): added where the upstream says nothing of its own. */
export const hygiene = (secure: boolean): Hygiene => [
  ["x-content-type-options", "nosniff"],
  ["referrer-policy", "same-origin"],
  ["content-security-policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"],
  ...(secure ? [["strict-transport-security", "max-age=31536000"] as const] : [])
]

const droppedFromUpstream = new Set([
  ...hopByHop.filter((name) => name !== "trailer"),
  "service-worker-allowed",
  "alt-svc",
  // Which origins may read an answer is the route's to say, not the upstream's.
  "access-control-allow-origin",
  "access-control-allow-credentials"
])

/**
 * Takes out of an upstream's response headers, in place, what belongs to one connection or is ours to say, and adds what
 * of `added` they do not say themselves. One pass looks, and only what must change is touched.
 */
export const cleanResponseHeaders = (headers: Headers, added: Hygiene): void => {
  let dropped: Array<string> | undefined
  let ourCookie = false
  let present = 0
  headers.forEach((value, name) => {
    if (name === "set-cookie") ourCookie ||= gatewayCookie.test(value.trim())
    else if (droppedFromUpstream.has(name) || name.startsWith("x-gatehouse-")) (dropped ??= []).push(name)
    for (let index = 0; index < added.length; index++) if (added[index]![0] === name) present |= 1 << index
    if (name === "connection") {
      for (const named of value.split(",")) {
        const field = named.trim().toLowerCase()
        if (fieldName.test(field)) dropped!.push(field)
      }
    }
  })
  if (ourCookie) {
    const cookies = headers.getSetCookie()
    headers.delete("set-cookie")
    for (const cookie of cookies) if (!gatewayCookie.test(cookie.trim())) headers.append("set-cookie", cookie)
  }
  if (dropped !== undefined) {
    for (const name of dropped) headers.delete(name)
    // What Connection named may have been one of ours.
    present = 0
  }
  for (let index = 0; index < added.length; index++) {
    const [name, value] = added[index]!
    if ((present & (1 << index)) === 0 && (dropped === undefined || !headers.has(name))) headers.set(name, value)
  }
}
