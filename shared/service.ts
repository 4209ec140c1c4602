/** What every service is to the outside, `{ fetch, dispose }` and its internal port; must bind no port and name no runtime. */
import { type Context, Effect, type Layer, ManagedRuntime, Result } from "effect"
import { problemOf, problemResponse } from "./problem.ts"
import { metricsText } from "./telemetry.ts"

/** What a runtime's listener passes beside the request: Bun its server, Deno its connection info, a test nothing. */
export type Connection = unknown

/** The address of the TCP peer, or undefined where the runtime does not tell (a test). */
export const peerAddress = (request: Request, connection: Connection): string | undefined => {
  if (typeof connection !== "object" || connection === null) return undefined
  if ("requestIP" in connection && typeof connection.requestIP === "function") {
    const peer: unknown = connection.requestIP(request)
    return typeof peer === "object" && peer !== null && "address" in peer ? String(peer.address) : undefined
  }
  if ("remoteAddr" in connection && typeof connection.remoteAddr === "object" && connection.remoteAddr !== null) {
    return "hostname" in connection.remoteAddr ? String(connection.remoteAddr.hostname) : undefined
  }
  return undefined
}

/** Lets this request's connection be silent for `seconds` (255 at most) before the listener closes it, where there is such a limit. */
export const allowSilence = (request: Request, connection: Connection, seconds: number): void => {
  if (typeof connection !== "object" || connection === null) return
  if ("timeout" in connection && typeof connection.timeout === "function") connection.timeout(request, seconds)
}

/** A running service. It serves as long as it is not disposed; it owns no socket. */
export interface Service {
  readonly name: string
  /** The service's own port: what the gateway (or, for the gateway, the Internet) reaches. */
  readonly fetch: (request: Request, connection?: Connection) => Response | Promise<Response>
  /** The internal port: `/livez`, `/readyz`, `/metrics` and what the service adds; never reachable from outside. */
  readonly internal: (request: Request) => Promise<Response>
  /** Begins the end: readiness fails, open streams end; requests under way go on. */
  readonly drain: () => void
  /** Interrupts what is left and releases every resource. */
  readonly dispose: () => Promise<void>
}

export interface Built<R> {
  readonly runtime: ManagedRuntime.ManagedRuntime<R, never>
  readonly context: Context.Context<R>
  /** Aborted when the service drains: streams end with it. */
  readonly stopping: AbortSignal
}

interface Definition<R> {
  readonly name: string
  readonly layer: Layer.Layer<R>
  readonly fetch: (built: Built<R>) => Service["fetch"]
  /** What must work for the service to be sent traffic, by name. */
  readonly ready: Readonly<Record<string, Effect.Effect<void, Error, R>>>
  /** Further routes of the internal port. */
  readonly internal?: (built: Built<R>) => (path: string) => Promise<Response> | undefined
}

/** Builds a service eagerly: when the promise resolves every layer stands, and no first request waits for one. */
export const makeService = async <R>(definition: Definition<R>): Promise<Service> => {
  const runtime = ManagedRuntime.make(definition.layer)
  const context = await runtime.context()
  const stop = new AbortController()
  const built: Built<R> = { runtime, context, stopping: stop.signal }
  const extra = definition.internal?.(built)
  const checks = Object.entries(definition.ready)

  const readiness = Effect.map(
    Effect.forEach(checks, ([name, check]) => Effect.map(Effect.result(check), (result) => [name, result] as const), {
      concurrency: "unbounded"
    }),
    (results) => {
      const failed = results.filter(([, result]) => Result.isFailure(result))
      return {
        ready: failed.length === 0 && !stop.signal.aborted,
        stopping: stop.signal.aborted,
        checks: Object.fromEntries(
          results.map(([name, result]) => [name, Result.isSuccess(result) ? "ok" : result.failure.message])
        )
      }
    }
  )

  const internal = async (request: Request): Promise<Response> => {
    const path = new URL(request.url).pathname
    if (request.method !== "GET" && request.method !== "HEAD") {
      return problemResponse(problemOf(405, "method_not_allowed"))
    }
    switch (path) {
      case "/livez":
        return Response.json({ live: true })
      case "/readyz": {
        const state = await runtime.runPromise(readiness)
        return Response.json(state, { status: state.ready ? 200 : 503 })
      }
      case "/metrics":
        return new Response(await runtime.runPromise(metricsText), {
          headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" }
        })
      default:
        return (await extra?.(path)) ?? problemResponse(problemOf(404, "not_found"))
    }
  }

  return {
    name: definition.name,
    fetch: definition.fetch(built),
    internal,
    drain: () => stop.abort(),
    dispose: async () => {
      stop.abort()
      await runtime.dispose()
    }
  }
}
