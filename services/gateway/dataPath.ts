/** The gateway's data path: every request passes these checks in this order before any route code (spec R1-R5, R9, R16, R17); must call no router and wait for no DB when memory knows. */
import { type BlockList } from "node:net"
import { BoundedMap } from "#shared/BoundedMap.ts"
import { uuidv7 } from "#shared/domain/ids.ts"
import { internalProblem, problemOf, problemResponse } from "#shared/problem.ts"
import { allowSilence, type Connection, peerAddress } from "#shared/service.ts"
import { errorAnswer, loginAnswer } from "./answers.ts"
import { canonicalTarget, isWithin, type Target } from "./canonicalPath.ts"
import { clientAddress } from "./clientAddress.ts"
import { corsHeaders, crossSite, preflightAnswer } from "./crossOrigin.ts"
import { BodyTooLarge, type Forwarder } from "./forwarder.ts"
import { type Caller, type Credential, credentialOf, type Gate, type Identified } from "./Gate.ts"
import type { Measure } from "./measures.ts"
import type { OpenStreams } from "./openStreams.ts"
import type { Snapshot } from "./Rights.ts"
import { actionOf, type Route, type RouteTable } from "./routeTable.ts"
import { ownPaths } from "./settingsFile.ts"
import { cleanResponseHeaders, type Hygiene, hygiene, upstreamHeaders } from "./upstreamHeaders.ts"

/** What the gateway's own routes get with a request. */
export interface Visit {
  readonly target: Target
  readonly requestId: string
  readonly clientAddress: string
}

interface Admitted extends Visit {
  /** Lower case, without port. */
  readonly host: string
  /** The same as upstreams are told it. */
  readonly authority: string
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
  /** Logs a defect, of which the client learns nothing but the request's id. */
  readonly report: (error: unknown, requestId: string) => void
  /** The gateway's own routes (`/auth`, `/.well-known`, `/openapi`). */
  readonly own: (request: Request, visit: Visit) => Response | Promise<Response>
}

