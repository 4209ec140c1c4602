/** The only file that knows Bun's listener and bundler: serves a Service, drains it on SIGTERM; must hold no route. */
import { Schema } from "effect"
import type { Service } from "./service.ts"

/** A port that cannot be bound, with what to do about it. */
export class PortUnavailable extends Schema.TaggedError<PortUnavailable>()("PortUnavailable", {
  hostname: Schema.String,
  port: Schema.Int,
  reason: Schema.String
}) {
  override get message() {
    return `cannot listen on ${this.hostname}:${this.port}: ${this.reason}`
  }
}

interface ListenOptions {
  readonly hostname: string
  /** 0 takes any free port. */
  readonly port: number
  /** The internal port, or undefined to serve none. */
  readonly internalPort?: number | undefined
  /** Bytes of request body at most, beyond what routes themselves allow. */
  readonly maxBodyBytes?: number
  /** Seconds of silence after which a connection without an open stream is closed; 60 unless told. */
  readonly idleSeconds?: number
}

export interface Listener {
  readonly port: number
  readonly internalPort: number | undefined
  /** Refuses new connections, ends streams, waits for requests under way at most `seconds`, then cuts them; releases the service. */
  readonly stop: (seconds: number) => Promise<void>
}

const defaultIdleSeconds = 60

type Handler = (request: Request, server: Bun.Server<undefined>) => Response | Promise<Response>

const bind = (hostname: string, port: number, fetch: Handler, maxBodyBytes: number, idleTimeout: number) => {
  try {
    return Bun.serve({
      hostname,
      port,
      fetch,
      idleTimeout,
      maxRequestBodySize: maxBodyBytes,
      // Unless told so, Bun shares a port that another of its processes has, and each gets some of the connections.
      reusePort: false,
      // Bun's own error page shows source code.
      development: false,
      error: () => new Response(null, { status: 500 })
    })
  } catch (error) {
    const code = typeof error === "object" && error !== null && "code" in error ? error.code : ""
    const reason = code === "EADDRINUSE" ? "the port is taken; set another with PORT" : String(code || "not possible")
    throw new PortUnavailable({ hostname, port, reason })
  }
}

/** A stream of events may be quiet for longer than Bun lets an idle connection live: its timeout is lifted, its own pings remain. */
const unhurried =
  (fetch: Service["fetch"]): Handler =>
  (request, server) => {
    const watch = (response: Response) => {
      if (/^text\/event-stream/iu.test(response.headers.get("content-type") ?? "")) server.timeout(request, 0)
      return response
    }
    const response = fetch(request, server)
    return response instanceof Promise ? response.then(watch) : watch(response)
  }

/** Serves `service`; throws PortUnavailable. */
export const listen = (service: Service, options: ListenOptions): Listener => {
  const maxBodyBytes = options.maxBodyBytes ?? Number.MAX_SAFE_INTEGER
  const idleSeconds = options.idleSeconds ?? defaultIdleSeconds
  const server = bind(options.hostname, options.port, unhurried(service.fetch), maxBodyBytes, idleSeconds)
  const internal = (() => {
    if (options.internalPort === undefined) return undefined
    try {
      return bind(options.hostname, options.internalPort, (request) => service.internal(request), 0, idleSeconds)
    } catch (error) {
      void server.stop(true)
      throw error
    }
  })()
  let stopped: Promise<void> | undefined
  const stop = async (seconds: number) => {
    service.drain()
    const deadline = new Promise<void>((resolve) => {
      setTimeout(resolve, seconds * 1000).unref()
    })
    await Promise.race([server.stop(), deadline])
    await server.stop(true)
    await service.dispose()
    await internal?.stop(true)
  }
  return {
    port: server.port!,
    internalPort: internal?.port,
    stop: (seconds) => (stopped ??= stop(seconds))
  }
}

/** Seconds a terminating process waits for requests under way; below Kubernetes' default grace of 30 s. */
const drainSeconds = 25

/**
 * Runs until SIGTERM or SIGINT, then stops every listener in order, then `after`, then exits 0. A signal more than a second
 * later exits at once; one together with the first is the same wish, sent to the process by its group and by its parent.
 */
export const runUntilSignal = async (
  listeners: ReadonlyArray<Listener>,
  after: () => Promise<void> = async () => {}
): Promise<never> => {
  await new Promise<void>((resolve) => {
    const onSignal = () => {
      resolve()
      const first = performance.now()
      const onAnother = () => {
        if (performance.now() - first > 1000) process.exit(1)
      }
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal).on("SIGTERM", onAnother).on("SIGINT", onAnother)
    }
    process.on("SIGTERM", onSignal).on("SIGINT", onSignal)
  })
  for (const listener of listeners) await listener.stop(drainSeconds)
  await after()
  process.exit(0)
}

/**
 * Bundles a browser application into `outdir` (hashed names), with absolute references so that the page works under any
 * path; gives the names of the files written. Throws an AggregateError naming the faults.
 */
export const bundle = async (entry: string, outdir: string): Promise<ReadonlyArray<string>> => {
  const { outputs } = await Bun.build({
    entrypoints: [entry],
    outdir,
    target: "browser",
    minify: true,
    splitting: true,
    sourcemap: "none",
    publicPath: "/",
    naming: { entry: "[name].[ext]", chunk: "[name]-[hash].[ext]", asset: "[name]-[hash].[ext]" },
    define: { "process.env.NODE_ENV": '"production"' }
  })
  return outputs.map(({ path }) => path.slice(path.lastIndexOf("/") + 1)).sort()
}
