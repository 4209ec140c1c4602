/** The gateway's data path: every request passes these checks in this order before any route code (spec R1-R5, R9, R16, R17); must call no router and wait for no DB when memory knows. */
import { type BlockList } from "node:net"
import { uuidv7 } from "#shared/domain/ids.ts"
import { problemOf } from "#shared/problem.ts"
import { type Connection, peerAddress } from "#shared/service.ts"
import { errorAnswer, loginAnswer } from "./answers.ts"
import { canonicalTarget, isWithin, type Target } from "./canonicalPath.ts"
import { clientAddress } from "./clientAddress.ts"
import { corsHeaders, crossSite, preflightAnswer } from "./crossOrigin.ts"
import { BodyTooLarge, type Forwarder, limitedBody } from "./forwarder.ts"
import { type Caller, type Credential, credentialOf, type Identified } from "./Gate.ts"
import type { Gate } from "./Gate.ts"
import type { Measure } from "./measures.ts"
import type { OpenStreams } from "./openStreams.ts"
import type { Snapshot } from "./Rights.ts"
import { actionOf, type Route, type RouteTable } from "./routeTable.ts"
import { ownPaths } from "./settingsFile.ts"
import { cleanResponseHeaders, hygiene, upstreamHeaders } from "./upstreamHeaders.ts"

/** What the gateway's own routes get with a request. */
export interface Visit {
  readonly target: Target
  readonly requestId: string
  readonly clientAddress: string
}

export interface DataPathOptions {
  readonly publicUrl: string
  /** Host names (without port, lower case) by which the gateway is known. */
  readonly hosts: ReadonlyArray<string>
  readonly trustedProxies: BlockList
  readonly routes: () => RouteTable
  readonly gate: Gate["Service"]
  readonly peekRights: () => Snapshot | undefined
  /** Rights from the DB; rejects if it is away. */
  readonly askRights: () => Promise<Snapshot>
  readonly askGate: (credential: Credential) => Promise<Identified>
  readonly forwarder: Forwarder
  readonly streams: OpenStreams
  readonly measure: Measure
  /** The gateway's own routes (`/auth`, `/.well-known`, `/openapi`). */
  readonly own: (request: Request, visit: Visit) => Response | Promise<Response>
}