const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
const digits = /^[0-9]{1,15}$/u
const hostForm = /^([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/u
/** A token in a URL ends up in logs, histories and Referer headers. */
const tokenInQuery = /[?&](?:access_token|refresh_token|id_token)=/u
const eventStream = /^text\/event-stream/iu
/** Bytes of upload that a route takes unless it says otherwise. */
const defaultMaxBodyBytes = 2 * 1024 ** 3
/** Every listener lets a connection be silent for this long while an answer is awaited. */
const usualSilenceMs = 30_000
/** A body of a declared length up to this is there at once: nobody needs to watch it come. */
const smallBody = 64 * 1024

const isOwn = (path: string): boolean => ownPaths.some((own) => isWithin(path, own))

/** Counts and dresses the answer: the last step of every request. */
type Settle = (response: Response) => Response

export const makeDataPath = (options: DataPathOptions) => {
  const publicOrigin = new URL(options.publicUrl).origin
  const proto = options.publicUrl.startsWith("https:") ? "https" : "http"
  const hygieneHeaders = hygiene(proto === "https")
  // What an upstream is told of the host is configuration, port included, and nothing the client wrote.
  const { port } = new URL(options.publicUrl)
  const authorities = new Map(options.hosts.map((host) => [host, port === "" ? host : `${host}:${port}`]))

  const behindProxies = options.trustedProxies.rules.length > 0
  const namesSeen = new BoundedMap<string>(100)
  /** The name in a Host header, in lower case and without its port; "" if it is not one host. */
  const hostOf = (header: string): string => {
    const seen = namesSeen.get(header)
    if (seen !== undefined) return seen
    const name = hostForm.exec(header.toLowerCase())?.[1] ?? ""
    namesSeen.set(header, name)
    return name
  }

  /** Everything that is decided from the request line and framing alone; a Response is a refusal. */
  const admit = (request: Request, connection: Connection): Admitted | Response => {
    const { headers, method } = request
    const requestId = uuidv7(Date.now())
    const refuse = (status: number, code: string, detail: string) =>
      errorAnswer({ method, headers, requestId }, problemOf(status, code, detail))
    const host = hostOf(headers.get("host") ?? "")
    const authority = authorities.get(host)
    if (authority === undefined) return refuse(421, "unknown_host", `this gateway is ${publicOrigin}`)
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
      behindProxies ? headers.get("x-forwarded-for") : null,
      options.trustedProxies
    )
    return { target, requestId, clientAddress: address, host, authority }
  }

  /** Adds browser hygiene and CORS; what the answer says itself stays. */
  const dress = (response: Response, cors: ReturnType<typeof corsHeaders>): Response => {
    // What came through `cleaned` has them.
    if (!response.headers.has(hygieneHeaders[0]![0])) {
      for (const [name, value] of hygieneHeaders) if (!response.headers.has(name)) response.headers.set(name, value)
    }
    for (const [name, value] of cors) response.headers.append(name, value)
    return response
  }

  const forward = (
    request: Request,
    visit: Admitted,
    route: Route,
    caller: Caller | undefined,
    snapshot: Snapshot | undefined,
    settle: Settle
  ): Response | Promise<Response> => {
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
        namespaces: route.namespaces,
        method,
        // What the upstream will find in its request line, mount point included.
        path: upstream.slice(upstream.indexOf("/", 8))
      })
      if (identity === undefined) return unavailable(asked, "the signing keys")
    }
    const headers = upstreamHeaders(request.headers, {
      clientAddress: visit.clientAddress,
      proto,
      host: visit.authority,
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
    return options.forwarder.forward(
      {
        url: upstream + visit.target.query,
        origin: route.upstream,
        method,
        headers,
        body,
        bodyLimit: length !== null && Number(length) <= smallBody ? undefined : limit,
        signal: request.signal,
        firstByteTimeoutMs: route.firstByteTimeoutMs
      },
      {
        failed: (problem) => settle(errorAnswer(asked, problem)),
        answered: (raw) => {
          const response = cleaned(raw, hygieneHeaders)
          // The body is touched only here: Bun hands an untouched one through without ever making a stream of it.
          if (!eventStream.test(response.headers.get("content-type") ?? "") || response.body === null) {
            return settle(response)
          }
          const watched = watch(response.body)
          const action = actionOf(route, method, visit.target.path)
          const forget = options.streams.add({ end: watched.end, caller, route, action })
          void watched.ended.then(forget)
          return settle(new Response(watched.stream, { status: response.status, headers: response.headers }))
        }
      }
    )
  }

  const unavailable = (asked: Parameters<typeof errorAnswer>[0], dependency: string) =>
    errorAnswer(asked, problemOf(503, "unavailable", `${dependency} cannot be reached`), { "retry-after": "2" })

  const decide = (
    request: Request,
    visit: Admitted,
    route: Route | undefined,
    identified: Identified,
    snapshot: Snapshot,
    settle: Settle
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
    const { environment, namespaces, service } = route
    if (!options.gate.allows(snapshot, caller, { environment, namespaces, service, action })) {
      const scope = `${route.service}:${action}`
      const detail = `needs the right ${scope} in ${route.environment}`
      return errorAnswer(
        asked,
        problemOf(403, "forbidden", detail),
        caller.via === "bearer" ? { "www-authenticate": `Bearer error="insufficient_scope", scope="${scope}"` } : {}
      )
    }
    return forward(request, visit, route, caller, snapshot, settle)
  }

  /** A plain Response is still to be settled, a promised one is: every further step of a promise costs on each request. */
  const routed = (
    request: Request,
    visit: Admitted,
    route: Route | undefined,
    settle: Settle
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
        ? forward(request, visit, route, undefined, undefined, settle)
        : errorAnswer(asked, problemOf(405, "method_not_allowed"))
    }
    const credential = credentialOf(headers)
    const identified = options.gate.peek(credential)
    const snapshot = options.peekRights()
    if (identified !== undefined && snapshot !== undefined) {
      return decide(request, visit, route, identified, snapshot, settle)
    }
    // Who shows nothing needs no DB to be told to log in.
    if (identified !== undefined && identified._tag !== "Caller") {
      return loginAnswer(asked, visit.target, identified._tag === "Stale" ? identified : undefined)
    }
    return Promise.all([options.askGate(credential), options.askRights()]).then(
      ([who, rights]) => {
        const decided = decide(request, visit, route, who, rights, settle)
        return decided instanceof Promise ? decided : settle(decided)
      },
      () => settle(unavailable(asked, "the gateway DB"))
    )
  }

  /** Whether the upstream, reading the path its own way, would take it for one that is decided otherwise. */
  const ambiguous = (visit: Admitted, method: string, own: boolean, route: Route | undefined) => {
    const { path, reading } = visit.target
    if (reading === undefined) return false
    if (isOwn(reading) !== own) return true
    if (own) return false
    if (options.routes().find(visit.host, reading) !== route) return true
    return route !== undefined && actionOf(route, method, reading) !== actionOf(route, method, path)
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
      const open = route !== undefined && route.origins.size > 0
      return dress(response, open ? corsHeaders(request.headers, publicOrigin, route.origins) : [])
    }
    if (ambiguous(visit, request.method, own, route)) {
      const asked = { method: request.method, headers: request.headers, requestId: visit.requestId }
      return settle(
        errorAnswer(asked, problemOf(400, "malformed_request", "the path can be read in more than one way"))
      )
    }
    if (route !== undefined && route.firstByteTimeoutMs > usualSilenceMs)
      allowSilence(request, connection, Math.ceil(route.firstByteTimeoutMs / 1000) + 10)
    const crashed = (error: unknown): Response => {
      options.report(error, visit.requestId)
      return settle(problemResponse(internalProblem, visit.requestId))
    }
    try {
      const response = own ? options.own(request, visit) : routed(request, visit, route, settle)
      if (!(response instanceof Promise)) return settle(response)
      return own ? response.then(settle, crashed) : response.catch(crashed)
    } catch (error) {
      return crashed(error)
    }
  }
}

/** An upstream's answer with clean headers. */
const cleaned = (response: Response, added: Hygiene): Response => {
  try {
    cleanResponseHeaders(response.headers, added)
    return response
  } catch {
    // Deno's fetched headers cannot be changed: there the head is copied. The body streams either way.
    const { headers, status, statusText } = response
    const copy = new Response(response.body, { status, statusText, headers })
    cleanResponseHeaders(copy.headers, added)
    return copy
  }
}

interface Watched {
  readonly stream: ReadableStream<Uint8Array>
  /** Ends the stream for the client and gives up the upstream's. */
  readonly end: () => void
  /** Resolves when the stream is over, whoever ended it. */
  readonly ended: Promise<void>
}

/** The same bytes as they come, and a hand on the stream. */
const watch = (body: ReadableStream<Uint8Array>): Watched => {
  const reader = body.getReader()
  const { promise, resolve } = Promise.withResolvers<void>()
  let over = false
  const end = () => {
    over = true
    // What a cancelled upstream has to say is of no interest.
    reader.cancel().catch(() => {})
    resolve()
  }
  const stream = new ReadableStream<Uint8Array>({
    async pull(out) {
      // A broken or ended upstream ends the stream; a client of events reconnects by itself.
      const next = await reader.read().catch(() => ({ done: true as const, value: undefined }))
      if (!next.done && !over) return out.enqueue(next.value)
      resolve()
      out.close()
    },
    cancel: end
  })
  return { stream, end, ended: promise }
}