const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
const digits = /^[0-9]{1,15}$/u
const hostForm = /^([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/u
/** A token in a URL ends up in logs, histories and Referer headers. */
const tokenInQuery = /[?&](?:access_token|refresh_token|id_token)=/u
/** Bytes of upload that a route takes unless it says otherwise. */
const defaultMaxBodyBytes = 2 * 1024 ** 3

const isOwn = (path: string): boolean => ownPaths.some((own) => isWithin(path, own))

export const makeDataPath = (options: DataPathOptions) => {
  const publicOrigin = new URL(options.publicUrl).origin
  const proto = options.publicUrl.startsWith("https:") ? "https" : "http"
  const hygieneHeaders = hygiene(proto === "https")
  const known = new Set(options.hosts)

  /** Everything that is decided from the request line and framing alone; a Response is a refusal. */
  const admit = (
    request: Request,
    connection: Connection
  ): (Visit & { readonly host: string; readonly hostHeader: string }) | Response => {
    const { headers, method } = request
    const requestId = uuidv7(Date.now())
    const refuse = (status: number, code: string, detail: string) =>
      errorAnswer({ method, headers, requestId }, problemOf(status, code, detail))
    const hostHeader = headers.get("host") ?? ""
    const host = hostForm.exec(hostHeader.toLowerCase())?.[1]
    if (host === undefined || !known.has(host)) return refuse(421, "unknown_host", `this gateway is ${publicOrigin}`)
    if (!methods.has(method)) return refuse(405, "method_not_allowed", "this method is not supported")
    const length = headers.get("content-length")
    if (length !== null && !digits.test(length))
      return refuse(400, "malformed_request", "Content-Length is not one number")
    const upgrade = headers.get("upgrade")
    if (upgrade !== null && upgrade.toLowerCase() !== "websocket")
      return refuse(400, "malformed_request", "this upgrade is not supported")
    const { url } = request
    const start = url.startsWith("http") ? url.indexOf("/", url.indexOf("//") + 2) : -1
    if (start === -1) return refuse(400, "malformed_request", "the request target is not for this host")
    const target = canonicalTarget(url, url.slice(0, start))
    if (typeof target === "string") return refuse(400, "malformed_request", target)
    if (target.query !== "" && tokenInQuery.test(target.query)) {
      return refuse(400, "token_in_url", "a token belongs into the Authorization header, never into the URL")
    }
    const address = clientAddress(
      peerAddress(request, connection),
      headers.get("x-forwarded-for"),
      options.trustedProxies
    )
    return { target, requestId, clientAddress: address, host, hostHeader }
  }

  /** Adds browser hygiene and CORS; what the answer says itself stays. */
  const dress = (response: Response, cors: ReturnType<typeof corsHeaders>): Response => {
    for (const [name, value] of hygieneHeaders) if (!response.headers.has(name)) response.headers.set(name, value)
    for (const [name, value] of cors) response.headers.append(name, value)
    return response
  }

  const forward = async (
    request: Request,
    visit: Visit & { readonly hostHeader: string },
    route: Route,
    caller: Caller | undefined,
    snapshot: Snapshot | undefined
  ): Promise<Response> => {
    const { method } = request
    const asked = { method, headers: request.headers, requestId: visit.requestId }
    const path = route.strip === 0 ? visit.target.path : visit.target.path.slice(route.strip) || "/"
    const upstream = route.upstream + path
    const limit = route.maxBodyBytes ?? defaultMaxBodyBytes
    const length = request.headers.get("content-length")
    const tooLarge = () => errorAnswer(asked, problemOf(413, "payload_too_large", new BodyTooLarge(limit).message))
    if (length !== null && Number(length) > limit) return tooLarge()
    let identity: string | undefined
    if (caller !== undefined && snapshot !== undefined) {
      identity = options.gate.identityToken(snapshot, caller, {
        service: route.service,
        environment: route.environment,
        method,
        // What the upstream will find in its request line, mount point included.
        path: upstream.slice(upstream.indexOf("/", 8))
      })
      if (identity === undefined) return unavailable(asked, "the signing keys")
    }
    const headers = upstreamHeaders(request.headers, {
      clientAddress: visit.clientAddress,
      proto,
      host: visit.hostHeader,
      requestId: visit.requestId,
      identity
    })
    if (headers === undefined) {
      return errorAnswer(
        asked,
        problemOf(400, "malformed_request", "a header field name holds a character other than letters, digits and -")
      )
    }
    const body = method === "GET" || method === "HEAD" ? null : request.body
    const forwarded = await options.forwarder.forward({
      url: upstream + visit.target.query,
      origin: route.upstream,
      method,
      headers,
      body: body === null || length !== null ? body : limitedBody(body, limit),
      signal: request.signal,
      firstByteTimeoutMs: route.firstByteTimeoutMs
    })
    if (forwarded._tag === "Failed") return errorAnswer(asked, forwarded.problem)
    const { controller } = forwarded
    const response = cleaned(forwarded.response)
    if (response.body === null || response.headers.get("content-type")?.startsWith("text/event-stream") !== true)
      return response
    const forget = options.streams.add({
      controller,
      caller,
      route,
      action: actionOf(route, method, visit.target.path)
    })
    return new Response(watched(response.body, forget), { status: response.status, headers: response.headers })
  }

  const unavailable = (asked: Parameters<typeof errorAnswer>[0], dependency: string) =>
    errorAnswer(asked, problemOf(503, "unavailable", `${dependency} cannot be reached`), { "retry-after": "2" })

  const decide = (
    request: Request,
    visit: Visit & { readonly hostHeader: string },
    route: Route | undefined,
    identified: Identified,
    snapshot: Snapshot
  ): Response | Promise<Response> => {
    const { headers, method } = request
    const asked = { method, headers, requestId: visit.requestId }
    if (identified._tag !== "Caller") {
      return loginAnswer(asked, visit.target, identified._tag === "Stale" ? identified : undefined)
    }
    const { caller } = identified
    const action = route === undefined ? undefined : actionOf(route, method, visit.target.path)
    if (route === undefined || action === undefined)
      return errorAnswer(asked, problemOf(404, "not_found", "no such route"))
    if (caller.via === "cookie" && crossSite(method, headers, publicOrigin, route.origins)) {
      return errorAnswer(asked, problemOf(403, "cross_site", "this request comes from another site's page"))
    }
    if (!options.gate.allows(snapshot, caller, { environment: route.environment, service: route.service, action })) {
      const scope = `${route.service}:${action}`
      const detail = `needs the right ${scope} in ${route.environment}`
      return errorAnswer(
        asked,
        problemOf(403, "forbidden", detail),
        caller.via === "bearer" ? { "www-authenticate": `Bearer error="insufficient_scope", scope="${scope}"` } : {}
      )
    }
    return forward(request, visit, route, caller, snapshot)
  }

  const routed = (
    request: Request,
    visit: Visit & { readonly hostHeader: string },
    route: Route | undefined
  ): Response | Promise<Response> => {
    const { headers, method } = request
    const asked = { method, headers, requestId: visit.requestId }
    for (const needed of visit.target.needs) {
      if (route?.allowed.has(needed) !== true) {
        return errorAnswer(asked, problemOf(400, "malformed_request", `the path holds ${needed}`))
      }
    }
    if (headers.has("upgrade")) {
      // Who may open a WebSocket is checked although none is relayed yet: the order of refusals stays the same.
      if (crossSite("POST", headers, publicOrigin, route?.origins)) {
        return errorAnswer(asked, problemOf(403, "cross_site", "this WebSocket comes from another site's page"))
      }
      return errorAnswer(asked, problemOf(501, "websocket_not_supported", "WebSockets are not relayed yet"))
    }
    const preflight = preflightAnswer(method, headers, publicOrigin, route)
    if (preflight !== undefined) return preflight
    if (route?.public === true) {
      const open = route.rules.length === 0 || actionOf(route, method, visit.target.path) !== undefined
      return open
        ? forward(request, visit, route, undefined, undefined)
        : errorAnswer(asked, problemOf(405, "method_not_allowed"))
    }
    const credential = credentialOf(headers)
    const identified = options.gate.peek(credential)
    const snapshot = options.peekRights()
    if (identified !== undefined && snapshot !== undefined) return decide(request, visit, route, identified, snapshot)
    // Who shows nothing needs no DB to be told to log in.
    if (identified !== undefined && identified._tag !== "Caller") {
      return loginAnswer(asked, visit.target, identified._tag === "Stale" ? identified : undefined)
    }
    return Promise.all([options.askGate(credential), options.askRights()]).then(
      ([who, rights]) => decide(request, visit, route, who, rights),
      () => unavailable(asked, "the gateway DB")
    )
  }

  return (request: Request, connection: Connection): Response | Promise<Response> => {
    const started = performance.now()
    const visit = admit(request, connection)
    if (visit instanceof Response) {
      options.measure("refused", request.method, visit.status, started)
      return dress(visit, [])
    }
    const own = isOwn(visit.target.path)
    const route = own ? undefined : options.routes().find(visit.host, visit.target.path)
    const settle = (response: Response): Response => {
      options.measure(own ? "own" : (route?.id ?? "none"), request.method, response.status, started)
      return dress(response, corsHeaders(request.headers, publicOrigin, route?.origins))
    }
    const response = own ? options.own(request, visit) : routed(request, visit, route)
    return response instanceof Promise ? response.then(settle) : settle(response)
  }
}

/** An upstream's answer with clean headers. */
const cleaned = (response: Response): Response => {
  try {
    cleanResponseHeaders(response.headers)
    return response
  } catch {
    // Deno's fetched headers cannot be changed: there the head is copied. The body streams either way.
    const { headers, status, statusText } = response
    const copy = new Response(response.body, { status, statusText, headers })
    cleanResponseHeaders(copy.headers)
    return copy
  }
}

/** The same bytes; `ended` is told when the stream is over, whoever ends it. */
const watched = (body: ReadableStream<Uint8Array>, ended: () => void): ReadableStream<Uint8Array> => {
  const reader = body.getReader()
  return new ReadableStream<Uint8Array>({
    async pull(out) {
      try {
        const { done, value } = await reader.read()
        if (!done) return out.enqueue(value)
        out.close()
      } catch {
        // An aborted upstream ends the stream; a client of events reconnects.
        out.close()
      }
      ended()
    },
    async cancel(reason) {
      ended()
      await reader.cancel(reason).catch(() => {})
    }
  })
}
